//! The threads that compile plugins.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::BrokerError;

/// One upload can take seconds to compile; a second thread lets plugins that come from the cache pass it by.
const THREADS: usize = 2;
/// Jobs that wait. Uploads are bounded before they get here; what else comes are the starts of flows.
const QUEUE_LEN: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// Runs work that may take seconds of CPU on threads of its own, so that nothing that serves ever waits for it.
/// The threads end when the last clone is dropped and the queue is empty.
#[derive(Clone)]
pub(crate) struct Compiler {
    jobs: mpsc::Sender<Job>,
}

impl Compiler {
    /// Starts the threads.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, receiver) = mpsc::channel::<Job>(QUEUE_LEN);
        let receiver = Arc::new(Mutex::new(receiver));
        for index in 0..THREADS {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new()
                .name(format!("weir-compile-{index}"))
                .spawn(move || {
                    loop {
                        let job = receiver
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .blocking_recv();
                        match job {
                            Some(job) => job(),
                            None => break,
                        }
                    }
                })?;
        }
        Ok(Self { jobs })
    }

    /// Runs `work` on one of the threads; waits for its turn and its result. When the caller goes away, it runs all the
    /// same.
    ///
    /// # Errors
    /// [`ShuttingDown`](crate::ErrorKind::ShuttingDown) when the threads have ended,
    /// [`Storage`](crate::ErrorKind::Storage) when `work` panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BrokerError> {
        let (reply, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // Whoever asked may have gone.
            let _ = reply.send(outcome);
        });
        self.jobs
            .send(job)
            .await
            .map_err(|_| BrokerError::shutting_down())?;
        match result.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(BrokerError::storage("the plugin compiler panicked")),
            Err(_) => Err(BrokerError::shutting_down()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_elsewhere_and_a_panic_stays_there() {
        let compiler = Compiler::start().unwrap();
        let here = thread::current().id();
        assert_ne!(compiler.run(move || thread::current().id()).await.unwrap(), here);
        assert!(compiler.run(|| -> u32 { panic!("on purpose") }).await.is_err());
        assert!(compiler.run(|| -> u32 { panic!("on purpose") }).await.is_err());
        assert_eq!(compiler.run(|| 7).await.unwrap(), 7, "both threads survived");
    }
}
