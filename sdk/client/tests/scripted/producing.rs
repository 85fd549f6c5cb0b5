//! What a producer sends, and what it makes of the answers.
#![allow(clippy::unwrap_used, reason = "a test's own code")]

use std::time::Duration;

use crate::support::{FakeBroker, FakeStream, Peer, Produced, opened, soon};
use weir_batch::{BatchBuilder, Codec};
use weir_client::{Client, ErrorCode, ProduceError, Producer, Record, WireError};
use weir_protocol::OpenProduce;

/// A producer whose batches hold one record each, its stream, and the connection.
pub(crate) async fn one_by_one(broker: &FakeBroker, partitions: u32) -> (Producer, FakeStream, Peer) {
    let (client, peer) = broker.connect().await;
    let (producer, (request, stream)) = tokio::join!(
        client.producer("t").batch_bytes(1).build(),
        peer.produce(opened(partitions))
    );
    assert_eq!(
        request,
        OpenProduce {
            topic: "t".to_owned(),
            idempotent: true,
            producer_id: None,
            producer_epoch: None,
            record_results: true,
        }
    );
    (producer.unwrap(), stream, peer)
}

async fn build(client: &Client, peer: &Peer, window_frames: u32) -> (Producer, FakeStream) {
    let mut opened = opened(1);
    opened.window_frames = window_frames;
    let (producer, (_, stream)) =
        tokio::join!(client.producer("t").batch_bytes(1).build(), peer.produce(opened));
    (producer.unwrap(), stream)
}

pub(crate) async fn batches(stream: &mut FakeStream, count: usize) -> Vec<Produced> {
    let mut batches = Vec::new();
    for _ in 0..count {
        batches.push(stream.batch().await);
    }
    batches
}

#[tokio::test]
async fn records_of_one_batch_have_consecutive_offsets() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = client.producer("t").linger(Duration::from_secs(60));
    let (producer, (_, mut stream)) = tokio::join!(builder.build(), peer.produce(opened(1)));
    let producer = producer.unwrap();
    let first = producer.send(Record::value("a").timestamp(5)).await.unwrap();
    let second = producer
        .send(Record::value("b").key("k").header("h", "x"))
        .await
        .unwrap();
    assert!(first.try_result().is_none());
    let (flushed, batch) = tokio::join!(producer.flush(), async {
        let batch = stream.batch().await;
        stream.ack(0, 40).await;
        batch
    });
    flushed.unwrap();
    assert_eq!(batch.values(), ["a", "b"]);
    assert_eq!(batch.sequence(), (7, 0, 0));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.offset, second.offset), (40, 41));
    assert_eq!((&*first.topic, first.partition, first.timestamp), ("t", 0, 5));
    soon(producer.close()).await.unwrap();
    assert!(matches!(producer.send("c").await, Err(ProduceError::Closed)));
}

#[tokio::test]
async fn the_brokers_window_is_kept() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = build(&client, &peer, 2).await;
    for value in ["0", "1", "2"] {
        drop(producer.send(value).await.unwrap());
    }
    let got = batches(&mut stream, 2).await;
    assert_eq!(
        got.iter()
            .map(|batch| batch.header.base_sequence)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    assert!(stream.stays_silent().await);
    stream.ack(0, 0).await;
    assert_eq!(stream.batch().await.values(), ["2"]);
}

#[tokio::test]
async fn without_idempotence_batches_have_no_identity_and_one_failure_changes_nothing() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let mut anonymous = opened(1);
    (anonymous.producer_id, anonymous.producer_epoch) = (-1, -1);
    let builder = client.producer("t").idempotent(false).batch_bytes(1);
    let (producer, (request, mut stream)) = tokio::join!(builder.build(), peer.produce(anonymous));
    assert!(!request.idempotent);
    let producer = producer.unwrap();
    let (bad, good) = (
        producer.send("0").await.unwrap(),
        producer.send("1").await.unwrap(),
    );
    for batch in batches(&mut stream, 2).await {
        assert_eq!(batch.sequence(), (-1, -1, -1));
    }
    stream.refuse(0, ErrorCode::InvalidRecord).await;
    stream.ack(0, 0).await;
    assert!(soon(bad).await.is_err());
    assert_eq!(soon(good).await.unwrap().offset, 0);
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_an_error_of_build() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, ()) = tokio::join!(client.producer("nope").build(), async {
        let mut stream = peer.stream().await;
        let _: OpenProduce = stream.message().await;
        stream
            .send(&WireError::new(
                ErrorCode::UnknownTopicOrPartition,
                "create it first",
            ))
            .await;
    });
    let error = producer.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
    assert!(error.to_string().contains("create it first"), "{error}");
}

#[tokio::test]
async fn a_full_buffer_makes_senders_wait_and_an_ack_lets_them_go_on() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = client.producer("t").batch_bytes(1).buffer_bytes(1000);
    let (producer, (_, mut stream)) = tokio::join!(builder.build(), peer.produce(opened(1)));
    let producer = producer.unwrap();
    let value = [b'x'; 300];
    let first = producer.send(&value[..]).await.unwrap();
    assert!(matches!(
        producer.try_send(&value[..]),
        Err(ProduceError::BufferFull { limit: 1000 })
    ));
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(&[b'y'; 300]).await.unwrap().await }
    });
    stream.batch().await;
    assert!(stream.stays_silent().await);
    assert!(!waiting.is_finished());
    stream.ack(0, 0).await;
    soon(first).await.unwrap();
    assert_eq!(stream.batch().await.values(), ["y".repeat(300)]);
    stream.ack(0, 1).await;
    assert_eq!(soon(waiting).await.unwrap().unwrap().offset, 1);
}

#[tokio::test]
async fn records_that_cannot_be_sent_are_refused_at_once() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let mut small = opened(2);
    small.max_message_bytes = 1000;
    let (producer, _stream) = tokio::join!(client.producer("t").build(), peer.produce(small));
    let producer = producer.unwrap();
    let error = producer.send(vec![0; 1000]).await.unwrap_err();
    assert!(
        matches!(error, ProduceError::RecordTooLarge { limit: 1000, .. }),
        "{error:?}"
    );
    let error = producer.send(Record::value("v").partition(2)).await.unwrap_err();
    assert!(
        matches!(
            error,
            ProduceError::UnknownPartition {
                partition: 2,
                partitions: 2
            }
        ),
        "{error:?}"
    );
    let error = producer.send_batch(0, BatchBuilder::new()).await.unwrap_err();
    assert!(matches!(error, ProduceError::InvalidRecord(_)), "{error:?}");
    producer.flush().await.unwrap();
}

#[tokio::test]
async fn batches_are_compressed_as_the_producer_says_or_else_the_topic() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    for codec in Codec::ALL {
        let builder = client.producer("t").compression(codec);
        let (producer, (_, mut stream)) = tokio::join!(builder.build(), peer.produce(opened(1)));
        drop(producer.unwrap().send("hello").await.unwrap());
        let batch = stream.batch().await;
        assert_eq!(batch.header.codec().unwrap(), codec);
        assert_eq!(batch.values(), ["hello"]);
        stream.ack(0, 0).await;
        assert!(
            stream.frame().await.is_none(),
            "the producer is gone, and so is its stream"
        );
    }
    let mut compressed = opened(1);
    compressed.compression = "zstd".to_owned();
    let (producer, (_, mut stream)) = tokio::join!(client.producer("t").build(), peer.produce(compressed));
    drop(producer.unwrap().send("hello").await.unwrap());
    assert_eq!(stream.batch().await.header.codec().unwrap(), Codec::Zstd);
}

#[tokio::test]
async fn many_records_at_once_and_whole_batches() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = client
        .producer("t")
        .linger(Duration::from_secs(60))
        .batch_bytes(2000);
    let (producer, (_, mut stream)) = tokio::join!(builder.build(), peer.produce(opened(1)));
    let producer = producer.unwrap();
    let values: Vec<String> = (0..300).map(|n| format!("{n:0>20}")).collect();
    let sent = producer.send_all(values.iter()).await.unwrap();
    assert_eq!(sent.records(), 300);
    let mut prebuilt = BatchBuilder::new().codec(Codec::Lz4).producer(1, 1, 1);
    prebuilt.push(1, None, Some(b"prebuilt"), &[]).unwrap();
    let whole = producer.send_batch(0, prebuilt).await.unwrap();
    let (flushed, got) = tokio::join!(producer.flush(), async {
        let mut got = Vec::new();
        while got.len() < 301 {
            let batch = stream.batch().await;
            assert_eq!(batch.sequence(), (7, 0, got.len() as i32));
            stream.ack(0, got.len() as i64).await;
            got.extend(batch.values());
        }
        got
    });
    flushed.unwrap();
    assert_eq!(got[..300], values);
    assert_eq!(got[300], "prebuilt");
    assert_eq!(soon(sent).await.unwrap(), 300);
    assert_eq!(soon(whole).await.unwrap(), 1);
}

#[tokio::test]
async fn what_a_dropped_producer_holds_still_goes_out() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = client.producer("t").linger(Duration::from_secs(60));
    let (producer, (_, mut stream)) = tokio::join!(builder.build(), peer.produce(opened(1)));
    let producer = producer.unwrap();
    let delivery = producer.send("0").await.unwrap();
    drop(producer);
    assert_eq!(stream.batch().await.values(), ["0"]);
    stream.ack(0, 4).await;
    assert_eq!(soon(delivery).await.unwrap().offset, 4);
    assert!(stream.frame().await.is_none(), "the stream ends when all is done");
}

#[tokio::test]
async fn a_linger_is_waited_for_and_no_longer() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = client.producer("t").linger(Duration::from_millis(150));
    let (producer, (_, mut stream)) = tokio::join!(builder.build(), peer.produce(opened(1)));
    let producer = producer.unwrap();
    drop(producer.send("0").await.unwrap());
    assert!(stream.stays_silent().await);
    drop(producer.send("1").await.unwrap());
    assert_eq!(stream.batch().await.values(), ["0", "1"]);
}

#[tokio::test]
async fn closing_the_client_fails_what_its_producers_hold() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (producer, mut stream) = build(&client, &peer, 64).await;
    let delivery = producer.send("0").await.unwrap();
    stream.batch().await;
    soon(client.close()).await;
    assert!(matches!(soon(delivery).await, Err(ProduceError::Closed)));
    assert!(matches!(
        soon(producer.send("1")).await,
        Err(ProduceError::Closed)
    ));
}
