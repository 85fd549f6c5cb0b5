//! What a stream may begin with, and how many there may be.

use std::time::Duration;

use weir_protocol::{ErrorCode, FrameKind, Goodbye, encode_control};
use weir_quic::ListenerLimits;

use crate::peer::{Server, Stream, header, open_produce};

#[tokio::test]
async fn garbage_on_a_stream_costs_this_stream_only() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    let (mut bystander, _) = peer.produce("t").await;
    let goodbye = encode_control(&Goodbye {
        reason: String::new(),
        within_ms: 0,
    })
    .unwrap();
    let mut reserved = header(FrameKind::OpenProduce, 0);
    reserved[7] = 1;
    let mut no_cbor = header(FrameKind::OpenSubscribe, 3);
    no_cbor.extend([0xff; 3]);
    let mut deep = header(FrameKind::OpenSubscribe, 1003);
    deep.extend(b"\xa1\x61x");
    deep.extend([0x81; 1000]);
    for (bytes, code, text) in [
        (
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            ErrorCode::ProtocolViolation,
            "unknown frame kind",
        ),
        (reserved.to_vec(), ErrorCode::ProtocolViolation, "reserved bits"),
        (
            goodbye.to_vec(),
            ErrorCode::ProtocolViolation,
            "cannot begin with a Goodbye",
        ),
        (
            header(FrameKind::Request, 64 << 20).to_vec(),
            ErrorCode::FrameTooLarge,
            "over the limit",
        ),
        (
            header(FrameKind::Produce, 9).to_vec(),
            ErrorCode::FrameTooLarge,
            "over the limit",
        ),
        (
            no_cbor.to_vec(),
            ErrorCode::InvalidRequest,
            "malformed control message",
        ),
        (deep.to_vec(), ErrorCode::InvalidRequest, "nested deeper"),
    ] {
        let mut stream = peer.stream().await;
        stream.write(&bytes).await;
        let error = stream.last_error().await;
        assert_eq!(error.error_code(), Some(code), "{error}");
        assert!(error.message.contains(text), "{error}");
        assert!(!error.retriable);
        stream.stopped().await;
    }
    bystander.send_batch(0, &crate::peer::batch(0, 3)).await;
    assert_eq!(bystander.ack().await.base_offset, 0);
}

#[tokio::test]
async fn a_truncated_first_frame_is_noticed() {
    let server = Server::start().await;
    let peer = server.connect().await;
    let whole = encode_control(&open_produce("t")).unwrap();
    for len in 1..whole.len() {
        let mut stream = peer.stream().await;
        stream.write(&whole[..len]).await;
        stream.finish();
        let error = stream.last_error().await;
        assert_eq!(error.error_code(), Some(ErrorCode::ProtocolViolation), "{error}");
        assert!(error.message.contains("ended inside a frame"), "{error}");
    }
}

#[tokio::test]
async fn ten_thousand_idle_streams_harm_nobody() {
    let limits = ListenerLimits {
        stream_timeout: Duration::from_millis(300),
        ..ListenerLimits::default()
    };
    let server = Server::start_with(limits).await;
    let hostile = server.connect().await;
    let peer = server.connect().await;
    let mut refused = 0;
    // Room for streams is announced in steps of an eighth of all, so that not every stream that ended can be replaced at once.
    for _ in 0..20 {
        let mut idle = Vec::new();
        for _ in 0..500 {
            // Half a header, so that the listener knows of the stream.
            let mut stream = hostile.stream().await;
            stream.write(&[0, 0, 0]).await;
            idle.push(stream);
        }
        peer.assert_served().await;
        for mut stream in idle {
            let error = stream.last_error().await;
            refused += usize::from(error.error_code() == Some(ErrorCode::IdleTimeout));
        }
    }
    assert_eq!(refused, 10_000);
    hostile.assert_served().await;
}

#[tokio::test]
async fn the_listener_has_a_bound_on_all_streams_together() {
    let limits = ListenerLimits {
        streams_max: 2,
        ..ListenerLimits::default()
    };
    let server = Server::start_with(limits).await;
    server.topic("t", 1, &[]).await;
    let one = server.connect().await;
    let other = server.connect().await;
    let (first, _) = one.produce("t").await;
    let (second, _) = one.produce("t").await;
    let mut third = other.stream().await;
    third.say(&open_produce("t")).await;
    let error = third.last_error().await;
    assert_eq!(error.error_code(), Some(ErrorCode::TooManyStreams), "{error}");
    assert!(error.retriable);
    drop((first, second));
    // Room comes back when the listener has seen the two off.
    loop {
        let mut stream = other.stream().await;
        stream.say(&open_produce("t")).await;
        if stream.frame().await.expect("an answer").kind() == FrameKind::ProduceOpened {
            break;
        }
    }
}

#[tokio::test]
async fn a_connection_has_a_bound_on_its_streams() {
    let limits = ListenerLimits {
        connection_streams_max: 3,
        ..ListenerLimits::default()
    };
    let server = Server::start_with(limits).await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    let mut produce = Vec::new();
    for _ in 0..2 {
        produce.push(peer.produce("t").await.0);
    }
    // The first exchange has the third.
    let fourth = peer.connection.open_bi();
    let mut fourth = std::pin::pin!(fourth);
    let waited = tokio::time::timeout(Duration::from_millis(100), &mut fourth).await;
    assert!(waited.is_err(), "QUIC itself holds the peer back");
    let mut done = produce.pop().unwrap();
    done.finish();
    assert_eq!(done.frame().await, None);
    fourth.await.unwrap();
}

#[tokio::test]
async fn a_stream_without_a_word_is_no_error() {
    let server = Server::start().await;
    let peer = server.connect().await;
    for _ in 0..10 {
        let mut stream = Stream::open(&peer.connection).await;
        stream.finish();
        assert_eq!(stream.frame().await, None);
    }
    peer.assert_served().await;
}
