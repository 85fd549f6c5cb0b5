//! Weir's QUIC listener: turns the bytes of [`weir_protocol`] into calls on [`weir_broker`] and back, nothing else.
//!
//! [`Listener::bind`] opens a UDP socket and serves a [`Broker`](weir_broker::Broker) on it until
//! [`Listener::shutdown`].
//!
//! # What a peer can make it hold
//!
//! Everything that a peer controls has a bound in [`ListenerLimits`]: connections, handshakes under way, streams of one
//! connection and of all, the time until a stream says what it is for, frames and bytes in flight of a producer, bytes
//! read ahead for a consumer. Beyond that QUIC's flow control holds the peer back. A peer that breaks the protocol loses the
//! stream it did it on, with an error that says what was wrong; in its first exchange it loses the connection. Nobody else
//! notices.

mod admin;
mod admission;
mod config;
mod connection;
mod context;
mod error;
mod listener;
mod produce;
mod shutdown;
mod stream;
mod subscribe;
mod tls;
mod transport;

pub use config::{ListenerConfig, ListenerLimits};
pub use listener::{ListenError, Listener};
