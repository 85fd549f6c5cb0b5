//! Garbage on the UDP port, the wrong protocol and thousands of idle streams: bounded memory, everybody else unharmed.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::net::UdpSocket;
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use weir_client::{NewTopic, Record, Start};
use weir_tests::{BrokerCommand, BrokerProcess, Random};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");

async fn works(broker: &BrokerProcess, topic: &str) {
    let client = broker.client().await;
    client
        .admin()
        .create_topic(NewTopic::new(topic).partitions(1))
        .await
        .unwrap();
    let producer = client.producer(topic).build().await.unwrap();
    producer
        .send(Record::value("still here"))
        .await
        .unwrap()
        .await
        .unwrap();
    let mut consumer = client
        .consumer(topic)
        .start(Start::Earliest)
        .build()
        .await
        .unwrap();
    assert_eq!(
        consumer.next().await.unwrap().unwrap().value(),
        Some(b"still here".as_slice())
    );
}

/// A bare QUIC endpoint that trusts the broker and speaks `alpn`.
fn endpoint(broker: &BrokerProcess, alpn: &[u8]) -> quinn::Endpoint {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(broker.ca_file()).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(
        QuicClientConfig::try_from(tls).unwrap(),
    )));
    endpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn random_datagrams() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = BrokerCommand::new(BINARY, folder.path()).start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(broker.addr()).unwrap();
    let before = broker.resident_bytes();
    let mut random = Random::new(1);
    for round in 0..20_000_u64 {
        let len = (random.next() % 1400) as usize;
        let mut datagram: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        // Half of them look like the first packet of a connection.
        if round % 2 == 0 && len > 5 {
            datagram[..5].copy_from_slice(&[0xc3, 0, 0, 0, 1]);
        }
        // A full socket buffer is the sender's own business.
        let _ = socket.send(&datagram);
    }
    works(&broker, "after").await;
    assert!(broker.is_running());
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more are resident");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerCommand::new(BINARY, folder.path()).start();
    let endpoint = endpoint(&broker, b"h3");
    let error = endpoint
        .connect(broker.addr().parse().unwrap(), "localhost")
        .unwrap()
        .await
        .expect_err("the broker does not speak h3");
    assert!(
        error.to_string().contains("application protocol") || error.to_string().contains("120"),
        "{error}"
    );
    works(&broker, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_streams() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = BrokerCommand::new(BINARY, folder.path()).start();
    let before = broker.resident_bytes();
    // Ten thousand streams that say one byte and then nothing, over ten connections, as far as the broker lets them.
    let endpoint = endpoint(&broker, b"weir/1");
    let mut connections = Vec::new();
    let mut opened = 0;
    for _ in 0..10 {
        let connection = endpoint
            .connect(broker.addr().parse().unwrap(), "localhost")
            .unwrap()
            .await
            .unwrap();
        for _ in 0..1000 {
            let open = tokio::time::timeout(std::time::Duration::from_millis(20), connection.open_bi());
            let Ok(Ok((mut send, receive))) = open.await else {
                break;
            };
            if send.write_all(&[0]).await.is_err() {
                break;
            }
            opened += 1;
            connections.push((connection.clone(), send, receive));
        }
    }
    assert!(opened > 0);
    works(&broker, "after").await;
    assert!(broker.is_running());
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(
        grown < 128 << 20,
        "{grown} bytes more are resident for {opened} idle streams"
    );
}
