//! Produce streams.

use bytes::BytesMut;
use quinn::{TransportConfig, VarInt};
use weir_protocol::{
    Ack, AdminRequest, ErrorCode, FrameKind, OpenProduce, ProduceHeader, ProduceOpened, WireError,
    encode_control,
};

use crate::peer::{Server, Stream, batch, batch_of, header, open_produce};

fn code(ack: &Ack) -> Option<ErrorCode> {
    ack.error.as_ref().and_then(WireError::error_code)
}

#[tokio::test]
async fn batches_are_acknowledged_in_order() {
    let server = Server::start().await;
    server.topic("t", 3, &[]).await;
    let peer = server.connect().await;
    let (mut stream, opened) = peer.produce("t").await;
    assert_eq!(
        (opened.partitions, opened.producer_id, opened.producer_epoch),
        (3, -1, -1)
    );
    assert_eq!(opened.max_message_bytes, 1_048_588);
    assert_eq!(opened.compression, "producer");
    for index in 0..300 {
        stream.send_batch(index as u32 % 3, &batch(index, 2)).await;
    }
    stream.finish();
    for index in 0..300 {
        let ack = stream.ack().await;
        assert_eq!(
            (ack.partition, ack.base_offset),
            (index % 3, i64::from(index / 3 * 2)),
            "{ack:?}"
        );
        assert_eq!((ack.error, ack.duplicate), (None, false));
    }
    assert_eq!(stream.frame().await, None);
}

#[tokio::test]
async fn idempotent_producers_get_an_identity_and_keep_it() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut stream = peer.stream().await;
        stream
            .say(&OpenProduce {
                idempotent: true,
                ..open_produce("t")
            })
            .await;
        let opened: ProduceOpened = stream.hear().await;
        assert!(opened.producer_id >= 0 && opened.producer_epoch >= 0);
        ids.push(opened.producer_id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);

    let resume = |id, epoch| OpenProduce {
        idempotent: true,
        producer_id: Some(id),
        producer_epoch: epoch,
        ..open_produce("t")
    };
    let mut stream = peer.stream().await;
    stream.say(&resume(ids[1], Some(0))).await;
    let opened: ProduceOpened = stream.hear().await;
    assert_eq!((opened.producer_id, opened.producer_epoch), (ids[1], 0));
    for (id, epoch) in [(ids[1], None), (-5, Some(0)), (ids[1], Some(-1))] {
        let mut stream = peer.stream().await;
        stream.say(&resume(id, epoch)).await;
        assert_eq!(
            stream.last_error().await.error_code(),
            Some(ErrorCode::InvalidRequest)
        );
    }
}

#[tokio::test]
async fn unknown_topics_and_partitions_are_refused() {
    let server = Server::start().await;
    server.topic("t", 2, &[]).await;
    let peer = server.connect().await;
    for name in ["nobody", "", "../etc", &"x".repeat(10_000)] {
        let mut stream = peer.stream().await;
        stream.say(&open_produce(name)).await;
        let error = stream.last_error().await;
        assert_eq!(
            error.error_code(),
            Some(ErrorCode::UnknownTopicOrPartition),
            "{error}"
        );
    }
    let (mut stream, _) = peer.produce("t").await;
    for partition in [2, u32::MAX, 0] {
        stream.send_batch(partition, &batch(0, 1)).await;
    }
    for partition in [2, u32::MAX] {
        let ack = stream.ack().await;
        assert_eq!(
            (ack.partition, code(&ack)),
            (partition, Some(ErrorCode::UnknownTopicOrPartition))
        );
        assert_eq!(ack.base_offset, -1);
    }
    assert_eq!(stream.ack().await.error, None);
}

#[tokio::test]
async fn a_damaged_batch_is_refused_and_the_stream_goes_on() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    let (mut stream, _) = peer.produce("t").await;
    let good = batch(7, 5);
    // Every byte but those that the broker sets itself: base offset and leader epoch.
    for at in (8..12).chain(16..good.len()) {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        stream.send_batch(0, &bad).await;
        let ack = stream.ack().await;
        assert!(ack.error.is_some(), "byte {at}");
        assert!(!ack.error.unwrap().retriable);
    }
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    stream.send_batch(0, &bad).await;
    assert_eq!(code(&stream.ack().await), Some(ErrorCode::CorruptMessage));
    // Nothing, too little, too much, twice.
    for bytes in [
        &[][..],
        &good[..40],
        &good[..good.len() - 1],
        &[&good[..], b"x"].concat(),
        &good.repeat(2),
    ] {
        stream.send_batch(0, bytes).await;
        assert!(stream.ack().await.error.is_some(), "{} bytes", bytes.len());
    }
    stream.send_batch(0, &good).await;
    let ack = stream.ack().await;
    assert_eq!((ack.error, ack.base_offset), (None, 0));
}

#[tokio::test]
async fn a_batch_over_the_topics_limit_is_refused_and_the_stream_goes_on() {
    let server = Server::start().await;
    server.topic("t", 1, &[("max.message.bytes", "1000")]).await;
    let peer = server.connect().await;
    let (mut stream, opened) = peer.produce("t").await;
    assert_eq!(opened.max_message_bytes, 1000);
    for bytes in [1000, 20_000_000] {
        stream.send_batch(0, &batch_of(1, |_| vec![7; bytes])).await;
        stream.send_batch(0, &batch(0, 1)).await;
        let ack = stream.ack().await;
        assert_eq!(code(&ack), Some(ErrorCode::MessageTooLarge), "{ack:?}");
        assert!(ack.error.unwrap().message.contains("max.message.bytes"));
        assert_eq!(stream.ack().await.error, None);
    }
}

#[tokio::test]
async fn frames_that_have_no_place_end_the_stream_after_its_acks() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    let mut reserved = header(FrameKind::Produce, 8);
    reserved.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    let mut short = header(FrameKind::Produce, 4);
    short.extend([0; 4]);
    let request = encode_control(&AdminRequest::ListTopics).unwrap();
    for (bytes, expected, text) in [
        (
            request.to_vec(),
            ErrorCode::ProtocolViolation,
            "no place on a produce stream",
        ),
        (reserved.to_vec(), ErrorCode::ProtocolViolation, "reserved bits"),
        (
            short.to_vec(),
            ErrorCode::ProtocolViolation,
            "shorter than its header",
        ),
        (
            header(FrameKind::Produce, u32::MAX).to_vec(),
            ErrorCode::FrameTooLarge,
            "over the limit",
        ),
        (
            header(FrameKind::Produce, (64 << 20) + 1).to_vec(),
            ErrorCode::FrameTooLarge,
            "over the limit",
        ),
        (
            header(FrameKind::Request, 1 << 20).to_vec(),
            ErrorCode::FrameTooLarge,
            "over the limit",
        ),
        (
            vec![0xff; 100],
            ErrorCode::ProtocolViolation,
            "unknown frame kind 255",
        ),
    ] {
        let (mut stream, _) = peer.produce("t").await;
        for index in 0..3 {
            stream.send_batch(0, &batch(index, 1)).await;
        }
        stream.write(&bytes).await;
        for _ in 0..3 {
            assert_eq!(stream.ack().await.error, None);
        }
        let error = stream.last_error().await;
        assert_eq!(error.error_code(), Some(expected), "{error}");
        assert!(error.message.contains(text), "{error}");
        stream.stopped().await;
    }
    peer.assert_served().await;
}

#[tokio::test]
async fn a_truncated_frame_ends_the_stream_after_its_acks() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    let bytes = batch(0, 1);
    let mut frame = BytesMut::from(&ProduceHeader { partition: 0 }.encode(bytes.len()).unwrap()[..]);
    frame.extend_from_slice(&bytes);
    for len in [1, 7, 8, 12, 16, 60, frame.len() - 1] {
        let (mut stream, _) = peer.produce("t").await;
        stream.write(&frame).await;
        stream.write(&frame[..len]).await;
        stream.finish();
        assert_eq!(stream.ack().await.error, None);
        let error = stream.last_error().await;
        assert_eq!(error.error_code(), Some(ErrorCode::ProtocolViolation));
        assert!(error.message.contains("ended inside a frame"), "{error}");
    }
}

/// Writes until the listener takes no more; returns how many bytes it took.
async fn write_until_held_back(stream: &mut Stream, bytes: &[u8]) -> usize {
    let mut taken = 0;
    loop {
        match tokio::time::timeout(std::time::Duration::from_millis(500), stream.sender.write(bytes)).await {
            Ok(written) => taken += written.unwrap(),
            Err(_) => return taken,
        }
        assert!(taken < 1 << 30, "the listener takes whatever comes");
    }
}

#[tokio::test]
async fn a_producer_that_never_reads_its_acks_is_held_back() {
    let limits = weir_quic::ListenerLimits {
        produce_window_frames: 64,
        ..Default::default()
    };
    let server = Server::start_with(limits).await;
    server.topic("t", 1, &[]).await;
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(2048));
    let hostile = server.connect_with(transport).await;
    let (mut stream, opened) = hostile.produce("t").await;
    assert_eq!(opened.window_frames, 64);
    let bytes = batch_of(1, |_| vec![7; 50_000]);
    let mut frame = ProduceHeader { partition: 0 }
        .encode(bytes.len())
        .unwrap()
        .to_vec();
    frame.extend(bytes);
    let taken = write_until_held_back(&mut stream, &frame).await;
    let stored = server.broker.describe_topic("t").unwrap().partitions[0].high_watermark;
    // Its own window for acks, those that were written before it was full, the frames of the window, and one.
    assert!(
        stored < 64 + 2 * 2048 / 40 + 128,
        "{stored} batches of {taken} bytes"
    );
    let peer = server.connect().await;
    peer.fill("t", 0, 10, 1).await;
    hostile.assert_served().await;
    // Once it reads, it goes on.
    for _ in 0..stored {
        assert_eq!(stream.ack().await.error, None);
    }
}

#[tokio::test]
async fn a_peer_that_goes_away_in_the_middle_harms_nobody() {
    let server = Server::start().await;
    server.topic("t", 1, &[]).await;
    let peer = server.connect().await;
    for index in 0..20 {
        let going = server.connect().await;
        let (mut stream, _) = going.produce("t").await;
        stream.send_batch(0, &batch(index, 3)).await;
        stream.write(&header(FrameKind::Produce, 50_000)).await;
        match index % 3 {
            0 => going.connection.close(9_u32.into(), b"gone"),
            1 => stream.sender.reset(9_u32.into()).unwrap(),
            _ => stream.receiver.stop(9_u32.into()).unwrap(),
        }
    }
    peer.fill("t", 0, 3, 1).await;
}
