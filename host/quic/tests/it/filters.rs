//! Subscriptions with a filter, as they look on the wire.

use std::collections::BTreeMap;

use weir_batch::{Batch, iter_batches};
use weir_protocol::{
    ErrorCode, FrameKind, OpenSubscribe, RecordsHeader, SubscribeProgress, SubscriptionFilter, WireError,
};

use crate::peer::{Server, Stream, batch_of, open_subscribe};

async fn filtering() -> Server {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    for plugin in ["json-filter", "hostile-filter"] {
        let bytes = weir_plugins::component(plugin).unwrap();
        server.broker.upload_plugin(plugin, bytes).await.unwrap();
    }
    server
}

fn filter(plugin: &str, config: &[(&str, &str)]) -> OpenSubscribe {
    let config: BTreeMap<_, _> = config
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    OpenSubscribe {
        filter: Some(SubscriptionFilter {
            plugin: plugin.to_owned(),
            config,
        }),
        ..open_subscribe("t")
    }
}

/// Produces a batch whose records have these values of `n`.
async fn produce(server: &Server, numbers: &[u32]) {
    let (mut stream, _) = server.connect().await.produce("t").await;
    let batch = batch_of(numbers.len(), |index| {
        format!("{{\"n\":{}}}", numbers[index]).into_bytes()
    });
    stream.send_batch(0, &batch).await;
    assert_eq!(stream.ack().await.error, None);
}

enum Heard {
    Offsets(Vec<i64>),
    Progress(i64),
}

async fn hear(stream: &mut Stream) -> Heard {
    let frame = stream.frame().await.expect("the stream goes on");
    if frame.kind() == FrameKind::SubscribeProgress {
        return Heard::Progress(frame.message::<SubscribeProgress>().unwrap().next_offset);
    }
    assert_eq!(
        frame.kind(),
        FrameKind::Records,
        "{:?}",
        frame.message::<WireError>()
    );
    RecordsHeader::decode(&frame.body).unwrap();
    let mut offsets = Vec::new();
    for item in iter_batches(&frame.body[weir_protocol::RECORDS_HEADER_LEN..]) {
        let batch = Batch::parse_sparse(item.unwrap().1).unwrap();
        offsets.extend(batch.records().unwrap().map(|record| record.offset()));
    }
    Heard::Offsets(offsets)
}

#[tokio::test]
async fn what_is_left_out_is_told_and_not_sent() {
    let server = filtering().await;
    produce(&server, &[1, 2, 3]).await;
    let peer = server.connect().await;
    let open = filter("json-filter", &[("field", "n"), ("op", "lt"), ("value", "10")]);
    let (mut stream, opened) = peer.subscribe(&open).await;
    assert_eq!(opened.filter.as_deref(), Some("json-filter@1"));
    assert!(matches!(hear(&mut stream).await, Heard::Offsets(offsets) if offsets == [0, 1, 2]));
    produce(&server, &[100, 200]).await;
    assert!(matches!(hear(&mut stream).await, Heard::Progress(5)));
    produce(&server, &[4, 300, 5, 400]).await;
    assert!(matches!(hear(&mut stream).await, Heard::Offsets(offsets) if offsets == [5, 7]));
    produce(&server, &[500]).await;
    assert!(matches!(hear(&mut stream).await, Heard::Progress(10)));
}

#[tokio::test]
async fn batches_left_out_behind_others_are_told_with_them() {
    let server = filtering().await;
    for numbers in [[1, 2], [100, 200]] {
        produce(&server, &numbers).await;
    }
    let peer = server.connect().await;
    let open = filter("json-filter", &[("field", "n"), ("op", "lt"), ("value", "10")]);
    let (mut stream, _) = peer.subscribe(&open).await;
    assert!(matches!(hear(&mut stream).await, Heard::Offsets(offsets) if offsets == [0, 1]));
    assert!(matches!(hear(&mut stream).await, Heard::Progress(4)));
}

#[tokio::test]
async fn a_filter_that_fails_is_the_last_word_and_the_connection_goes_on() {
    let server = filtering().await;
    produce(&server, &[1, 2, 3]).await;
    let peer = server.connect().await;
    let open = filter("hostile-filter", &[("do", "panic"), ("at", "2")]);
    let (mut stream, _) = peer.subscribe(&open).await;
    assert!(matches!(hear(&mut stream).await, Heard::Offsets(offsets) if offsets == [0]));
    let error = stream.last_error().await;
    assert_eq!(error.error_code(), Some(ErrorCode::PluginFailed), "{error}");
    assert_eq!(error.partition, None, "it is the subscription that ends");
    assert!(error.message.contains("fails at t/0@1:"), "{error}");
    peer.assert_served().await;
}

#[tokio::test]
async fn a_filter_that_cannot_be_is_refused_when_the_stream_is_opened() {
    let server = filtering().await;
    let peer = server.connect().await;
    for (plugin, code) in [
        ("nothing", ErrorCode::UnknownPlugin),
        ("json-filter", ErrorCode::InvalidRequest),
        ("no name", ErrorCode::InvalidRequest),
    ] {
        let mut stream = peer.stream().await;
        stream.say(&filter(plugin, &[])).await;
        let error = stream.last_error().await;
        assert_eq!(error.error_code(), Some(code), "{error}");
    }
}
