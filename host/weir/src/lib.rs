//! Weir, a message broker on QUIC, redb and WebAssembly.
mod config;
mod tls;
pub use config::{ConfigError, ConfigFile};
pub use tls::{TlsConfig, TlsError, TlsFiles, TlsMaterial};
