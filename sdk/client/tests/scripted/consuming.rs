//! What a consumer makes of what it is sent.
#![allow(clippy::unwrap_used, reason = "a test's own code")]

use std::pin::Pin;

use futures_core::Stream;
use weir_batch::{BatchBuilder, Codec};
use weir_client::{Client, Consumer, ConsumerBuilder, Error, ErrorCode, Start, WireError};
use weir_protocol::{OpenSubscribe, PartitionStart};

use crate::support::{FakeBroker, FakeStream, Peer, soon, stored, stored_with, subscribed};

pub(crate) async fn subscribe(
    builder: ConsumerBuilder,
    peer: &Peer,
    partitions: &[(u32, i64, i64)],
) -> (Consumer, FakeStream, OpenSubscribe) {
    let (consumer, (request, stream)) = tokio::join!(builder.build(), peer.subscribe(partitions));
    (consumer.unwrap(), stream, request)
}

pub(crate) fn consumer(client: &Client) -> ConsumerBuilder {
    client.consumer("t")
}

/// The next record's partition and offset.
pub(crate) async fn next(consumer: &mut Consumer) -> (u32, i64) {
    let record = soon(consumer.next()).await.expect("a record").unwrap();
    let value = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
    assert_eq!(value, format!("v{}", record.offset()));
    assert_eq!(record.timestamp(), 1000 + record.offset());
    (record.partition(), record.offset())
}

pub(crate) async fn failure(consumer: &mut Consumer) -> Error {
    soon(consumer.next()).await.expect("an error").unwrap_err()
}

#[tokio::test]
async fn records_come_from_the_requested_offset_on() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = consumer(&client).partitions([0]).start(Start::Offset(7));
    let (mut consumer, mut stream, request) = subscribe(builder, &peer, &[(0, 7, 20)]).await;
    assert_eq!(
        request.partitions,
        [PartitionStart {
            partition: 0,
            start: Start::Offset(7)
        }]
    );
    assert_eq!(consumer.position(0), Some(7));
    // The batch begins before the offset, and two batches share a frame.
    stream
        .records(0, 20, false, &[stored(5, 5), stored(10, 2)].concat())
        .await;
    for offset in 7..12 {
        assert_eq!(next(&mut consumer).await, (0, offset));
        assert_eq!(consumer.position(0), Some(offset + 1));
    }
    assert_eq!(consumer.high_watermark(0), Some(20));
}

#[tokio::test]
async fn a_record_comes_with_all_it_has() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, _) = subscribe(consumer(&client), &peer, &[(2, 0, 2)]).await;
    let mut builder = BatchBuilder::new();
    builder
        .push(
            55,
            Some(b"key"),
            Some(b"value"),
            &[("a", Some(b"1".as_slice())), ("b", None)],
        )
        .unwrap();
    builder.push(56, Some(b"gone"), None, &[]).unwrap();
    stream.records(2, 2, false, &builder.finish().unwrap()).await;
    let record = soon(consumer.next()).await.unwrap().unwrap();
    assert_eq!(
        (
            record.topic(),
            record.partition(),
            record.offset(),
            record.timestamp()
        ),
        ("t", 2, 0, 55)
    );
    assert_eq!(
        (record.key(), record.value()),
        (Some(b"key".as_slice()), Some(b"value".as_slice()))
    );
    assert_eq!(record.key_bytes().unwrap(), "key");
    assert_eq!(record.value_bytes().unwrap(), "value");
    assert_eq!(
        record.headers().collect::<Vec<_>>(),
        [("a", Some(b"1".as_slice())), ("b", None)]
    );
    let tombstone = soon(consumer.next()).await.unwrap().unwrap();
    assert_eq!(
        (tombstone.key(), tombstone.value()),
        (Some(b"gone".as_slice()), None)
    );
}

#[tokio::test]
async fn after_a_reconnect_it_goes_on_at_the_very_next_record() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, request) =
        subscribe(consumer(&client), &peer, &[(0, 0, 9), (1, 4, 4)]).await;
    assert_eq!((request.partitions.len(), request.start), (0, Start::Earliest));
    stream.records(0, 9, false, &stored(0, 3)).await;
    assert_eq!(next(&mut consumer).await, (0, 0));
    peer.close();
    // What was received is handed out whatever happens to the connection.
    let reconnect = async {
        let peer = broker.accept().await;
        let (request, stream) = peer.subscribe(&[(0, 3, 9), (1, 4, 4)]).await;
        (peer, request, stream)
    };
    let ((_peer, request, mut stream), second) = tokio::join!(reconnect, next(&mut consumer));
    assert_eq!(second, (0, 1));
    assert_eq!(
        request.partitions,
        [
            PartitionStart {
                partition: 0,
                start: Start::Offset(3)
            },
            PartitionStart {
                partition: 1,
                start: Start::Offset(4)
            },
        ]
    );
    // The broker sends whole batches: this one begins with what is known.
    stream.records(0, 9, false, &stored(0, 5)).await;
    stream.records(1, 5, false, &stored(4, 1)).await;
    for expected in [(0, 2), (0, 3), (0, 4), (1, 4)] {
        assert_eq!(next(&mut consumer).await, expected);
    }
}

#[tokio::test]
async fn a_start_that_is_no_offset_is_fixed_by_the_first_answer() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = consumer(&client).start(Start::Latest);
    let (mut consumer, _stream, request) = subscribe(builder, &peer, &[(0, 100, 100)]).await;
    assert_eq!(request.start, Start::Latest);
    peer.close();
    // Nothing was received, but what was written meanwhile must not be missed.
    let peer = broker.accept().await;
    let (request, mut stream) = peer.subscribe(&[(0, 100, 103)]).await;
    assert_eq!(
        request.partitions,
        [PartitionStart {
            partition: 0,
            start: Start::Offset(100)
        }]
    );
    stream.records(0, 103, false, &stored(100, 3)).await;
    assert_eq!(next(&mut consumer).await, (0, 100));
}

#[tokio::test]
async fn until_end_stops_where_the_end_was() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = consumer(&client).until_end(true);
    let (mut consumer, mut stream, request) =
        subscribe(builder, &peer, &[(0, 0, 3), (1, 8, 8), (2, 5, 9)]).await;
    assert!(request.until_end);
    // Records behind the end that was noted may come in the same batch.
    stream.records(0, 5, false, &stored(0, 5)).await;
    for offset in 0..3 {
        assert_eq!(next(&mut consumer).await, (0, offset));
    }
    // The broker knows that nothing is left of the third partition before its end.
    stream.records(2, 9, true, &[]).await;
    assert!(soon(consumer.next()).await.is_none());
    assert!(soon(consumer.next()).await.is_none());
}

#[tokio::test]
async fn an_end_that_was_noted_stays_after_a_reconnect() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, _) =
        subscribe(consumer(&client).until_end(true), &peer, &[(0, 0, 4), (1, 0, 1)]).await;
    stream.records(0, 4, false, &stored(0, 2)).await;
    stream.records(1, 1, true, &stored(0, 1)).await;
    for expected in [(0, 0), (0, 1), (1, 0)] {
        assert_eq!(next(&mut consumer).await, expected);
    }
    peer.close();
    let peer = broker.accept().await;
    let (request, mut stream) = peer.subscribe(&[(0, 2, 6)]).await;
    assert_eq!(
        request.partitions,
        [PartitionStart {
            partition: 0,
            start: Start::Offset(2)
        }]
    );
    stream.records(0, 6, false, &stored(2, 4)).await;
    assert_eq!(next(&mut consumer).await, (0, 2));
    assert_eq!(next(&mut consumer).await, (0, 3));
    assert!(soon(consumer.next()).await.is_none());
}

#[tokio::test]
async fn control_batches_are_passed_over() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, _) =
        subscribe(consumer(&client).until_end(true), &peer, &[(0, 0, 4)]).await;
    let control = stored_with(1, 1, BatchBuilder::new().control(true));
    stream
        .records(0, 4, false, &[stored(0, 1), control, stored(2, 2)].concat())
        .await;
    for offset in [0, 2, 3] {
        assert_eq!(next(&mut consumer).await, (0, offset));
    }
    assert!(soon(consumer.next()).await.is_none());
}

#[tokio::test]
async fn compressed_batches_are_uncompressed_up_to_a_limit() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = consumer(&client).decompressed_bytes_max(10_000);
    let (mut consumer, mut stream, _) = subscribe(builder, &peer, &[(0, 0, 9)]).await;
    let mut base = 0;
    for codec in Codec::ALL {
        stream
            .records(
                0,
                9,
                false,
                &stored_with(base, 2, BatchBuilder::new().codec(codec)),
            )
            .await;
        assert_eq!(next(&mut consumer).await, (0, base));
        assert_eq!(next(&mut consumer).await, (0, base + 1));
        base += 2;
    }
    let mut bomb = BatchBuilder::new().codec(Codec::Zstd);
    bomb.push(0, None, Some(&[0; 1_000_000]), &[]).unwrap();
    let mut bomb = bomb.finish().unwrap();
    weir_batch::set_base_offset(&mut bomb, base).unwrap();
    stream.records(0, 11, false, &bomb).await;
    let error = failure(&mut consumer).await;
    assert!(
        matches!(
            error,
            Error::Corrupt {
                partition: 0,
                offset: 10,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_topic_that_is_gone_is_the_consumers_end() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, _stream, _) = subscribe(consumer(&client), &peer, &[(0, 0, 9)]).await;
    peer.close();
    let peer = broker.accept().await;
    let mut stream = peer.stream().await;
    let _: OpenSubscribe = stream.message().await;
    stream
        .send(&WireError::new(ErrorCode::UnknownTopicOrPartition, "it is gone"))
        .await;
    assert_eq!(
        failure(&mut consumer).await.code(),
        Some(ErrorCode::UnknownTopicOrPartition)
    );
    assert!(soon(consumer.next()).await.is_none());
    assert!(matches!(
        consumer.seek(0, Start::Earliest).await,
        Err(Error::Closed)
    ));
}

#[tokio::test]
async fn batches_and_records_may_be_mixed() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, _) = subscribe(consumer(&client), &peer, &[(0, 1, 8)]).await;
    stream
        .records(0, 8, false, &[stored(0, 4), stored(4, 4)].concat())
        .await;
    assert_eq!(next(&mut consumer).await, (0, 1));
    let rest = soon(consumer.next_batch()).await.unwrap().unwrap();
    assert_eq!(
        rest.records().map(|record| record.offset()).collect::<Vec<_>>(),
        [2, 3]
    );
    assert_eq!(
        (rest.base_offset(), rest.next_offset(), rest.partition()),
        (2, 4, 0)
    );
    assert_eq!(consumer.position(0), Some(4));
    let whole = soon(consumer.next_batch()).await.unwrap().unwrap();
    assert_eq!(
        whole.records().map(|record| record.offset()).collect::<Vec<_>>(),
        [4, 5, 6, 7]
    );
    assert_eq!((whole.high_watermark(), consumer.position(0)), (8, Some(8)));
}

#[tokio::test]
async fn a_consumer_is_a_stream() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = consumer(&client).until_end(true);
    let (mut consumer, mut stream, _) = subscribe(builder, &peer, &[(0, 0, 2)]).await;
    stream.records(0, 2, true, &stored(0, 2)).await;
    let mut offsets = Vec::new();
    while let Some(record) = soon(std::future::poll_fn(|context| {
        Pin::new(&mut consumer).poll_next(context)
    }))
    .await
    {
        offsets.push(record.unwrap().offset());
    }
    assert_eq!(offsets, [0, 1]);
}

#[tokio::test]
async fn a_consumer_that_does_not_read_holds_the_broker_back() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, _) = subscribe(consumer(&client), &peer, &[(0, 0, 1 << 20)]).await;
    let mut builder = BatchBuilder::new();
    builder.push(1000, None, Some(&vec![b'x'; 1 << 20]), &[]).unwrap();
    let mut batch = builder.finish().unwrap();
    let mut sent = 0i64;
    let blocked = async {
        loop {
            weir_batch::set_base_offset(&mut batch, sent).unwrap();
            stream.records(0, 1 << 20, false, &batch).await;
            sent += 1;
        }
    };
    // It stops by itself: a window of the transport, and a few frames in the consumer.
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(2), blocked).await;
    assert!(stopped.is_err());
    assert!(
        (2..64).contains(&sent),
        "{sent} MiB were taken from a broker whose consumer does not read"
    );
    let record = soon(consumer.next()).await.unwrap().unwrap();
    assert_eq!(record.offset(), 0);
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_not_taken_for_the_old_one() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, _stream, _) = subscribe(consumer(&client), &peer, &[(0, 5, 9)]).await;
    peer.close();
    let peer = broker.accept().await;
    let mut stream = peer.stream().await;
    let _: OpenSubscribe = stream.message().await;
    let mut other = subscribed(&[(0, 5, 9)]);
    other.topic_id = 2;
    stream.send(&other).await;
    let error = failure(&mut consumer).await;
    assert!(matches!(error, Error::TopicReplaced { .. }), "{error:?}");
    assert!(soon(consumer.next()).await.is_none());
}
