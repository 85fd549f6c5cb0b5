//! SIGTERM and SIGINT end the broker with status 0 within five seconds, while clients produce and consume; nothing that
//! was acknowledged is lost, and what was not is acknowledged by the broker that comes after it.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use weir_client::{NewTopic, Record, Start};
use weir_tests::BrokerCommand;

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// The product's promise, not a measurement: far above what a stop takes on a slow machine.
const STOP_MAX: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn under_load_it_stops_in_time_and_loses_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let broker = BrokerCommand::new(BINARY, folder.path()).start();
        let addr = broker.addr().to_owned();
        let client = broker.client().await;
        client
            .admin()
            .create_topic(NewTopic::new("t").partitions(1))
            .await
            .unwrap();
        let producer = client
            .producer("t")
            .delivery_timeout(Duration::from_secs(120))
            .build()
            .await
            .unwrap();
        // A consumer at the tail and one that never reads must not hold the broker back.
        let _idle = client.consumer("t").start(Start::Earliest).build().await.unwrap();

        let mut deliveries = Vec::new();
        for number in 0..20_000_u32 {
            deliveries.push(
                producer
                    .send(Record::value(number.to_le_bytes().to_vec()))
                    .await
                    .unwrap(),
            );
        }
        let began = Instant::now();
        broker.signal(signal);
        let (status, said) = tokio::task::spawn_blocking(|| broker.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{signal:?}: {said}");
        assert!(
            began.elapsed() < STOP_MAX,
            "{signal:?} took {:?}",
            began.elapsed()
        );

        let broker = BrokerCommand::new(BINARY, folder.path()).listen(&addr).start();
        for (number, delivery) in deliveries.into_iter().enumerate() {
            assert_eq!(delivery.await.unwrap().offset, number as i64);
        }
        let client = broker.client().await;
        let mut consumer = client
            .consumer("t")
            .start(Start::Earliest)
            .until_end(true)
            .build()
            .await
            .unwrap();
        let mut expected = 0_u32;
        while let Some(record) = consumer.next().await {
            assert_eq!(record.unwrap().value(), Some(expected.to_le_bytes().as_slice()));
            expected += 1;
        }
        assert_eq!(expected, 20_000);
    }
}
