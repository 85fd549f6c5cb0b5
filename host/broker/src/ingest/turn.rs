//! The batches of one lane that are judged in one turn on the threads for guests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::sync::watch;

use crate::BrokerError;
use crate::flow::counters::Counters;
use crate::ingest::lane::Reply;
use crate::ingest::made::{Made, Step};
use crate::ingest::pass::IngestPass;
use crate::ingest::route::Route;

/// Going to another thread and back costs about as much as judging a small batch, so a turn takes what waits; but who came first
/// is answered when the turn is over, so after this long no further batch is begun.
const TURN: Duration = Duration::from_millis(2);

/// Bytes of what came out in one turn, after which no further batch is begun: they are in memory until they are in the log's queue.
const TURN_BYTES: u64 = 4 << 20;

/// A batch that waits to be judged, and who waits for the answer.
pub(super) struct Waiting {
    pub(super) state: State,
    pub(super) reply: Reply,
    /// It was judged before, up to a dead letter for which there was no topic.
    pub(super) homeless: bool,
}

/// How far a batch is.
pub(super) enum State {
    /// As it came.
    New(BytesMut),
    /// Judged in part, in an earlier turn.
    Begun(Box<IngestPass>),
}

/// A batch that has been judged: what is to be stored of it, or why it is refused.
pub(super) struct Settled {
    pub(super) reply: Reply,
    pub(super) made: Result<Made, BrokerError>,
}

/// What became of the batches of a turn.
pub(super) struct Judged {
    /// In the order in which they came, which is that in which they are to be stored.
    pub(super) settled: Vec<Settled>,
    /// Those behind them.
    pub(super) left: VecDeque<Waiting>,
    /// Why the first of those left cannot go on by itself, if so.
    pub(super) obstacle: Option<Obstacle>,
}

/// What keeps a batch from being judged.
pub(super) enum Obstacle {
    /// It has a record for the dead-letter topic, which is not there. All of it is to be judged again once it is.
    NoDeadLetter,
    /// The plugins do not start: why.
    Unable(String),
}

/// One turn.
pub(super) struct Turn {
    pub(super) route: Arc<Route>,
    pub(super) counters: Arc<Counters>,
    /// Nothing is begun once this is set.
    pub(super) stop: watch::Receiver<bool>,
}

impl Turn {
    /// Judges the batches one after the other, as far as one turn goes. Blocks on guests.
    pub(super) fn run(self, mut waiting: VecDeque<Waiting>) -> Judged {
        let mut settled = Vec::with_capacity(waiting.len());
        let mut chain = match self.route.work.chain() {
            Ok(chain) => chain,
            Err((plugin, error)) => {
                let reason = format!("plugin {plugin} does not start: {error}");
                return Judged {
                    settled,
                    left: waiting,
                    obstacle: Some(Obstacle::Unable(reason)),
                };
            }
        };
        chain.count_in(Arc::clone(&self.counters));
        let began = Instant::now();
        let mut bytes = 0;
        let mut obstacle = None;
        while let Some(Waiting {
            state,
            reply,
            homeless,
        }) = waiting.pop_front()
        {
            let pass = match state {
                State::New(batch) => Box::new(IngestPass::new(Arc::clone(&self.route), batch)),
                State::Begun(pass) => pass,
            };
            let made = match pass.run(&mut chain, began) {
                Step::Done(made) => Ok(made),
                Step::Refused(error) => Err(error),
                Step::More(pass) => {
                    waiting.push_front(Waiting {
                        state: State::Begun(pass),
                        reply,
                        homeless,
                    });
                    break;
                }
                Step::NoDeadLetter(batch) => {
                    waiting.push_front(Waiting {
                        state: State::New(batch),
                        reply,
                        homeless,
                    });
                    obstacle = Some(Obstacle::NoDeadLetter);
                    break;
                }
            };
            bytes += made.as_ref().map_or(0, Made::bytes);
            settled.push(Settled { reply, made });
            if began.elapsed() >= TURN || bytes >= TURN_BYTES || *self.stop.borrow() {
                break;
            }
        }
        self.route.work.rest(chain);
        Judged {
            settled,
            left: waiting,
            obstacle,
        }
    }
}
