use weir_batch::{BatchBuilder, iter_batches};
use weir_log::{LogConfig, Partition, PartitionConfig, Storage};

use super::*;

const FLOW: u32 = 7;
const TOPIC: u32 = 3;

fn log() -> Log {
    let config = LogConfig {
        shards: 3,
        free_space_min_bytes: 0,
        ..LogConfig::default()
    };
    Log::open(Storage::Memory, config).unwrap()
}

fn partitions(log: &Log) -> Vec<Partition> {
    let id = |index| PartitionId { topic: TOPIC, index };
    (0..3)
        .map(|index| {
            log.ensure_partition(id(index), PartitionConfig::default())
                .unwrap()
        })
        .collect()
}

/// A page with a record for each of the partitions.
fn page(log: &Log, indices: &[u32], cursor: &str) -> NewPage {
    let batches = indices.iter().map(|&index| {
        let mut builder = BatchBuilder::new();
        builder.push(1, None, Some(cursor.as_bytes()), &[]).unwrap();
        let partition = PartitionId { topic: TOPIC, index };
        OutBatch {
            shard: log.shard_of(partition),
            partition,
            records: 1,
            batch: BytesMut::from(builder.finish().unwrap().as_slice()),
        }
    });
    NewPage {
        batches: batches.collect(),
        records: indices.len() as u64,
        polled_ms: 11,
        cursor: cursor.as_bytes().to_vec(),
    }
}

fn read(log: &Log) -> Ledger {
    Ledger::read(log.clone(), FLOW, 0).unwrap()
}

/// How many records each partition has.
fn counts(partitions: &[Partition]) -> Vec<i64> {
    partitions.iter().map(Partition::high_watermark).collect()
}

fn everything_is_there(_: PartitionId) -> bool {
    true
}

#[tokio::test]
async fn a_page_moves_the_cursor_and_is_spread_over_the_shards() {
    let log = log();
    let partitions = partitions(&log);
    let mut ledger = read(&log);
    assert_eq!((ledger.cursor(), ledger.pages()), (None, 0));
    ledger.commit(page(&log, &[0, 1, 2], "a"), false).await.unwrap();
    ledger.commit(page(&log, &[1], "b"), false).await.unwrap();
    ledger.commit(page(&log, &[], "c"), false).await.unwrap();
    assert_eq!(counts(&partitions), [1, 2, 1]);
    let expected = Progress {
        pages: 3,
        records: 4,
        polled_ms: 11,
        cursor: b"c".to_vec(),
    };
    assert_eq!(ledger.progress(), Some(&expected));
    let mut again = read(&log);
    assert_eq!(again.progress(), Some(&expected));
    assert_eq!(again.settle(everything_is_there).await, Ok(0));
    assert_eq!(counts(&partitions), [1, 2, 1]);
    log.close();
}

#[tokio::test]
async fn a_page_that_was_stored_is_spread_once_however_often_that_is_tried() {
    let log = log();
    let partitions = partitions(&log);
    for (round, done_before) in [&[][..], &[0], &[2], &[0, 1, 2]].into_iter().enumerate() {
        let mut ledger = read(&log);
        ledger.settle(everything_is_there).await.unwrap();
        let cursor = round.to_string();
        ledger
            .store(page(&log, &[0, 1, 2], &cursor), false)
            .await
            .unwrap();
        // Some shards get theirs, then the broker is gone.
        ledger.pending.retain(|(id, _)| done_before.contains(&id.index));
        ledger.spread().await.unwrap();
        drop(ledger);

        for _ in 0..2 {
            let mut ledger = read(&log);
            assert_eq!(ledger.cursor(), Some(cursor.as_bytes()), "the page is there");
            ledger.settle(everything_is_there).await.unwrap();
        }
        assert_eq!(counts(&partitions), [round as i64 + 1; 3]);
    }
    let fetched = partitions[1].read(0, 1 << 20).unwrap();
    assert_eq!(iter_batches(&fetched.batches).count(), 4);
    log.close();
}

#[tokio::test]
async fn what_was_for_a_deleted_topic_is_left_out() {
    let log = log();
    let partitions = partitions(&log);
    let mut ledger = read(&log);
    ledger.store(page(&log, &[0, 1, 2], "a"), false).await.unwrap();
    let mut ledger = read(&log);
    assert_eq!(ledger.settle(|id| id.index == 2).await, Ok(1));
    // The home shard has one of the three already, with the cursor.
    assert_eq!(counts(&partitions).iter().sum::<i64>(), 2);
    assert_eq!(read(&log).settle(everything_is_there).await, Ok(0));
    log.close();
}

#[tokio::test]
async fn who_runs_the_same_flow_besides_is_fenced() {
    let log = log();
    let partitions = partitions(&log);
    let (mut one, mut other) = (read(&log), read(&log));
    one.commit(page(&log, &[0, 1], "a"), false).await.unwrap();
    let fenced = other.commit(page(&log, &[0, 1], "b"), false).await;
    assert_eq!(fenced, Err(AppendError::ExpectFailed));
    assert_eq!(counts(&partitions), [1, 1, 0]);
    one.clear().await.unwrap();
    one.commit(page(&log, &[2], "c"), false).await.unwrap();
    assert_eq!(counts(&partitions), [1, 1, 1]);
    log.close();
}

#[tokio::test]
async fn rows_of_another_kind_are_damage() {
    let log = log();
    let put = KvOp::Put {
        key: row::progress_key(FLOW),
        value: vec![1; 40],
    };
    let entry = Entry {
        appends: Vec::new(),
        puts: vec![put],
        durability: Durability::Fsync,
    };
    log.submit(1, entry).await.unwrap().await.unwrap();
    let damaged = Ledger::read(log.clone(), FLOW, 0);
    assert!(matches!(damaged, Err(LedgerError::Damaged)));
    log.close();
}
