//! The broker's rules, without sockets: topics and their configuration, producing and fetching, plugins and flows.
//!
//! ```no_run
//! use std::collections::BTreeMap;
//!
//! use weir_broker::{Broker, BrokerConfig, FlowSpec, Start, Storage};
//!
//! # async fn example(batch: bytes::BytesMut, wasm: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::open(BrokerConfig::new(Storage::Memory)).await?;
//! broker.create_topic("lines", 1, BTreeMap::new()).await?;
//! broker.create_topic("kept", 1, BTreeMap::new()).await?;
//! broker.upload_plugin("keep", wasm).await?;
//! broker.create_flow(FlowSpec::new("keep-lines", "lines", ["keep"], ["kept"])).await?;
//!
//! let stored = broker.topic("lines")?.produce(0, batch).await?.await?;
//! println!("stored at {}", stored.base_offset);
//!
//! let kept = broker.topic("kept")?.partition(0)?;
//! let mut offset = kept.resolve(Start::Earliest).await?;
//! kept.wait_for(offset).await?;
//! let fetched = kept.fetch(offset, 1 << 20).await?;
//! offset = fetched.next_offset;
//! # broker.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod batch;
mod broker;
mod clock;
mod core;
mod dry_run;
mod error;
mod flow;
mod flow_state;
mod flows;
mod folder;
mod ingest;
mod limits;
mod meta;
mod name;
mod open_error;
mod plugin;
mod plugins;
mod produce;
mod producer_id;
mod start;
mod subscription;
mod topic;
mod topics;

pub use broker::{Broker, BrokerConfig, Storage};
pub use dry_run::{DRY_RUN_RECORDS, Difference, DryRun, DryRunFailure, Trial};
pub use error::{BrokerError, ErrorKind};
pub use flow::{Backfill, BoundedKind, FlowBounded, Replay, Until};
pub use flow::{FlowCalls, FlowFaults, FlowGuestInfo, FlowHistogram, FlowLimits};
pub use flow::{
    FlowChange, FlowInfo, FlowPartitionInfo, FlowProducingInfo, FlowRevision, FlowSpec, FlowStatus, Mode,
    OnError, PartitionBy, Pause, Place, Schedule,
};
pub use flow::{
    FlowStatePage, FlowStatePlace, FlowStateQuery, FlowStateRow, FlowStateSchema, FlowStateTotals,
};
pub use folder::{DataFolder, FORMAT_VERSION};
pub use ingest::{RecordResults, RecordRun, Rejection};
pub use limits::Limits;
pub use name::{NAME_BYTES_MAX, check_flow_name, check_plugin_name, check_topic_name};
pub use open_error::OpenError;
pub use plugin::{PluginInfo, PluginKind, Upload, UploadedPlugin};
pub use produce::{ProduceTicket, Produced};
pub use producer_id::ProducerId;
pub use start::Start;
pub use subscription::{Filtered, RecordFilter};
pub use topic::{
    Compression, DamagedOffsets, Durability, MESSAGE_BYTES_MAX_DEFAULT, PartitionInfo, RETENTION_MS_DEFAULT,
    TimestampType, Topic, TopicConfig, TopicInfo, TopicPartition,
};
pub use weir_log::{Appended, Fetched, LogConfig};
pub use weir_runtime::RuntimeConfig;
