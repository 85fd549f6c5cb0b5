//! A producer with an id may send again what it is not sure of.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::*;
use weir_log::{
    AppendError, Appended, Committed, Durability, Entry, KvOp, Log, LogConfig, PartitionId, Sequence, Storage,
};

fn duplicate(base_offset: i64, last_offset: i64) -> Appended {
    Appended {
        base_offset,
        last_offset,
        duplicate: true,
        log_start_offset: 0,
    }
}

#[test]
fn a_repeat_is_answered_with_its_first_place() {
    let log = Log::open(Storage::Memory, small()).unwrap();
    let partition = partition(&log, P);
    assert_eq!(append(&log, P, sequenced(7, 0, 0, 3)).unwrap().base_offset, 0);
    assert_eq!(append(&log, P, batch(["other"])).unwrap().base_offset, 3);
    assert_eq!(append(&log, P, sequenced(7, 0, 3, 2)).unwrap().base_offset, 4);

    assert_eq!(append(&log, P, sequenced(7, 0, 0, 3)), Ok(duplicate(0, 2)));
    assert_eq!(append(&log, P, sequenced(7, 0, 3, 2)), Ok(duplicate(4, 5)));
    assert_eq!(
        append(&log, P, sequenced(7, 0, 6, 1)),
        Err(AppendError::OutOfOrderSequence {
            expected: 5,
            found: 6
        })
    );
    assert_eq!(append(&log, P, sequenced(7, 1, 0, 1)).unwrap().base_offset, 6);
    assert_eq!(
        append(&log, P, sequenced(7, 0, 5, 1)),
        Err(AppendError::InvalidProducerEpoch { current: 1, found: 0 })
    );
    // Another partition is another sequence.
    let _other = common::partition(&log, Q);
    assert_eq!(append(&log, Q, sequenced(7, 1, 0, 1)).unwrap().base_offset, 0);
    assert_eq!(partition.high_watermark(), 7);
}

#[test]
fn repeats_within_one_group_and_one_entry_are_noticed() {
    let log = Log::open(Storage::Memory, small()).unwrap();
    let partition = partition(&log, P);
    // Submitted without waiting, so that most of them share a group.
    let receipts: Vec<_> = (0..200)
        .map(|i| submit(&log, P, sequenced(1, 0, i / 2 * 2, 2)))
        .collect();
    for (i, receipt) in receipts.into_iter().enumerate() {
        let appended = receipt.wait().unwrap().appends[0];
        assert_eq!(
            (appended.base_offset, appended.duplicate),
            (i as i64 / 2 * 2, i % 2 == 1)
        );
    }
    let both = entry([
        (P, sequenced(2, 0, 0, 2)),
        (P, sequenced(2, 0, 0, 2)),
        (P, sequenced(2, 0, 2, 1)),
    ]);
    let places: Vec<_> = write(&log, both)
        .unwrap()
        .appends
        .iter()
        .map(|a| (a.base_offset, a.duplicate))
        .collect();
    assert_eq!(places, [(200, false), (200, true), (202, false)]);
    assert_eq!(values(&partition).len(), 203);
}

#[test]
fn an_entry_is_refused_as_a_whole() {
    let log = Log::open(Storage::Memory, small()).unwrap();
    let (first, second) = (partition(&log, P), partition(&log, Q));
    let mut bad = entry([(P, sequenced(1, 0, 0, 2)), (Q, sequenced(1, 0, 5, 2))]);
    bad.puts.push(KvOp::Put {
        key: b"k".to_vec(),
        value: b"v".to_vec(),
    });
    assert!(matches!(
        write(&log, bad),
        Err(AppendError::OutOfOrderSequence {
            expected: 0,
            found: 5
        })
    ));
    let unknown = entry([
        (P, batch(["x"])),
        (weir_log::PartitionId { topic: 9, index: 0 }, batch(["x"])),
    ]);
    assert_eq!(write(&log, unknown), Err(AppendError::UnknownPartition));
    let mut cut = batch(["x"]);
    cut.truncate(cut.len() - 1);
    assert!(matches!(
        append(&log, P, cut),
        Err(AppendError::InvalidBatch { .. })
    ));

    assert_eq!((first.high_watermark(), second.high_watermark()), (0, 0));
    assert_eq!(log.kv_read(0, b"k").unwrap(), None);
    // What was refused has left no trace in the sequence either.
    assert!(append(&log, P, sequenced(1, 0, 0, 2)).is_ok());
}

#[test]
fn expectations_see_everything_before_them() {
    let log = Log::open(Storage::Memory, small()).unwrap();
    let _partition = partition(&log, P);
    let step = |from: Option<u8>, to: u8| {
        let mut entry = entry([(P, batch(["x"]))]);
        entry.puts.push(KvOp::Expect {
            key: b"cursor".to_vec(),
            value: from.map(|from| vec![from]),
        });
        entry.puts.push(KvOp::Put {
            key: b"cursor".to_vec(),
            value: vec![to],
        });
        log.submit_blocking(0, entry).unwrap()
    };
    let receipts: Vec<_> = (0..100).map(|i: u8| step(i.checked_sub(1), i)).collect();
    for receipt in receipts {
        receipt.wait().unwrap();
    }
    assert_eq!(step(Some(98), 99).wait(), Err(AppendError::ExpectFailed));
    assert_eq!(step(None, 0).wait(), Err(AppendError::ExpectFailed));
    assert_eq!(log.kv_read(0, b"cursor").unwrap(), Some(vec![99]));
    log.roll().unwrap();
    log.reclaim_now().unwrap();
    assert!(step(Some(99), 100).wait().is_ok());
}

#[test]
fn sequences_survive_restarts_and_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Log::open(Storage::Folder(folder.path().to_owned()), small()).unwrap();
    for round in 0..5 {
        let log = open();
        let _partition = partition(&log, P);
        if round > 0 {
            let last = append(&log, P, sequenced(3, 0, round * 2 - 2, 2)).unwrap();
            assert_eq!(
                last,
                duplicate(i64::from(round) * 2 - 2, i64::from(round) * 2 - 1)
            );
        }
        assert!(!append(&log, P, sequenced(3, 0, round * 2, 2)).unwrap().duplicate);
        if round % 2 == 0 {
            log.roll().unwrap();
            log.reclaim_now().unwrap();
        }
    }
}

#[test]
fn the_producer_silent_longest_is_forgotten_first() {
    let log = Log::open(
        Storage::Memory,
        LogConfig {
            producers_max: 3,
            ..small()
        },
    )
    .unwrap();
    let _partition = partition(&log, P);
    // Producer 1 writes again, so 2 is the oldest when 4 comes.
    for (producer, sequence) in [(1, 0), (2, 0), (3, 0), (1, 1), (4, 0)] {
        append(&log, P, sequenced(producer, 0, sequence, 1)).unwrap();
    }
    let unknown = AppendError::OutOfOrderSequence {
        expected: 0,
        found: 1,
    };
    assert_eq!(append(&log, P, sequenced(2, 0, 1, 1)), Err(unknown));
    assert!(append(&log, P, sequenced(3, 0, 1, 1)).is_ok());
    assert!(append(&log, P, sequenced(1, 0, 2, 1)).is_ok());
}

#[test]
fn relaxed_entries_reach_the_disk_without_being_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(Storage::Folder(folder.path().to_owned()), small()).unwrap();
    let partition = partition(&log, P);
    for i in 0..50 {
        let mut entry = entry([(P, batch([format!("{i}")]))]);
        entry.durability = Durability::Relaxed;
        write(&log, entry).unwrap();
    }
    assert_eq!(values(&partition).len(), 50);
    let groups = log.stats().shards[0].groups;
    // The flush is an event of the writer's: it shows in the number of syncs.
    while log.stats().shards[0].syncs == 0 {
        std::thread::yield_now();
    }
    assert!(log.stats().shards[0].syncs < groups);
    drop(log);
    let log = Log::open(Storage::Folder(folder.path().to_owned()), small()).unwrap();
    assert_eq!(values(&common::partition(&log, P)).len(), 50);
}

/// Writes what is stored of `records` records that producer 5 has sent.
fn stored_instead(
    log: &Log,
    base_sequence: i32,
    records: u32,
    batches: impl IntoIterator<Item = (PartitionId, bytes::BytesMut)>,
) -> Result<Committed, AppendError> {
    let sequence = Sequence {
        partition: P,
        producer_id: 5,
        epoch: 0,
        base_sequence,
        records,
    };
    let entry = Entry {
        puts: vec![KvOp::Put {
            key: b"last".to_vec(),
            value: base_sequence.to_be_bytes().to_vec(),
        }],
        ..entry(batches)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let receipt = runtime.block_on(log.submit_in_sequence(log.shard_of(P), entry, sequence));
    receipt?.wait()
}

#[test]
fn what_is_stored_otherwise_than_it_was_sent_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Log::open(Storage::Folder(folder.path().to_owned()), small()).unwrap();
    let places = |committed: Result<Committed, AppendError>| {
        let sequence = committed.unwrap().sequence.unwrap();
        (sequence.base_offset, sequence.last_offset, sequence.duplicate)
    };
    let mut log = open();
    let _partition = partition(&log, P);
    // Ten were sent as they are, then ten of which two are stored, ten of which nothing is, ten that became twelve.
    assert_eq!(append(&log, P, sequenced(5, 0, 0, 10)).unwrap().base_offset, 0);
    assert_eq!(
        places(stored_instead(&log, 10, 10, [(P, batch(["a", "b"]))])),
        (10, 11, false)
    );
    assert_eq!(places(stored_instead(&log, 20, 10, [])), (12, 11, false));
    let twelve = [(P, batch(["c"; 6])), (P, batch(["d"; 6]))];
    assert_eq!(places(stored_instead(&log, 30, 10, twelve)), (12, 23, false));
    for round in 0..3 {
        let repeat = |base, records| places(stored_instead(&log, base, records, [(P, batch(["never"]))]));
        assert_eq!(repeat(10, 10), (10, 9, true), "round {round}");
        assert_eq!(repeat(20, 10), (12, 11, true));
        assert_eq!(repeat(30, 10), (12, 11, true));
        assert_eq!(
            repeat(0, 10),
            (0, -1, true),
            "also what was stored as it was sent"
        );
        assert_eq!(
            append(&log, P, sequenced(5, 0, 10, 10)).unwrap(),
            duplicate(10, 19)
        );
        assert!(matches!(
            stored_instead(&log, 41, 1, []),
            Err(AppendError::OutOfOrderSequence {
                expected: 40,
                found: 41
            })
        ));
        assert_eq!(
            log.kv_read(log.shard_of(P), b"last").unwrap(),
            Some(30_i32.to_be_bytes().to_vec())
        );
        if round == 1 {
            log.roll().unwrap();
            log.reclaim_now().unwrap();
        }
        drop(log);
        log = open();
    }
    let partition = partition(&log, P);
    assert_eq!(partition.high_watermark(), 24, "no repeat was written");
    // As it is sent again: the sequence goes on.
    assert_eq!(append(&log, P, sequenced(5, 0, 40, 1)).unwrap().base_offset, 24);
}

#[test]
fn repeats_of_what_is_stored_otherwise_are_noticed_within_one_group() {
    let log = Log::open(Storage::Memory, small()).unwrap();
    let partition = partition(&log, P);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let receipts: Vec<_> = (0..200)
        .map(|i| {
            let sequence = Sequence {
                partition: P,
                producer_id: 5,
                epoch: 0,
                base_sequence: i / 2 * 3,
                records: 3,
            };
            let submitted = log.submit_in_sequence(0, entry([(P, batch(["x"]))]), sequence);
            runtime.block_on(submitted).unwrap()
        })
        .collect();
    for (i, receipt) in receipts.into_iter().enumerate() {
        let sequence = receipt.wait().unwrap().sequence.unwrap();
        assert_eq!(
            (sequence.base_offset, sequence.duplicate),
            (i as i64 / 2, i % 2 == 1)
        );
    }
    assert_eq!(partition.high_watermark(), 100);
}
