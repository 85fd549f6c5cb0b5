use weir_batch::{BatchBuilder, Codec};
use weir_broker::{ErrorKind, Start};

use crate::support::{TIME_0, all_values, batch, batch_with, in_memory, no_config, pairs, produce, values};

#[tokio::test]
async fn batches_get_consecutive_offsets_and_come_back() {
    let broker = in_memory().await;
    broker.create_topic("a", 2, no_config()).await.unwrap();
    assert_eq!(produce(&broker, "a", 0, batch(&["0", "1"])).await, 0);
    assert_eq!(produce(&broker, "a", 0, batch(&["2"])).await, 2);
    assert_eq!(produce(&broker, "a", 1, batch(&["x"])).await, 0);
    assert_eq!(values(&broker, "a", 0).await, ["0", "1", "2"]);
    assert_eq!(all_values(&broker, "a").await, ["0", "1", "2", "x"]);

    let partition = broker.topic("a").unwrap().partition(0).unwrap();
    assert_eq!(partition.high_watermark(), 3);
    assert_eq!(
        partition.fetch(3, 100).await.unwrap().batches.len(),
        0,
        "nothing at the end"
    );
    for out_of_range in [-1, 4] {
        let error = partition.fetch(out_of_range, 100).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::OffsetOutOfRange);
        assert_eq!((error.partition, error.offset), (Some(0), Some(out_of_range)));
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn pipelined_batches_keep_their_order() {
    let broker = in_memory().await;
    broker.create_topic("a", 1, no_config()).await.unwrap();
    let topic = broker.topic("a").unwrap();
    let mut tickets = Vec::new();
    for n in 0..100 {
        tickets.push(topic.produce(0, batch(&[n.to_string()])).await.unwrap());
    }
    for (n, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.await.unwrap().base_offset, n as i64);
    }
    assert_eq!(
        values(&broker, "a", 0).await,
        (0..100).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn an_idempotent_producers_repeat_is_recognised_and_a_gap_refused() {
    let broker = in_memory().await;
    broker.create_topic("a", 1, no_config()).await.unwrap();
    let producer = broker.allocate_producer_id().await.unwrap();
    assert_ne!(broker.allocate_producer_id().await.unwrap().id, producer.id);
    let topic = broker.topic("a").unwrap();
    let numbered = |sequence| {
        let mut builder = BatchBuilder::new().producer(producer.id, producer.epoch, sequence);
        builder.push(TIME_0, None, Some(b"v"), &[]).unwrap();
        bytes::BytesMut::from(builder.finish().unwrap().as_slice())
    };
    let first = topic.produce(0, numbered(0)).await.unwrap().await.unwrap();
    assert!(!first.duplicate);
    let repeat = topic.produce(0, numbered(0)).await.unwrap().await.unwrap();
    assert_eq!((repeat.base_offset, repeat.duplicate), (first.base_offset, true));
    let gap = topic.produce(0, numbered(5)).await.unwrap().await.unwrap_err();
    assert_eq!(
        (gap.kind, gap.partition),
        (ErrorKind::OutOfOrderSequence, Some(0))
    );
    assert_eq!(values(&broker, "a", 0).await.len(), 1);
    broker.shutdown().await;
}

#[tokio::test]
async fn bad_batches_are_refused_and_nothing_is_written() {
    let broker = in_memory().await;
    broker
        .create_topic("a", 1, pairs(&[("max.message.bytes", "1000")]))
        .await
        .unwrap();
    let topic = broker.topic("a").unwrap();
    let mut damaged = batch(&["x"]);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let cases = [
        (0, damaged, ErrorKind::CorruptMessage),
        (0, batch(&[[b'v'; 2000]]), ErrorKind::MessageTooLarge),
        (1, batch(&["x"]), ErrorKind::UnknownTopicOrPartition),
    ];
    for (partition, batch, kind) in cases {
        let error = topic.produce(partition, batch).await.unwrap_err();
        assert_eq!((error.kind, error.partition), (kind, Some(partition)));
    }
    assert_eq!(values(&broker, "a", 0).await.len(), 0);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_change_of_the_configuration_holds_for_the_next_batch() {
    let broker = in_memory().await;
    broker.create_topic("a", 1, no_config()).await.unwrap();
    let topic = broker.topic("a").unwrap();
    let large = || batch(&[[b'v'; 2000]]);
    topic.produce(0, large()).await.unwrap().await.unwrap();
    broker
        .alter_topic("a", pairs(&[("max.message.bytes", "1000")]), None)
        .await
        .unwrap();
    assert_eq!(
        topic.produce(0, large()).await.unwrap_err().kind,
        ErrorKind::MessageTooLarge
    );
    let packed = batch_with(Codec::Zstd, [(None, [b'v'; 2000].as_slice())]);
    topic.produce(0, packed).await.unwrap().await.unwrap();
    assert_eq!(values(&broker, "a", 0).await.len(), 2);
    broker.shutdown().await;
}

#[tokio::test]
async fn starts_are_resolved() {
    let broker = in_memory().await;
    broker.create_topic("a", 1, no_config()).await.unwrap();
    // Timestamps TIME_0, TIME_0 + 1, TIME_0 + 2 and again.
    produce(&broker, "a", 0, batch(&["0", "1", "2"])).await;
    produce(&broker, "a", 0, batch(&["3", "4", "5"])).await;
    let partition = broker.topic("a").unwrap().partition(0).unwrap();
    let cases = [
        (Start::Earliest, 0),
        (Start::Latest, 6),
        (Start::Offset(4), 4),
        (Start::Offset(6), 6),
        (Start::Time(0), 0),
        (Start::Time(TIME_0 + 1), 1),
        (Start::Time(TIME_0 + 9_999), 6),
    ];
    for (start, offset) in cases {
        assert_eq!(partition.resolve(start).await.unwrap(), offset, "{start:?}");
    }
    for missing in [-1, 7] {
        let error = partition.resolve(Start::Offset(missing)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::OffsetOutOfRange);
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn waiting_ends_when_the_record_is_there_or_the_broker_goes() {
    let broker = in_memory().await;
    broker.create_topic("a", 1, no_config()).await.unwrap();
    let partition = broker.topic("a").unwrap().partition(0).unwrap();
    let waiter = tokio::spawn({
        let partition = partition.clone();
        async move { partition.wait_for(1).await }
    });
    produce(&broker, "a", 0, batch(&["0"])).await;
    produce(&broker, "a", 0, batch(&["1"])).await;
    waiter.await.unwrap().unwrap();
    partition.wait_for(1).await.unwrap();
    broker.shutdown().await;
    let topic = broker.topic("a").unwrap();
    let late = match topic.produce(0, batch(&["late"])).await {
        Ok(ticket) => ticket.await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert_eq!(late.unwrap_err().kind, ErrorKind::ShuttingDown);
}
