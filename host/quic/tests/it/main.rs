//! The listener against peers that speak QUIC by hand: friendly ones and hostile ones. One binary, to be linked once.

#![allow(
    clippy::unwrap_used,
    reason = "a test has nobody to hand an error to: panicking is how it fails"
)]

mod admin;
mod connections;
mod filters;
mod ingest;
mod peer;
mod produce;
mod shutdown;
mod streams;
mod subscribe;
