//! Windows on event time: what comes out is a function of the records, whatever becomes of the broker meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use weir_batch::BatchBuilder;
use weir_broker::{Broker, DataFolder, FlowSpec, OnError, Storage};

use crate::faults::FaultyVolume;
use crate::support::{TIME_0, config, pairs, populate, produce, values, wait_for_records, with};

const SOURCES: u32 = 3;

/// A batch with these times (after [`TIME_0`]) and keys.
fn timed(records: &[(i64, String)]) -> bytes::BytesMut {
    let mut builder = BatchBuilder::new();
    for (after_ms, key) in records {
        let value = format!("{key}@{after_ms}");
        builder
            .push(
                TIME_0 + after_ms,
                Some(key.as_bytes()),
                Some(value.as_bytes()),
                &[],
            )
            .unwrap();
    }
    bytes::BytesMut::from(bytes::Bytes::from(builder.finish().unwrap()))
}

/// What windows of 10 ms with a grace of 5 ms make of the records of one partition, given as `key@time`; and what is late.
fn model(records: &[String]) -> (Vec<String>, Vec<String>) {
    let mut open: BTreeMap<(i64, String), u64> = BTreeMap::new();
    let (mut counts, mut late) = (Vec::new(), Vec::new());
    let mut watermark = i64::MIN;
    for record in records {
        let (key, after_ms) = record.split_once('@').unwrap();
        let time = TIME_0 + after_ms.parse::<i64>().unwrap();
        watermark = watermark.max(time - 5);
        let end = time.div_euclid(10) * 10 + 10;
        if end > watermark {
            *open.entry((end, key.to_owned())).or_default() += 1;
        } else {
            late.push(record.clone());
        }
        while let Some(first) = open.first_entry()
            && first.key().0 <= watermark
        {
            let ((end, key), count) = first.remove_entry();
            let start = end - 10;
            counts.push(format!(
                "{{\"key\":\"{key}\",\"start\":{start},\"end\":{end},\"count\":{count}}}"
            ));
        }
    }
    (counts, late)
}

fn spec() -> FlowSpec {
    let mut spec = FlowSpec::new("f", "a", ["windowed-count"], ["counts", "late"]);
    spec.config = pairs(&[("window", "10ms"), ("grace", "5ms"), ("late", "late")]);
    spec
}

async fn on_volume(folder: &Path, volume: &Arc<FaultyVolume>) -> Broker {
    let data = DataFolder::open(folder).unwrap();
    let mut config = config(Storage::Folder(data), 3);
    config.log_storage = Some(weir_log::Storage::Volume(
        Arc::clone(volume) as Arc<dyn weir_log::volume::Volume>
    ));
    // Small passes, so that crashes come between many of them.
    config.limits.flow_pass_bytes_max = 1_000;
    Broker::open(config).await.unwrap()
}

/// Records that wander forward in time, some of them late. Keys are of one partition.
fn wandering(partition: u32, round: i64) -> bytes::BytesMut {
    let record = |n: i64| {
        let back = (round * 7 + n * n) % 23;
        (
            round * 9 + n - back,
            format!("{partition}-{}", (round + n * n) % 4),
        )
    };
    timed(&(0..12).map(record).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_fire_once_and_alike_over_crashes_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut volume = FaultyVolume::new();
    let mut round = 0;
    for crash in 0..25_i64 {
        let broker = on_volume(folder.path(), &volume).await;
        if crash == 0 {
            // Outputs go to other shards than the state, and keep the partition of their source.
            let topics = [("a", SOURCES), ("counts", SOURCES), ("late", SOURCES)];
            populate(&broker, &topics, &["windowed-count"]).await;
            broker.create_flow(spec()).await.unwrap();
        }
        // Early ones hit recovery, late ones the steady state.
        volume.crash_after(5 + crash * 37 % 400);
        'produce: loop {
            for partition in 0..SOURCES {
                let topic = broker.topic("a").unwrap();
                let stored = match topic.produce(partition, wandering(partition, round)).await {
                    Ok(ticket) => ticket.await.is_ok(),
                    Err(_) => false,
                };
                if !stored {
                    break 'produce;
                }
            }
            round += 1;
        }
        round += 1;
        broker.shutdown().await;
        drop(broker);
        volume = volume.after_crash();
    }
    let broker = on_volume(folder.path(), &volume).await;
    let (mut counts, mut late) = (Vec::new(), Vec::new());
    for partition in 0..SOURCES {
        let (of_counts, of_late) = model(&values(&broker, "a", partition).await);
        counts.extend(of_counts);
        late.extend(of_late);
    }
    assert!(
        counts.len() > 300 && late.len() > 50,
        "{} {}",
        counts.len(),
        late.len()
    );
    wait_for_records(&broker, "counts", counts.len() as i64).await;
    wait_for_records(&broker, "late", late.len() as i64).await;
    broker.pause_flow("f").await.unwrap();
    // By key, in the order in which they came out.
    let by_key = |all: &[String]| {
        let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for value in all {
            let key = value.split(['@', ',']).next().unwrap().to_owned();
            by_key.entry(key).or_default().push(value.clone());
        }
        by_key
    };
    for (topic, expected) in [("counts", counts), ("late", late)] {
        let mut found = Vec::new();
        for partition in 0..SOURCES {
            found.extend(values(&broker, topic, partition).await);
        }
        assert_eq!(by_key(&found), by_key(&expected), "{topic}");
    }
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_traps_moves_no_time() {
    let broker = with(
        2,
        &[("a", 1), ("counts", 1), ("late", 1)],
        &["windowed-count", "hostile-filter"],
    )
    .await;
    // What is late goes on to the filter, which traps at one of them: the windows have seen the whole batch by then.
    let mut spec = spec();
    spec.plugins = vec!["windowed-count".to_owned(), "hostile-filter".to_owned()];
    spec.on_error = OnError::Skip;
    spec.config = pairs(&[
        ("windowed-count.window", "10ms"),
        ("windowed-count.grace", "5ms"),
        ("windowed-count.late", "late"),
        ("hostile-filter.do", "panic"),
        ("hostile-filter.at", "poison"),
    ]);
    broker.create_flow(spec).await.unwrap();
    let records = |records: &[(i64, &str)]| {
        let owned = records.iter().map(|(at, key)| (*at, (*key).to_owned()));
        timed(&owned.collect::<Vec<_>>())
    };
    produce(
        &broker,
        "a",
        0,
        records(&[(0, "k"), (3, "k"), (4, "l"), (9, "k")]),
    )
    .await;
    let second = [
        (12, "k"),
        (26, "k"),
        (1, "poison"),
        (13, "k"),
        (22, "l"),
        (35, "k"),
    ];
    produce(&broker, "a", 0, records(&second)).await;
    wait_for_records(&broker, "counts", 5).await;
    let info = broker.pause_flow("f").await.unwrap();
    assert_eq!(info.partitions[0].skipped, 1);
    assert_eq!(values(&broker, "late", 0).await, ["k@13"]);
    let counted = values(&broker, "counts", 0).await;
    let window = |key: &str, from: i64, count: u64| {
        let (start, end) = (TIME_0 + from, TIME_0 + from + 10);
        format!("{{\"key\":\"{key}\",\"start\":{start},\"end\":{end},\"count\":{count}}}")
    };
    let expected = [
        window("k", 0, 3),
        window("l", 0, 1),
        window("k", 10, 1),
        window("k", 20, 1),
        window("l", 20, 1),
    ];
    assert_eq!(counted, expected);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_over_very_many_windows_fails_no_call() {
    const KEYS: i64 = 104_000;
    let broker = with(1, &[("a", 1), ("counts", 1), ("late", 1)], &["windowed-count"]).await;
    broker.create_flow(spec()).await.unwrap();
    let keys: Vec<_> = (0..KEYS).map(|n| (0, format!("{n:06}"))).collect();
    for chunk in keys.chunks(8_000) {
        produce(&broker, "a", 0, timed(chunk)).await;
    }
    // All of them are over with the first of these, more than one call may change.
    let later: Vec<_> = (0..10_000).map(|_| (86_400_000, "later".to_owned())).collect();
    for _ in 0..2 {
        produce(&broker, "a", 0, timed(&later)).await;
    }
    wait_for_records(&broker, "counts", KEYS).await;
    let info = broker.pause_flow("f").await.unwrap();
    let partition = &info.partitions[0];
    assert_eq!((partition.errors, partition.skipped), (0, 0), "{partition:?}");
    let counted = values(&broker, "counts", 0).await;
    assert_eq!(counted.len(), KEYS as usize);
    assert!(counted.is_sorted(), "by key, where ends are the same");
    broker.shutdown().await;
}
