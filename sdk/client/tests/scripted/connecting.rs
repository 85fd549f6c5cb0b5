//! Whom a client connects to, and what it says when it cannot.

use std::time::{Duration, Instant};

use crate::support::{FakeBroker, soon};
use weir_client::{Client, Error};
use weir_protocol::{AdminRequest, AdminResponse};

#[tokio::test]
async fn the_first_exchange_tells_who_the_broker_is() {
    let broker = FakeBroker::start();
    let (client, _peer) = broker.connect().await;
    assert_eq!(client.broker_version().await.unwrap(), "fake/1");
    assert_eq!(client.cluster_id().await.unwrap(), "test");
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_and_the_message_says_what_to_do() {
    let (broker, stranger) = (FakeBroker::start(), FakeBroker::start());
    let attempt = Client::builder()
        .broker(broker.address.to_string())
        .ca_pem(&stranger.ca_pem)
        .connect();
    let (outcome, ()) = soon(async { tokio::join!(attempt, broker.shake_hands()) }).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::UnknownCertificate { .. }), "{error:?}");
    assert!(!error.retriable());
    let text = error.to_string();
    assert!(
        text.contains("--ca") && text.contains("WEIR_CA") && text.contains("tls/ca.pem"),
        "{text}"
    );
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let broker = FakeBroker::start();
    let attempt = broker.client().server_name("broker.example").connect();
    let (outcome, ()) = soon(async { tokio::join!(attempt, broker.shake_hands()) }).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::UnknownCertificate { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_of_another_protocol_is_recognised() {
    let broker = FakeBroker::with_alpn(b"h3");
    let (outcome, ()) = soon(async { tokio::join!(broker.client().connect(), broker.shake_hands()) }).await;
    let error = outcome.unwrap_err();
    assert!(
        matches!(&error, Error::Protocol(what) if what.contains("weir/1")),
        "{error:?}"
    );
}

#[tokio::test]
async fn where_nothing_listens_the_error_comes_at_once() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let begun = Instant::now();
    let client = Client::builder()
        .broker(address.to_string())
        .ca_pem(FakeBroker::start().ca_pem);
    let error = soon(client.connect_timeout(Duration::from_secs(60)).connect())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Unreachable { reason, .. } if reason.contains("nothing listens")),
        "{error:?}"
    );
    assert!(error.retriable());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    // A socket that takes datagrams and says nothing.
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = Client::builder()
        .broker(socket.local_addr().unwrap().to_string())
        .ca_pem(FakeBroker::start().ca_pem)
        .connect_timeout(Duration::from_millis(200));
    let error = soon(client.connect()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unreachable { reason, .. } if reason.contains("200 ms")),
        "{error:?}"
    );
}

#[tokio::test]
async fn addresses_without_a_port_are_refused_before_anything_is_sent() {
    for address in ["localhost", "localhost:", ":9094", "localhost:99999"] {
        let error = Client::connect(address).await.unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(_)), "{address}: {error:?}");
    }
}

#[tokio::test]
async fn a_closed_client_says_so() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    soon(client.close()).await;
    let reason = soon(peer.connection.closed()).await;
    assert!(reason.to_string().contains("the client is done"), "{reason}");
    assert!(matches!(client.admin().list_topics().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_lost_connection_is_made_again_by_the_next_call() {
    let broker = FakeBroker::start();
    let (client, peer) = broker.connect().await;
    peer.close();
    let admin = client.admin();
    let calls = async {
        // Until the client has noticed, calls fail; they say that trying again is of use.
        loop {
            match admin.list_topics().await {
                Ok(topics) => return topics,
                Err(error) => assert!(error.retriable(), "{error:?}"),
            }
        }
    };
    let (topics, _peer) = soon(async {
        tokio::join!(calls, async {
            let peer = broker.accept().await;
            let mut stream = peer.stream().await;
            let request: AdminRequest = stream.message().await;
            assert_eq!(request, AdminRequest::ListTopics);
            stream.send(&AdminResponse::Topics(Vec::new())).await;
            peer
        })
    })
    .await;
    assert!(topics.is_empty());
}
