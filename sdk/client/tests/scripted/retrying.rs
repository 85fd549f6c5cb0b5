//! What a producer does when it is refused, when its stream is lost and when nobody answers.
#![allow(clippy::unwrap_used, reason = "a test's own code")]

use std::time::Duration;

use weir_client::{ErrorCode, ProduceError, Record, WireError};
use weir_protocol::{Ack, OpenProduce};

use crate::producing::{batches, one_by_one};
use crate::support::{FakeBroker, opened, soon};

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_in_order_under_the_same_sequences() {
    let broker = FakeBroker::start();
    let (producer, mut stream, peer) = one_by_one(&broker, 1).await;
    let mut deliveries = Vec::new();
    for value in ["0", "1", "2"] {
        deliveries.push(producer.send(value).await.unwrap());
    }
    let before = batches(&mut stream, 3).await;
    stream.ack(0, 10).await;
    assert_eq!(soon(deliveries.remove(0)).await.unwrap().offset, 10);
    peer.close();

    let peer = broker.accept().await;
    let (request, mut stream) = peer.produce(opened(1)).await;
    assert_eq!((request.producer_id, request.producer_epoch), (Some(7), Some(0)));
    let after = batches(&mut stream, 2).await;
    for (before, after) in before[1..].iter().zip(&after) {
        assert_eq!(before.bytes, after.bytes);
    }
    // The first was stored before the connection was lost.
    stream
        .send_ack(Ack {
            duplicate: true,
            ..ok(0, 11)
        })
        .await;
    stream.ack(0, 12).await;
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(soon(delivery).await.unwrap().offset);
    }
    assert_eq!(offsets, [11, 12]);
    // And the sequence goes on.
    drop(producer.send("3").await.unwrap());
    assert_eq!(stream.batch().await.sequence(), (7, 0, 3));
}

fn ok(partition: u32, base_offset: i64) -> Ack {
    Ack {
        partition,
        base_offset,
        log_start_offset: 0,
        duplicate: false,
        records: None,
        error: None,
    }
}

#[tokio::test]
async fn a_broker_that_is_away_for_a_while_is_found_again() {
    let mut broker = FakeBroker::start();
    let (producer, mut stream, peer) = one_by_one(&broker, 1).await;
    let delivery = producer.send("0").await.unwrap();
    stream.batch().await;
    // Whatever is left of the connection keeps the socket.
    drop((stream, peer));
    broker.stop().await;
    let later = producer.send("1").await.unwrap();
    broker.restart().await;
    let peer = broker.accept().await;
    let (_, mut stream) = peer.produce(opened(1)).await;
    let got = batches(&mut stream, 2).await;
    assert_eq!([got[0].values(), got[1].values()].concat(), ["0", "1"]);
    stream.ack(0, 0).await;
    stream.ack(0, 1).await;
    assert_eq!(soon(delivery).await.unwrap().offset, 0);
    assert_eq!(soon(later).await.unwrap().offset, 1);
}

#[tokio::test]
async fn what_can_be_retried_is_retried_in_order_and_holds_the_rest_back() {
    let broker = FakeBroker::start();
    let (producer, mut stream, _peer) = one_by_one(&broker, 1).await;
    let mut deliveries = Vec::new();
    for value in ["0", "1", "2"] {
        deliveries.push(producer.send(value).await.unwrap());
    }
    batches(&mut stream, 3).await;
    stream.refuse(0, ErrorCode::StorageFull).await;
    stream.refuse(0, ErrorCode::OutOfOrderSequence).await;
    stream.refuse(0, ErrorCode::OutOfOrderSequence).await;
    // One alone at first.
    assert_eq!(stream.batch().await.sequence(), (7, 0, 0));
    deliveries.push(producer.send("3").await.unwrap());
    assert!(stream.stays_silent().await);
    stream.ack(0, 0).await;
    let rest = batches(&mut stream, 3).await;
    assert_eq!(
        rest.iter().map(|batch| batch.sequence().2).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    for offset in 1..4 {
        stream.ack(0, offset).await;
    }
    for (offset, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(soon(delivery).await.unwrap().offset, offset as i64);
    }
}

#[tokio::test]
async fn a_refused_batch_fails_alone_and_its_successors_get_a_new_identity() {
    let broker = FakeBroker::start();
    let (producer, mut stream, peer) = one_by_one(&broker, 2).await;
    let bad = producer.send(Record::value("bad").partition(0)).await.unwrap();
    let good = producer.send(Record::value("good").partition(0)).await.unwrap();
    batches(&mut stream, 2).await;
    let other = producer.send(Record::value("other").partition(1)).await.unwrap();
    stream.batch().await;
    stream.refuse(0, ErrorCode::MessageTooLarge).await;
    stream.refuse(0, ErrorCode::OutOfOrderSequence).await;
    let error = soon(bad).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge));
    // Nothing moves before the other partition's batch is answered: it may be stored under the old identity.
    let later = producer.send(Record::value("later").partition(1)).await.unwrap();
    assert!(stream.stays_silent().await);
    stream.ack(1, 5).await;
    assert_eq!(soon(other).await.unwrap().offset, 5);

    let mut renewed = opened(2);
    renewed.producer_id = 8;
    let (request, mut stream) = peer.produce(renewed).await;
    assert_eq!((request.producer_id, request.idempotent), (None, true));
    let mut got = batches(&mut stream, 2).await;
    for batch in &got {
        stream.ack(batch.partition, 9).await;
    }
    got.sort_by_key(|batch| batch.partition);
    assert_eq!(
        (got[0].values()[0].as_str(), got[0].sequence()),
        ("good", (8, 0, 0))
    );
    assert_eq!(
        (got[1].values()[0].as_str(), got[1].sequence()),
        ("later", (8, 0, 0))
    );
    assert_eq!(soon(good).await.unwrap().offset, 9);
    assert_eq!(soon(later).await.unwrap().offset, 9);
    assert_eq!(
        producer.flush().await.unwrap_err().code(),
        Some(ErrorCode::MessageTooLarge)
    );
    producer.flush().await.unwrap();
}

#[tokio::test]
async fn a_repeat_that_the_broker_no_longer_remembers_counts_as_stored() {
    let broker = FakeBroker::start();
    let (producer, mut stream, _peer) = one_by_one(&broker, 1).await;
    let delivery = producer.send("0").await.unwrap();
    stream.batch().await;
    stream.refuse(0, ErrorCode::DuplicateSequence).await;
    assert_eq!(soon(delivery).await.unwrap().offset, -1);
}

#[tokio::test]
async fn an_ack_out_of_order_costs_the_stream_and_nothing_else() {
    let broker = FakeBroker::start();
    let (producer, mut stream, peer) = one_by_one(&broker, 2).await;
    let first = producer.send(Record::value("0").partition(0)).await.unwrap();
    let second = producer.send(Record::value("1").partition(1)).await.unwrap();
    batches(&mut stream, 2).await;
    stream.ack(1, 77).await;
    let (request, mut stream) = peer.produce(opened(2)).await;
    assert_eq!(request.producer_id, Some(7));
    let again = batches(&mut stream, 2).await;
    assert_eq!((again[0].partition, again[1].partition), (0, 1));
    stream.ack(0, 1).await;
    stream.ack(1, 2).await;
    assert_eq!(soon(first).await.unwrap().offset, 1);
    assert_eq!(soon(second).await.unwrap().offset, 2);
}

#[tokio::test]
async fn a_broker_that_never_acknowledges_runs_into_the_delivery_timeout() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = client
        .producer("t")
        .batch_bytes(1)
        .delivery_timeout(Duration::from_millis(300));
    let (producer, (_, mut stream)) = tokio::join!(builder.build(), peer.produce(opened(1)));
    let producer = producer.unwrap();
    let delivery = producer.send("0").await.unwrap();
    stream.batch().await;
    let error = soon(delivery).await.unwrap_err();
    assert!(matches!(error, ProduceError::Expired { .. }), "{error:?}");
    assert!(error.retriable());
    // The stream was given up with it, the memory is free again, and the producer goes on.
    let (request, mut stream) = peer.produce(opened(1)).await;
    assert_eq!(request.producer_id, Some(7));
    let next = producer.send("1").await.unwrap();
    let batch = stream.batch().await;
    assert_eq!(batch.values(), ["1"]);
    stream.ack(0, 3).await;
    assert_eq!(soon(next).await.unwrap().offset, 3);
    assert_eq!(producer.buffered_bytes(), 0);
}

#[tokio::test]
async fn what_is_refused_for_now_is_told_before_the_delivery_timeout_and_named_after_it() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = client
        .producer("t")
        .batch_bytes(1)
        .delivery_timeout(Duration::from_secs(2));
    let (producer, (_, mut stream)) = tokio::join!(builder.build(), peer.produce(opened(1)));
    let producer = producer.unwrap();
    assert_eq!(producer.obstacle(), None);
    let first = producer.send("0").await.unwrap();
    let second = producer.send("1").await.unwrap();
    batches(&mut stream, 2).await;
    stream.refuse(0, ErrorCode::FlowNotRunning).await;
    // Only because of the one before.
    stream.refuse(0, ErrorCode::OutOfOrderSequence).await;
    // Tried again: the first refusal has been read.
    stream.batch().await;
    let obstacle = producer.obstacle().expect("the broker refuses");
    assert!(obstacle.reason.contains("FLOW_NOT_RUNNING"), "{obstacle:?}");
    assert!(obstacle.left > Duration::ZERO && obstacle.left < Duration::from_secs(2));
    for delivery in [first, second] {
        let error = soon(delivery).await.unwrap_err();
        assert!(matches!(error, ProduceError::Expired { .. }), "{error:?}");
        let said = error.to_string();
        assert!(
            said.contains("FLOW_NOT_RUNNING") && said.contains("says the test"),
            "{said}"
        );
    }
    assert_eq!(producer.obstacle(), None, "nothing waits any more");
}

#[tokio::test]
async fn an_obstacle_is_over_with_the_first_acknowledgement() {
    let broker = FakeBroker::start();
    let (producer, mut stream, _peer) = one_by_one(&broker, 1).await;
    let first = producer.send("0").await.unwrap();
    let second = producer.send("1").await.unwrap();
    batches(&mut stream, 2).await;
    stream.refuse(0, ErrorCode::StorageFull).await;
    stream.refuse(0, ErrorCode::StorageFull).await;
    stream.batch().await;
    assert!(producer.obstacle().is_some());
    stream.ack(0, 0).await;
    assert_eq!(soon(first).await.unwrap().offset, 0);
    assert_eq!(producer.obstacle(), None, "the second is on its way");
    stream.batch().await;
    stream.ack(0, 1).await;
    assert_eq!(soon(second).await.unwrap().offset, 1);
}

#[tokio::test]
async fn a_topic_that_is_gone_after_a_reconnect_fails_what_waits_and_not_what_comes_later() {
    let broker = FakeBroker::start();
    let (producer, mut stream, peer) = one_by_one(&broker, 1).await;
    let delivery = producer.send("0").await.unwrap();
    stream.batch().await;
    peer.close();
    let peer = broker.accept().await;
    let mut stream = peer.stream().await;
    let _: OpenProduce = stream.message().await;
    stream
        .send(&WireError::new(ErrorCode::UnknownTopicOrPartition, "it is gone"))
        .await;
    assert_eq!(
        soon(delivery).await.unwrap_err().code(),
        Some(ErrorCode::UnknownTopicOrPartition)
    );
    // It was made anew meanwhile: another topic, another identity.
    let next = producer.send("1").await.unwrap();
    let mut recreated = opened(1);
    (recreated.topic_id, recreated.producer_id) = (2, 9);
    let (request, mut stream) = peer.produce(recreated).await;
    assert_eq!(request.producer_id, None);
    assert_eq!(stream.batch().await.sequence(), (9, 0, 0));
    stream.ack(0, 0).await;
    assert_eq!(soon(next).await.unwrap().offset, 0);
}

#[test]
fn a_broker_that_is_gone_without_a_word_is_found_again_when_it_is_back() {
    // The broker's own runtime is dropped like a process that is killed: it closes nothing.
    let brokers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let tests = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (mut broker, peer, client) = tests.block_on(async {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let accepting = brokers.spawn(async move {
            let broker = FakeBroker::start();
            let address = broker.client().silence_timeout(Duration::from_millis(500));
            let _ = sender.send(address);
            let peer = broker.accept().await;
            (broker, peer)
        });
        let client = receiver.await.unwrap().connect().await.unwrap();
        let (broker, peer) = accepting.await.unwrap();
        (broker, peer, client)
    });
    tests.block_on(async {
        let builder = client.producer("t").batch_bytes(1);
        let (producer, (_, mut stream)) = tokio::join!(builder.build(), peer.produce(opened(1)));
        let producer = producer.unwrap();
        let delivery = producer.send("0").await.unwrap();
        stream.batch().await;
        brokers.shutdown_background();
        drop((stream, peer));
        broker.forget();
        broker.restart().await;
        let peer = broker.accept().await;
        let (request, mut stream) = peer.produce(opened(1)).await;
        assert_eq!(request.producer_id, Some(7));
        assert_eq!(stream.batch().await.values(), ["0"]);
        stream.ack(0, 6).await;
        assert_eq!(soon(delivery).await.unwrap().offset, 6);
    });
}
