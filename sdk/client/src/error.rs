//! What can go wrong between a client and its broker.

use std::time::Duration;

use weir_protocol::{ErrorCode, WireError};

use crate::ProduceError;

/// An operation that did not succeed. [`Error::retriable`] says whether the same call may succeed later;
/// the message always ends with what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answers at the broker's address: it is not running, the address is wrong, or UDP is blocked.
    #[error(
        "no broker at {broker}: {reason}; start one (`weir serve`), or check the address of the one that runs and that UDP \
         gets through"
    )]
    Unreachable {
        /// The address as it was given to the builder.
        broker: String,
        /// What was seen: refused, no answer within a time, name not resolved.
        reason: String,
    },
    /// The broker's certificate is not vouched for by the trusted CA, or is not valid for this address.
    #[error(
        "the certificate of the broker at {broker} is refused by {trust}: {reason}; pass its CA with --ca FILE or set \
         WEIR_CA (`weir serve` keeps it in <data folder>/tls/ca.pem)"
    )]
    UnknownCertificate {
        /// The address as it was given to the builder.
        broker: String,
        /// Which trust was in force: the file, the environment variable or the local pointer it came from.
        trust: String,
        /// The verifier's finding.
        reason: String,
    },
    /// No CA is known for the broker: none was given, `WEIR_CA` is not set and no local broker left a pointer.
    #[error(
        "no broker that this user has started is known at {broker}, nor the CA of another; start one (`weir serve`), or pass the CA of \
         the one that runs with --ca FILE or WEIR_CA (`weir serve` keeps it in <data folder>/tls/ca.pem)"
    )]
    NoTrust {
        /// The address as it was given to the builder.
        broker: String,
    },
    /// A CA was given but cannot be used.
    #[error("the CA from {origin} cannot be used: {reason}; give a PEM file with at least one certificate")]
    InvalidCa {
        /// The file or variable it came from.
        origin: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// An argument of the call is out of its range.
    #[error("invalid argument: {0}")]
    InvalidArgument(String),
    /// The broker refused; the wire error has its stable code, name and advice.
    #[error("{} ({}): {}", .0.name, .0.code, .0.message)]
    Broker(WireError),
    /// The connection ended while the call was under way. Calls that change something may or may not have happened.
    #[error("the connection to the broker at {broker} was lost: {reason}; try again")]
    ConnectionLost {
        /// The address as it was given to the builder.
        broker: String,
        /// What ended it.
        reason: String,
    },
    /// The broker did not answer in time.
    #[error("{what} was not answered within {} ms; try again, or allow more time", .after.as_millis())]
    Timeout {
        /// The call.
        what: &'static str,
        /// The time that was allowed.
        after: Duration,
    },
    /// The peer sent what the protocol does not allow.
    #[error("the broker broke the protocol: {0}; check that client and broker are of compatible versions")]
    Protocol(String),
    /// A batch from the broker is damaged: its checksum or its layout is wrong. It was not delivered.
    #[error(
        "partition {partition} of {topic} has a damaged batch at offset {offset}: {reason}; seek past it to go on"
    )]
    Corrupt {
        /// The topic's name.
        topic: String,
        /// The partition's index.
        partition: u32,
        /// The offset at which the damaged batch begins (or would begin).
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// The topic that was being consumed was deleted, and another one was made under its name.
    #[error("the topic {topic} was deleted and made anew; build a new consumer")]
    TopicReplaced {
        /// The topic's name.
        topic: String,
    },
    /// A record could not be produced.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// The client was closed.
    #[error("the client is closed; connect a new one")]
    Closed,
}

impl Error {
    /// Whether the same call may succeed when it is tried again later.
    pub fn retriable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::ConnectionLost { .. } | Self::Timeout { .. } => true,
            Self::Broker(error) => error.retriable,
            Self::Produce(error) => error.retriable(),
            Self::UnknownCertificate { .. }
            | Self::NoTrust { .. }
            | Self::InvalidCa { .. }
            | Self::InvalidArgument(_)
            | Self::Protocol(_)
            | Self::Corrupt { .. }
            | Self::TopicReplaced { .. }
            | Self::Closed => false,
        }
    }

    /// The broker's stable error code; `None` for what went wrong on this side or on the way.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker(error) => error.error_code(),
            Self::Produce(error) => error.code(),
            _ => None,
        }
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Self::Broker(error)
    }
}
