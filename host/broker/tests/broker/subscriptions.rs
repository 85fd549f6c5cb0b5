//! Filters of subscriptions: what they keep, and what happens when they fail.

use bytes::{Bytes, BytesMut};
use weir_batch::{Batch, Codec, iter_batches};
use weir_broker::{Broker, ErrorKind, Filtered, Limits, RecordFilter, Storage};

use crate::support::{batch, batch_with, config, guest, no_config, pairs, populate, produce, timely, with};

/// Sets up json-filter for records whose `n` is below `n`.
async fn below(broker: &Broker, n: u32) -> RecordFilter {
    let n = n.to_string();
    let config = pairs(&[("field", "n"), ("op", "lt"), ("value", &n)]);
    broker.record_filter("json-filter", config).await.unwrap()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("{{\"n\":{n}}}")).collect()
}

/// What the filter makes of everything from `from` on in one read.
async fn apply(broker: &Broker, filter: &RecordFilter, from: i64) -> Filtered {
    let partition = broker.topic("a").unwrap().partition(0).unwrap();
    let fetched = partition.fetch(from, 1 << 20).await.unwrap();
    timely(filter.apply(&partition, fetched.batches, from, None))
        .await
        .unwrap()
}

/// Offsets and values, from batches that may have gaps.
fn records(batches: &Bytes) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for item in iter_batches(batches) {
        let (_, bytes) = item.unwrap();
        let batch = Batch::parse_sparse(bytes).unwrap();
        let mut scratch = Vec::new();
        let batch = batch.decompress(&mut scratch, 1 << 20).unwrap();
        for record in batch.records().unwrap() {
            let value = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
            found.push((record.offset(), value));
        }
    }
    found
}

#[tokio::test]
async fn offsets_stay_and_only_what_is_kept_comes() {
    for codec in [Codec::None, Codec::Zstd] {
        let broker = with(1, &[("a", 1)], &["json-filter"]).await;
        for from in [0, 10, 4, 20] {
            let values = numbers(from..from + 10);
            let batch = batch_with(codec, values.iter().map(|value| (None, value.as_bytes())));
            produce(&broker, "a", 0, batch).await;
        }
        let filter = below(&broker, 7).await;
        assert_eq!(filter.plugin(), "json-filter@1");
        let filtered = apply(&broker, &filter, 0).await;
        // Of the first batch 0 to 6 are kept, of the third, which begins with 4, those up to 6.
        let expected: Vec<_> = (0..7)
            .map(|n| (n, format!("{{\"n\":{n}}}")))
            .chain((0..3).map(|n| (20 + n, format!("{{\"n\":{}}}", n + 4))))
            .collect();
        assert_eq!(records(&filtered.batches), expected);
        assert_eq!((filtered.next_offset, filtered.covered), (40, Some(30)));
        assert!(filtered.failure.is_none());
        let ends: Vec<_> = iter_batches(&filtered.batches)
            .map(|item| item.unwrap().0.next_offset())
            .collect();
        assert_eq!(ends, [10, 30], "a batch ends where it did");
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn what_is_kept_whole_is_the_same_bytes_and_what_is_not_kept_at_all_is_not_there() {
    let broker = with(1, &[("a", 1)], &["json-filter"]).await;
    for n in 0..5 {
        let values = numbers(n * 10..n * 10 + 10);
        let batch = batch_with(Codec::Lz4, values.iter().map(|value| (None, value.as_bytes())));
        produce(&broker, "a", 0, batch).await;
    }
    let partition = broker.topic("a").unwrap().partition(0).unwrap();
    let stored = partition.fetch(0, 1 << 20).await.unwrap().batches;
    let all = apply(&broker, &below(&broker, 1_000).await, 0).await;
    assert_eq!(all.batches, stored);
    let none = apply(&broker, &below(&broker, 0).await, 0).await;
    assert_eq!(
        (none.batches.len(), none.next_offset, none.covered),
        (0, 50, None)
    );
    let first = apply(&broker, &below(&broker, 30).await, 0).await;
    assert_eq!(first.batches, stored.slice(..first.batches.len()));
    assert_eq!((records(&first.batches).len(), first.next_offset), (30, 50));
    // From within a batch, what comes before is not looked at.
    let rest = apply(&broker, &below(&broker, 18).await, 15).await;
    assert_eq!(
        records(&rest.batches)
            .iter()
            .map(|(offset, _)| *offset)
            .collect::<Vec<_>>(),
        [15, 16, 17]
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn a_filter_that_fails_says_where_and_what_comes_before_is_there() {
    let broker = with(1, &[("a", 1)], &["hostile-filter"]).await;
    let values = ["a", "b", "c", "bad", "d", "bad", "e"];
    produce(&broker, "a", 0, batch(&values)).await;
    for what in ["panic", "loop"] {
        let config = pairs(&[("do", what), ("at", "bad")]);
        let filter = broker.record_filter("hostile-filter", config).await.unwrap();
        let filtered = apply(&broker, &filter, 0).await;
        let failure = filtered.failure.unwrap();
        assert_eq!(failure.kind, ErrorKind::PluginFailed);
        assert_eq!((failure.partition, failure.offset), (Some(0), Some(3)));
        assert!(!failure.retriable());
        for part in ["hostile-filter@1", "a/0@3:"] {
            assert!(failure.message.contains(part), "{failure}");
        }
        let kept: Vec<_> = records(&filtered.batches)
            .into_iter()
            .map(|(offset, _)| offset)
            .collect();
        assert_eq!(
            (kept, filtered.next_offset, filtered.covered),
            (vec![0, 1, 2], 3, Some(3))
        );
        // Behind the record it goes on.
        let filtered = apply(&broker, &filter, 6).await;
        assert!(filtered.failure.is_none());
        assert_eq!(records(&filtered.batches).last().unwrap().0, 6);
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn what_cannot_filter_is_refused_at_once() {
    let broker = with(
        1,
        &[("a", 1)],
        &["json-filter", "identity", "hostile-filter", "dedup"],
    )
    .await;
    let refused = async |plugin: &str, config| broker.record_filter(plugin, config).await.unwrap_err();
    assert_eq!(
        refused("nothing", no_config()).await.kind,
        ErrorKind::UnknownPlugin
    );
    assert_eq!(
        refused("json-filter@7", no_config()).await.kind,
        ErrorKind::UnknownPlugin
    );
    assert_eq!(
        refused("json filter", no_config()).await.kind,
        ErrorKind::InvalidRequest
    );
    let keeper = refused("dedup", pairs(&[("ttl-ms", "1000")])).await;
    assert!(keeper.message.contains("keeps state"), "{keeper}");
    let transform = refused("identity", no_config()).await;
    assert_eq!(transform.kind, ErrorKind::InvalidRequest);
    assert!(
        transform.message.contains("identity@1 is a transform"),
        "{transform}"
    );
    let config = refused("json-filter", pairs(&[("op", "lt")])).await;
    assert_eq!(config.kind, ErrorKind::InvalidRequest);
    assert!(config.message.contains("field"), "{config}");
    let large = "x".repeat(1 << 20);
    let large = refused("json-filter", pairs(&[("field", &large)])).await;
    assert_eq!(large.kind, ErrorKind::InvalidRequest);
    broker.shutdown().await;
}

#[tokio::test]
async fn filtered_subscriptions_have_a_bound_and_give_their_place_back() {
    let mut config = config(Storage::Memory, 1);
    config.limits = Limits {
        filtered_subscriptions_max: 2,
        ..config.limits
    };
    let broker = Broker::open(config).await.unwrap();
    populate(&broker, &[("a", 1)], &[]).await;
    broker
        .upload_plugin("json-filter", &guest("json-filter"))
        .await
        .unwrap();
    let first = below(&broker, 1).await;
    let second = below(&broker, 1).await;
    let config = pairs(&[("field", "n"), ("op", "exists")]);
    let third = broker.record_filter("json-filter", config).await.unwrap_err();
    assert_eq!(third.kind, ErrorKind::LimitExceeded);
    drop(first);
    below(&broker, 1).await;
    broker.shutdown().await;
    let partition = broker.topic("a").unwrap().partition(0).unwrap();
    let after = second.apply(&partition, BytesMut::new().freeze(), 0, None).await;
    assert_eq!(after.unwrap_err().kind, ErrorKind::ShuttingDown);
}
