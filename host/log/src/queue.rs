//! What waits for a shard's writer.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::checkpoint::Snapshot;
use crate::descriptor::Op;
use crate::store_error::StoreError;
use crate::{AppendError, Committed, Entry, Sequence};

/// An entry on its way to the disk.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) entry: Entry,
    /// The place the entry takes in a producer's sequence.
    pub(crate) sequence: Option<Sequence>,
    /// Changes of the log's own (log start, deleted topics).
    pub(crate) controls: Vec<Op>,
    pub(crate) reply: oneshot::Sender<Result<Committed, AppendError>>,
    /// Its share of the bound; given back when it is dropped.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// What the writer does between two groups.
#[derive(Debug)]
pub(crate) enum Command {
    /// Begins a new segment, unless the present one is empty.
    Roll(SyncSender<Result<(), StoreError>>),
    /// Makes everything durable and takes what differs from the state database.
    Freeze(SyncSender<Result<Snapshot, StoreError>>),
}

/// A queue with a bound on its bytes and one reader.
#[derive(Debug)]
pub(crate) struct Queue {
    room: Arc<Semaphore>,
    bytes_max: usize,
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Queued>,
    commands: VecDeque<Command>,
    closed: bool,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(crate) enum Work {
    Group(Vec<Queued>),
    Command(Command),
    /// The deadline has passed.
    Timeout,
    /// Closed, and nothing is left.
    Closed,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.clamp(1, u32::MAX as usize >> 1);
        Self {
            room: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
            waiting: Mutex::default(),
            arrived: Condvar::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for `bytes`, in the order of asking. What is larger than the bound waits until it
    /// would be alone.
    pub(crate) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AppendError> {
        let bytes = bytes.min(self.bytes_max) as u32;
        self.room
            .clone()
            .acquire_many_owned(bytes)
            .await
            .map_err(|_| AppendError::Closed)
    }

    pub(crate) fn push(&self, queued: Queued) -> Result<(), AppendError> {
        {
            let mut waiting = self.waiting();
            if waiting.closed {
                return Err(AppendError::Closed);
            }
            waiting.entries.push_back(queued);
        }
        self.arrived.notify_one();
        Ok(())
    }

    /// `false` if the queue is closed.
    pub(crate) fn command(&self, command: Command) -> bool {
        {
            let mut waiting = self.waiting();
            if waiting.closed {
                return false;
            }
            waiting.commands.push_back(command);
        }
        self.arrived.notify_one();
        true
    }

    /// Refuses whatever comes from now on. What waits is still done.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.room.close();
        self.arrived.notify_all();
    }

    /// Refuses what waits. For when there is nobody to do it.
    pub(crate) fn clear(&self) {
        let (entries, commands) = {
            let mut waiting = self.waiting();
            (
                std::mem::take(&mut waiting.entries),
                std::mem::take(&mut waiting.commands),
            )
        };
        // Whoever waits for an answer is told by its other end going away.
        drop((entries, commands));
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes_max - self.room.available_permits().min(self.bytes_max)
    }

    /// The next thing to do: a command if there is one, else everything that waits up to `bytes_max`, one entry at
    /// least. Waits for it until the deadline.
    pub(crate) fn take(&self, bytes_max: usize, deadline: Option<Instant>) -> Work {
        let mut waiting = self.waiting();
        loop {
            if let Some(command) = waiting.commands.pop_front() {
                return Work::Command(command);
            }
            if !waiting.entries.is_empty() {
                let mut bytes = 0;
                let count = waiting
                    .entries
                    .iter()
                    .take_while(|queued| {
                        let fits = bytes == 0 || bytes + queued.entry.cost() <= bytes_max;
                        bytes += queued.entry.cost();
                        fits
                    })
                    .count();
                return Work::Group(waiting.entries.drain(..count).collect());
            }
            if waiting.closed {
                return Work::Closed;
            }
            waiting = match deadline {
                None => self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Work::Timeout;
                    }
                    self.arrived
                        .wait_timeout(waiting, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}
