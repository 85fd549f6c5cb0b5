//! Weir, a message broker: QUIC on the wire, redb on disk, WebAssembly plugins inside.
//!
//! This crate is the binary `weir`, and the whole broker as a library. A program that needs a broker, in its tests or for
//! good, starts one in its own process:
//!
//! ```
//! # #[tokio::main(flavor = "multi_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = weir::Broker::builder().in_memory().start().await?; // or .folder("weir-data")
//! let client = broker.client().await?;
//! println!("listening on {}", broker.addr());
//! # client.close().await;
//! # Ok(()) }
//! ```
//!
//! What [`Broker::client`] returns is the client of [`weir_client`], and everything else is in its documentation.

mod bench;
pub mod cli;
pub mod config;
mod demo;
mod embed;
mod flights;
mod guests;
mod place;
mod process;
mod serve;
mod server;
mod stats;
mod tls;

pub use embed::{Broker, Builder};
pub use server::StartError;
pub use tls::{TlsConfig, TlsError, TlsFiles, TlsMaterial};
