//! Writes a producer's pages: records and cursor as one, also where the records are for several shards.

use std::collections::BTreeMap;

use bytes::BytesMut;
use weir_log::{Append, AppendError, Durability, Entry, KvOp, Log, PartitionId, ReadError, Receipt};

use crate::flow::collector::OutBatch;
use crate::flow::producing::row::{
    self, Pending, Progress, Row, decode_pending, encode_applied, encode_pending,
};

/// The stored progress of one producer, and how to move it on.
///
/// Pages are numbered from 1. Page `n` is one entry in the home shard: the records for that shard, the cursor, and, as bytes,
/// the batches for other shards. With that entry the page is there, whatever happens; what is left is to copy the batches to
/// where they belong. Each shard notes with its batches that it has page `n`, so that copying again after a crash leaves out
/// those that have it. The next page is begun when all have.
///
/// A page is kept and not polled again, because a producer looks at the world outside: another poll would give other records.
pub(crate) struct Ledger {
    log: Log,
    flow: u32,
    home: u16,
    /// `None` before the first page.
    progress: Option<Progress>,
    /// By shard: the row under the progress key, as it is stored.
    rows: Vec<Option<Vec<u8>>>,
    /// By shard: the page up to which it has everything. Of no meaning for the home shard.
    applied: Vec<u64>,
    /// Batches of the last page that may not have been copied.
    pending: Pending,
    /// Whether there is a row of pending batches.
    keeps_pending: bool,
}

/// Why a ledger cannot be read.
#[derive(Debug)]
pub(crate) enum LedgerError {
    Read(ReadError),
    /// A row is not what this release writes.
    Damaged,
}

/// A page that is to be stored.
#[derive(Debug)]
pub(crate) struct NewPage {
    pub(crate) batches: Vec<OutBatch>,
    pub(crate) records: u64,
    pub(crate) polled_ms: i64,
    pub(crate) cursor: Vec<u8>,
}

impl Ledger {
    /// Reads the progress of `flow`; a new flow has its home in the shard `home`. Blocks.
    pub(crate) fn read(log: Log, flow: u32, home: u16) -> Result<Self, LedgerError> {
        let key = row::progress_key(flow);
        let mut ledger = Self {
            home,
            progress: None,
            rows: Vec::new(),
            applied: Vec::new(),
            pending: Vec::new(),
            keeps_pending: false,
            log,
            flow,
        };
        for shard in 0..ledger.log.shards() {
            let bytes = ledger.log.kv_read(shard, &key).map_err(LedgerError::Read)?;
            let decoded = bytes
                .as_ref()
                .map(|bytes| Row::decode(bytes).ok_or(LedgerError::Damaged));
            let mut applied = 0;
            match decoded.transpose()? {
                // A topic that was created anew may suggest another home: it stays where it is.
                Some(Row::Progress(progress)) => {
                    ledger.home = shard;
                    ledger.progress = Some(progress);
                }
                Some(Row::Applied(pages)) => applied = pages,
                None => {}
            }
            ledger.rows.push(bytes);
            ledger.applied.push(applied);
        }
        let pending = ledger.log.kv_read(ledger.home, &row::pending_key(flow));
        if let Some(bytes) = pending.map_err(LedgerError::Read)? {
            ledger.pending = decode_pending(&bytes).ok_or(LedgerError::Damaged)?;
            ledger.keeps_pending = true;
        }
        Ok(ledger)
    }

    /// How far the producer is; `None` before its first page.
    pub(crate) fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// The cursor that the next poll is given.
    pub(crate) fn cursor(&self) -> Option<&[u8]> {
        self.progress.as_ref().map(|progress| progress.cursor.as_slice())
    }

    /// Pages so far.
    pub(crate) fn pages(&self) -> u64 {
        self.progress.as_ref().map_or(0, |progress| progress.pages)
    }

    /// Brings the last page to its end, if a crash did not let it. Batches for partitions that `is_there` does not know, because
    /// their topic was deleted since, are left out; returns how many.
    ///
    /// # Errors
    /// Nothing is lost by one: the ledger is to be read anew.
    pub(crate) async fn settle(
        &mut self,
        is_there: impl Fn(PartitionId) -> bool,
    ) -> Result<usize, AppendError> {
        let before = self.pending.len();
        self.pending.retain(|(partition, _)| is_there(*partition));
        let left_out = before - self.pending.len();
        self.spread().await?;
        self.clear().await?;
        Ok(left_out)
    }

    /// Stores the next page. With `relaxed`, a page for the home shard alone may be lost by a crash, cursor and all.
    ///
    /// # Errors
    /// The page may be there or not: the ledger is to be read anew.
    pub(crate) async fn commit(&mut self, page: NewPage, relaxed: bool) -> Result<(), AppendError> {
        self.store(page, relaxed).await?;
        self.spread().await
    }

    /// The entry in the home shard, with which the page is there.
    async fn store(&mut self, page: NewPage, relaxed: bool) -> Result<(), AppendError> {
        let NewPage {
            batches,
            records,
            polled_ms,
            cursor,
        } = page;
        let (own, others): (Vec<_>, Vec<_>) = batches.into_iter().partition(|batch| batch.shard == self.home);
        let pages = self.pages() + 1;
        let progress = Progress {
            pages,
            records: self
                .progress
                .as_ref()
                .map_or(0, |p| p.records)
                .saturating_add(records),
            polled_ms,
            cursor,
        };
        let row = progress.encode();
        let mut puts = self.replace(self.home, row.clone());
        let pending: Pending = others
            .into_iter()
            .map(|out| (out.partition, out.batch.to_vec()))
            .collect();
        let key = row::pending_key(self.flow);
        if !pending.is_empty() {
            puts.push(KvOp::Put {
                key,
                value: encode_pending(&pending),
            });
        } else if self.keeps_pending {
            puts.push(KvOp::Delete { key });
        }
        let appends = own.into_iter().map(|out| Append {
            partition: out.partition,
            batch: out.batch,
        });
        let entry = Entry {
            appends: appends.collect(),
            puts,
            // Other shards must not be ahead of the home shard after a crash: what is spread was on disk before.
            durability: if relaxed && pending.is_empty() {
                Durability::Relaxed
            } else {
                Durability::Fsync
            },
        };
        self.log.submit(self.home, entry).await?.await?;
        self.rows[usize::from(self.home)] = Some(row);
        self.progress = Some(progress);
        self.keeps_pending = !pending.is_empty();
        self.pending = pending;
        Ok(())
    }

    /// Forgets the batches that were kept for other shards, once these have them. Otherwise they are forgotten with the next page.
    ///
    /// # Errors
    /// As with [`commit`](Self::commit).
    pub(crate) async fn clear(&mut self) -> Result<(), AppendError> {
        if !self.keeps_pending {
            return Ok(());
        }
        debug_assert!(self.pending.is_empty(), "what is pending was spread before");
        let entry = Entry {
            appends: Vec::new(),
            puts: vec![
                self.expect(self.home),
                KvOp::Delete {
                    key: row::pending_key(self.flow),
                },
            ],
            durability: Durability::Fsync,
        };
        self.log.submit(self.home, entry).await?.await?;
        self.keeps_pending = false;
        Ok(())
    }

    /// Copies the pending batches to the shards that do not have them yet.
    async fn spread(&mut self) -> Result<(), AppendError> {
        let pages = self.pages();
        let mut shards: BTreeMap<u16, Vec<Append>> = BTreeMap::new();
        for (partition, batch) in &self.pending {
            let shard = self.log.shard_of(*partition);
            if self.applied[usize::from(shard)] < pages {
                shards.entry(shard).or_default().push(Append {
                    partition: *partition,
                    batch: BytesMut::from(batch.as_slice()),
                });
            }
        }
        let row = encode_applied(pages);
        let mut receipts: Vec<(u16, Receipt)> = Vec::new();
        let mut failed = None;
        for (shard, appends) in shards {
            let entry = Entry {
                appends,
                puts: self.replace(shard, row.clone()),
                durability: Durability::Fsync,
            };
            match self.log.submit(shard, entry).await {
                Ok(receipt) => receipts.push((shard, receipt)),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        // All are waited for, whatever becomes of the others: none is under way when the ledger is read anew.
        for (shard, receipt) in receipts {
            match receipt.await {
                Ok(_) => {
                    self.rows[usize::from(shard)] = Some(row.clone());
                    self.applied[usize::from(shard)] = pages;
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        match failed {
            Some(error) => Err(error),
            None => {
                self.pending.clear();
                Ok(())
            }
        }
    }

    /// Replaces the row of a shard that is as it was read or written last: whoever else runs the same flow is fenced.
    fn replace(&self, shard: u16, row: Vec<u8>) -> Vec<KvOp> {
        let put = KvOp::Put {
            key: row::progress_key(self.flow),
            value: row,
        };
        vec![self.expect(shard), put]
    }

    fn expect(&self, shard: u16) -> KvOp {
        KvOp::Expect {
            key: row::progress_key(self.flow),
            value: self.rows[usize::from(shard)].clone(),
        }
    }
}

#[cfg(test)]
mod tests;
