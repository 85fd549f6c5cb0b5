//! The output frame, version 1: what a transform gives back for a batch.
//!
//! ```text
//! [version u8 = 1][entry count u32 little-endian] entry*
//!
//! entry = [kind u8 = 0: emit][output uvarint][source index uvarint][timestamp delta zigzag varlong]
//!         [tail length uvarint][tail]
//!       | [kind u8 = 4: emit to a partition][output uvarint][source index uvarint]
//!         [partition uvarint: 0 that of the source, n + 1 partition n][timestamp delta zigzag varlong]
//!         [tail length uvarint][tail]
//!       | [kind u8 = 1: dead-letter, 2: retry, 3: fail][source index uvarint][reason length uvarint][reason UTF-8]
//! ```
//!
//! Varints are those of Kafka: base-128 groups, lowest first. The source index is the record's place in the input
//! batch, from 0. The timestamp delta counts from the input batch's base timestamp, in milliseconds. The tail is a
//! record from its key's length on ([`Tail`](crate::Tail)). A source record that no entry names is dropped; one may be
//! named by several.
//!
//! [`Writer`] is the guest's side, [`Reader`] the host's: it checks all of a frame before the first entry is used. A frame that was
//! checked already is read with [`Reader::trusted`]. [`state`] has the packed lists of keyed state.

mod entry;
mod error;
mod reader;
pub mod state;
mod writer;

pub use entry::{Entry, OutputPartition, Target};
pub use error::FrameError;
pub use reader::{Checked, Entries, Reader};
pub use writer::Writer;

/// The version written, and the only one read.
pub const VERSION: u8 = 1;
/// Bytes before the first entry.
pub const HEADER_LEN: usize = 5;

const EMIT: u8 = 0;
const DEAD_LETTER: u8 = 1;
const RETRY: u8 = 2;
const FAIL: u8 = 3;
const EMIT_TO: u8 = 4;
