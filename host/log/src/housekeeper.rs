//! When housekeeping works, and how others wait for it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Asks housekeeping to work and tells when it has.
#[derive(Debug)]
pub(crate) struct Housekeeper {
    wanted: Mutex<Wanted>,
    changed: Condvar,
    /// Passes that are done, and what was wrong with the last one.
    done: watch::Sender<(u64, Option<String>)>,
}

#[derive(Debug, Default)]
struct Wanted {
    /// Passes asked for so far. Those asked for while one goes on are one more, not many.
    passes: u64,
    stop: bool,
}

impl Housekeeper {
    pub(crate) fn new() -> Self {
        Self {
            wanted: Mutex::default(),
            changed: Condvar::new(),
            done: watch::Sender::new((0, None)),
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a pass. Returns its number.
    pub(crate) fn kick(&self) -> u64 {
        let pass = {
            let mut wanted = self.wanted();
            // A pass that is going on may have looked already, so this asks for one after it.
            wanted.passes += 1;
            wanted.passes
        };
        self.changed.notify_all();
        pass
    }

    pub(crate) fn stop(&self) {
        self.wanted().stop = true;
        self.changed.notify_all();
    }

    /// Waits for the next pass that is asked for, or until `interval` has passed. Returns its number, `None` to stop.
    pub(crate) fn next(&self, interval: Duration) -> Option<u64> {
        let deadline = Instant::now() + interval;
        let mut wanted = self.wanted();
        loop {
            if wanted.stop {
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if wanted.passes > self.done.borrow().0 || left.is_zero() {
                return Some(wanted.passes);
            }
            wanted = self
                .changed
                .wait_timeout(wanted, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The pass is done.
    pub(crate) fn done(&self, pass: u64, error: Option<String>) {
        self.done.send_replace((pass, error));
    }

    /// Passes done.
    pub(crate) fn watch(&self) -> watch::Receiver<(u64, Option<String>)> {
        self.done.subscribe()
    }
}
