//! What a listener is bound with.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use weir_protocol::tuning;

/// Address, certificate and bounds of a [`Listener`](crate::Listener).
pub struct ListenerConfig {
    /// The UDP address; port 0 takes a free one.
    pub addr: SocketAddr,
    /// The server's certificate, then those that lead to its root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first certificate.
    pub key: PrivateKeyDer<'static>,
    /// A secret that stays the same across restarts. With it the listener can tell the peers of a predecessor on the same
    /// address that their connections are gone, after a crash too; otherwise they find out by their idle timeout.
    pub reset_key: Option<[u8; 64]>,
    /// What peers may use.
    pub limits: ListenerLimits,
}

impl ListenerConfig {
    /// A listener with the default bounds.
    pub fn new(addr: SocketAddr, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self {
            addr,
            chain,
            key,
            reset_key: None,
            limits: ListenerLimits::default(),
        }
    }
}

impl fmt::Debug for ListenerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither of the keys.
        f.debug_struct("ListenerConfig")
            .field("addr", &self.addr)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What peers may use, in counts, bytes and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Open connections.
    pub connections_max: usize,
    /// Handshakes under way. From a quarter of that on, peers must prove their address first.
    pub handshakes_max: usize,
    /// Streams of one connection at a time.
    pub connection_streams_max: u32,
    /// Streams of all connections at a time.
    pub streams_max: usize,
    /// How long a handshake, and then the first exchange, may take.
    pub hello_timeout: Duration,
    /// How long a stream may take to say what it is for, and how long a peer may take to read an answer.
    pub stream_timeout: Duration,
    /// How long an upload may take altogether.
    pub upload_timeout: Duration,
    /// How long a connection lives without a packet.
    pub idle_timeout: Duration,
    /// Frames of one produce stream that wait for their ack.
    pub produce_window_frames: u32,
    /// Bytes of batches of one produce stream that wait for their ack.
    pub produce_window_bytes: u64,
    /// Bytes of batches in one frame to a consumer; a single batch may be larger.
    pub records_frame_bytes: u32,
    /// Bytes of batches that are read ahead for all consumers: with many of them, frames get smaller.
    pub read_ahead_bytes: u64,
    /// Bytes that were received and not yet read, of all connections: with many of them, each gets a smaller window.
    pub receive_bytes: u64,
    /// Bytes of the socket's buffers, each way. The operating system may grant less.
    pub socket_buffer_bytes: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            handshakes_max: 256,
            connection_streams_max: tuning::CONCURRENT_STREAMS_MAX,
            streams_max: 16_384,
            hello_timeout: Duration::from_secs(10),
            stream_timeout: Duration::from_secs(10),
            upload_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_millis(tuning::IDLE_TIMEOUT_MS.into()),
            produce_window_frames: tuning::PRODUCE_WINDOW_FRAMES,
            produce_window_bytes: tuning::PRODUCE_WINDOW_BYTES,
            records_frame_bytes: tuning::RECORDS_FRAME_BYTES,
            read_ahead_bytes: 128 * 1024 * 1024,
            receive_bytes: 1024 * 1024 * 1024,
            socket_buffer_bytes: tuning::SOCKET_BUFFER_BYTES,
        }
    }
}
