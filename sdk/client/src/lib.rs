//! The client of Weir, a message broker: produce, consume and administer over QUIC.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = weir::Broker::builder().in_memory().start().await?;
//! # let (address, ca_pem) = (broker.addr().to_string(), broker.ca_pem());
//! use weir_client::{Client, NewTopic, Record, Start};
//!
//! // Beside a broker on the same machine `Client::connect("127.0.0.1:9094")` is enough.
//! let client = Client::builder().broker(address).ca_pem(ca_pem).connect().await?;
//! client.admin().create_topic(NewTopic::new("greetings").partitions(1)).await?;
//!
//! let producer = client.producer("greetings").build().await?;
//! let stored = producer.send(Record::value("hello").key("de")).await?.await?;
//! assert_eq!(stored.offset, 0);
//!
//! let mut consumer = client.consumer("greetings").start(Start::Earliest).build().await?;
//! let record = consumer.next().await.expect("the consumer goes on")?;
//! assert_eq!(record.value(), Some(b"hello".as_slice()));
//! # Ok(()) }
//! ```
//!
//! [`Client`] is the way to everything: [`Client::producer`], [`Client::consumer`], [`Client::admin`]. For a program's own
//! tests the crate `weir` runs a whole broker in their process; the examples here are run that way.
//!
//! # Trust
//!
//! A connection is always encrypted, and the broker always proves who it is: a client trusts the CA it is given
//! ([`ClientBuilder::ca_file`], [`ClientBuilder::ca_pem`]), or the one in the file that the environment variable `WEIR_CA`
//! names, or that of a broker on the same machine, which leaves it where clients of its user find it ([`trust`]). The
//! operating system's own CAs are never asked.
//!
//! # Producing
//!
//! [`Producer::send`] takes a record into its partition's batch and returns at once, unless the buffer is full. The
//! [`Delivery`] it returns is a future of the record's offset; it may be awaited, kept for later or dropped. Batches leave
//! when they are full or have waited for the linger time ([`ProducerBuilder::linger`]; by default they do not wait), many
//! of them on their way at a time. An acknowledgement means that the record is on the broker's disk.
//!
//! Records with a key go to the partition that Kafka's default partitioner chooses for it, records without one fill
//! one partition's batch after the other's, and a record may name its partition.
//!
//! # Consuming
//!
//! A [`Consumer`] reads partitions from the earliest or latest record, an offset or a point in time, record by record or
//! batch by batch, and holds the broker back while it is busy.
//!
//! # When something fails
//!
//! Lost connections are made again, with growing delays. A producer sends again what was not acknowledged, and the broker
//! recognises what it already has; a consumer goes on at the next record. What remains are [`Error`]s: they know whether
//! it is of use to try again ([`Error::retriable`]), the broker's stable code ([`Error::code`]), and their text says what
//! to do.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = weir::Broker::builder().in_memory().start().await?;
//! # let client = broker.client().await?;
//! use weir_client::ErrorCode;
//!
//! let error = client.producer("nowhere").build().await.expect_err("there is no such topic");
//! assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
//! assert!(!error.retriable());
//! # Ok(()) }
//! ```
//!
//! # Performance
//!
//! A record is encoded straight into its batch, and a batch's bytes are handed to the transport and from the transport to
//! the consumer without further copies. To send much, send without awaiting each delivery: let [`Producer::flush`] or
//! [`Producer::close`] say whether all went well, or use [`Producer::send_all`]. To read much, read with
//! [`Consumer::next_batch`]. Compression ([`ProducerBuilder::compression`]) pays where the network is slower than the
//! processor.

mod admin;
mod backoff;
mod client;
mod consumer;
mod error;
mod payload;
mod producer;
mod record;
mod transport;
pub mod trust;
mod wire;

pub use admin::{Admin, NewTopic, UploadedPlugin};
pub use client::{Client, ClientBuilder, DEFAULT_BROKER};
pub use consumer::{Consumer, ConsumerBuilder, ConsumerRecord, RecordBatch};
pub use error::Error;
pub use payload::Payload;
pub use producer::{
    Deliveries, Delivery, Obstacle, ProduceError, Producer, ProducerBuilder, RecordFate, RecordMetadata,
};
pub use record::Record;
pub use weir_batch::{BatchBuilder, Codec};
pub use weir_protocol::{
    BrokerInfo, Difference, DryRun, DryRunFailure, ErrorCode, FlowBackfill, FlowBounded, FlowBoundedKind,
    FlowCalls, FlowChange, FlowFaults, FlowGuestInfo, FlowHistogram, FlowInfo, FlowLimits, FlowMode,
    FlowPartitionInfo, FlowProducingInfo, FlowReplay, FlowRevision, FlowSchedule, FlowSpec, FlowState,
    FlowStatePage, FlowStatePlace, FlowStateQuery, FlowStateRow, FlowStateSchema, FlowStateTotals, FlowUntil,
    OnError, PartitionBy, PartitionInfo, PluginInfo, PluginKind, Start, TopicInfo, TopicSummary, Trial,
    WireError,
};
