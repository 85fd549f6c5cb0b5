//! Outbound HTTP and HTTPS for plugins: to granted hosts only, and bounded in time and size.
//!
//! A [`Caller`](caller::Caller) has one thread for all sockets. Each flow has an [`HttpAccess`] of its own, with its grants, its connections and
//! its way to be stopped. The guest's thread waits for its answer; the wait is handed to the owner of the thread
//! ([`HttpAccess::waiting_with`]), who may do something else with the processor meanwhile.

mod access;
mod caller;
mod dial;
mod error;
mod exchange;
mod grant;
mod host;
mod request;
mod trust;

use std::path::PathBuf;

pub use access::HttpAccess;
pub use error::HttpError;
pub use grant::{GrantError, HttpGrant};
pub use request::{HttpRequest, HttpResponse};

pub(crate) use caller::Caller;
pub(crate) use host::{Stopped, Usage, link};

/// Bounds of outbound HTTP, the same for all flows of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Milliseconds that one exchange may take, from the name of the host to the last byte of the body.
    pub timeout_ms: u64,
    /// Milliseconds that the exchanges of one call of a plugin may take together.
    pub call_timeout_ms: u64,
    /// Exchanges that one call of a plugin may make.
    pub exchanges_max_per_call: u32,
    /// Bytes of a request's body.
    pub request_bytes_max: usize,
    /// Bytes of a response's body.
    pub response_bytes_max: usize,
    /// Headers of a request, and of a response.
    pub headers_max: usize,
    /// Bytes of all headers of a request with its URL, or of a response with its status line; at least 8 KiB.
    pub header_bytes_max: usize,
    /// Connections that one flow may have open at once, idle ones included.
    pub connections_max_per_flow: usize,
    /// A PEM file with certificates of authorities to trust, in addition to those of the operating system.
    pub ca: Option<PathBuf>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            timeout_ms: 5_000,
            call_timeout_ms: 30_000,
            exchanges_max_per_call: 1_000,
            request_bytes_max: 1 << 20,
            response_bytes_max: 1 << 20,
            headers_max: 64,
            header_bytes_max: 16 << 10,
            connections_max_per_flow: 16,
            ca: None,
        }
    }
}
