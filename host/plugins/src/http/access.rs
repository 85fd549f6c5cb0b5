//! What one flow has of HTTP.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::exchange::Client;
use super::{Caller, HttpConfig, HttpError, HttpGrant, HttpRequest, HttpResponse};
use crate::RuntimeError;

/// Runs a wait on the thread that waits, and may lend the processor to others meanwhile.
type Waiting = fn(wait: &mut dyn FnMut());

/// HTTP for the instances of one flow: the hosts it was granted, and connections that nobody else uses. Cheap to clone. Made by
/// [`Runtime::http`](crate::Runtime::http), given to instances with [`Grants::http`](crate::Grants::http).
#[derive(Clone)]
pub struct HttpAccess {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    caller: Caller,
    client: Client,
    grants: Vec<HttpGrant>,
    stop: Option<watch::Receiver<bool>>,
    waiting: Waiting,
}

impl HttpAccess {
    pub(crate) fn new(caller: Caller, grants: Vec<HttpGrant>) -> Result<Self, RuntimeError> {
        let tls = caller.tls().map_err(|reason| RuntimeError::Http { reason })?;
        let client = Client::new(caller.config(), tls);
        Ok(Self {
            inner: Arc::new(Inner {
                caller,
                client,
                grants,
                stop: None,
                waiting: |wait| wait(),
            }),
        })
    }

    /// Calls end at once with [`CallError::Stopped`](crate::CallError::Stopped) when `stop` is true or its sender is gone.
    #[must_use]
    pub fn stopped_by(self, stop: watch::Receiver<bool>) -> Self {
        let inner = Inner {
            stop: Some(stop),
            ..Inner::clone(&self.inner)
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// `waiting` runs every wait for a response, on the guest's thread; it must call what it is given once.
    #[must_use]
    pub fn waiting_with(self, waiting: fn(&mut dyn FnMut())) -> Self {
        let inner = Inner {
            waiting,
            ..Inner::clone(&self.inner)
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn config(&self) -> &HttpConfig {
        self.inner.caller.config()
    }

    /// Sends `request` if its host is granted, and waits for the response, `time_left` at most. Blocks.
    pub(super) fn call(&self, request: HttpRequest, time_left: Duration) -> Result<HttpResponse, HttpError> {
        let inner = &self.inner;
        let config = inner.caller.config();
        let wanted = request.timeout_ms.map_or(u64::MAX, u64::from);
        let limit = Duration::from_millis(config.timeout_ms.min(wanted)).min(time_left);
        let checked = request.check(config)?;
        if !inner.grants.iter().any(|grant| grant.allows(&checked.uri)) {
            return Err(self.not_granted(&checked.uri));
        }
        let late = format!(
            "{} did not answer in full within {} ms",
            checked.uri.authority().map_or("", |authority| authority.as_str()),
            limit.as_millis()
        );
        let client = inner.client.clone();
        let bytes_max = config.response_bytes_max;
        let stop = inner.stop.clone();
        let mut work = Some(async move {
            tokio::select! {
                biased;
                () = stopped(stop) => Err(HttpError::Stopped),
                answer = tokio::time::timeout(limit, client.exchange(checked, bytes_max)) => {
                    answer.unwrap_or(Err(HttpError::Timeout(late)))
                }
            }
        });
        let mut answer = None;
        (inner.waiting)(&mut || {
            if let Some(work) = work.take() {
                answer = inner.caller.run(work);
            }
        });
        answer.unwrap_or(Err(HttpError::Stopped))
    }

    fn not_granted(&self, uri: &http::Uri) -> HttpError {
        let granted: Vec<String> = self.inner.grants.iter().map(ToString::to_string).collect();
        HttpError::NotGranted(format!(
            "{}://{} is not among the hosts that the flow may call, {}: grant it with --allow-http",
            uri.scheme_str().unwrap_or_default(),
            uri.authority().map_or("", |authority| authority.as_str()),
            granted.join(", ")
        ))
    }
}

async fn stopped(stop: Option<watch::Receiver<bool>>) {
    match stop {
        // An error means that whoever could say so is gone.
        Some(mut stop) => drop(stop.wait_for(|stop| *stop).await),
        None => std::future::pending().await,
    }
}

impl fmt::Debug for HttpAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAccess")
            .field("grants", &self.inner.grants)
            .finish_non_exhaustive()
    }
}
