//! Acknowledged is durable, exactly once and in order, however often the broker is killed under load.
//!
//! One idempotent producer lives through every kill: it reconnects and sends again what was not acknowledged. At the end
//! each record must be in the log once, in the order it was sent, with its bytes, at the offset that was acknowledged.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_client::{Client, NewTopic, Record, Start};
use weir_tests::{BrokerCommand, Random};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
const PARTITIONS: u32 = 3;
const ROUNDS: usize = 12;

/// A record's bytes tell its number and are different for each: `number` and a run of bytes drawn from it.
fn value_of(number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let len = 20 + (random.next() % 900) as usize;
    let mut value = format!("{number:012} ").into_bytes();
    value.extend((0..len).map(|_| (random.next() >> 32) as u8));
    value
}

fn number_of(value: &[u8]) -> u64 {
    std::str::from_utf8(&value[..12]).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_record_is_there_once_in_order_after_kills_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = BrokerCommand::new(BINARY, &data).start();
    let addr = broker.addr().to_owned();
    let client = broker.client().await;
    client
        .admin()
        .create_topic(NewTopic::new("load").partitions(PARTITIONS))
        .await
        .unwrap();

    let producer = client
        .producer("load")
        .linger(Duration::from_millis(1))
        .batch_bytes(16 * 1024)
        .delivery_timeout(Duration::from_secs(120))
        .build()
        .await
        .unwrap();

    // Deliveries in the order of sending; the other task awaits them in that order and tells how far it came.
    let (deliveries, mut delivered) = mpsc::channel(4096);
    let (progress, mut acknowledged) = tokio::sync::watch::channel(0_u64);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopping = stop.clone();
    let sending = tokio::spawn(async move {
        let mut sent: u64 = 0;
        while !stopping.load(std::sync::atomic::Ordering::Relaxed) {
            let partition = (sent % u64::from(PARTITIONS)) as u32;
            let delivery = producer
                .send(Record::value(value_of(sent)).partition(partition))
                .await
                .unwrap();
            deliveries.send((sent, delivery)).await.unwrap();
            sent += 1;
        }
        producer.flush().await.unwrap();
        sent
    });
    let accounting = tokio::spawn(async move {
        let mut places = HashMap::new();
        while let Some((number, delivery)) = delivered.recv().await {
            let metadata = delivery
                .await
                .unwrap_or_else(|error| panic!("record {number} was given up: {error}"));
            let before = places.insert((metadata.partition, metadata.offset), number);
            assert_eq!(before, None, "two records were acknowledged at one place");
            progress.send_replace(number + 1);
        }
        places
    });

    let mut random = Random::new(0x5eed);
    for _ in 0..ROUNDS {
        // The kill comes after a random number of further acknowledgements, while more are under way.
        let until = *acknowledged.borrow() + 200 + random.next() % 3000;
        acknowledged.wait_for(|&done| done >= until).await.unwrap();
        broker.kill();
        broker = BrokerCommand::new(BINARY, &data).listen(&addr).start();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let sent = sending.await.unwrap();
    let places = accounting.await.unwrap();
    assert_eq!(places.len() as u64, sent, "each record sent was acknowledged");

    // And once more from cold.
    broker.kill();
    let broker = BrokerCommand::new(BINARY, &data).listen(&addr).start();
    verify(&broker.client().await, &places).await;
}

async fn verify(client: &Client, places: &HashMap<(u32, i64), u64>) {
    let mut consumer = client
        .consumer("load")
        .start(Start::Earliest)
        .until_end(true)
        .build()
        .await
        .unwrap();
    let mut last: HashMap<u32, u64> = HashMap::new();
    let mut found = 0;
    while let Some(record) = consumer.next().await {
        let record = record.unwrap();
        let place = (record.partition(), record.offset());
        let value = record.value().unwrap();
        let number = number_of(value);
        assert_eq!(value, value_of(number), "the bytes at {place:?}");
        assert_eq!(
            places.get(&place),
            Some(&number),
            "what is stored at {place:?} is what was acknowledged there"
        );
        if let Some(before) = last.insert(place.0, number) {
            assert!(before < number, "partition {}: {number} after {before}", place.0);
        }
        found += 1;
    }
    assert_eq!(
        found,
        places.len(),
        "every acknowledged record was found, none twice"
    );
}
