//! Partitions on disk: append, read, keep, give back, recover.
//!
//! A [`Log`] is a fixed number of **shards**. A shard owns a set of partitions, one writer thread and one queue; the
//! writer takes everything that waits and writes it as one group: one [redb] transaction, one fsync, and then all of
//! it is acknowledged. That is the only way anything is written. An [`Entry`] (record batches, key-value changes, or
//! both) is atomic: a crash leaves all of it or nothing.
//!
//! A shard's groups go into **segments**, redb files of a bounded size that are rolled, sealed and in the end
//! unlinked or rewritten, because a redb file never gets smaller while it is in use. What the groups mean (offsets,
//! producers' sequences, key-value pairs) is kept in memory and, as a view that can be rebuilt, in the shard's state
//! database; recovery after a crash looks at the last segment alone.
//!
//! The batches are Kafka's, see [`weir_batch`]; the log sets their base offset and leader epoch and changes nothing else.
//!
//! ```
//! use bytes::BytesMut;
//! use weir_batch::BatchBuilder;
//! use weir_log::{Append, Durability, Entry, Log, LogConfig, PartitionConfig, PartitionId, Storage};
//!
//! let log = Log::open(Storage::Memory, LogConfig::default())?;
//! let id = PartitionId { topic: 1, index: 0 };
//! let partition = log.ensure_partition(id, PartitionConfig::default())?;
//!
//! let mut builder = BatchBuilder::new();
//! builder.push(1_700_000_000_000, None, Some(b"hello"), &[])?;
//! let batch = BytesMut::from(builder.finish()?.as_slice());
//! let entry = Entry { appends: vec![Append { partition: id, batch }], puts: vec![], durability: Durability::Fsync };
//! let committed = log.submit_blocking(log.shard_of(id), entry)?.wait()?;
//! assert_eq!(committed.appends[0].base_offset, 0);
//!
//! let fetched = partition.read(0, 1 << 20)?;
//! assert_eq!(fetched.next_offset, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [redb]: https://docs.rs/redb

mod applied;
mod block_on;
mod checkpoint;
mod chunk;
mod config;
mod damage;
mod db_file;
mod descriptor;
mod entry;
mod error;
mod folder_lock;
mod group;
mod housekeeper;
mod housekeeping;
mod id;
mod kv_page;
mod log;
mod open_segments;
mod partition;
mod partition_state;
mod producer;
mod queue;
mod receipt;
mod recovery;
mod root;
mod segment;
mod shard;
mod state_db;
mod stats;
mod store_error;
mod tail;
pub mod volume;
mod witness;
mod writer;

pub use config::{Clock, LogConfig, PartitionConfig, Storage};
pub use damage::DamagedRange;
pub use entry::{Append, Durability, Entry, KvOp, KvPairs, Sequence};
pub use error::{AppendError, LogError, OpenError, ReadError};
pub use id::PartitionId;
pub use kv_page::{KvPage, KvRange};
pub use log::Log;
pub use partition::{Fetched, Partition};
pub use receipt::{Appended, Committed, Receipt};
pub use stats::{LogStats, PartitionStats, ShardStats};
