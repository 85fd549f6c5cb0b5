//! The listener against peers that speak QUIC by hand: friendly ones and hostile ones. One binary, to be linked once.

mod admin;
mod connections;
mod peer;
mod produce;
mod shutdown;
mod streams;
mod subscribe;
