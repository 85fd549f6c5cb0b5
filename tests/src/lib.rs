//! What the tests across crates share: real broker processes, and the accounting of what they acknowledged.
//!
//! The tests themselves are in `tests/tests`, each file named by the property that it holds.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

pub mod process;
mod random;

pub use process::{BrokerCommand, BrokerProcess};
pub use random::Random;
