//! The broker through its public API, without sockets: in memory and on folders that are opened again.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it should be"
)]

mod faults;
mod flows;
mod ingest;
mod plugins;
mod produce;
mod subscriptions;
mod support;
mod topics;
