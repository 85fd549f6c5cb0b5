//! The threads that run guests.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::flow::fair::FairQueue;

/// More threads than this are of no use: guests compute, they do not wait.
const THREADS_MAX: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads on which flows take turns, each flow getting an equal share of time.
///
/// Nothing else runs on them, and guests run nowhere else: a guest that computes until its deadline delays other
/// flows, never the broker. What waits is bounded by the flows: each of their source partitions has one job at most.
pub(crate) struct FlowPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

struct Queue {
    jobs: FairQueue<Job>,
    closed: bool,
}

impl FlowPool {
    /// Starts `threads` threads; 0 means one per core.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores() } else { threads };
        let queue = Queue {
            jobs: FairQueue::new(),
            closed: false,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            work: Condvar::new(),
        });
        let pool = Self {
            shared,
            threads: Mutex::default(),
        };
        for index in 0..threads.clamp(1, THREADS_MAX) {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new()
                .name(format!("weir-flow-{index}"))
                .spawn(move || shared.run())?;
            pool.threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(thread);
        }
        Ok(pool)
    }

    /// Queues a job of `flow`. After [`close`](Self::close) it is dropped without having run.
    pub(crate) fn push(&self, flow: u32, job: impl FnOnce() + Send + 'static) {
        let mut queue = self.shared.lock();
        if !queue.closed {
            queue.jobs.push(flow, Box::new(job));
            drop(queue);
            self.shared.work.notify_one();
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
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
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

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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
    }

    fn run(&self) {
        loop {
            let (flow, job) = {
                let mut queue = self.lock();
                loop {
                    if queue.closed {
                        return;
                    }
                    if let Some(next) = queue.jobs.pop() {
                        break next;
                    }
                    queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            };
            let began = Instant::now();
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!(flow, "a pass of a flow panicked");
            }
            let took_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.lock().jobs.done(flow, took_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn jobs_run_and_a_panic_takes_no_thread_with_it() {
        let pool = FlowPool::start(1).unwrap();
        let (done, results) = sync_channel(10);
        for n in 0..3 {
            let done = done.clone();
            pool.push(n, move || {
                done.send(n).unwrap();
                panic!("on purpose");
            });
        }
        let mut got: Vec<_> = (0..3).map(|_| results.recv().unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2]);
        pool.close();
    }

    #[test]
    fn closing_drops_what_waits() {
        let pool = FlowPool::start(1).unwrap();
        let (started, has_started) = sync_channel(0);
        let (release, released) = sync_channel::<()>(0);
        pool.push(1, move || {
            started.send(()).unwrap();
            let _ = released.recv();
        });
        has_started.recv().unwrap();
        let (dropped, was_dropped) = sync_channel::<()>(1);
        pool.push(1, move || dropped.send(()).unwrap());
        pool.shared.close();
        assert!(was_dropped.recv().is_err(), "it was dropped and did not run");
        drop(release);
        pool.close();
        let (late, was_late) = sync_channel::<()>(1);
        pool.push(1, move || late.send(()).unwrap());
        assert!(was_late.recv().is_err());
    }
}
