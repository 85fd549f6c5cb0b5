use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::Engine;

/// How far apart two ticks are. A call is stopped between its deadline and two ticks later.
const TICK: Duration = Duration::from_millis(5);

/// Advances an engine's epoch while guests run; asleep when none does, so that an idle broker wakes nobody.
///
/// The thread ends when this is dropped.
pub(crate) struct Epoch {
    shared: Arc<Shared>,
}

struct Shared {
    running: AtomicUsize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    idle: bool,
    stop: bool,
}

impl Epoch {
    /// Starts the thread.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            state: Mutex::new(State::default()),
            wake: Condvar::new(),
        });
        let ticker = Arc::clone(&shared);
        let engine = engine.clone();
        std::thread::Builder::new()
            .name("weir-epoch".to_owned())
            .spawn(move || ticker.tick(&engine))?;
        Ok(Self { shared })
    }

    /// The deadline of a call of `limit_ms`, in ticks from now.
    pub(crate) fn ticks(limit_ms: u64) -> u64 {
        // One more, as the tick under way is not a whole one.
        limit_ms.div_ceil(TICK.as_millis() as u64).saturating_add(1)
    }

    /// The epoch advances as long as the guard lives.
    pub(crate) fn run(&self) -> Running<'_> {
        if self.shared.running.fetch_add(1, Ordering::SeqCst) == 0 {
            let mut state = self.shared.lock();
            if state.idle {
                state.idle = false;
                self.shared.wake.notify_all();
            }
        }
        Running { shared: &self.shared }
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_all();
    }
}

/// See [`Epoch::run`].
pub(crate) struct Running<'a> {
    shared: &'a Shared,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self, engine: &Engine) {
        let mut state = self.lock();
        while !state.stop {
            // Decided under the lock: who raises the count afterwards finds `idle` set, and wakes us.
            state.idle = self.running.load(Ordering::SeqCst) == 0;
            state = if state.idle {
                let idle = self.wake.wait_while(state, |state| state.idle && !state.stop);
                idle.unwrap_or_else(PoisonError::into_inner)
            } else {
                let ticked = self.wake.wait_timeout_while(state, TICK, |state| !state.stop);
                engine.increment_epoch();
                ticked.unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }
}
