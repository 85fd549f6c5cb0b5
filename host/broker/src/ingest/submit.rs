//! From what was judged to the log's queue.

use std::sync::Arc;

use weir_log::{Append, Durability, Entry, Log, Receipt, Sequence};

use crate::error::append_error;
use crate::flow::collector::OutBatch;
use crate::flow::counters::Counters;
use crate::ingest::RecordResults;
use crate::ingest::made::{Made, Output};
use crate::ingest::tally::Tally;
use crate::produce::Produced;
use crate::topic::log_durability;
use crate::{BrokerError, Topic};

/// A batch that has been judged.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// What is stored of it is on its way into the log.
    Entry {
        receipt: Receipt,
        /// Batches of the entry that are for the partition itself; they come first.
        batches: usize,
        records: Option<Box<RecordResults>>,
        /// What of it is to be counted, if a flow judged it.
        tally: Option<Tally>,
    },
    /// Nothing of it is stored.
    Nothing(Produced),
}

/// Hands what was made of a batch for a partition to the log, without waiting for the disk.
///
/// # Errors
/// [`UnknownTopicOrPartition`](crate::ErrorKind::UnknownTopicOrPartition) if the topic is gone; those of the log.
pub(super) async fn submit(
    log: &Log,
    topic: &Topic,
    partition: u32,
    counters: &Arc<Counters>,
    made: Made,
) -> Result<Submitted, BrokerError> {
    let state = topic.live_state()?;
    let durability = log_durability(state.config.durability);
    let Made {
        output,
        letters,
        sequence,
        records: sent,
        stats,
        route,
    } = made;
    let target = route.target;
    let append = |partition, batch| Append { partition, batch };
    let mut entry = Entry {
        durability,
        ..Entry::default()
    };
    let (records, sequence) = match output {
        // It has its producer's numbers itself.
        Output::Untouched(batch) => {
            entry.appends.push(append(target.partition, batch));
            (None, None)
        }
        Output::Changed { batches, records } => {
            let own = batches.into_iter().map(|batch| append(target.partition, batch));
            entry.appends.extend(own);
            (records, sequence)
        }
    };
    let batches = entry.appends.len();
    if let Some(to) = route.letters().filter(|_| !letters.is_empty()) {
        let letters = letters.into_iter();
        let letters = letters.map(|letter: OutBatch| append(to.partition, letter.batch));
        if to.shard == target.shard {
            entry.appends.extend(letters);
        } else {
            send_letters(log, to.shard, letters.collect()).await?;
        }
    }
    let submitted = match sequence {
        None if entry.appends.is_empty() => {
            counters.add(&stats);
            let end = state
                .partitions
                .get(partition as usize)
                .map_or((0, 0), |partition| {
                    (partition.high_watermark(), partition.log_start_offset())
                });
            return Ok(Submitted::Nothing(Produced {
                base_offset: end.0,
                last_offset: end.0 - 1,
                duplicate: false,
                log_start_offset: end.1,
                records,
            }));
        }
        None => log.submit(target.shard, entry).await,
        Some((producer_id, epoch, base_sequence)) => {
            let sequence = Sequence {
                partition: target.partition,
                producer_id,
                epoch,
                base_sequence,
                records: sent,
            };
            log.submit_in_sequence(target.shard, entry, sequence).await
        }
    };
    Ok(Submitted::Entry {
        receipt: submitted.map_err(append_error)?,
        batches,
        records,
        tally: Some(Tally::new(counters, stats)),
    })
}

/// Letters that cannot be part of the entry are on disk before it: should the broker fail in between, they come again with the batch
/// that is sent again.
async fn send_letters(log: &Log, shard: u16, appends: Vec<Append>) -> Result<(), BrokerError> {
    let entry = Entry {
        appends,
        puts: Vec::new(),
        durability: Durability::Fsync,
    };
    let receipt = log.submit(shard, entry).await;
    let stored = receipt.map_err(append_error)?.await;
    stored.map(drop).map_err(append_error)
}
