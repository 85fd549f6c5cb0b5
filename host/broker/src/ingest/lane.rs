//! The way of a partition's batches from the guard into the log, one after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use weir_log::{Append, Durability, Entry, Receipt, Sequence};

use crate::core::Core;
use crate::error::append_error;
use crate::flow::collector::OutBatch;
use crate::flow::counters::Counters;
use crate::flow::{self, Flow, FlowWork, dead_letter};
use crate::ingest::RecordResults;
use crate::ingest::guard::not_running;
use crate::ingest::letters::{Target, letter_index, sink_for};
use crate::ingest::made::{Made, Output, Step};
use crate::ingest::pass::IngestPass;
use crate::produce::Produced;
use crate::topic::log_durability;
use crate::{BrokerError, Topic};

/// Batches that may wait in a lane, besides the one that is being judged.
const WAITING_MAX: usize = 16;

/// Why a flow that is told to stop judges nothing more.
const STOPPING: &str = "is being stopped";

/// A batch that was taken, and who waits for its answer.
pub(super) struct Request {
    pub(super) batch: BytesMut,
    pub(super) reply: oneshot::Sender<Result<Submitted, BrokerError>>,
}

/// A batch that has been judged.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// What is stored of it is on its way into the log.
    Entry {
        receipt: Receipt,
        /// Batches of the entry that are for the partition itself; they come first.
        batches: usize,
        records: Option<Box<RecordResults>>,
    },
    /// Nothing of it is stored.
    Nothing(Produced),
}

/// The lanes of one running flow.
pub(super) struct Lanes {
    core: Arc<Core>,
    flow: Arc<Flow>,
    work: Arc<FlowWork>,
    stop: watch::Receiver<bool>,
    /// By partition. `None` once no more come.
    open: Mutex<Option<HashMap<u32, mpsc::Sender<Request>>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Lanes {
    pub(super) fn new(
        core: Arc<Core>,
        flow: Arc<Flow>,
        work: Arc<FlowWork>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            core,
            flow,
            work,
            stop,
            open: Mutex::new(Some(HashMap::new())),
            tasks: Mutex::default(),
        }
    }

    /// The lane of a partition, which exists. `None` once the lanes are closed.
    pub(super) fn of(&self, topic: &Topic, partition: u32) -> Option<mpsc::Sender<Request>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = open.as_mut()?;
        let lane = lanes.entry(partition).or_insert_with(|| {
            let (sender, requests) = mpsc::channel(WAITING_MAX);
            let lane = Lane {
                core: Arc::clone(&self.core),
                flow: Arc::clone(&self.flow),
                work: Arc::clone(&self.work),
                stop: self.stop.clone(),
                topic: topic.clone(),
                partition,
                counters: self.flow.counters(flow::Lane::of_first_source(partition)),
            };
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.spawn(lane.run(requests));
            sender
        });
        Some(lane.clone())
    }

    /// Takes no more, and waits until what is being judged has been handed to the log, and the rest refused.
    pub(super) async fn finish(&self) {
        drop(self.open.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(flow = self.flow.name(), "an ingest flow ended badly: {error}");
            }
        }
    }
}

/// The lane of one partition.
struct Lane {
    core: Arc<Core>,
    flow: Arc<Flow>,
    work: Arc<FlowWork>,
    stop: watch::Receiver<bool>,
    topic: Topic,
    partition: u32,
    counters: Arc<Counters>,
}

impl Lane {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(Request { batch, reply }) = requests.recv().await {
            // What is under way is brought to its end; the rest may be sent again.
            let answer = match self.is_stopping() {
                true => Err(self.not_running(STOPPING)),
                false => self.take(batch).await,
            };
            // Who waited may be gone; what is stored stays.
            let _ = reply.send(answer);
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    async fn take(&mut self, batch: BytesMut) -> Result<Submitted, BrokerError> {
        let (target, letters, pass) = self.pass(batch)?;
        let made = self.judge(pass, letters).await?;
        self.counters.add(&made.stats);
        self.submit(made, target).await
    }

    /// What is to be run over the batch, and where its outputs go.
    fn pass(&self, batch: BytesMut) -> Result<(Target, Option<Target>, Box<IngestPass>), BrokerError> {
        let gone = || BrokerError::unknown_topic(self.topic.name());
        let log = &self.core.log;
        let (sink, target) = sink_for(log, &self.topic, self.partition).ok_or_else(gone)?;
        let letters = self
            .core
            .topic(&dead_letter::topic_name(self.flow.name()))
            .ok()
            .and_then(|topic| {
                sink_for(
                    log,
                    &topic,
                    letter_index(log, &topic, self.partition, target.shard),
                )
            });
        let (letter_sink, letters) = letters.unzip();
        let pass = IngestPass::new(
            Arc::clone(&self.work),
            self.flow.spec().on_error,
            (self.topic.name().to_owned(), self.partition),
            batch,
            self.core.limits.unpacked_batch_bytes_max,
            (sink, letter_sink),
        );
        Ok((target, letters, Box::new(pass)))
    }

    /// Runs a pass to its end, in as many turns as it takes.
    async fn judge(
        &mut self,
        mut pass: Box<IngestPass>,
        mut letters: Option<Target>,
    ) -> Result<Made, BrokerError> {
        loop {
            let (done, result) = oneshot::channel();
            let (flow, waits) = (self.flow.id(), self.work.waits());
            self.core.pool.push_that(flow, waits, move || {
                let _ = done.send(pass.run());
            });
            // The threads are closed, or the pass panicked, which is in the log.
            let step = result.await.map_err(|_| BrokerError::shutting_down())?;
            match step {
                Step::More(_) if self.is_stopping() => return Err(self.not_running(STOPPING)),
                Step::More(more) => pass = more,
                Step::Done(mut made) => {
                    self.flow.works(flow::Lane::of_first_source(self.partition));
                    made.letters_to = letters;
                    return Ok(made);
                }
                Step::NoDeadLetter(batch) => {
                    self.make_dead_letter().await?;
                    let again = self.pass(batch)?;
                    if again.1.is_none() {
                        return Err(self.not_running("has no dead-letter topic, which was deleted"));
                    }
                    (letters, pass) = (again.1, again.2);
                }
                Step::Unable(reason) => {
                    self.counters.error();
                    self.flow.log().push("error", &reason);
                    self.flow
                        .waits(flow::Lane::of_first_source(self.partition), reason.clone());
                    return Err(self.not_running(&format!("cannot run ({reason})")));
                }
                Step::Refused(error) => return Err(error),
            }
        }
    }

    async fn make_dead_letter(&mut self) -> Result<(), BrokerError> {
        let made = dead_letter::make_topic(&self.core, &self.flow);
        let made = tokio::select! {
            made = made => Some(made),
            // Whoever stops flows may be changing topics: then this waits for them, and they for this.
            _ = async { drop(self.stop.wait_for(|&stop| stop).await) } => None,
        };
        let made = made.ok_or_else(|| self.not_running(STOPPING))?;
        made.map_err(|error| {
            self.counters.error();
            self.not_running(&format!("cannot make its dead-letter topic ({error})"))
        })
    }

    fn not_running(&self, why: &str) -> BrokerError {
        not_running(self.flow.name(), self.topic.name(), why)
    }

    /// Hands what came out to the log. Its order there is that of these calls.
    async fn submit(&self, made: Made, target: Target) -> Result<Submitted, BrokerError> {
        let state = self.topic.live_state()?;
        let durability = log_durability(state.config.durability);
        let append = |partition, batch| Append { partition, batch };
        let mut entry = Entry {
            durability,
            ..Entry::default()
        };
        let (records, sequence) = match made.output {
            Output::Untouched(batch) => {
                entry.appends.push(append(target.partition, batch));
                (None, None)
            }
            Output::Changed { batches, records } => {
                let own = batches.into_iter().map(|batch| append(target.partition, batch));
                entry.appends.extend(own);
                (records, made.sequence)
            }
        };
        let batches = entry.appends.len();
        if let Some(to) = made.letters_to {
            let letters = made.letters.into_iter();
            let letters = letters.map(|letter: OutBatch| append(to.partition, letter.batch));
            if to.shard == target.shard {
                entry.appends.extend(letters);
            } else {
                self.send_letters(to.shard, letters.collect()).await?;
            }
        }
        let log = &self.core.log;
        let submitted = match sequence {
            None if entry.appends.is_empty() => {
                let end = state
                    .partitions
                    .get(self.partition as usize)
                    .map_or((0, 0), |partition| {
                        (partition.high_watermark(), partition.log_start_offset())
                    });
                return Ok(Submitted::Nothing(Produced {
                    base_offset: end.0,
                    last_offset: end.0 - 1,
                    duplicate: false,
                    log_start_offset: end.1,
                    records,
                }));
            }
            None => log.submit(target.shard, entry).await,
            Some((producer_id, epoch, base_sequence)) => {
                let sequence = Sequence {
                    partition: target.partition,
                    producer_id,
                    epoch,
                    base_sequence,
                    records: made.records,
                };
                log.submit_in_sequence(target.shard, entry, sequence).await
            }
        };
        Ok(Submitted::Entry {
            receipt: submitted.map_err(append_error)?,
            batches,
            records,
        })
    }

    /// Letters that cannot be part of the entry are on disk before it: should the broker fail in between, they come again with
    /// the batch that is sent again.
    async fn send_letters(&self, shard: u16, appends: Vec<Append>) -> Result<(), BrokerError> {
        if appends.is_empty() {
            return Ok(());
        }
        let entry = Entry {
            appends,
            puts: Vec::new(),
            durability: Durability::Fsync,
        };
        let receipt = self.core.log.submit(shard, entry).await;
        let stored = receipt.map_err(append_error)?.await;
        stored.map(drop).map_err(append_error)
    }
}
