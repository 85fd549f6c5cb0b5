//! A flipped bit in a segment is reported with partition and offset and is never served as data; the other partitions
//! and topics go on.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use weir_client::{NewTopic, Record, Start};
use weir_tests::{BrokerCommand, Random};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
const RECORDS: u64 = 200;

fn value_of(number: u64) -> Vec<u8> {
    let mut random = Random::new(number ^ 0xface);
    (0..1000)
        .flat_map(|_| random.next().to_le_bytes())
        .take(1000)
        .collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Flips one bit in the middle of where `needle` stands in any file below `folder`; says whether it was found.
fn flip_bit_in(folder: &Path, needle: &[u8]) -> bool {
    for path in files_below(folder) {
        let bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            let at = at + needle.len() / 2;
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[bytes[at] ^ 0x10], at as u64).unwrap();
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_named_by_partition_and_offset() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerCommand::new(BINARY, folder.path()).start();
    let client = broker.client().await;
    client
        .admin()
        .create_topic(NewTopic::new("t").partitions(2))
        .await
        .unwrap();
    let producer = client.producer("t").batch_bytes(4096).build().await.unwrap();
    for number in 0..RECORDS {
        let record = Record::value(value_of(number)).partition((number % 2) as u32);
        producer.send(record).await.unwrap().await.unwrap();
    }
    producer.close().await.unwrap();
    broker.signal(rustix::process::Signal::TERM);
    let data = broker.data().to_owned();
    let (status, said) = broker.wait();
    assert_eq!(status.code(), Some(0), "{said}");

    // Record 101 is the one at offset 50 of partition 1.
    let victim = value_of(101);
    assert!(
        flip_bit_in(&data.join("shards"), &victim[..200]),
        "the record is on the disk"
    );

    let broker = BrokerCommand::new(BINARY, &data).start();
    let client = broker.client().await;
    let mut whole = client
        .consumer("t")
        .partitions([0])
        .start(Start::Earliest)
        .until_end(true)
        .build()
        .await
        .unwrap();
    for number in (0..RECORDS).step_by(2) {
        assert_eq!(
            whole.next().await.unwrap().unwrap().value(),
            Some(value_of(number).as_slice())
        );
    }
    assert!(whole.next().await.is_none());

    let mut damaged = client
        .consumer("t")
        .partitions([1])
        .start(Start::Earliest)
        .until_end(true)
        .build()
        .await
        .unwrap();
    let mut number = 1;
    let error = loop {
        match damaged.next().await {
            Some(Ok(record)) => {
                assert_eq!(
                    record.value(),
                    Some(value_of(number).as_slice()),
                    "what is served is what was written"
                );
                number += 2;
            }
            Some(Err(error)) => break error,
            None => panic!("the damage was passed over in silence"),
        }
    };
    assert!(number <= 101, "the damaged record was served");
    let message = error.to_string();
    assert!(
        message.contains("partition 1") && message.contains("offset"),
        "{message}"
    );

    // Nothing else suffers: partition 1 takes and serves new records.
    let producer = client.producer("t").build().await.unwrap();
    let stored = producer
        .send(Record::value("after").partition(1))
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(stored.offset, 100);
    let mut after = client
        .consumer("t")
        .partitions([1])
        .start(Start::Offset(100))
        .build()
        .await
        .unwrap();
    assert_eq!(
        after.next().await.unwrap().unwrap().value(),
        Some(b"after".as_slice())
    );
}
