//! A topic's configuration: Kafka's keys, parsed once.

use std::collections::BTreeMap;

use weir_batch::Codec;

use crate::{BrokerError, ErrorKind, Limits};

/// `max.message.bytes` where a topic does not set it: Kafka's default, in bytes.
pub const MESSAGE_BYTES_MAX_DEFAULT: usize = 1_048_588;
/// `retention.ms` where a topic does not set it: Kafka's seven days, in milliseconds.
pub const RETENTION_MS_DEFAULT: u64 = 7 * 24 * 60 * 60 * 1000;

const KEYS: [&str; 7] = [
    "cleanup.policy",
    "compression.type",
    "max.message.bytes",
    "message.timestamp.type",
    "retention.bytes",
    "retention.ms",
    "weir.durability",
];
/// Below this not even a header fits.
const MESSAGE_BYTES_MIN: usize = weir_batch::HEADER_LEN;

/// What `compression.type` asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// Batches are stored with the codec they came with.
    Producer,
    /// Batches that came with another codec are packed anew with this one.
    Codec(Codec),
}

/// What `message.timestamp.type` asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimestampType {
    /// Records keep the time their producer gave them.
    CreateTime,
    /// Every batch is stamped with the broker's time when it is appended.
    LogAppendTime,
}

/// What `weir.durability` asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// Acknowledged means on disk.
    Fsync,
    /// Acknowledged means committed in memory; the disk follows soon.
    Relaxed,
}

/// A topic's effective configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicConfig {
    /// `retention.ms`: how long records are kept, in milliseconds; `None` (-1) is for ever.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`: how many bytes a partition keeps; `None` (-1) is all.
    pub retention_bytes: Option<u64>,
    /// `max.message.bytes`: the largest batch, header included, in bytes.
    pub message_bytes_max: usize,
    /// `compression.type`.
    pub compression: Compression,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `weir.durability`.
    pub durability: Durability,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            retention_ms: Some(RETENTION_MS_DEFAULT),
            retention_bytes: None,
            message_bytes_max: MESSAGE_BYTES_MAX_DEFAULT,
            compression: Compression::Producer,
            timestamp_type: TimestampType::CreateTime,
            durability: Durability::Fsync,
        }
    }
}

impl TopicConfig {
    /// The defaults, overridden by `overrides`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for a key or a value that is not known, naming those that are.
    pub fn parse(overrides: &BTreeMap<String, String>, limits: &Limits) -> Result<Self, BrokerError> {
        let mut config = Self::default();
        for (key, value) in overrides {
            config.set(key, value, limits)?;
        }
        Ok(config)
    }

    /// Whether there is a configuration `key`.
    pub(crate) fn check_key(key: &str) -> Result<(), BrokerError> {
        if KEYS.contains(&key) {
            return Ok(());
        }
        let (key, keys) = (key.escape_debug(), KEYS.join(", "));
        let message = format!("there is no topic configuration '{key}': the keys are {keys}");
        Err(BrokerError::new(ErrorKind::InvalidConfig, message))
    }

    /// Every key with its effective value.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let or_unlimited =
            |value: Option<u64>| value.map_or_else(|| "-1".to_owned(), |value| value.to_string());
        let compression = match self.compression {
            Compression::Producer => "producer",
            Compression::Codec(codec) => codec_name(codec),
        };
        let timestamp_type = match self.timestamp_type {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        };
        let durability = match self.durability {
            Durability::Fsync => "fsync",
            Durability::Relaxed => "relaxed",
        };
        [
            ("cleanup.policy", "delete".to_owned()),
            ("compression.type", compression.to_owned()),
            ("max.message.bytes", self.message_bytes_max.to_string()),
            ("message.timestamp.type", timestamp_type.to_owned()),
            ("retention.bytes", or_unlimited(self.retention_bytes)),
            ("retention.ms", or_unlimited(self.retention_ms)),
            ("weir.durability", durability.to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    fn set(&mut self, key: &str, value: &str, limits: &Limits) -> Result<(), BrokerError> {
        match key {
            "retention.ms" => self.retention_ms = parse_unlimited(key, value)?,
            "retention.bytes" => self.retention_bytes = parse_unlimited(key, value)?,
            "max.message.bytes" => self.message_bytes_max = parse_message_bytes(value, limits)?,
            "compression.type" => self.compression = parse_compression(value)?,
            "cleanup.policy" => parse_cleanup_policy(value)?,
            "message.timestamp.type" => {
                self.timestamp_type = match value {
                    "CreateTime" => TimestampType::CreateTime,
                    "LogAppendTime" => TimestampType::LogAppendTime,
                    _ => return Err(invalid(key, value, "CreateTime or LogAppendTime")),
                }
            }
            "weir.durability" => {
                self.durability = match value {
                    "fsync" => Durability::Fsync,
                    "relaxed" => Durability::Relaxed,
                    _ => return Err(invalid(key, value, "fsync or relaxed")),
                }
            }
            _ => return Self::check_key(key),
        }
        Ok(())
    }
}

/// The name of `codec` in `compression.type`.
fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::None => "none",
        Codec::Gzip => "gzip",
        Codec::Snappy => "snappy",
        Codec::Lz4 => "lz4",
        Codec::Zstd => "zstd",
    }
}

fn parse_unlimited(key: &str, value: &str) -> Result<Option<u64>, BrokerError> {
    match value.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(number) if number >= 0 => Ok(Some(number.unsigned_abs())),
        _ => Err(invalid(
            key,
            value,
            "a whole number of 0 or more, or -1 for no limit",
        )),
    }
}

fn parse_message_bytes(value: &str, limits: &Limits) -> Result<usize, BrokerError> {
    let range = MESSAGE_BYTES_MIN..=limits.message_bytes_ceiling;
    value
        .parse::<usize>()
        .ok()
        .filter(|bytes| range.contains(bytes))
        .ok_or_else(|| {
            let expected = format!("a number of bytes from {} to {}", range.start(), range.end());
            invalid("max.message.bytes", value, &expected)
        })
}

fn parse_compression(value: &str) -> Result<Compression, BrokerError> {
    Ok(match value {
        "producer" => Compression::Producer,
        "none" | "uncompressed" => Compression::Codec(Codec::None),
        "gzip" => Compression::Codec(Codec::Gzip),
        "snappy" => Compression::Codec(Codec::Snappy),
        "lz4" => Compression::Codec(Codec::Lz4),
        "zstd" => Compression::Codec(Codec::Zstd),
        _ => {
            return Err(invalid(
                "compression.type",
                value,
                "producer, none, gzip, snappy, lz4 or zstd",
            ));
        }
    })
}

fn parse_cleanup_policy(value: &str) -> Result<(), BrokerError> {
    if value == "delete" {
        return Ok(());
    }
    if value.split(',').any(|policy| policy.trim() == "compact") {
        let message = "cleanup.policy=compact is not there yet: use delete";
        return Err(BrokerError::new(ErrorKind::InvalidConfig, message));
    }
    Err(invalid("cleanup.policy", value, "delete"))
}

fn invalid(key: &str, value: &str, expected: &str) -> BrokerError {
    let value = value.escape_debug();
    BrokerError::new(
        ErrorKind::InvalidConfig,
        format!("{key} cannot be '{value}': give {expected}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<TopicConfig, BrokerError> {
        let map = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        TopicConfig::parse(&map, &Limits::default())
    }

    #[test]
    fn defaults_are_kafkas() {
        let map = parse(&[]).unwrap().to_map();
        assert_eq!(map["retention.ms"], "604800000");
        assert_eq!(map["retention.bytes"], "-1");
        assert_eq!(map["max.message.bytes"], "1048588");
        assert_eq!(map["compression.type"], "producer");
        assert_eq!(map["cleanup.policy"], "delete");
        assert_eq!(map["message.timestamp.type"], "CreateTime");
        assert_eq!(map["weir.durability"], "fsync");
        assert!(map.keys().map(String::as_str).eq(KEYS));
    }

    #[test]
    fn every_value_survives_the_round_trip() {
        let overrides = [
            ("retention.ms", "-1"),
            ("retention.bytes", "1000000"),
            ("max.message.bytes", "2000000"),
            ("compression.type", "zstd"),
            ("cleanup.policy", "delete"),
            ("message.timestamp.type", "LogAppendTime"),
            ("weir.durability", "relaxed"),
        ];
        let map = parse(&overrides).unwrap().to_map();
        for (key, value) in overrides {
            assert_eq!(map[key], value);
        }
    }

    #[test]
    fn unknown_keys_and_values_are_refused_with_the_valid_ones() {
        let bad = [
            ("retention.msx", "1", "retention.ms"),
            ("retention.ms", "-2", "-1 for no limit"),
            ("retention.ms", "soon", "-1 for no limit"),
            ("max.message.bytes", "10", "from 61 to"),
            ("max.message.bytes", "99999999999", "from 61 to"),
            ("compression.type", "brotli", "zstd"),
            ("cleanup.policy", "compact", "not there yet"),
            ("cleanup.policy", "delete,compact", "not there yet"),
            ("cleanup.policy", "shred", "delete"),
            ("message.timestamp.type", "createtime", "CreateTime"),
            ("weir.durability", "maybe", "fsync"),
        ];
        for (key, value, says) in bad {
            let error = parse(&[(key, value)]).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidConfig);
            assert!(error.message.contains(says), "{key}={value}: {}", error.message);
        }
    }
}
