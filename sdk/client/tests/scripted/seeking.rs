//! Partitions that are sought, paused, damaged.
#![allow(clippy::unwrap_used, reason = "a test's own code")]

use weir_client::{Error, ErrorCode, Start, WireError};
use weir_protocol::{PartitionStart, SubscribeControl};

use crate::consuming::{consumer, failure, next, subscribe};
use crate::support::{FakeBroker, soon, stored, subscribed};

#[tokio::test]
async fn a_damaged_batch_is_reported_after_what_is_sound_and_the_other_partitions_go_on() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, _) = subscribe(consumer(&client), &peer, &[(0, 0, 9), (1, 0, 9)]).await;
    let mut damaged = stored(2, 2);
    *damaged.last_mut().unwrap() ^= 1;
    stream
        .records(0, 9, false, &[stored(0, 2), damaged, stored(4, 2)].concat())
        .await;
    assert_eq!(next(&mut consumer).await, (0, 0));
    assert_eq!(next(&mut consumer).await, (0, 1));
    let error = failure(&mut consumer).await;
    assert!(
        matches!(
            error,
            Error::Corrupt {
                partition: 0,
                offset: 2,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!error.retriable());
    // The subscription is opened anew without it.
    let (request, mut stream) = peer.subscribe(&[(1, 0, 9)]).await;
    assert_eq!(
        request.partitions,
        [PartitionStart {
            partition: 1,
            start: Start::Offset(0)
        }]
    );
    stream.records(1, 9, false, &stored(0, 1)).await;
    assert_eq!(next(&mut consumer).await, (1, 0));
    // Past the damage the partition lives again.
    consumer.seek(0, Start::Offset(4)).await.unwrap();
    let (request, mut stream) = peer.subscribe(&[(0, 4, 9), (1, 1, 9)]).await;
    assert_eq!(
        request.partitions[0],
        PartitionStart {
            partition: 0,
            start: Start::Offset(4)
        }
    );
    stream.records(0, 9, false, &stored(4, 2)).await;
    assert_eq!(next(&mut consumer).await, (0, 4));
}

#[tokio::test]
async fn an_error_of_one_partition_leaves_the_others_alone() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, _) = subscribe(consumer(&client), &peer, &[(0, 0, 9), (1, 0, 9)]).await;
    stream
        .send(&WireError::new(ErrorCode::OffsetOutOfRange, "seek").at(1, Some(0)))
        .await;
    let error = failure(&mut consumer).await;
    assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
    stream.records(0, 9, false, &stored(0, 1)).await;
    assert_eq!(next(&mut consumer).await, (0, 0));
    stream
        .send(&WireError::new(ErrorCode::OffsetOutOfRange, "seek").at(0, Some(1)))
        .await;
    assert_eq!(
        failure(&mut consumer).await.code(),
        Some(ErrorCode::OffsetOutOfRange)
    );
    assert!(soon(consumer.next()).await.is_none());
}

#[tokio::test]
async fn a_seek_drops_what_is_from_the_old_position() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, _) = subscribe(consumer(&client), &peer, &[(0, 50, 99)]).await;
    stream.records(0, 99, false, &stored(50, 5)).await;
    assert_eq!(next(&mut consumer).await, (0, 50));
    consumer.seek(0, Start::Offset(10)).await.unwrap();
    assert_eq!(consumer.position(0), Some(10));
    let control: SubscribeControl = stream.message().await;
    assert_eq!(
        control,
        SubscribeControl::Seek {
            partition: 0,
            start: Start::Offset(10)
        }
    );
    // This was on its way.
    stream.records(0, 99, false, &stored(55, 5)).await;
    stream.send(&subscribed(&[(0, 10, 99)])).await;
    stream.records(0, 99, false, &stored(8, 4)).await;
    assert_eq!(next(&mut consumer).await, (0, 10));
    assert_eq!(next(&mut consumer).await, (0, 11));
    // By name: where it is comes with the answer.
    consumer.seek(0, Start::Latest).await.unwrap();
    assert_eq!(consumer.position(0), None);
    let _: SubscribeControl = stream.message().await;
    stream.send(&subscribed(&[(0, 99, 99)])).await;
    stream.records(0, 100, false, &stored(99, 1)).await;
    assert_eq!(next(&mut consumer).await, (0, 99));
    let error = consumer.seek(7, Start::Earliest).await.unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
}

#[tokio::test]
async fn a_paused_partition_is_silent_and_goes_on_where_it_was() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, _) = subscribe(consumer(&client), &peer, &[(0, 0, 99), (1, 0, 99)]).await;
    stream.records(0, 99, false, &stored(0, 5)).await;
    assert_eq!(next(&mut consumer).await, (0, 0));
    consumer.pause(0).await.unwrap();
    consumer.pause(0).await.unwrap();
    let control: SubscribeControl = stream.message().await;
    assert_eq!(control, SubscribeControl::Pause { partitions: vec![0] });
    stream.records(0, 99, false, &stored(5, 5)).await;
    stream.records(1, 99, false, &stored(0, 1)).await;
    assert_eq!(next(&mut consumer).await, (1, 0));
    consumer.resume(0).await.unwrap();
    let control: SubscribeControl = stream.message().await;
    assert_eq!(
        control,
        SubscribeControl::Seek {
            partition: 0,
            start: Start::Offset(1)
        }
    );
    let control: SubscribeControl = stream.message().await;
    assert_eq!(control, SubscribeControl::Resume { partitions: vec![0] });
    stream.send(&subscribed(&[(0, 1, 99)])).await;
    stream.records(0, 99, false, &stored(0, 5)).await;
    assert_eq!(next(&mut consumer).await, (0, 1));
}

#[tokio::test]
async fn a_paused_partition_can_be_sought_and_goes_on_there() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let (mut consumer, mut stream, _) = subscribe(consumer(&client), &peer, &[(0, 0, 99)]).await;
    consumer.pause(0).await.unwrap();
    consumer.seek(0, Start::Latest).await.unwrap();
    consumer.resume(0).await.unwrap();
    let controls: [SubscribeControl; 3] = [
        stream.message().await,
        stream.message().await,
        stream.message().await,
    ];
    assert_eq!(
        controls,
        [
            SubscribeControl::Pause { partitions: vec![0] },
            SubscribeControl::Seek {
                partition: 0,
                start: Start::Latest
            },
            SubscribeControl::Resume { partitions: vec![0] },
        ]
    );
    stream.send(&subscribed(&[(0, 99, 99)])).await;
    stream.records(0, 100, false, &stored(99, 1)).await;
    assert_eq!(next(&mut consumer).await, (0, 99));
}

#[tokio::test]
async fn records_that_were_received_and_not_handed_out_before_a_pause_come_after_it() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    let builder = consumer(&client).until_end(true);
    let (mut consumer, mut stream, _) = subscribe(builder, &peer, &[(0, 0, 3)]).await;
    stream.records(0, 3, true, &stored(0, 3)).await;
    assert_eq!(next(&mut consumer).await, (0, 0));
    // The end was reached, as far as the broker is concerned.
    consumer.pause(0).await.unwrap();
    consumer.resume(0).await.unwrap();
    let (request, mut stream) = peer.subscribe(&[(0, 1, 3)]).await;
    assert_eq!(
        request.partitions,
        [PartitionStart {
            partition: 0,
            start: Start::Offset(1)
        }]
    );
    stream.records(0, 3, true, &stored(0, 3)).await;
    assert_eq!(next(&mut consumer).await, (0, 1));
    assert_eq!(next(&mut consumer).await, (0, 2));
    assert!(soon(consumer.next()).await.is_none());
}
