//! A client talks only to a broker whose certificate it was told to trust, and says what to do otherwise.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use weir_client::Client;
use weir_tests::BrokerCommand;

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");

fn keys_below(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("key"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_ca_is_refused_with_what_to_do() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let broker = BrokerCommand::new(BINARY, ours.path()).start();
    let other = BrokerCommand::new(BINARY, theirs.path()).start();

    let refused = Client::builder()
        .broker(broker.addr())
        .ca_file(other.ca_file())
        .connect()
        .await;
    let message = refused.expect_err("the certificate is of another CA").to_string();
    assert!(message.contains("ca"), "{message}");
    broker.client().await.admin().list_topics().await.unwrap();

    let output = broker
        .weir(BINARY, &["topic", "list"])
        .env("WEIR_CA", other.ca_file())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("--ca") || said.contains("WEIR_CA"),
        "what to do is said: {said}"
    );
}

#[test]
fn beside_a_local_broker_no_ca_needs_to_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerCommand::new(BINARY, folder.path()).start();
    let output = broker
        .weir(BINARY, &["topic", "list"])
        .env_remove("WEIR_CA")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn keys_are_their_owners_alone_and_stay_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerCommand::new(BINARY, folder.path()).start();
    let tls = broker.data().join("tls");
    let keys = keys_below(&tls);
    assert!(!keys.is_empty());
    for key in keys {
        assert_eq!(
            std::fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o600,
            "{key:?}"
        );
    }
    let ca = std::fs::read(broker.ca_file()).unwrap();
    let data = broker.kill();
    let broker = BrokerCommand::new(BINARY, &data).start();
    assert_eq!(
        std::fs::read(broker.ca_file()).unwrap(),
        ca,
        "clients need not be told of a new CA"
    );
}
