//! Binding and ending.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Endpoint, ServerConfig, TokioRuntime, VarInt};
use thiserror::Error;
use tokio::task::JoinHandle;
use weir_broker::Broker;
use weir_protocol::CloseCode;

use crate::context::Context;
use crate::shutdown::{DrainStart, drain};
use crate::{ListenerConfig, admission, tls, transport};

/// Connections that may wait for the accept loop, and what they may have sent meanwhile.
const INCOMING_MAX: usize = 1024;
const INCOMING_BYTES_MAX: u64 = 16 * 1024;
const INCOMING_BYTES_TOTAL_MAX: u64 = 4 * 1024 * 1024;

/// How long the farewell to peers may take once the deadline of a shutdown is over.
const FAREWELL: Duration = Duration::from_millis(300);

/// Serves a broker on a UDP socket. Dropping it closes all connections at once.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    addr: SocketAddr,
    drain: DrainStart,
    accepting: JoinHandle<()>,
}

impl Listener {
    /// Binds the address and begins to serve.
    ///
    /// Must be called within a tokio runtime, which then runs the listener's tasks.
    ///
    /// # Errors
    /// [`ListenError::Bind`] and [`ListenError::Certificate`].
    pub fn bind(config: ListenerConfig, broker: Broker) -> Result<Self, ListenError> {
        let ListenerConfig {
            addr,
            chain,
            key,
            reset_key,
            limits,
        } = config;
        let tls = tls::server_config(chain, key).map_err(|source| ListenError::Certificate { source })?;
        let mut server = ServerConfig::with_crypto(Arc::new(tls));
        server
            .transport_config(Arc::new(transport::transport_config(&limits)))
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BYTES_MAX)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX);

        let bound = |source| ListenError::Bind { addr, source };
        let socket = transport::bind(addr, limits.socket_buffer_bytes).map_err(bound)?;
        let endpoint = Endpoint::new(
            transport::endpoint_config(reset_key)
                .map_err(io::Error::other)
                .map_err(bound)?,
            Some(server),
            socket,
            Arc::new(TokioRuntime),
        )
        .map_err(bound)?;
        let addr = endpoint.local_addr().map_err(bound)?;

        let (start, drain) = drain();
        let context = Arc::new(Context::new(broker, limits, endpoint.clone(), drain));
        let accepting = tokio::spawn(admission::accept(context));
        Ok(Self {
            endpoint,
            addr,
            drain: start,
            accepting,
        })
    }

    /// The address it is bound to, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    /// Ends: takes no new connections, streams and batches, answers what is in flight, and closes every connection with
    /// [`CloseCode::ShuttingDown`]. What is not done `within` the time is abandoned.
    pub async fn shutdown(mut self, within: Duration) {
        self.drain.start(within);
        if tokio::time::timeout(within, &mut self.accepting).await.is_err() {
            tracing::warn!("some peers did not finish within {} ms", within.as_millis());
        }
        self.close();
        // Peers that do not hear it notice by themselves.
        let _ = tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await;
    }

    fn close(&self) {
        self.accepting.abort();
        let code = VarInt::from_u32(CloseCode::ShuttingDown.number());
        self.endpoint.close(code, b"the broker is shutting down");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// Why a listener cannot be bound.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is not to be had.
    #[error(
        "cannot listen on UDP {addr}: {source}; is another process using it, or is it not this machine's?"
    )]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("the certificate or its key cannot be used: {source}; check that they belong together")]
    Certificate {
        /// What is wrong with it.
        source: rustls::Error,
    },
}
