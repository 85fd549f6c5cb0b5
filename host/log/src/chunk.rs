//! How the batches of a partition become rows.
//!
//! The batches of one partition in one group are a **run**, a string of bytes. It is cut into rows whose sizes just
//! fill redb's pages, because redb gives a value over 4 KiB pages of the next power of two. A row is named by the
//! first batch that *begins* in it, so that one lookup finds the row in which the batch with an offset begins; rows in
//! which no batch begins are further parts of the row before.

use crate::PartitionId;

/// Bytes of a row's key: partition (8), base offset (8), part (4), all big-endian.
pub(crate) const ROW_KEY_LEN: usize = 20;
/// Bytes before a row's share of the run: bytes of a batch begun earlier (u32), leader epoch (i32), little-endian.
pub(crate) const ROW_HEADER_LEN: usize = 8;
/// redb's page size.
pub(crate) const PAGE_BYTES: usize = 4096;
/// What a redb leaf with one pair has besides the value: type and count (4), the value's end (4), the key.
const LEAF_OVERHEAD: usize = 8 + ROW_KEY_LEN;

pub(crate) type RowKey = [u8; ROW_KEY_LEN];

/// The key of the row in which the batch with `base_offset` is the first to begin (`part` 0), or of the `part`-th row
/// after that one, if no batch begins in those.
pub(crate) fn row_key(partition: PartitionId, base_offset: i64, part: u32) -> RowKey {
    let mut key = [0; ROW_KEY_LEN];
    key[..8].copy_from_slice(&partition.to_key());
    // Offsets are never negative, so this sorts as they do.
    key[8..16].copy_from_slice(&base_offset.to_be_bytes());
    key[16..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Partition, base offset and part of a row's key.
pub(crate) fn parse_row_key(key: &RowKey) -> (PartitionId, i64, u32) {
    let (partition, rest) = key.split_at(8);
    let (base_offset, part) = rest.split_at(8);
    (
        PartitionId::from_key(partition.try_into().unwrap_or_default()),
        i64::from_be_bytes(base_offset.try_into().unwrap_or_default()),
        u32::from_be_bytes(part.try_into().unwrap_or_default()),
    )
}

/// A row's value, taken apart.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    /// Leading bytes that belong to a batch begun in an earlier row.
    pub(crate) skip: usize,
    /// Leader epoch of every batch that begins here.
    pub(crate) leader_epoch: i32,
    /// The row's share of the run.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Row<'a> {
    /// `None` if the value is none of ours.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let (skip, rest) = value.split_first_chunk::<4>()?;
        let (leader_epoch, bytes) = rest.split_first_chunk::<4>()?;
        let skip = u32::from_le_bytes(*skip) as usize;
        (skip <= bytes.len() && !bytes.is_empty()).then_some(Self {
            skip,
            leader_epoch: i32::from_le_bytes(*leader_epoch),
            bytes,
        })
    }
}

/// How much of a run fits into a row whose page is 2^`order` times 4 KiB.
const fn capacity(order: u32) -> usize {
    (PAGE_BYTES << order) - LEAF_OVERHEAD - ROW_HEADER_LEN
}

/// The order of the largest page for rows of at most `bytes_max` bytes.
pub(crate) fn order_max(bytes_max: usize) -> u32 {
    (bytes_max / PAGE_BYTES).max(1).ilog2()
}

/// Bytes of the next row when `rest` of the `total` bytes of a run are left. The row gets a page to itself if what
/// the page has too much is little in comparison to the run, else the largest page that it fills.
fn next_row_len(rest: usize, total: usize, order_max: u32) -> usize {
    if rest >= capacity(order_max) {
        return capacity(order_max);
    }
    let order = (0..=order_max)
        .find(|&order| rest <= capacity(order))
        .unwrap_or(order_max);
    // A row under a page shares it with its neighbours.
    if order == 0 || capacity(order) - rest <= total / 16 {
        rest
    } else {
        capacity(order - 1)
    }
}

/// Cuts the run that the batches make up into rows and hands each to `emit`. `batches` are base offsets and bytes, in
/// order and without gaps; `scratch` is a buffer to be used again.
pub(crate) fn write_run<E>(
    partition: PartitionId,
    leader_epoch: i32,
    batches: &[(i64, &[u8])],
    order_max: u32,
    scratch: &mut Vec<u8>,
    mut emit: impl FnMut(&RowKey, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let total: usize = batches.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut left = total;
    let mut batches = batches.iter().copied();
    // What is left of the batch that is being written, and the last row's key.
    let mut current: &[u8] = &[];
    let (mut first, mut part) = (0, 0);
    while left > 0 {
        let row_len = next_row_len(left, total, order_max);
        left -= row_len;
        let mut room = row_len;
        let skip = current.len().min(room);
        let mut begins = None;
        scratch.clear();
        scratch.extend_from_slice(&(skip as u32).to_le_bytes());
        scratch.extend_from_slice(&leader_epoch.to_le_bytes());
        while room > 0 {
            if current.is_empty() {
                let Some((base_offset, bytes)) = batches.next() else {
                    break;
                };
                current = bytes;
                begins = begins.or(Some(base_offset));
            }
            let (now, rest) = current.split_at(current.len().min(room));
            scratch.extend_from_slice(now);
            current = rest;
            room -= now.len();
        }
        match begins {
            Some(base_offset) => (first, part) = (base_offset, 0),
            None => part += 1,
        }
        let key = row_key(partition, first, part);
        emit(&key, scratch)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const P: PartitionId = PartitionId { topic: 7, index: 1 };

    fn page_of(value: usize) -> usize {
        (value + ROW_HEADER_LEN + LEAF_OVERHEAD)
            .div_ceil(PAGE_BYTES)
            .next_power_of_two()
            * PAGE_BYTES
    }

    #[test]
    fn keys_sort_by_partition_offset_and_part() {
        let key = row_key(P, 1 << 40, 3);
        assert_eq!(parse_row_key(&key), (P, 1 << 40, 3));
        assert!(row_key(P, 255, 0) < row_key(P, 256, 0));
        assert!(row_key(P, 255, 9) < row_key(P, 256, 0));
        assert!(row_key(P, i64::MAX, 9) < row_key(PartitionId { topic: 7, index: 2 }, 0, 0));
    }

    #[test]
    fn rows_fill_their_pages() {
        for order in 0..=8 {
            assert_eq!(page_of(capacity(order)), PAGE_BYTES << order);
            assert_eq!(page_of(capacity(order) + 1), PAGE_BYTES << (order + 1));
        }
    }

    proptest! {
        #[test]
        fn a_run_comes_back_and_wastes_little(
            lens in prop::collection::vec(1usize..60_000, 1..12),
            order in 0u32..8,
        ) {
            let bytes: Vec<Vec<u8>> =
                lens.iter().enumerate().map(|(i, &len)| (0..len).map(|j| (i * 31 + j) as u8).collect()).collect();
            let batches: Vec<(i64, &[u8])> =
                bytes.iter().enumerate().map(|(i, bytes)| (i as i64 * 10, bytes.as_slice())).collect();
            let mut rows: Vec<(RowKey, Vec<u8>)> = Vec::new();
            write_run::<()>(P, 5, &batches, order, &mut Vec::new(), |key, value| {
                rows.push((*key, value.to_vec()));
                Ok(())
            }).unwrap();

            // Strictly ascending keys, and the bytes as they were.
            prop_assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0));
            let joined: Vec<u8> = rows.iter().flat_map(|(_, v)| Row::parse(v).unwrap().bytes.to_vec()).collect();
            prop_assert_eq!(&joined, &bytes.concat());

            // A row is named by the first batch that begins in it, and `skip` says where.
            let mut starts = Vec::new();
            let mut at = 0;
            for (base, bytes) in &batches {
                starts.push((at, *base));
                at += bytes.len();
            }
            let (mut at, mut last) = (0, (0, 0));
            for (key, value) in &rows {
                let row = Row::parse(value).unwrap();
                let begins = starts.iter().find(|(start, _)| (at..at + row.bytes.len()).contains(start));
                let (_, base, part) = parse_row_key(key);
                match begins {
                    Some((start, first)) => {
                        prop_assert_eq!((base, part, row.skip), (*first, 0, start - at));
                    }
                    None => prop_assert_eq!((base, part, row.skip), (last.0, last.1 + 1, row.bytes.len())),
                }
                last = (base, part);
                at += row.bytes.len();
            }

            let total = at;
            let large: usize = rows.iter().map(|(_, v)| page_of(v.len() - ROW_HEADER_LEN)).sum();
            prop_assert!(large <= total + total / 16 + rows.len() * 36 + PAGE_BYTES, "{} for {}", large, total);
        }
    }
}
