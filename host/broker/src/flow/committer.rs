//! Writes what passes make, with the cursor, and keeps count of what is on its way.

use std::collections::VecDeque;

use weir_log::{Append, AppendError, Durability, Entry, KvOp, Log, Receipt};

use crate::flow::collector::OutBatch;
use crate::flow::counters::{Counters, PassStats};
use crate::flow::cursor::{self, CursorRow, SinkShape};
use crate::flow::lane::Lane;
use crate::flow::recovery::Recovery;
use crate::flow::window::Window;

/// The committing side of a runner: one entry for each shard that a pass writes to, outputs and cursor together.
///
/// Every entry expects the cursor row that the entry before it in its shard leaves behind: if one entry of a flow fails,
/// those that were submitted after it fail as well, and nothing is left out.
///
/// # Flows that keep state
///
/// What a pass changed of the state goes into its entry for the state shard, and so does the only cursor row that says
/// the pass is complete. That entry is submitted once the pass's entries for all other shards are durable, and those once all
/// passes before it are complete. So after a crash the stored state is that of the highest `complete`, and at most one pass
/// beyond it has left outputs anywhere: all shards that have some say the same `applied`, which is where that pass ended.
pub(crate) struct Committer {
    log: Log,
    key: Vec<u8>,
    source_topic: u32,
    shape: Vec<SinkShape>,
    durability: Durability,
    window: Window,
    /// By shard: up to where outputs are there, counting what is submitted.
    applied: Vec<i64>,
    /// By shard: the cursor row as it is after what is submitted.
    rows: Vec<Option<Vec<u8>>>,
    /// Where cursor rows go that have no output beside them.
    idle_shard: u16,
    /// Of a flow that keeps state.
    state_shard: Option<u16>,
    /// Passes of such a flow, not all of whose entries are submitted yet.
    held: VecDeque<Held>,
    in_flight: VecDeque<InFlight>,
}

struct InFlight {
    shard: u16,
    receipt: Receipt,
    /// Whether it belongs to a pass, or only says what is complete.
    pass: bool,
    /// Of the whole pass, with its last entry.
    stats: Option<PassStats>,
}

/// A pass of a flow that keeps state, on its way.
struct Held {
    end: i64,
    /// Whether it has outputs for other shards than that of the state.
    crosses: bool,
    /// Those outputs, until they are submitted.
    others: Vec<(u16, Vec<Append>)>,
    /// The entry for the state shard.
    appends: Vec<Append>,
    changes: Vec<KvOp>,
    stats: PassStats,
}

/// What a cursor row says.
#[derive(Clone, Copy)]
struct Progress {
    applied: i64,
    complete: i64,
}

/// Where a committer begins.
pub(crate) struct Beginning {
    pub(crate) source_topic: u32,
    pub(crate) lane: Lane,
    pub(crate) flow: u32,
    pub(crate) recovery: Recovery,
    /// By shard: the cursor row as it is stored.
    pub(crate) rows: Vec<Option<Vec<u8>>>,
    pub(crate) shape: Vec<SinkShape>,
    pub(crate) durability: Durability,
    pub(crate) idle_shard: u16,
    /// Where the state is, of a flow that keeps some.
    pub(crate) state_shard: Option<u16>,
    pub(crate) passes_max: usize,
}

impl Committer {
    pub(crate) fn new(log: Log, beginning: Beginning) -> Self {
        let Beginning { recovery, .. } = beginning;
        Self {
            log,
            key: cursor::key(beginning.flow, beginning.lane),
            source_topic: beginning.source_topic,
            shape: beginning.shape,
            durability: beginning.durability,
            window: Window::new(recovery.position, beginning.passes_max),
            applied: recovery.applied,
            rows: beginning.rows,
            idle_shard: beginning.idle_shard,
            state_shard: beginning.state_shard,
            held: VecDeque::new(),
            in_flight: VecDeque::new(),
        }
    }

    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// Whether nothing is on its way. After [`advance`](Self::advance), no pass is held then either.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Submits what a pass up to `end` has made; waits for room in the queues. Of a flow that keeps state, `changes` are what the
    /// pass made of it, and some of it may be submitted only by [`advance`](Self::advance).
    pub(crate) async fn submit(
        &mut self,
        end: i64,
        batches: Vec<OutBatch>,
        changes: Vec<KvOp>,
        stats: PassStats,
    ) -> Result<(), AppendError> {
        let mut entries = by_shard(batches);
        if let Some(state_shard) = self.state_shard {
            let own = entries.iter().position(|(shard, _)| *shard == state_shard);
            let (_, appends) = own.map(|own| entries.swap_remove(own)).unwrap_or_default();
            self.window.push(end, &[state_shard]);
            self.held.push_back(Held {
                end,
                crosses: !entries.is_empty(),
                others: entries,
                appends,
                changes,
                stats,
            });
            return self.advance().await;
        }
        assert!(changes.is_empty(), "only a flow that keeps state can change it");
        if entries.is_empty() {
            entries.push((self.idle_shard, Vec::new()));
        }
        self.idle_shard = entries[0].0;
        let shards: Vec<u16> = entries.iter().map(|(shard, _)| *shard).collect();
        let claims = self.window.push(end, &shards);
        let last = entries.len() - 1;
        for (index, ((shard, appends), complete)) in entries.into_iter().zip(claims).enumerate() {
            let stats = (index == last).then_some(stats);
            let row = Progress {
                applied: end,
                complete,
            };
            self.submit_entry(shard, appends, Vec::new(), row, true, stats)
                .await?;
        }
        Ok(())
    }

    /// Submits what of the passes that are held can be submitted by now; waits for room in the queues.
    pub(crate) async fn advance(&mut self) -> Result<(), AppendError> {
        while let Some(held) = self.held.front_mut() {
            if held.crosses && !self.in_flight.is_empty() {
                return Ok(());
            }
            let end = held.end;
            let others = std::mem::take(&mut held.others);
            if !others.is_empty() {
                let complete = self.window.position();
                for (shard, appends) in others {
                    let row = Progress {
                        applied: end,
                        complete,
                    };
                    self.submit_entry(shard, appends, Vec::new(), row, false, None)
                        .await?;
                }
                continue;
            }
            let (Some(state_shard), Some(held)) = (self.state_shard, self.held.pop_front()) else {
                return Ok(());
            };
            let row = Progress {
                applied: end,
                complete: end,
            };
            self.submit_entry(
                state_shard,
                held.appends,
                held.changes,
                row,
                true,
                Some(held.stats),
            )
            .await?;
        }
        Ok(())
    }

    /// With nothing on its way: has the cursor say what no entry could say when it was submitted. Returns whether there was
    /// anything to say.
    pub(crate) async fn claim(&mut self) -> Result<bool, AppendError> {
        let Some(complete) = self.window.unclaimed() else {
            return Ok(false);
        };
        self.window.claim();
        let row = Progress {
            applied: complete,
            complete,
        };
        self.submit_entry(self.idle_shard, Vec::new(), Vec::new(), row, false, None)
            .await?;
        Ok(true)
    }

    /// Has the rows of all shards say what the recovery says, where they said more: a crash took records from the source
    /// that were processed already, and others will have their offsets.
    pub(crate) async fn rewind(&mut self) -> Result<(), AppendError> {
        let position = self.window.position();
        for shard in 0..self.rows.len() as u16 {
            let at = usize::from(shard);
            if self.rows[at].is_some() {
                let row = Progress {
                    applied: self.applied[at],
                    complete: position,
                };
                self.submit_entry(shard, Vec::new(), Vec::new(), row, false, None)
                    .await?;
            }
        }
        while let Some(in_flight) = self.in_flight.pop_front() {
            in_flight.receipt.await?;
        }
        Ok(())
    }

    /// Waits for the oldest entry on its way, which must be there. `counters` learn of it.
    pub(crate) async fn next_committed(&mut self, counters: &Counters) -> Result<(), AppendError> {
        let front = self
            .in_flight
            .front_mut()
            .expect("the caller looked: an entry is on its way");
        // It stays where it is until it is answered: whoever waits here may be interrupted.
        let answer = (&mut front.receipt).await;
        let answered = self.in_flight.pop_front();
        answer?;
        if let Some(InFlight {
            shard, pass, stats, ..
        }) = answered
        {
            if pass {
                self.window.committed(shard);
                counters.set_cursor(self.window.position());
            }
            if let Some(stats) = stats {
                counters.add(&stats);
            }
        }
        Ok(())
    }

    /// Waits until nothing is on its way any more, whatever becomes of it.
    pub(crate) async fn drain(&mut self) {
        while let Some(in_flight) = self.in_flight.pop_front() {
            let _ = in_flight.receipt.await;
        }
    }

    async fn submit_entry(
        &mut self,
        shard: u16,
        appends: Vec<Append>,
        mut puts: Vec<KvOp>,
        progress: Progress,
        pass: bool,
        stats: Option<PassStats>,
    ) -> Result<(), AppendError> {
        let at = usize::from(shard);
        // While a pass is repeated for other shards, this one may be ahead.
        let applied = progress.applied.max(self.applied[at]);
        let row = CursorRow {
            source_topic: self.source_topic,
            applied,
            complete: progress.complete,
            sinks: self.shape.clone(),
        };
        let row = row.encode();
        let expected = self.rows[at].replace(row.clone());
        self.applied[at] = applied;
        puts.extend([
            KvOp::Expect {
                key: self.key.clone(),
                value: expected,
            },
            KvOp::Put {
                key: self.key.clone(),
                value: row,
            },
        ]);
        let entry = Entry {
            appends,
            puts,
            durability: self.durability,
        };
        let receipt = self.log.submit(shard, entry).await?;
        self.in_flight.push_back(InFlight {
            shard,
            receipt,
            pass,
            stats,
        });
        Ok(())
    }
}

/// The outputs of each shard.
fn by_shard(batches: Vec<OutBatch>) -> Vec<(u16, Vec<Append>)> {
    let mut entries: Vec<(u16, Vec<Append>)> = Vec::new();
    for OutBatch {
        shard,
        partition,
        batch,
        ..
    } in batches
    {
        let append = Append { partition, batch };
        match entries.iter_mut().find(|(of, _)| *of == shard) {
            Some((_, appends)) => appends.push(append),
            None => entries.push((shard, vec![append])),
        }
    }
    entries
}
