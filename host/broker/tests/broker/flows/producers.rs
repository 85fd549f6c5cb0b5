//! Producer flows: what they write, when they stop, and that no page is lost or stored twice.

mod refusals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_broker::{
    Broker, BrokerConfig, ErrorKind, FlowProducingInfo, FlowSpec, FlowStatus, Schedule, Storage,
};

use super::exactly_once::on_volume;
use super::{numbers, spec};
use crate::faults::FaultyVolume;
use crate::support::{
    all_values, batch, config, on_folder, pairs, paused, populate, produce, running, timely,
    wait_for_records, with,
};

const EVERY: Schedule = Schedule::EveryMs(1);

/// The producer `plugin`, as a flow `p` into `b`.
fn producing(plugin: &str, settings: &[(&str, &str)]) -> FlowSpec {
    FlowSpec {
        config: pairs(settings),
        ..FlowSpec::producing("p", EVERY, plugin, ["b"])
    }
}

/// The numbers below `end`, as text in order, as [`all_values`] has them.
fn sorted(end: u32) -> Vec<String> {
    let mut all = numbers(0..end);
    all.sort();
    all
}

async fn info(broker: &Broker, flow: &str) -> FlowProducingInfo {
    let flow = broker.describe_flow(flow).await.unwrap();
    assert!(flow.partitions.is_empty());
    flow.producing.expect("a flow with a schedule")
}

/// Waits until the flow's progress is as `wanted`.
async fn reached(
    broker: &Broker,
    flow: &str,
    wanted: impl Fn(&FlowProducingInfo) -> bool,
) -> FlowProducingInfo {
    let look = async {
        loop {
            let info = info(broker, flow).await;
            if wanted(&info) {
                return info;
            }
            tokio::task::yield_now().await;
        }
    };
    timely(look).await
}

/// A broker that gives up a producer after three failures, so that tests need not wait long.
async fn impatient(topics: &[(&str, u32)], guests: &[&str]) -> Broker {
    let mut config: BrokerConfig = config(Storage::Memory, 3);
    config.limits.flow_retries_max = 3;
    let broker = Broker::open(config).await.unwrap();
    populate(&broker, topics, guests).await;
    broker
}

#[tokio::test]
async fn a_producer_is_polled_and_its_records_go_round_the_partitions() {
    let broker = with(3, &[("b", 3)], &["ticker"]).await;
    let made = broker
        .create_flow(producing("ticker", &[("limit", "95"), ("per-poll", "10")]))
        .await
        .unwrap();
    assert_eq!(made.spec.plugins, ["ticker@1"]);
    assert_eq!(made.spec.schedule, Some(EVERY));
    wait_for_records(&broker, "b", 95).await;
    let seen = reached(&broker, "p", |info| {
        info.pages == 10 && info.next_poll_ms.is_some()
    })
    .await;
    assert_eq!((seen.records, seen.cursor.as_deref()), (95, Some("95")));
    assert_eq!((seen.failed, seen.refused, seen.errors), (0, 0, 0));
    assert!(seen.polls >= 10 && seen.guest_ns > 0 && seen.last_poll_ms > Some(1_700_000_000_000));
    assert_eq!(all_values(&broker, "b").await, sorted(95));
    let topic = broker.topic("b").unwrap();
    let spread: Vec<i64> = (0..3)
        .map(|index| topic.partition(index).unwrap().high_watermark())
        .collect();
    assert_eq!(spread, [35, 30, 30], "without a key, page by page");
    running(&broker, "p").await;
    let listed = broker.list_flows().await.unwrap();
    assert_eq!(listed[0].producing.as_ref().unwrap().records, 95);
    broker.shutdown().await;
}

#[tokio::test]
async fn keys_decide_the_partition_and_records_get_the_time_of_the_poll() {
    let broker = with(2, &[("b", 4)], &["ticker"]).await;
    broker
        .create_flow(producing("ticker", &[("limit", "64"), ("prefix", "key-")]))
        .await
        .unwrap();
    wait_for_records(&broker, "b", 64).await;
    let at_ms = reached(&broker, "p", |info| info.pages == 1)
        .await
        .last_poll_ms
        .unwrap();
    let topic = broker.topic("b").unwrap();
    let mut seen = 0;
    for index in 0..4 {
        let fetched = topic.partition(index).unwrap().fetch(0, 1 << 20).await.unwrap();
        for item in weir_batch::iter_batches(&fetched.batches) {
            let batch = weir_batch::Batch::parse(item.unwrap().1).unwrap();
            for record in batch.records().unwrap() {
                let key = record.key().unwrap();
                assert_eq!(weir_batch::partition_for_key(key, 4), index);
                assert!(
                    (at_ms - record.timestamp()).abs() < 60_000,
                    "{}",
                    record.timestamp()
                );
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 64);
    broker.shutdown().await;
}

#[tokio::test]
async fn it_pauses_resumes_and_begins_anew_when_it_is_created_anew() {
    let broker = with(3, &[("b", 2)], &["ticker"]).await;
    let endless = || producing("ticker", &[("per-poll", "3"), ("prefix", "k")]);
    broker.create_flow(endless()).await.unwrap();
    wait_for_records(&broker, "b", 9).await;
    let stopped = broker.pause_flow("p").await.unwrap().producing.unwrap();
    assert_eq!(stopped.next_poll_ms, None);
    let count = all_values(&broker, "b").await.len();
    assert_eq!(count as u64, stopped.records);
    broker.resume_flow("p").await.unwrap();
    wait_for_records(&broker, "b", count as i64 + 6).await;
    broker.pause_flow("p").await.unwrap();
    let after = all_values(&broker, "b").await;
    assert_eq!(after, sorted(after.len() as u32));
    broker.delete_flow("p").await.unwrap();
    broker.create_flow(endless()).await.unwrap();
    wait_for_records(&broker, "b", after.len() as i64 + 3).await;
    let anew = all_values(&broker, "b").await;
    let first = numbers(0..1).remove(0);
    assert_eq!(anew.iter().filter(|value| **value == first).count(), 2);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_is_lost_or_stored_twice_over_restarts_and_growing_sinks() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = 0;
    for restart in 0..6 {
        let broker = on_folder(folder.path(), 3).await;
        if restart == 0 {
            populate(&broker, &[("b", 1)], &["ticker"]).await;
            let spec = producing("ticker", &[("per-poll", "7"), ("prefix", "k")]);
            broker.create_flow(spec).await.unwrap();
        } else {
            assert!(info(&broker, "p").await.records >= records);
            let grown = broker.alter_topic("b", Default::default(), Some(1 + restart));
            grown.await.unwrap();
        }
        let count = all_values(&broker, "b").await.len() as i64;
        wait_for_records(&broker, "b", count + 40).await;
        if restart == 4 {
            broker.pause_flow("p").await.unwrap();
        }
        records = info(&broker, "p").await.records;
        broker.shutdown().await;
        drop(broker);
        if restart == 4 {
            let broker = on_folder(folder.path(), 3).await;
            let stored = info(&broker, "p").await;
            assert_eq!((stored.polls, stored.next_poll_ms), (0, None), "it stays paused");
            assert_eq!(stored.records, all_values(&broker, "b").await.len() as u64);
            broker.resume_flow("p").await.unwrap();
            broker.shutdown().await;
        }
    }
}

/// Whatever the write at which everything stops: the topic has a page whole or not at all, and the cursor with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_is_lost_or_stored_twice_over_crashes_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut volume = FaultyVolume::new();
    for crash in 0..40_i64 {
        let broker = on_volume(folder.path(), &volume).await;
        if crash == 0 {
            populate(&broker, &[("b", 5)], &["ticker"]).await;
            // Keys spread each page over all shards; every third number of pages is one for the home shard alone.
            let spec = producing("ticker", &[("per-poll", "5"), ("prefix", "k")]);
            broker.create_flow(spec).await.unwrap();
        }
        volume.crash_after(3 + crash * 37 % 230);
        let waits = |status: &FlowStatus| {
            assert!(!matches!(status, FlowStatus::Paused(_)), "{status:?}");
            matches!(status, FlowStatus::Waiting { .. })
        };
        timely(broker.wait_for_flow("p", waits)).await.unwrap();
        broker.shutdown().await;
        drop(broker);
        volume = volume.after_crash();
    }
    let broker = on_volume(folder.path(), &volume).await;
    let stored = all_values(&broker, "b").await.len() as i64;
    wait_for_records(&broker, "b", stored + 20).await;
    broker.pause_flow("p").await.unwrap();
    let values = all_values(&broker, "b").await;
    assert!(values.len() > 400, "{} records came through", values.len());
    assert_eq!(values, sorted(values.len() as u32));
    assert_eq!(info(&broker, "p").await.records, values.len() as u64);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_plugin_that_has_nothing_is_asked_again_more_and_more_slowly() {
    let broker = impatient(&[("b", 1)], &["hostile-producer"]).await;
    let began = Instant::now();
    broker
        .create_flow(producing("hostile-producer", &[("do", "refuse"), ("n", "5")]))
        .await
        .unwrap();
    let waits = |status: &FlowStatus| matches!(status, FlowStatus::Waiting { .. });
    let status = timely(broker.wait_for_flow("p", waits)).await.unwrap();
    let FlowStatus::Waiting { reason } = status else {
        panic!("{status:?}")
    };
    assert_eq!(reason, "the plugin has nothing to give: xxxxx");
    // More than the failures after which a flow pauses, with waits of 50, 100, 200 and 400 ms between them.
    let seen = reached(&broker, "p", |info| info.refused == 5).await;
    assert!(began.elapsed() >= Duration::from_millis(750));
    assert_eq!((seen.pages, seen.failed, seen.records), (0, 0, 0));
    assert_eq!(seen.calls.faults.refused, 5);
    assert!(seen.calls.count >= 5 && seen.calls.max_ns >= seen.calls.p50_ns);
    let flow = broker.describe_flow("p").await.unwrap();
    assert!(flow.guests[0].memory_bytes_peak > 0 && flow.guests[0].plugin == "hostile-producer");
    assert!(
        matches!(flow.status, FlowStatus::Waiting { .. }),
        "{:?}",
        flow.status
    );
    assert!(flow.log.iter().any(|line| line.contains("xxxxx")));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_plugin_that_goes_on_failing_pauses_its_own_flow_with_the_reason() {
    let cases: [(&str, &str, &str); 8] = [
        ("panic", "1", "told to panic"),
        ("loop", "1", "longer than"),
        ("records", "1", "10001"),
        ("bytes", "2000000", "bytes"),
        ("cursor", "70000", "cursor"),
        ("dead-letter", "1", "records only"),
        ("source", "1", "malformed"),
        ("truncated", "1", "malformed"),
    ];
    for (deed, n, words) in cases {
        let broker = impatient(&[("b", 3), ("a", 1), ("c", 1)], &["hostile-producer", "identity"]).await;
        let other = FlowSpec {
            to: vec!["c".to_owned()],
            ..spec(&["identity"])
        };
        broker.create_flow(other).await.unwrap();
        let made = broker.create_flow(producing("hostile-producer", &[("do", deed), ("n", n)]));
        made.await.unwrap();
        produce(&broker, "a", 0, batch(&["x"])).await;
        wait_for_records(&broker, "c", 1).await;
        let pause = paused(&broker, "p").await;
        assert!(!pause.requested);
        assert!(
            pause.reason.starts_with("3 polls failed one after the other"),
            "{}",
            pause.reason
        );
        assert!(pause.reason.contains(words), "{deed}: {}", pause.reason);
        let seen = info(&broker, "p").await;
        assert_eq!(
            (seen.failed, seen.pages, seen.next_poll_ms),
            (3, 0, None),
            "{deed}"
        );
        assert!(all_values(&broker, "b").await.is_empty());
        running(&broker, "f").await;
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_record_that_no_topic_takes_pauses_the_flow() {
    let broker = impatient(&[], &["hostile-producer"]).await;
    let small = pairs(&[("max.message.bytes", "1000")]);
    broker.create_topic("b", 1, small).await.unwrap();
    let made = broker.create_flow(producing("hostile-producer", &[("do", "bytes"), ("n", "2000")]));
    made.await.unwrap();
    let pause = paused(&broker, "p").await;
    assert!(pause.reason.contains("max.message.bytes"), "{}", pause.reason);
    let larger = broker.alter_topic("b", pairs(&[("max.message.bytes", "4000")]), None);
    larger.await.unwrap();
    broker.resume_flow("p").await.unwrap();
    wait_for_records(&broker, "b", 2).await;
    broker.shutdown().await;
}

#[tokio::test]
async fn a_producer_that_never_stops_leaves_others_their_turn() {
    let broker = with(2, &[("b", 2), ("a", 1), ("c", 1)], &["ticker", "identity"]).await;
    let flood = producing("ticker", &[("per-poll", "4000000000")]);
    broker.create_flow(flood).await.unwrap();
    let other = FlowSpec {
        to: vec!["c".to_owned()],
        ..spec(&["identity"])
    };
    broker.create_flow(other).await.unwrap();
    for n in 0..20 {
        produce(&broker, "a", 0, batch(&["x"])).await;
        wait_for_records(&broker, "c", n + 1).await;
    }
    let seen = broker.pause_flow("p").await.unwrap().producing.unwrap();
    assert!(seen.pages > 0 && seen.records <= seen.pages * 10_000, "{seen:?}");
    broker.shutdown().await;
}

#[tokio::test]
async fn it_pauses_without_its_topic_and_goes_on_with_a_new_one() {
    let broker = with(3, &[("b", 3), ("c", 2)], &["ticker"]).await;
    let two = FlowSpec {
        to: vec!["b".to_owned(), "c".to_owned()],
        ..producing("ticker", &[("prefix", "k"), ("per-poll", "4")])
    };
    broker.create_flow(two).await.unwrap();
    wait_for_records(&broker, "b", 12).await;
    broker.delete_topic("b").await.unwrap();
    let pause = paused(&broker, "p").await;
    assert!(pause.reason.contains("'b' was deleted"), "{}", pause.reason);
    let before = info(&broker, "p").await.records;
    assert_eq!(
        broker.resume_flow("p").await.unwrap_err().kind,
        ErrorKind::InvalidFlow
    );
    populate(&broker, &[("b", 2)], &[]).await;
    broker.resume_flow("p").await.unwrap();
    wait_for_records(&broker, "b", 40).await;
    broker.pause_flow("p").await.unwrap();
    let after = info(&broker, "p").await.records;
    let values = all_values(&broker, "b").await;
    let mut expected = numbers(before as u32..after as u32);
    expected.sort();
    // What was being spread when the topic went may be there as well: it is of the page before.
    let new: Vec<_> = values
        .into_iter()
        .filter(|value| expected.contains(value))
        .collect();
    assert_eq!(new, expected);
    broker.shutdown().await;
}

#[tokio::test]
async fn it_waits_while_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let volume: Arc<FaultyVolume> = FaultyVolume::new();
    let broker = on_volume(folder.path(), &volume).await;
    populate(&broker, &[("b", 3)], &["ticker"]).await;
    volume.set_full(true);
    broker
        .create_flow(producing("ticker", &[("prefix", "k"), ("limit", "1000")]))
        .await
        .unwrap();
    let waits = |status: &FlowStatus| matches!(status, FlowStatus::Waiting { .. });
    let status = timely(broker.wait_for_flow("p", waits)).await.unwrap();
    assert!(format!("{status:?}").contains("no room"), "{status:?}");
    volume.set_full(false);
    wait_for_records(&broker, "b", 1000).await;
    assert_eq!(all_values(&broker, "b").await, sorted(1000));
    running(&broker, "p").await;
    broker.shutdown().await;
}
