//! The first exchange, and who gets that far.

use std::time::Duration;

use quinn::{ConnectionError, TransportConfig};
use weir_protocol::{AdminRequest, CloseCode, ErrorCode, FrameKind, Hello, WireError, encode_control};
use weir_quic::ListenerLimits;

use crate::peer::{Peer, Server, Stream, closed, header, number};

#[tokio::test]
async fn garbage_on_the_port_harms_nobody() {
    let server = Server::start().await;
    let peer = server.connect().await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut state = 1_u64;
    for length in (0..1500).chain(0..1500) {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        socket.send_to(&bytes, server.addr()).await.unwrap();
    }
    peer.assert_served().await;
    server.connect().await.assert_served().await;
}

#[tokio::test]
async fn another_application_protocol_is_refused_by_tls() {
    let server = Server::start().await;
    let error = server
        .dial_with(b"h3", TransportConfig::default())
        .await
        .unwrap_err();
    let ConnectionError::ConnectionClosed(close) = error else {
        panic!("{error}")
    };
    // RFC 9001: 0x100 and the TLS alert, no_application_protocol.
    assert_eq!(u64::from(close.error_code), 0x100 + 120);
    server.connect().await.assert_served().await;
}

#[tokio::test]
async fn what_is_no_hello_closes_the_connection_with_a_reason() {
    let server = Server::start().await;
    let request = encode_control(&AdminRequest::ListTopics).unwrap();
    let truncated = encode_control(&Hello::new("x")).unwrap().slice(..12);
    let mut no_cbor = header(FrameKind::Hello, 4);
    no_cbor.extend([0xff; 4]);
    for (bytes, reason) in [
        (
            request.to_vec(),
            "a Hello frame is expected here, not a Request frame",
        ),
        (truncated.to_vec(), "the stream ended inside a frame"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "unknown frame kind"),
        (header(FrameKind::Hello, u32::MAX).to_vec(), "over the limit"),
        (no_cbor.to_vec(), "malformed control message"),
        (header(FrameKind::Produce, 1).to_vec(), "over the limit"),
        (Vec::new(), "ended without a Hello"),
    ] {
        let connection = server.dial().await.unwrap();
        let mut stream = Stream::open(&connection).await;
        stream.write(&bytes).await;
        stream.finish();
        let (code, found) = closed(&connection).await;
        assert_eq!(code, number(CloseCode::ProtocolViolation), "{found}");
        assert!(found.contains(reason), "{found}");
    }
    server.connect().await.assert_served().await;
}

#[tokio::test]
async fn a_silent_peer_is_sent_away() {
    let limits = ListenerLimits {
        hello_timeout: Duration::from_millis(200),
        ..ListenerLimits::default()
    };
    let server = Server::start_with(limits).await;
    let no_stream = server.dial().await.unwrap();
    let half = server.dial().await.unwrap();
    let mut stream = Stream::open(&half).await;
    stream.write(&[0, 0]).await;
    for connection in [no_stream, half] {
        let (code, reason) = closed(&connection).await;
        assert_eq!(code, number(CloseCode::Timeout), "{reason}");
        assert!(reason.contains("Hello"), "{reason}");
    }
}

#[tokio::test]
async fn a_client_of_another_version_is_told_so() {
    let server = Server::start().await;
    let connection = server.dial().await.unwrap();
    let mut stream = Stream::open(&connection).await;
    stream
        .say(&Hello {
            min_version: 7,
            max_version: 9,
            client: "future".to_owned(),
        })
        .await;
    let error: WireError = stream.hear().await;
    assert_eq!(error.error_code(), Some(ErrorCode::UnsupportedVersion));
    assert!(error.message.contains("7 to 9"), "{error}");
    let (code, _) = closed(&connection).await;
    assert_eq!(code, number(CloseCode::UnsupportedVersion));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_room_is_found_again() {
    let limits = ListenerLimits {
        connections_max: 2,
        ..ListenerLimits::default()
    };
    let server = Server::start_with(limits).await;
    let first = server.connect().await;
    let second = server.connect().await;
    let third = server.dial().await.unwrap();
    let (code, reason) = closed(&third).await;
    assert_eq!(code, number(CloseCode::TooManyConnections));
    assert!(reason.contains("try again"), "{reason}");

    second.connection.close(0_u32.into(), b"");
    // The listener learns of it in its own time.
    let again = loop {
        let connection = server.dial().await.unwrap();
        let mut stream = Stream::open(&connection).await;
        stream.say(&Hello::new("again")).await;
        if stream.receiver.read_chunk(1, true).await.is_ok() {
            break connection;
        }
    };
    assert!(again.close_reason().is_none());
    first.assert_served().await;
}

#[tokio::test]
async fn under_load_peers_prove_their_address_first() {
    // Every handshake counts as load.
    let limits = ListenerLimits {
        handshakes_max: 1,
        ..ListenerLimits::default()
    };
    let server = Server::start_with(limits).await;
    server.connect().await.assert_served().await;
    server.connect().await.assert_served().await;
}

#[tokio::test]
async fn the_broker_says_who_it_is() {
    let server = Server::start().await;
    let connection = server.dial().await.unwrap();
    let mut stream = Stream::open(&connection).await;
    stream.say(&Hello::new("test")).await;
    let welcome: weir_protocol::HelloOk = stream.hear().await;
    assert_eq!(welcome.broker, concat!("weir/", env!("CARGO_PKG_VERSION")));
    assert_eq!(welcome.cluster_id, server.broker.cluster_id());
    assert!(welcome.max_batch_bytes > 0 && welcome.produce_window_frames > 0);
}

#[tokio::test]
async fn many_peers_come_at_once() {
    let server = Server::start().await;
    let peers = (0..50).map(|_| async { Peer::greet(server.dial().await.unwrap()).await });
    for peer in futures_util::future::join_all(peers).await {
        peer.assert_served().await;
    }
}
