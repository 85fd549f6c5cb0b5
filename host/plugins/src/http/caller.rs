//! The thread that all outbound connections live on.

use std::future::Future;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::thread;

use rustls::ClientConfig;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use super::{HttpConfig, trust};
use crate::RuntimeError;

/// Threads that look up names at once. A lookup that hangs holds one until the system's resolver gives up.
const LOOKUPS_MAX: usize = 16;

/// Runs exchanges. Cheap to clone; its thread ends with the last clone, or when it is closed.
#[derive(Clone)]
pub(crate) struct Caller {
    inner: Arc<Inner>,
}

struct Inner {
    config: HttpConfig,
    handle: Handle,
    closed: watch::Sender<bool>,
    tls: OnceLock<Result<ClientConfig, String>>,
}

impl Caller {
    /// Starts the thread.
    pub(crate) fn start(config: HttpConfig) -> Result<Self, RuntimeError> {
        let failed = |error: std::io::Error| RuntimeError::Engine {
            reason: format!("no thread for outbound HTTP: {error}"),
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUPS_MAX)
            .thread_name("weir-http-lookup")
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (closed, mut is_closed) = watch::channel(false);
        thread::Builder::new()
            .name("weir-http".to_owned())
            .spawn(move || {
                // An error means that the last clone is gone.
                let _ = runtime.block_on(is_closed.wait_for(|closed| *closed));
                // What is under way is dropped; a lookup that hangs is not waited for.
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                handle,
                closed,
                tls: OnceLock::new(),
            }),
        })
    }

    pub(super) fn config(&self) -> &HttpConfig {
        &self.inner.config
    }

    /// Ends everything that is under way, for good.
    pub(crate) fn close(&self) {
        self.inner.closed.send_replace(true);
    }

    /// How HTTPS is done. Certificates are read when it is asked for the first time.
    pub(super) fn tls(&self) -> Result<ClientConfig, String> {
        let tls = || trust::client_config(self.inner.config.ca.as_deref());
        self.inner.tls.get_or_init(tls).clone()
    }

    /// Runs `work` on the thread and waits for what it gives; `None` once this is closed. The calling thread must not be one of
    /// an asynchronous runtime.
    pub(super) fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        if *self.inner.closed.borrow() {
            return None;
        }
        let (done, result) = sync_channel(1);
        let mut closed = self.inner.closed.subscribe();
        self.inner.handle.spawn(async move {
            tokio::select! {
                biased;
                // The other end is held by who waits.
                _ = closed.wait_for(|closed| *closed) => {}
                value = work => { let _ = done.send(value); }
            }
        });
        result.recv().ok()
    }
}
