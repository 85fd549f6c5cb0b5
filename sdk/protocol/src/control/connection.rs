//! The first exchange of a connection, and the last word.

use serde::{Deserialize, Serialize};

use crate::{VERSION_MAX, VERSION_MIN};

/// The first frame on the first stream of a connection, from the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest version that the client speaks.
    pub min_version: u16,
    /// The newest version that the client speaks.
    pub max_version: u16,
    /// Name and version of the client, for the broker's log.
    #[serde(default)]
    pub client: String,
}

impl Hello {
    /// A hello with the versions that this crate speaks.
    pub fn new(client: impl Into<String>) -> Self {
        Self {
            min_version: VERSION_MIN,
            max_version: VERSION_MAX,
            client: client.into(),
        }
    }

    /// The newest version that both sides speak.
    pub fn negotiate(&self) -> Option<u16> {
        let version = self.max_version.min(VERSION_MAX);
        (version >= self.min_version.max(VERSION_MIN)).then_some(version)
    }
}

/// The broker's answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloOk {
    /// The version that this connection uses.
    pub version: u16,
    /// Name and version of the broker.
    #[serde(default)]
    pub broker: String,
    /// Which installation this is: stays the same as long as its data does.
    #[serde(default)]
    pub cluster_id: String,
    /// Largest batch in bytes that any topic of the broker takes; a topic's own limit comes with
    /// [`ProduceOpened`](crate::ProduceOpened).
    #[serde(default)]
    pub max_batch_bytes: u32,
    /// Most `Produce` frames that may wait for their ack on one stream.
    #[serde(default)]
    pub produce_window_frames: u32,
}

/// The broker is about to close the connection: finish what is in flight, and reconnect later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Milliseconds until the connection is closed at the latest.
    #[serde(default)]
    pub within_ms: u64,
}
