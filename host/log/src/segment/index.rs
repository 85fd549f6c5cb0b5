//! Where in a segment a partition's batches are, roughly: by offset, bytes and time.

/// Batch bytes between two entries.
const STEP_BYTES: u64 = 32 << 10;
const ENTRY_LEN: usize = 24;

/// Some batches of one partition in one segment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct PartitionIndex {
    entries: Vec<IndexEntry>,
    /// Bytes of all batches.
    bytes: u64,
}

/// A batch, and what comes up to the next entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct IndexEntry {
    /// Offset at which a batch begins.
    pub(crate) base_offset: i64,
    /// Bytes of the partition's batches in this segment before that one.
    pub(crate) bytes_before: u64,
    /// Latest timestamp of that batch and those up to the next entry.
    pub(crate) max_timestamp: i64,
}

impl PartitionIndex {
    /// Adds the next batch.
    pub(crate) fn note(&mut self, base_offset: i64, len: u64, max_timestamp: i64) {
        match self.entries.last_mut() {
            Some(last) if self.bytes - last.bytes_before < STEP_BYTES => {
                last.max_timestamp = last.max_timestamp.max(max_timestamp);
            }
            _ => self.entries.push(IndexEntry {
                base_offset,
                bytes_before: self.bytes,
                max_timestamp,
            }),
        }
        self.bytes += len;
    }

    pub(crate) fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Bytes of all batches.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of batches that are surely before `offset`.
    pub(crate) fn bytes_before(&self, offset: i64) -> u64 {
        match self.entries.partition_point(|entry| entry.base_offset <= offset) {
            0 => 0,
            found => self.entries[found - 1].bytes_before,
        }
    }

    /// `[bytes u64]` and per entry `[base offset i64][bytes before u64][max timestamp i64]`, little-endian, then the
    /// CRC-32C of all of it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + self.entries.len() * ENTRY_LEN);
        out.extend_from_slice(&self.bytes.to_le_bytes());
        for entry in &self.entries {
            out.extend_from_slice(&entry.base_offset.to_le_bytes());
            out.extend_from_slice(&entry.bytes_before.to_le_bytes());
            out.extend_from_slice(&entry.max_timestamp.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (bytes, rest) = body.split_first_chunk()?;
        let (entries, rest) = rest.as_chunks::<ENTRY_LEN>();
        let entry = |chunk: &[u8; ENTRY_LEN]| {
            let (base_offset, rest) = chunk.split_first_chunk()?;
            let (bytes_before, rest) = rest.split_first_chunk()?;
            let (max_timestamp, _) = rest.split_first_chunk()?;
            Some(IndexEntry {
                base_offset: i64::from_le_bytes(*base_offset),
                bytes_before: u64::from_le_bytes(*bytes_before),
                max_timestamp: i64::from_le_bytes(*max_timestamp),
            })
        };
        rest.is_empty().then_some(())?;
        Some(Self {
            entries: entries.iter().map(entry).collect::<Option<_>>()?,
            bytes: u64::from_le_bytes(*bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_apart_and_know_the_time() {
        let mut index = PartitionIndex::default();
        for i in 0..100 {
            index.note(i * 10, 10_000, 1000 - i);
        }
        let entries = index.entries();
        assert_eq!(entries.len(), 25);
        assert_eq!(
            entries[1],
            IndexEntry {
                base_offset: 40,
                bytes_before: 40_000,
                max_timestamp: 996
            }
        );
        assert_eq!(index.bytes_before(0), 0);
        assert_eq!(index.bytes_before(45), 40_000);
        assert_eq!(index.bytes_before(79), 40_000);
        assert_eq!(index.bytes(), 1_000_000);

        let bytes = index.encode();
        assert_eq!(PartitionIndex::decode(&bytes), Some(index));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert_eq!(PartitionIndex::decode(&damaged), None);
        }
    }
}
