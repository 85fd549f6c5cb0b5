//! What is kept of a producer's progress, to the byte. All numbers are big-endian.
//!
//! | key | in | value |
//! |---|---|---|
//! | `flow/ID/0` | the flow's home shard | [`Progress`]: `[b'p'][version u8 = 1][pages u64][records u64][polled i64][cursor, to the end]` |
//! | `flow/ID/0` | every other shard that got records | [`Applied`]: `[b'a'][version u8 = 1][pages u64]` |
//! | `flow/ID/1` | the home shard, while a page is being spread | [`Pending`]: `[b'b'][version u8 = 1]([topic u32][partition u32][length u32][batch])*` |

use weir_log::PartitionId;

use crate::flow::cursor;
use crate::flow::lane::Lane;

const VERSION: u8 = 1;

/// The key of [`Progress`] and [`Applied`].
pub(super) fn progress_key(flow: u32) -> Vec<u8> {
    cursor::key(flow, Lane::of_first_source(0))
}

/// The key of [`Pending`].
pub(super) fn pending_key(flow: u32) -> Vec<u8> {
    cursor::key(flow, Lane::of_first_source(1))
}

/// How far a producer is. Written in the same entry as the page that it speaks of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Progress {
    /// Pages so far.
    pub(crate) pages: u64,
    /// Records of all of them.
    pub(crate) records: u64,
    /// When the last of them was polled: milliseconds since 1970.
    pub(crate) polled_ms: i64,
    /// Where the producer goes on, in its own words.
    pub(crate) cursor: Vec<u8>,
}

impl Progress {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![b'p', VERSION];
        bytes.extend_from_slice(&self.pages.to_be_bytes());
        bytes.extend_from_slice(&self.records.to_be_bytes());
        bytes.extend_from_slice(&self.polled_ms.to_be_bytes());
        bytes.extend_from_slice(&self.cursor);
        bytes
    }
}

/// A shard has all records of the first so many pages that belong to it.
pub(super) fn encode_applied(pages: u64) -> Vec<u8> {
    [&[b'a', VERSION][..], &pages.to_be_bytes()].concat()
}

/// What is kept under [`progress_key`] in one shard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Row {
    Progress(Progress),
    Applied(u64),
}

impl Row {
    /// The row in `bytes`; `None` if that is none of this version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[kind, version], rest) = bytes.split_first_chunk::<2>()?;
        let (pages, rest) = rest.split_first_chunk::<8>()?;
        let pages = u64::from_be_bytes(*pages);
        match (kind, version) {
            (b'a', VERSION) if rest.is_empty() => Some(Self::Applied(pages)),
            (b'p', VERSION) => {
                let (records, rest) = rest.split_first_chunk::<8>()?;
                let (polled_ms, cursor) = rest.split_first_chunk::<8>()?;
                Some(Self::Progress(Progress {
                    pages,
                    records: u64::from_be_bytes(*records),
                    polled_ms: i64::from_be_bytes(*polled_ms),
                    cursor: cursor.to_vec(),
                }))
            }
            _ => None,
        }
    }
}

/// The batches of a page that are for other shards than the one that keeps them.
pub(super) type Pending = Vec<(PartitionId, Vec<u8>)>;

pub(super) fn encode_pending(batches: &Pending) -> Vec<u8> {
    let mut bytes = vec![b'b', VERSION];
    for (partition, batch) in batches {
        let len = u32::try_from(batch.len()).expect("a batch is bounded by a page, far below 4 GiB");
        bytes.extend_from_slice(&partition.topic.to_be_bytes());
        bytes.extend_from_slice(&partition.index.to_be_bytes());
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(batch);
    }
    bytes
}

/// The batches in `bytes`; `None` if they are none of this version.
pub(super) fn decode_pending(bytes: &[u8]) -> Option<Pending> {
    let (&[kind, version], mut rest) = bytes.split_first_chunk::<2>()?;
    if (kind, version) != (b'b', VERSION) {
        return None;
    }
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let (head, tail) = rest.split_first_chunk::<12>()?;
        let (words, _) = head.as_chunks::<4>();
        let [topic, index, len] = [words[0], words[1], words[2]].map(u32::from_be_bytes);
        let (batch, tail) = tail.split_at_checked(len as usize)?;
        batches.push((PartitionId { topic, index }, batch.to_vec()));
        rest = tail;
    }
    Some(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::cursor::flow_of_key;

    #[test]
    fn rows_survive_the_round_trip() {
        for cursor in [&b""[..], b"17"] {
            let progress = Progress {
                pages: 3,
                records: 1 << 40,
                polled_ms: 1_700_000_000_000,
                cursor: cursor.to_vec(),
            };
            let bytes = progress.encode();
            assert_eq!(Row::decode(&bytes), Some(Row::Progress(progress)));
            for len in 0..26 {
                assert_eq!(Row::decode(&bytes[..len]), None);
            }
        }
        let applied = encode_applied(7);
        assert_eq!(Row::decode(&applied), Some(Row::Applied(7)));
        assert_eq!(Row::decode(&[&applied[..], &[0]].concat()), None);
        assert_eq!(Row::decode(&[b'p'; 30]), None, "another version");
    }

    #[test]
    fn pending_batches_survive_the_round_trip() {
        let id = |topic, index| PartitionId { topic, index };
        for batches in [vec![], vec![(id(1, 2), b"abc".to_vec()), (id(3, 4), Vec::new())]] {
            let bytes = encode_pending(&batches);
            assert_eq!(decode_pending(&bytes), Some(batches));
        }
        let bytes = encode_pending(&vec![(id(1, 2), b"abc".to_vec())]);
        for len in (0..bytes.len()).filter(|&len| len != 2) {
            assert_eq!(decode_pending(&bytes[..len]), None);
        }
    }

    #[test]
    fn the_keys_go_with_the_flow() {
        for key in [progress_key(12), pending_key(12)] {
            assert_eq!(flow_of_key(&key), Some(12));
            assert!(key.starts_with(&cursor::flow_prefix(12)));
        }
        assert_ne!(progress_key(12), pending_key(12));
    }
}
