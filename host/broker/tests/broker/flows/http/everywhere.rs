//! Outbound HTTP wherever plugins run: where a host can be granted, and where none can.

use weir_batch::Codec;
use weir_broker::Schedule;

use super::*;
use crate::support::with;

/// An ingest flow that keeps the records whose keys the host knows: all but those below `/missing`.
fn known_keys(web: &Web, folder: &str) -> FlowSpec {
    let url = format!("http://{}{folder}{{key}}", web.address);
    FlowSpec {
        config: pairs(&[("url", &url)]),
        allow_http: web.grant(),
        ..FlowSpec::ingest("i", ["known-key"], "g")
    }
}

fn keyed(keys: &[&str]) -> bytes::BytesMut {
    batch_with(Codec::None, keys.iter().map(|key| (Some(*key), key.as_bytes())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_on_ingest_may_ask_a_host_that_it_is_granted() {
    let web = Web::start();
    let broker = with(1, &[("g", 1)], &["known-key"]).await;
    let mut ungranted = known_keys(&web, "/");
    ungranted.allow_http.clear();
    let error = broker.create_flow(ungranted).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidFlow);
    assert!(
        error.message.contains("known-key@1") && error.message.contains("--allow-http"),
        "{error}"
    );
    broker.create_flow(known_keys(&web, "/")).await.unwrap();
    let topic = broker.topic("g").unwrap();
    let send = async |keys: &[&str]| {
        timely(topic.produce(0, keyed(keys)).await.unwrap())
            .await
            .unwrap()
    };
    let all = send(&["a", "b"]).await;
    assert_eq!((all.base_offset, all.records), (0, None));
    // The host does not know the second; the third is not even asked for.
    let some = send(&["c", "missing", "no/key", "d"]).await;
    assert_eq!((some.base_offset, some.last_offset), (2, 3));
    assert_eq!(values(&broker, "g", 0).await, ["a", "b", "c", "d"]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_ingest_a_slow_host_holds_up_no_other_topic_and_batches_stay_in_order() {
    let web = Web::start();
    let mut config = config(Storage::Memory, 1);
    config.limits.flow_threads = 1;
    config.runtime.http.timeout_ms = 60_000;
    config.runtime.http.call_timeout_ms = 60_000;
    let broker = Broker::open(config).await.unwrap();
    populate(
        &broker,
        &[("g", 1), ("other", 1)],
        &["known-key", "identity-filter"],
    )
    .await;
    broker.create_flow(known_keys(&web, "/slow/")).await.unwrap();
    let other = FlowSpec::ingest("o", ["identity-filter"], "other");
    broker.create_flow(other).await.unwrap();
    let topic = broker.topic("g").unwrap();
    let mut tickets = Vec::new();
    for n in 0..5 {
        tickets.push(topic.produce(0, keyed(&[&n.to_string()])).await.unwrap());
    }
    web.slow_requests(1).await;
    // With the only thread for guests.
    for n in 0..20 {
        let sent = broker.topic("other").unwrap().produce(0, keyed(&["x"])).await;
        assert_eq!(timely(sent.unwrap()).await.unwrap().base_offset, n);
    }
    web.release();
    for (n, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(timely(ticket).await.unwrap().base_offset, n as i64);
    }
    assert_eq!(values(&broker, "g", 0).await, ["0", "1", "2", "3", "4"]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_may_poll_a_host_that_it_is_granted() {
    let web = Web::start();
    let broker = with(1, &[("b", 1)], &["poll-http"]).await;
    let polling = |grant: Vec<String>| FlowSpec {
        config: pairs(&[("url", &format!("http://{}/lines/{{after}}", web.address))]),
        allow_http: grant,
        ..FlowSpec::producing("p", Schedule::EveryMs(1), "poll-http", ["b"])
    };
    let error = broker.create_flow(polling(Vec::new())).await.unwrap_err();
    assert!(error.message.contains("--allow-http"), "{error}");
    // What it is not granted, it does not get, and the reason can be seen.
    let elsewhere = Web::start();
    broker.create_flow(polling(elsewhere.grant())).await.unwrap();
    let waits = broker.wait_for_flow("p", |status| matches!(status, FlowStatus::Waiting { .. }));
    match timely(waits).await.unwrap() {
        FlowStatus::Waiting { reason } => assert!(reason.contains("is not among the hosts"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(values(&broker, "b", 0).await.is_empty());
    broker.delete_flow("p").await.unwrap();
    broker.create_flow(polling(web.grant())).await.unwrap();
    wait_for_records(&broker, "b", 3).await;
    assert_eq!(values(&broker, "b", 0).await, ["one", "two", "three"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_filter_of_a_subscription_is_granted_no_host() {
    let broker = with(1, &[("a", 1)], &["known-key"]).await;
    let config = pairs(&[("url", "http://127.0.0.1:1/{key}")]);
    let error = broker.record_filter("known-key", config).await.unwrap_err();
    for part in [
        "known-key@1",
        "calls out over HTTP",
        "a subscription is granted no host",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
    broker.shutdown().await;
}
