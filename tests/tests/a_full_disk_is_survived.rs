//! When the disk is full, producers get a clear error that is worth another try, reads go on, and the broker continues by
//! itself once there is space.
//!
//! The disk is a file system of its own of a few MiB where this process may mount one; everywhere else its fullness is
//! a limit on the size of the broker's files, which the storage engine meets as a failed write just the same.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use weir_client::{Client, NewTopic, Record, Start};
use weir_tests::{BrokerCommand, BrokerProcess};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
const VALUE_BYTES: usize = 8192;

/// Produces until it is refused; returns how many were acknowledged.
async fn produce_until_refused(client: &Client) -> (u64, weir_client::ProduceError) {
    let producer = client
        .producer("t")
        .delivery_timeout(Duration::from_secs(2))
        .build()
        .await
        .unwrap();
    let mut number = 0_u64;
    loop {
        let mut value = vec![number as u8; VALUE_BYTES];
        value[..8].copy_from_slice(&number.to_le_bytes());
        match producer.send(Record::value(value)).await.unwrap().await {
            Ok(metadata) => assert_eq!(metadata.offset, number as i64),
            Err(error) => return (number, error),
        }
        number += 1;
        assert!(
            number * (VALUE_BYTES as u64) < 1 << 30,
            "the disk never became full"
        );
    }
}

async fn check_all(client: &Client, acknowledged: u64) {
    let mut consumer = client
        .consumer("t")
        .start(Start::Earliest)
        .until_end(true)
        .build()
        .await
        .unwrap();
    for number in 0..acknowledged {
        let record = consumer.next().await.unwrap().unwrap();
        assert_eq!(record.offset(), number as i64);
        assert_eq!(record.value().unwrap()[..8], number.to_le_bytes());
    }
}

/// Fills `broker`'s disk, frees it by `make_room`, sees it go on.
async fn fill_and_free(broker: &mut BrokerProcess, make_room: impl FnOnce(&BrokerProcess)) {
    let client = broker.client().await;
    client
        .admin()
        .create_topic(NewTopic::new("t").partitions(1))
        .await
        .unwrap();
    let (acknowledged, error) = produce_until_refused(&client).await;
    assert!(acknowledged > 0);
    let message = error.to_string();
    assert!(
        message.contains("STORAGE_FULL") && message.contains("make room"),
        "the producer is told what is wrong: {message}"
    );
    assert!(broker.is_running());
    check_all(&client, acknowledged).await;

    make_room(broker);
    let producer = client
        .producer("t")
        .delivery_timeout(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    producer
        .send(Record::value("there is room again"))
        .await
        .unwrap()
        .await
        .unwrap();
    check_all(&client, acknowledged).await;

    // And after a kill everything is still there.
    broker.signal(rustix::process::Signal::KILL);
}

/// A file system of its own at `at`, with 48 MiB; false where this process may not mount.
fn mount_small_disk(at: &Path) -> bool {
    Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"])
        .arg(at)
        .output()
        .is_ok_and(|output| output.status.success())
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_space() {
    let folder = tempfile::tempdir().unwrap();
    if !mount_small_disk(folder.path()) {
        eprintln!("not allowed to mount a small disk: covered by the limit on file sizes only");
        return;
    }
    let _mounted = Mounted(folder.path());
    // Takes half of the space, and gives it back later.
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![1; 20 << 20]).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut command = BrokerCommand::new(BINARY, &data);
    command.config("[log]\nfree_space_min_bytes = 4194304\n");
    let mut broker = command.start();
    fill_and_free(&mut broker, |_| std::fs::remove_file(&ballast).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_may_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = BrokerCommand::new(BINARY, folder.path());
    command.file_size_max(16 << 20);
    let mut broker = command.start();
    fill_and_free(&mut broker, BrokerProcess::raise_file_size_limit).await;
}
