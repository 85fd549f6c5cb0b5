//! Opening a produce stream.

use serde::{Deserialize, Serialize};

/// The first frame of a produce stream, from the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenProduce {
    /// The topic that the batches are for.
    pub topic: String,
    /// Whether the broker is to hand out a producer id, with which it recognises a batch that is sent again.
    #[serde(default)]
    pub idempotent: bool,
    /// The id from an earlier stream, to go on with it after a reconnect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer_id: Option<i64>,
    /// The epoch that belongs to the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer_epoch: Option<i16>,
    /// Whether the client understands [`RecordResults`](crate::RecordResults) in acks.
    #[serde(default)]
    pub record_results: bool,
}

/// The broker's answer to an [`OpenProduce`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProduceOpened {
    /// The topic's id, which no other topic ever gets.
    pub topic_id: u32,
    /// How many partitions it has: 0 to `partitions - 1`.
    pub partitions: u32,
    /// Largest batch in bytes.
    pub max_message_bytes: u32,
    /// Most `Produce` frames that may wait for their ack.
    pub window_frames: u32,
    /// Most bytes of batches that may wait for their ack. A single batch may always be sent.
    pub window_bytes: u64,
    /// The producer id to write into the batches; -1 if the stream is not idempotent.
    pub producer_id: i64,
    /// The producer epoch to write into the batches; -1 if the stream is not idempotent.
    pub producer_epoch: i16,
    /// The topic's `compression.type`: `producer` leaves the choice to the client.
    #[serde(default)]
    pub compression: String,
}
