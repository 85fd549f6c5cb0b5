//! The threads that run guests.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::flow::fair::FairQueue;

/// More guests than this at once are of no use: they compute.
const THREADS_MAX: usize = 64;
/// More guests than this do not wait for the network at once, whatever the configuration says.
const WAITING_MAX: usize = 1024;

/// A job, and whether it may wait for the world outside.
struct Job {
    run: Box<dyn FnOnce() + Send>,
    waits: bool,
}

/// How many threads there are, and what for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolBounds {
    /// Guests that run at once; 0 means one per core.
    pub(crate) running: usize,
    /// Jobs under way, at most, that may wait: each has a thread in addition.
    pub(crate) waiting: usize,
    /// Of these, how many of one flow.
    pub(crate) waiting_per_flow: usize,
}

/// A fixed number of threads on which flows take turns, each flow getting an equal share of time.
///
/// Nothing else runs on them, and guests run nowhere else: a guest that computes until its deadline delays other
/// flows, never the broker. What waits in the queue is bounded by the flows: each of their source partitions has one job at most.
///
/// A guest that waits for a host outside gives its turn up meanwhile, see [`away`]: no more guests run than there are turns, and
/// none has to wait for a host that another one calls. What such guests hold is a thread. There are more threads than turns for that,
/// and jobs that may wait are not begun beyond their number, so that there is always a thread for those that never wait.
pub(crate) struct FlowPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// There may be work for a thread.
    work: Condvar,
    /// There may be a turn for a guest that has waited.
    turn: Condvar,
    bounds: PoolBounds,
}

struct Queue {
    jobs: FairQueue<Job>,
    /// Guests that run.
    running: usize,
    /// Guests whose wait is over, and that want to run again.
    returning: usize,
    /// Jobs under way that may wait.
    waiting: usize,
    /// Whether the threads for jobs that may wait were started.
    extended: bool,
    closed: bool,
}

/// The job that a thread is at.
struct Current {
    shared: Arc<Shared>,
    flow: u32,
    began: Instant,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Runs `wait`, which does nothing but wait, on the thread of a guest: others have its turn meanwhile, and the time is not its
/// flow's. Anywhere else it is simply run.
pub(crate) fn away(wait: &mut dyn FnMut()) {
    let left = CURRENT.with_borrow(|current| {
        let current = current.as_ref()?;
        current.shared.leave(current.flow, current.began);
        Some(Away(Arc::clone(&current.shared)))
    });
    wait();
    drop(left);
}

/// Takes a turn again at its end.
struct Away(Arc<Shared>);

impl Drop for Away {
    fn drop(&mut self) {
        self.0.come_back();
        CURRENT.with_borrow_mut(|current| {
            if let Some(current) = current {
                current.began = Instant::now();
            }
        });
    }
}

impl FlowPool {
    /// Starts the threads; those for jobs that may wait when there is the first.
    pub(crate) fn start(bounds: PoolBounds) -> io::Result<Self> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let running = if bounds.running == 0 {
            cores()
        } else {
            bounds.running
        };
        let bounds = PoolBounds {
            running: running.clamp(1, THREADS_MAX),
            waiting: bounds.waiting.clamp(1, WAITING_MAX),
            waiting_per_flow: bounds.waiting_per_flow.max(1),
        };
        let queue = Queue {
            jobs: FairQueue::new(),
            running: 0,
            returning: 0,
            waiting: 0,
            extended: false,
            closed: false,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            work: Condvar::new(),
            turn: Condvar::new(),
            bounds,
        });
        let pool = Self {
            shared,
            threads: Mutex::default(),
        };
        for index in 0..bounds.running {
            pool.spawn(format!("weir-flow-{index}"))?;
        }
        Ok(pool)
    }

    fn spawn(&self, name: String) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name).spawn(move || shared.run())?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    /// Queues a job of `flow` that never waits for the world outside. After [`close`](Self::close) it is dropped without having run.
    pub(crate) fn push(&self, flow: u32, job: impl FnOnce() + Send + 'static) {
        self.push_that(flow, false, job);
    }

    /// Queues a job of `flow` that `waits` for the world outside, or not: see [`away`].
    pub(crate) fn push_that(&self, flow: u32, waits: bool, job: impl FnOnce() + Send + 'static) {
        if waits {
            self.extend();
        }
        let mut queue = self.shared.lock();
        if !queue.closed {
            let run = Box::new(job);
            queue.jobs.push(flow, Job { run, waits });
            drop(queue);
            self.shared.work.notify_one();
        }
    }

    /// Starts the threads for jobs that may wait, once.
    fn extend(&self) {
        if std::mem::replace(&mut self.shared.lock().extended, true) {
            return;
        }
        for index in 0..self.shared.bounds.waiting {
            if let Err(error) = self.spawn(format!("weir-flow-w{index}")) {
                // They are there to keep flows out of each other's way: without some of them, flows wait for each other.
                tracing::warn!("only {index} threads for flows that call out over HTTP: {error}");
                return;
            }
        }
    }

    /// Forgets the flow and drops its waiting jobs.
    pub(crate) fn forget(&self, flow: u32) {
        let jobs: Vec<Job> = self.shared.lock().jobs.remove(flow).collect();
        drop(jobs);
    }

    /// Drops what waits and ends the threads; blocks until they are through with what they are at.
    pub(crate) fn close(&self) {
        self.shared.close();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // Jobs that panic are caught: there is nothing to learn from how a thread ended.
            let _ = thread.join();
        }
    }
}

impl Drop for FlowPool {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Queue {
    /// The job whose turn it is, if there is a turn. Who comes back from a wait goes first: its flow has begun what it is at.
    fn next(&mut self, bounds: &PoolBounds) -> Option<(u32, Job)> {
        if self.running + self.returning >= bounds.running {
            return None;
        }
        let waiting = self.waiting;
        let (flow, job) = self.jobs.pop_if(|job, under_way| {
            !job.waits || (waiting < bounds.waiting && under_way < bounds.waiting_per_flow)
        })?;
        self.running += 1;
        self.waiting += usize::from(job.waits);
        Some((flow, job))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    fn close(&self) {
        let jobs = {
            let mut queue = self.lock();
            queue.closed = true;
            std::mem::replace(&mut queue.jobs, FairQueue::new())
        };
        // Outside the lock: what a job holds may do anything when it is dropped.
        drop(jobs);
        self.work.notify_all();
        self.turn.notify_all();
    }

    fn run(self: Arc<Self>) {
        loop {
            let (flow, job) = {
                let mut queue = self.lock();
                loop {
                    if queue.closed {
                        return;
                    }
                    if let Some(next) = queue.next(&self.bounds) {
                        break next;
                    }
                    queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            };
            CURRENT.set(Some(Current {
                shared: Arc::clone(&self),
                flow,
                began: Instant::now(),
            }));
            if catch_unwind(AssertUnwindSafe(job.run)).is_err() {
                tracing::error!(flow, "a pass of a flow panicked");
            }
            if let Some(current) = CURRENT.take() {
                let mut queue = self.lock();
                queue.jobs.done(flow, nanoseconds(current.began));
                queue.waiting -= usize::from(job.waits);
                self.give_up_turn(&mut queue);
            }
        }
    }

    /// The guest that ran begins to wait.
    fn leave(&self, flow: u32, began: Instant) {
        let mut queue = self.lock();
        queue.jobs.charge(flow, nanoseconds(began));
        self.give_up_turn(&mut queue);
        drop(queue);
        self.work.notify_one();
    }

    /// The guest that waited runs again, as soon as there is a turn.
    fn come_back(&self) {
        let mut queue = self.lock();
        queue.returning += 1;
        while queue.running >= self.bounds.running && !queue.closed {
            queue = self.turn.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.returning -= 1;
        queue.running += 1;
    }

    fn give_up_turn(&self, queue: &mut Queue) {
        queue.running = queue.running.saturating_sub(1);
        if queue.returning > 0 {
            self.turn.notify_one();
        }
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
