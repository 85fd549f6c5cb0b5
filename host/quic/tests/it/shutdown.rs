//! How a listener ends.

use std::time::{Duration, Instant};

use weir_protocol::{CloseCode, ErrorCode, FrameKind, Goodbye, WireError};

use crate::peer::{Server, batch, number, open_subscribe};

#[tokio::test]
async fn what_is_in_flight_is_answered_and_everybody_is_told() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let mut peer = server.connect().await;
    let (mut producer, _) = peer.produce("t").await;
    let (mut consumer, _) = peer.subscribe(&open_subscribe("t")).await;
    producer.send_batch(0, &batch(0, 1)).await;
    assert_eq!(producer.ack().await.error, None);
    let _ = consumer.records().await;
    for index in 0..100 {
        producer.send_batch(0, &batch(index, 1)).await;
    }
    let Server { listener, broker, .. } = server;
    let ending = tokio::spawn(listener.shutdown(Duration::from_secs(10)));

    // Whatever was taken is answered, then the producer is told; no batch is stored without an answer.
    let mut acknowledged = 1;
    let error = loop {
        let frame = producer.frame().await.expect("acks, then an error");
        match frame.kind() {
            FrameKind::Ack => acknowledged += 1,
            _ => break frame.message::<WireError>().unwrap(),
        }
    };
    assert_eq!(
        (error.error_code(), error.retriable),
        (Some(ErrorCode::ShuttingDown), true)
    );
    assert_eq!(
        broker.describe_topic("t").unwrap().partitions[0].high_watermark,
        acknowledged
    );
    let error = loop {
        let frame = consumer.frame().await.expect("records, then an error");
        if frame.kind() == FrameKind::Error {
            break frame.message::<WireError>().unwrap();
        }
    };
    assert_eq!(error.error_code(), Some(ErrorCode::ShuttingDown));
    let goodbye: Goodbye = peer.first.hear().await;
    assert_eq!(goodbye.within_ms, 10_000);
    let (code, reason) = peer.closed().await;
    assert_eq!(code, number(CloseCode::ShuttingDown));
    assert!(reason.contains("shutting down"), "{reason}");
    ending.await.unwrap();
}

#[tokio::test]
async fn an_idle_listener_ends_at_once() {
    let server = Server::start().await;
    let peer = server.connect().await;
    let begun = Instant::now();
    server.listener.shutdown(Duration::from_secs(60)).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(peer.closed().await.0, number(CloseCode::ShuttingDown));
}

#[tokio::test]
async fn a_peer_that_does_not_read_delays_the_end_by_no_more_than_the_deadline() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(quinn::VarInt::from_u32(1000));
    let peer = server.connect_with(transport).await;
    peer.fill("t", 0, 100, 100).await;
    let (stream, _) = peer.subscribe(&open_subscribe("t")).await;
    let begun = Instant::now();
    server.listener.shutdown(Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(peer.closed().await.0, number(CloseCode::ShuttingDown));
    drop(stream);
}

#[tokio::test]
async fn dropping_a_listener_closes_its_connections_and_frees_its_port() {
    let server = Server::start().await;
    let addr = server.addr();
    let peer = server.connect().await;
    drop(server.listener);
    assert_eq!(peer.closed().await.0, number(CloseCode::ShuttingDown));
    // The socket goes when the last connection has drained.
    loop {
        match std::net::UdpSocket::bind(addr) {
            Ok(_) => break,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let server = Server::start().await;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = weir_quic::ListenerConfig::new(server.addr(), vec![made.cert.der().clone()], key);
    let error = weir_quic::Listener::bind(config, server.broker.clone()).unwrap_err();
    assert!(error.to_string().contains(&server.addr().to_string()), "{error}");

    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(other.signing_key.serialize_der().into());
    let config =
        weir_quic::ListenerConfig::new(([127, 0, 0, 1], 0).into(), vec![made.cert.der().clone()], key);
    let error = weir_quic::Listener::bind(config, server.broker.clone()).unwrap_err();
    assert!(error.to_string().contains("belong together"), "{error}");
}

#[test]
fn after_a_crash_peers_learn_at_once_that_their_connections_are_gone() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let here = runtime();
    let crashing = runtime();
    let reset_key = Some([7; 64]);
    let server = crashing.block_on(Server::start_at(([127, 0, 0, 1], 0).into(), reset_key));
    let addr = server.addr();
    let (peer, mut producer) = here.block_on(async {
        server.topic("t", 1, &[]).await;
        let peer = server.connect().await;
        let (producer, _) = peer.produce("t").await;
        (peer, producer)
    });
    // Without a word to anybody, as a process that is killed.
    crashing.shutdown_timeout(Duration::from_secs(10));
    drop(server);
    here.block_on(async {
        let _next = loop {
            // The socket is gone when the last task of the runtime is.
            if std::net::UdpSocket::bind(addr).is_ok() {
                break Server::start_at(addr, reset_key).await;
            }
            tokio::task::yield_now().await;
        };
        producer.send_batch(0, &batch(0, 1)).await;
        let lost = tokio::time::timeout(Duration::from_secs(10), peer.connection.closed()).await;
        assert!(matches!(lost, Ok(quinn::ConnectionError::Reset)), "{lost:?}");
    });
}
