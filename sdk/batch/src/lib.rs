//! Kafka's record batch, magic 2, as Weir uses it everywhere: in the SDK, on the wire, on disk and in guest memory.
//!
//! The layout is that of [KIP-98] (header fields big-endian, CRC-32C over everything from `attributes` on, records
//! of zigzag varints), with record headers as of [KIP-82]:
//!
//! ```text
//!  0  base offset            i64      23  last offset delta   i32
//!  8  batch length           i32      27  base timestamp      i64   milliseconds since 1970
//! 12  partition leader epoch i32      35  max timestamp       i64
//! 16  magic = 2              i8       43  producer id         i64   -1 = none
//! 17  CRC-32C of 21..        u32      51  producer epoch      i16
//! 21  attributes             i16      53  base sequence       i32
//!                                     57  record count        i32
//! 61  records: [length varint][attributes i8][timestamp delta varlong][offset delta varint]
//!              [key length varint | -1][key][value length varint | -1][value]
//!              [header count varint] ([name length varint][name UTF-8][value length varint | -1][value])*
//! ```
//!
//! - [`Batch`] is a borrowed view: [`Batch::parse`] checks a batch once, iterating it afterwards neither fails nor
//!   allocates. No length found in the bytes is trusted and no input panics.
//! - [`BatchBuilder`] writes batches, [`Batch::decompress`] and [`Codec`] take care of the four codecs, each behind a
//!   feature (`gzip`, `snappy`, `lz4`, `zstd`).
//! - [`frame`] is what a transform gives back to its host, [`bitmap`] what a filter gives back.
//! - [`partition_for_key`] is Kafka's default partitioner.
//!
//! Without default features the crate is `no_std` + `alloc`, which is what guests use.
//!
//! ```
//! use weir_batch::{Batch, BatchBuilder};
//!
//! let mut builder = BatchBuilder::new();
//! builder.push(1_700_000_000_000, Some(b"key"), Some(b"value"), &[("trace", Some(b"7".as_slice()))])?;
//! let bytes = builder.finish()?;
//!
//! let batch = Batch::parse(&bytes)?;
//! for record in batch.records()? {
//!     assert_eq!(record.value(), Some(b"value".as_slice()));
//! }
//! # Ok::<(), weir_batch::BatchError>(())
//! ```
//!
//! [KIP-98]: https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging
//! [KIP-82]: https://cwiki.apache.org/confluence/display/KAFKA/KIP-82+-+Add+Record+Headers
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod batch;
mod batches;
pub mod bitmap;
mod builder;
mod codec;
mod crc;
mod cursor;
mod error;
pub mod frame;
mod header;
mod partitioner;
mod patch;
mod record;
mod varint;

pub use batch::Batch;
pub use batches::{Batches, iter_batches};
pub use builder::BatchBuilder;
pub use codec::Codec;
pub use error::{BatchError, RecordField};
pub use header::{BatchHeader, HEADER_LEN, next_sequence};
pub use partitioner::{murmur2, partition_for_key};
pub use patch::{set_base_offset, set_leader_epoch, set_producer};
pub use record::{Headers, Record, Records, Tail};
