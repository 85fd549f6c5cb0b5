//! Reads what is left of a redb file that redb itself refuses.
//!
//! After a crash redb checks every page that the last two commits reach, and refuses the file if one of them is not
//! what was written. But all the others are: a page is named by its parent together with its checksum, from the
//! commit slots in the header down. So what is reached here through checksums that agree was committed, whatever else
//! has become of the file, and what lies below a page that does not agree is lost.
//!
//! The layout is redb's file format 3 (`docs/design.md` of redb): the header with two commit slots in the first 4 KiB,
//! then pages of 4 KiB times a power of two. Integers are little-endian.

use std::collections::HashSet;

use redb::StorageBackend;
use twox_hash::XxHash3_128;

use crate::chunk::{PAGE_BYTES, ROW_KEY_LEN};
use crate::store_error::StoreError;

/// The tables of a segment.
pub(super) const GROUPS_TABLE: &str = "groups";
pub(super) const DATA_TABLE: &str = "data";

/// Where the header's flags are, and the one of a file that was not closed.
const FLAGS: usize = 9;
const NEEDS_RECOVERY: u8 = 2;
/// Where the two commit slots are in the header, and how long each is, its checksum included.
const SLOTS: [usize; 2] = [64, 192];
const SLOT_LEN: usize = 128;
const CHECKSUM_LEN: usize = 16;
/// In a slot: whether there are tables, the root of the tree that names them, the transaction's id.
const SLOT_HAS_TABLES: usize = 1;
const SLOT_TABLES: usize = 8;
const SLOT_TRANSACTION: usize = 104;
/// In the value of a table's name: whether it has a root, and the root.
const TABLE_HAS_ROOT: usize = 9;
const TABLE_ROOT: usize = 10;

/// Kinds of page.
const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// Bytes that the pages of one region take; a segment rarely has more than one.
const REGION_BYTES: u64 = 4 << 30;
/// Largest page, as a power of two of 4 KiB: what a region has.
const ORDER_MAX: u64 = 20;
/// No tree is as deep as this, so that one that is leads in a circle.
const DEPTH_MAX: u32 = 32;

/// A page as its parent names it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Link {
    page: u64,
    checksum: u128,
}

/// A file that is read without redb.
#[derive(Debug)]
pub(super) struct Wreck {
    file: Box<dyn StorageBackend>,
    len: u64,
    /// The trees of tables of the last two commits, the newer one first. `None` is a commit without tables.
    commits: Vec<Option<Link>>,
    /// Both slots are what was written, so that the first commit is surely the last one there was.
    knows_last: bool,
    /// The file was closed: redb trusts it, and will not look at its pages.
    closed: bool,
}

/// Given a key and a value.
type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

impl Wreck {
    /// Looks at the header. A file in which nothing makes sense has no rows.
    pub(super) fn open(file: Box<dyn StorageBackend>) -> Result<Self, StoreError> {
        let len = file.len()?;
        let mut header = [0; SLOTS[1] + SLOT_LEN];
        let there = len >= header.len() as u64 && file.read(0, &mut header).is_ok();
        let mut slots: Vec<(u64, Option<Link>)> = Vec::new();
        if there {
            slots.extend(SLOTS.iter().filter_map(|&at| slot(&header[at..at + SLOT_LEN])));
        }
        slots.sort_by_key(|(transaction, _)| std::cmp::Reverse(*transaction));
        Ok(Self {
            file,
            len,
            knows_last: slots.len() == SLOTS.len(),
            closed: header[FLAGS] & NEEDS_RECOVERY == 0,
            commits: slots.into_iter().map(|(_, tables)| tables).collect(),
        })
    }

    /// Whether both commit slots are what was written.
    pub(super) fn knows_last(&self) -> bool {
        self.knows_last
    }

    /// Whether redb would trust the file without looking at its pages.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether all rows of both tables are what was written.
    pub(super) fn is_whole(&self) -> Result<bool, StoreError> {
        let mut none = |_: &[u8], _: &[u8]| Ok(());
        Ok(self.rows(GROUPS_TABLE, size_of::<u64>(), &mut none)?
            && self.rows(DATA_TABLE, ROW_KEY_LEN, &mut none)?)
    }

    /// Gives `each` every row of a table with keys of `key_len` bytes that can be read, those of the last commit by
    /// key, then those that are left of the one before. Returns whether all rows of the last commit were among them.
    pub(super) fn rows(&self, table: &str, key_len: usize, each: &mut Each<'_>) -> Result<bool, StoreError> {
        let mut seen = HashSet::new();
        let mut whole = self.knows_last;
        for (age, tables) in self.commits.iter().enumerate() {
            let mut root = None;
            let mut all = true;
            if let Some(tables) = tables {
                all &= self.walk(*tables, None, 0, &mut HashSet::new(), &mut |name, value| {
                    if name == table.as_bytes() {
                        root = Some(table_root(value));
                    }
                    Ok(())
                })?;
            }
            match root {
                // A table without rows.
                Some(Some(None)) => {}
                Some(Some(Some(root))) => all &= self.walk(root, Some(key_len), 0, &mut seen, each)?,
                // It is always made, so that one that is not there is lost.
                Some(None) | None => all = false,
            }
            whole &= all || age > 0;
        }
        Ok(whole)
    }

    /// Gives `each` the rows below a page. Returns whether nothing below it is damaged.
    fn walk(
        &self,
        link: Link,
        key_len: Option<usize>,
        depth: u32,
        seen: &mut HashSet<Link>,
        each: &mut Each<'_>,
    ) -> Result<bool, StoreError> {
        // The commits have most pages in common.
        if seen.contains(&link) {
            return Ok(true);
        }
        let Some(page) = self.page(link, key_len).filter(|_| depth < DEPTH_MAX) else {
            return Ok(false);
        };
        let mut whole = true;
        if page.first() == Some(&LEAF) {
            for (key, value) in leaf_rows(&page, key_len) {
                each(key, value)?;
            }
        } else {
            for child in children(&page) {
                whole &= self.walk(child, key_len, depth + 1, seen, each)?;
            }
        }
        if whole {
            seen.insert(link);
        }
        Ok(whole)
    }

    /// A page's bytes up to its end, if they are what its parent says they are.
    fn page(&self, link: Link, key_len: Option<usize>) -> Option<Vec<u8>> {
        let order = link.page >> 59;
        if order > ORDER_MAX {
            return None;
        }
        let index = link.page & (0x000F_FFFF >> order);
        let region = (link.page >> 20) & 0x000F_FFFF;
        let page_bytes = (PAGE_BYTES as u64) << order;
        let at = PAGE_BYTES as u64 + region * REGION_BYTES + index * page_bytes;
        // Nothing is reserved for a page that the file is too short for.
        if at + page_bytes > self.len {
            return None;
        }
        let mut page = vec![0; usize::try_from(page_bytes).ok()?];
        // A sector that cannot be read is damage as well.
        self.file.read(at, &mut page).ok()?;
        let end = match *page.first()? {
            LEAF => leaf_end(&page, key_len)?,
            BRANCH => branch_end(&page, key_len)?,
            _ => return None,
        };
        let used = page.get(..end)?;
        if XxHash3_128::oneshot(used) != link.checksum {
            return None;
        }
        page.truncate(end);
        Some(page)
    }
}

/// A commit slot that is what was written: its transaction's id, and the tree of tables.
fn slot(bytes: &[u8]) -> Option<(u64, Option<Link>)> {
    let (body, checksum) = bytes.split_at_checked(SLOT_LEN - CHECKSUM_LEN)?;
    if XxHash3_128::oneshot(body).to_le_bytes() != checksum {
        return None;
    }
    let tables = match body.get(SLOT_HAS_TABLES)? {
        0 => None,
        _ => Some(link_at(body, SLOT_TABLES)?),
    };
    Some((u64_at(body, SLOT_TRANSACTION)?, tables))
}

/// The root in what the tree of tables has of a table: `Some(None)` if the table is empty.
fn table_root(value: &[u8]) -> Option<Option<Link>> {
    Some(match value.get(TABLE_HAS_ROOT)? {
        0 => None,
        _ => Some(link_at(value, TABLE_ROOT)?),
    })
}

/// A leaf is `[kind u8][unused u8][rows u16]`, the ends of the keys (u32 each, only if they vary in length), the ends of
/// the values (u32 each), the keys, the values. Ends are counted from the page's beginning.
fn leaf_end(page: &[u8], key_len: Option<usize>) -> Option<usize> {
    let rows = usize::from(u16_at(page, 2)?);
    let ends = if key_len.is_some() { rows } else { rows * 2 };
    u32_at(page, ends.checked_sub(1)? * 4 + 4)
}

fn leaf_rows(page: &[u8], key_len: Option<usize>) -> impl Iterator<Item = (&[u8], &[u8])> {
    let rows = u16_at(page, 2).map_or(0, usize::from);
    let value_ends = if key_len.is_some() { 4 } else { 4 + rows * 4 };
    let keys = value_ends + rows * 4;
    let key_end = move |row: usize| match key_len {
        Some(len) => Some(keys + (row + 1) * len),
        None => u32_at(page, 4 + row * 4),
    };
    (0..rows).map_while(move |row| {
        let key_from = if row == 0 { keys } else { key_end(row - 1)? };
        let value_from = match row {
            0 => key_end(rows - 1)?,
            _ => u32_at(page, value_ends + (row - 1) * 4)?,
        };
        let value_to = u32_at(page, value_ends + row * 4)?;
        Some((
            page.get(key_from..key_end(row)?)?,
            page.get(value_from..value_to)?,
        ))
    })
}

/// A branch is `[kind u8][unused u8][keys u16][unused 4]`, then of each child, one more than keys, the checksum, then
/// of each the page, then the ends of the keys as in a leaf, the keys.
fn branch_end(page: &[u8], key_len: Option<usize>) -> Option<usize> {
    let keys = usize::from(u16_at(page, 2)?);
    let after_children = 8 + (keys + 1) * 24;
    match key_len {
        Some(len) => Some(after_children + keys * len),
        None => u32_at(page, after_children + keys.checked_sub(1)? * 4),
    }
}

fn children(page: &[u8]) -> impl Iterator<Item = Link> {
    let count = u16_at(page, 2).map_or(0, |keys| usize::from(keys) + 1);
    (0..count).map_while(move |child| {
        Some(Link {
            checksum: u128::from_le_bytes(array_at(page, 8 + child * 16)?),
            page: u64_at(page, 8 + count * 16 + child * 8)?,
        })
    })
}

/// `[page u64][checksum u128]`.
fn link_at(bytes: &[u8], at: usize) -> Option<Link> {
    Some(Link {
        page: u64_at(bytes, at)?,
        checksum: u128::from_le_bytes(array_at(bytes, at + 8)?),
    })
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    array_at(bytes, at).map(|bytes| u32::from_le_bytes(bytes) as usize)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}
