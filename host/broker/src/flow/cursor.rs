//! A flow's cursor, as every destination shard keeps it.

use crate::flow::lane::Lane;

/// What one shard knows of a flow's progress in one lane, a partition of one of its sources. It is written in the same entry as the outputs
/// that it speaks of.
///
/// Layout, big-endian: `[version u8 = 1][source topic u32][applied i64][complete i64][n u16]([topic u32][partitions u32])*n`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CursorRow {
    /// Id of the topic whose offsets these are.
    pub(crate) source_topic: u32,
    /// This shard has every output of the source records below this offset that belongs to it.
    pub(crate) applied: i64,
    /// Every shard has every output of the source records below this offset.
    pub(crate) complete: i64,
    /// What the sinks looked like when outputs were spread over their partitions.
    pub(crate) sinks: Vec<SinkShape>,
}

/// What decides to which partition a record goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SinkShape {
    /// Id of the sink topic.
    pub(crate) topic: u32,
    /// Its number of partitions.
    pub(crate) partitions: u32,
}

const VERSION: u8 = 1;
const FIXED_LEN: usize = 1 + 4 + 8 + 8 + 2;
const SINK_LEN: usize = 4 + 4;

/// The prefix of all cursors.
pub(crate) const PREFIX: &str = "flow/";

/// The key of the flow's cursor for one lane, the same in every shard. It ends in the lane's number, which for the first source
/// is the partition's index.
pub(crate) fn key(flow: u32, lane: Lane) -> Vec<u8> {
    format!("{PREFIX}{flow}/{}", lane.number()).into_bytes()
}

/// The prefix of all cursors of one flow.
pub(crate) fn flow_prefix(flow: u32) -> Vec<u8> {
    format!("{PREFIX}{flow}/").into_bytes()
}

/// The flow that a key belongs to; `None` if it is no cursor's key.
pub(crate) fn flow_of_key(key: &[u8]) -> Option<u32> {
    parse_key(key).map(|(flow, _)| flow)
}

/// The lane that a key belongs to; `None` if it is no cursor's key.
pub(crate) fn lane_of_key(key: &[u8]) -> Option<Lane> {
    parse_key(key).map(|(_, lane)| lane)
}

fn parse_key(key: &[u8]) -> Option<(u32, Lane)> {
    let rest = str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    let (flow, number) = rest.split_once('/')?;
    Some((flow.parse().ok()?, Lane::of_number(number.parse().ok()?)))
}

impl CursorRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_LEN + SINK_LEN * self.sinks.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.source_topic.to_be_bytes());
        bytes.extend_from_slice(&self.applied.to_be_bytes());
        bytes.extend_from_slice(&self.complete.to_be_bytes());
        let count = u16::try_from(self.sinks.len()).expect("a flow's sinks are bounded far below 65536");
        bytes.extend_from_slice(&count.to_be_bytes());
        for sink in &self.sinks {
            bytes.extend_from_slice(&sink.topic.to_be_bytes());
            bytes.extend_from_slice(&sink.partitions.to_be_bytes());
        }
        bytes
    }

    /// The row in `bytes`; `None` if that is no row of version 1.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (source_topic, rest) = rest.split_first_chunk::<4>()?;
        let (applied, rest) = rest.split_first_chunk::<8>()?;
        let (complete, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<2>()?;
        if rest.len() != usize::from(u16::from_be_bytes(*count)) * SINK_LEN {
            return None;
        }
        let (words, _) = rest.as_chunks::<4>();
        let sinks = words.chunks_exact(2).map(|pair| SinkShape {
            topic: u32::from_be_bytes(pair[0]),
            partitions: u32::from_be_bytes(pair[1]),
        });
        Some(Self {
            source_topic: u32::from_be_bytes(*source_topic),
            applied: i64::from_be_bytes(*applied),
            complete: i64::from_be_bytes(*complete),
            sinks: sinks.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_the_round_trip() {
        for sinks in [
            vec![],
            vec![
                SinkShape {
                    topic: 7,
                    partitions: 3,
                },
                SinkShape {
                    topic: 8,
                    partitions: 1,
                },
            ],
        ] {
            let row = CursorRow {
                source_topic: 9,
                applied: 1 << 40,
                complete: 12,
                sinks,
            };
            let bytes = row.encode();
            assert_eq!(CursorRow::decode(&bytes), Some(row));
            for len in 0..bytes.len() {
                assert_eq!(CursorRow::decode(&bytes[..len]), None);
            }
            assert_eq!(CursorRow::decode(&[bytes, vec![0]].concat()), None);
        }
        assert_eq!(CursorRow::decode(&[2; 23]), None);
    }

    #[test]
    fn keys_name_their_flow_and_their_lane() {
        let lane = |source, partition| Lane { source, partition };
        assert_eq!(key(12, lane(0, 3)), b"flow/12/3");
        assert_eq!(key(12, lane(1, 3)), b"flow/12/4294967299");
        for lane in [lane(0, 3), lane(1, 3), lane(3, 1)] {
            assert_eq!(flow_of_key(&key(12, lane)), Some(12));
            assert_eq!(lane_of_key(&key(12, lane)), Some(lane));
            assert!(key(12, lane).starts_with(&flow_prefix(12)));
            assert!(!key(123, lane).starts_with(&flow_prefix(12)));
        }
        for other in ["flow/", "flow/1", "flow/x/1", "flow/1/x", "producer/1/2"] {
            assert_eq!(flow_of_key(other.as_bytes()), None);
        }
    }
}
