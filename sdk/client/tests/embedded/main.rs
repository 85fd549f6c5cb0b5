//! The client and a whole broker in one process.
#![allow(clippy::unwrap_used, reason = "a test's own code")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use weir::Broker;
use weir_client::{Client, Codec, Consumer, ErrorCode, NewTopic, ProduceError, Record, Start};

/// No step of a test takes longer, unless something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step)
        .await
        .expect("the step takes too long")
}

async fn start(topic: &str, partitions: u32) -> (Broker, Client) {
    let broker = Broker::builder().in_memory().start().await.unwrap();
    let client = broker.client().await.unwrap();
    client
        .admin()
        .create_topic(NewTopic::new(topic).partitions(partitions))
        .await
        .unwrap();
    (broker, client)
}

/// Everything up to the end: partition, offset and value of each record.
async fn drain(consumer: &mut Consumer) -> Vec<(u32, i64, String)> {
    let mut records = Vec::new();
    while let Some(record) = soon(consumer.next()).await {
        let record = record.unwrap();
        let value = String::from_utf8(record.value().unwrap_or_default().to_vec()).unwrap();
        records.push((record.partition(), record.offset(), value));
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_produced_is_consumed_from_where_the_deliveries_say() {
    let (_broker, client) = start("t", 4).await;
    for codec in Codec::ALL {
        let producer = client
            .producer("t")
            .compression(codec)
            .batch_bytes(2000)
            .build()
            .await
            .unwrap();
        let mut deliveries = Vec::new();
        for n in 0..1000 {
            let (key, value) = (format!("k{}", n % 10), format!("{codec}-{n}"));
            let record = Record::value(value.clone())
                .key(key)
                .header("codec", codec.name())
                .timestamp(n);
            deliveries.push((value, producer.send(record).await.unwrap()));
        }
        let mut expected = BTreeMap::new();
        for (value, delivery) in deliveries {
            let stored = soon(delivery).await.unwrap();
            assert!(
                expected
                    .insert((stored.partition, stored.offset), value)
                    .is_none()
            );
        }
        soon(producer.close()).await.unwrap();
        let mut consumer = client.consumer("t").until_end(true).build().await.unwrap();
        let got = drain(&mut consumer).await;
        let got: BTreeMap<_, _> = got
            .into_iter()
            .map(|(partition, offset, value)| ((partition, offset), value))
            .collect();
        for (place, value) in expected {
            assert_eq!(got[&place], value);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_begins_where_it_is_asked_to() {
    let (_broker, client) = start("t", 1).await;
    let producer = client.producer("t").batch_bytes(200).build().await.unwrap();
    let values = (0..100).map(|n| Record::value(n.to_string()).timestamp(1000 + n * 10));
    soon(producer.send_all(values).await.unwrap()).await.unwrap();
    for (start, first) in [
        (Start::Earliest, 0),
        (Start::Offset(37), 37),
        (Start::Time(1501), 51),
        (Start::Time(0), 0),
        (Start::Time(1990), 99),
    ] {
        let mut consumer = client
            .consumer("t")
            .start(start)
            .until_end(true)
            .build()
            .await
            .unwrap();
        let got = drain(&mut consumer).await;
        assert_eq!(
            got.first().map(|(_, offset, _)| *offset),
            Some(first),
            "{start:?}"
        );
        assert_eq!(got.len() as i64, 100 - first, "{start:?}");
        assert_eq!(client.admin().list_offsets("t", 0, start).await.unwrap(), first);
    }
    for start in [Start::Latest, Start::Offset(100), Start::Time(1_000_000)] {
        let mut consumer = client
            .consumer("t")
            .start(start)
            .until_end(true)
            .build()
            .await
            .unwrap();
        assert!(drain(&mut consumer).await.is_empty(), "{start:?}");
    }
    let mut beyond = client
        .consumer("t")
        .start(Start::Offset(101))
        .build()
        .await
        .unwrap();
    let error = soon(beyond.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
    beyond.seek(0, Start::Offset(99)).await.unwrap();
    assert_eq!(soon(beyond.next()).await.unwrap().unwrap().offset(), 99);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_at_the_end_is_sent_what_comes() {
    let (_broker, client) = start("t", 2).await;
    let mut consumer = client.consumer("t").start(Start::Latest).build().await.unwrap();
    let producer = client.producer("t").build().await.unwrap();
    for n in 0..50i64 {
        let partition = (n % 2) as u32;
        let stored = producer
            .send(Record::value(n.to_string()).partition(partition))
            .await
            .unwrap();
        assert_eq!(soon(stored).await.unwrap().offset, n / 2);
        let record = soon(consumer.next()).await.unwrap().unwrap();
        assert_eq!((record.partition(), record.offset()), (partition, n / 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_the_topic_does_not_take_fails_alone() {
    let (_broker, client) = start("t", 1).await;
    let producer = client.producer("t").batch_bytes(1).build().await.unwrap();
    soon(producer.send("before").await.unwrap()).await.unwrap();
    // The producer learnt the limit when it began; the broker knows better now.
    let smaller = BTreeMap::from([("max.message.bytes".to_owned(), "1000".to_owned())]);
    client.admin().alter_topic("t", smaller, None).await.unwrap();
    let large = producer.send(vec![b'x'; 5000]).await.unwrap();
    let after: Vec<_> = soon(async {
        let mut after = Vec::new();
        for n in 0..20 {
            after.push(producer.send(n.to_string()).await.unwrap());
        }
        after
    })
    .await;
    let error = soon(large).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge), "{error:?}");
    for (n, delivery) in after.into_iter().enumerate() {
        assert_eq!(soon(delivery).await.unwrap().offset, n as i64 + 1);
    }
    assert!(matches!(
        soon(producer.close()).await,
        Err(ProduceError::Broker(_))
    ));
    let mut consumer = client.consumer("t").until_end(true).build().await.unwrap();
    let values: Vec<String> = drain(&mut consumer)
        .await
        .into_iter()
        .map(|(_, _, value)| value)
        .collect();
    let expected: Vec<String> = std::iter::once("before".to_owned())
        .chain((0..20).map(|n| n.to_string()))
        .collect();
    assert_eq!(values, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_restarts_under_load_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut broker = Broker::builder()
        .folder(folder.path())
        .listen(address)
        .start()
        .await
        .unwrap();
    address = broker.addr();
    let client = broker.client().await.unwrap();
    client
        .admin()
        .create_topic(NewTopic::new("t").partitions(3))
        .await
        .unwrap();

    let mut consumer = client.consumer("t").build().await.unwrap();
    let consuming = tokio::spawn(async move {
        let mut got: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let mut records = 0;
        while records < 6000 {
            let record = soon(consumer.next()).await.unwrap().unwrap();
            let of_partition = got.entry(record.partition()).or_default();
            assert_eq!(record.offset(), of_partition.len() as i64, "no gap and no repeat");
            of_partition.push(
                std::str::from_utf8(record.value().unwrap())
                    .unwrap()
                    .parse()
                    .unwrap(),
            );
            records += 1;
        }
        got
    });

    let producer = client.producer("t").batch_bytes(500).build().await.unwrap();
    let mut deliveries = Vec::new();
    for n in 0..6000u64 {
        let record = Record::value(n.to_string()).partition((n % 3) as u32);
        deliveries.push(soon(producer.send(record)).await.unwrap());
        if n % 2000 == 1000 {
            broker.stop().await;
            broker = Broker::builder()
                .folder(folder.path())
                .listen(address)
                .start()
                .await
                .unwrap();
        }
    }
    for delivery in deliveries {
        soon(delivery).await.unwrap();
    }
    let got = consuming.await.unwrap();
    for (partition, values) in got {
        let expected: Vec<u64> = (0..6000).filter(|n| n % 3 == u64::from(partition)).collect();
        assert_eq!(values, expected, "partition {partition}");
    }
    soon(producer.close()).await.unwrap();
    client.close().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_paused_sought_and_resumed() {
    let (_broker, client) = start("t", 2).await;
    let producer = client.producer("t").batch_bytes(100).build().await.unwrap();
    let values = (0..200u32).map(|n| Record::value(n.to_string()).partition(n % 2));
    soon(producer.send_all(values).await.unwrap()).await.unwrap();
    let mut consumer = client.consumer("t").until_end(true).build().await.unwrap();
    consumer.pause(0).await.unwrap();
    for offset in 0..100 {
        let record = soon(consumer.next()).await.unwrap().unwrap();
        assert_eq!((record.partition(), record.offset()), (1, offset));
    }
    consumer.seek(0, Start::Offset(90)).await.unwrap();
    consumer.resume(0).await.unwrap();
    consumer.seek(1, Start::Offset(98)).await.unwrap();
    let mut got = drain(&mut consumer).await;
    got.sort();
    let places: Vec<_> = got
        .into_iter()
        .map(|(partition, offset, _)| (partition, offset))
        .collect();
    let expected: Vec<_> = (90..100)
        .map(|offset| (0, offset))
        .chain([(1, 98), (1, 99)])
        .collect();
    assert_eq!(places, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_listed_changed_and_deleted() {
    let (_broker, client) = start("a", 2).await;
    let admin = client.admin();
    let exists = admin.create_topic(NewTopic::new("a")).await.unwrap_err();
    assert_eq!(exists.code(), Some(ErrorCode::TopicAlreadyExists));
    admin
        .create_topic(NewTopic::new("b").partitions(1).config("retention.ms", "1000"))
        .await
        .unwrap();
    let names: Vec<String> = admin
        .list_topics()
        .await
        .unwrap()
        .into_iter()
        .map(|topic| topic.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(
        admin.describe_topic("b").await.unwrap().config["retention.ms"],
        "1000"
    );
    let grown = admin.alter_topic("a", BTreeMap::new(), Some(5)).await.unwrap();
    assert_eq!(grown.partitions.len(), 5);
    admin.delete_topic("b").await.unwrap();
    let gone = admin.describe_topic("b").await.unwrap_err();
    assert_eq!(gone.code(), Some(ErrorCode::UnknownTopicOrPartition));
    let broker = admin.describe_broker().await.unwrap();
    assert_eq!((broker.topics, broker.partitions), (1, 5));
    let nothing = client.producer("b").build().await.unwrap_err();
    assert_eq!(nothing.code(), Some(ErrorCode::UnknownTopicOrPartition));
    assert!(!nothing.retriable());
}
