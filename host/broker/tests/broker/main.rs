//! The broker through its public API, without sockets: in memory and on folders that are opened again.

mod faults;
mod flows;
mod plugins;
mod produce;
mod support;
mod topics;
