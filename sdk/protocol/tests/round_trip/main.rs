//! What is written is what is read, however the bytes are cut on the way.

mod admin;
mod basics;
mod flow;

use bytes::{Buf, BytesMut};
use proptest::{collection, option, prelude::*};
use weir_protocol::{
    Ack, ControlMessage, Frame, FrameDecoder, FrameHeader, FrameKind, FrameLimits, Goodbye, Hello, HelloOk,
    OpenProduce, OpenSubscribe, PRODUCE_HEADER_LEN, PartitionStart, ProduceHeader, ProduceOpened,
    RECORDS_HEADER_LEN, RecordsHeader, SubscribeControl, SubscribeOpened, SubscribeProgress,
    SubscribedPartition, SubscriptionFilter, encode_control, encode_control_into,
};

use crate::admin::{record_results, request, response};
use crate::basics::{start, text, wire_error};

/// Writes the message, cuts it into one-byte chunks, and reads it again.
fn round_trip<M: ControlMessage + PartialEq + core::fmt::Debug>(message: &M) {
    let bytes = encode_control(message).expect("the message is small");
    let mut decoder = FrameDecoder::new(FrameLimits::CONTROL);
    let mut frames = Vec::new();
    for byte in &bytes {
        frames.extend(
            decoder
                .decode(&mut std::slice::from_ref(byte))
                .expect("the frame is well formed"),
        );
    }
    decoder.finish().expect("the frame is whole");
    assert_eq!(frames.len(), 1);
    assert_eq!(
        &frames[0].message::<M>().expect("the message is well formed"),
        message
    );
}

proptest! {
    #[test]
    fn connection_messages(min in any::<u16>(), max in any::<u16>(), a in text(), b in text(), n in any::<u32>()) {
        round_trip(&Hello { min_version: min, max_version: max, client: a.clone() });
        round_trip(&Goodbye { reason: b.clone(), within_ms: n.into() });
        round_trip(&HelloOk {
            version: min, broker: a, cluster_id: b, max_batch_bytes: n, produce_window_frames: n / 2,
        });
    }

    #[test]
    fn produce_messages(
        topic in text(), idempotent: bool, id in option::of(any::<i64>()), epoch in option::of(any::<i16>()),
        numbers in any::<[u32; 4]>(), compression in text(),
    ) {
        round_trip(&OpenProduce { topic, idempotent, producer_id: id, producer_epoch: epoch, record_results: idempotent });
        let [topic_id, partitions, max_message_bytes, window_frames] = numbers;
        round_trip(&ProduceOpened {
            topic_id, partitions, max_message_bytes, window_frames, window_bytes: u64::from(topic_id) << 20,
            producer_id: id.unwrap_or(-1), producer_epoch: epoch.unwrap_or(-1), compression,
        });
    }

    #[test]
    fn subscribe_messages(
        topic in text(), start in start(), starts in collection::vec((any::<u32>(), start()), 0..5),
        opened in collection::vec(any::<(u32, i64, i64, i64)>(), 0..5), until_end: bool, n in any::<u32>(),
        config in collection::btree_map(text(), text(), 0..4), filtered: bool, next_offset: i64,
    ) {
        let partitions: Vec<u32> = starts.iter().map(|start| start.0).collect();
        round_trip(&OpenSubscribe {
            topic: topic.clone(), start, max_bytes_per_frame: n, until_end,
            filter: filtered.then(|| SubscriptionFilter { plugin: topic.clone(), config }),
            partitions: starts.into_iter().map(|(partition, start)| PartitionStart { partition, start }).collect(),
        });
        round_trip(&SubscribeOpened {
            topic_id: n,
            partitions: opened.into_iter().map(|(partition, start_offset, high_watermark, log_start_offset)| {
                SubscribedPartition { partition, start_offset, high_watermark, log_start_offset }
            }).collect(),
            filter: filtered.then_some(topic),
        });
        round_trip(&SubscribeProgress { partition: n, next_offset, high_watermark: next_offset });
        round_trip(&SubscribeControl::Seek { partition: n, start });
        round_trip(&SubscribeControl::Pause { partitions: partitions.clone() });
        round_trip(&SubscribeControl::Resume { partitions });
    }

    #[test]
    fn admin_messages(request in request(), response in response(), error in wire_error()) {
        round_trip(&request);
        round_trip(&response);
        round_trip(&error);
    }

    #[test]
    fn acks(
        partition: u32, base_offset: i64, log_start_offset: i64, duplicate: bool, error in option::of(wire_error()),
        results in option::of(record_results()),
    ) {
        let records = results.map(Box::new).filter(|_| error.is_none());
        let ack = Ack { partition, base_offset, log_start_offset, duplicate, records, error };
        let mut bytes = BytesMut::from(&b"before"[..]);
        ack.encode_into(&mut bytes).expect("the error is small");
        bytes.advance(6);
        let frame = FrameDecoder::new(FrameLimits::CLIENT).decode(&mut bytes).unwrap().expect("a whole frame");
        prop_assert!(bytes.is_empty());
        prop_assert_eq!(frame.kind(), FrameKind::Ack);
        prop_assert_eq!(Ack::decode(&frame.body).unwrap(), ack);
    }

    #[test]
    fn data_headers(partition: u32, end_reached: bool, high_watermark: i64, log_start_offset: i64, len in 0_usize..1 << 26) {
        let produce = ProduceHeader { partition };
        let bytes = produce.encode(len).unwrap();
        let frame = FrameHeader::decode(*bytes.first_chunk().unwrap()).unwrap();
        prop_assert_eq!(frame, FrameHeader::new(FrameKind::Produce, (len + PRODUCE_HEADER_LEN) as u32));
        prop_assert_eq!(ProduceHeader::decode(&bytes[8..]).unwrap(), produce);

        let records = RecordsHeader { partition, end_reached, high_watermark, log_start_offset };
        let bytes = records.encode(len).unwrap();
        let frame = FrameHeader::decode(*bytes.first_chunk().unwrap()).unwrap();
        prop_assert_eq!(frame, FrameHeader::new(FrameKind::Records, (len + RECORDS_HEADER_LEN) as u32));
        prop_assert_eq!(RecordsHeader::decode(&bytes[8..]).unwrap(), records);
    }

    #[test]
    fn frames_survive_any_cut(
        bodies in collection::vec(collection::vec(any::<u8>(), 0..300), 0..8),
        cuts in collection::vec(1_usize..200, 1..20),
    ) {
        let mut stream = BytesMut::new();
        for body in &bodies {
            stream.extend_from_slice(&FrameHeader::new(FrameKind::UploadChunk, body.len() as u32).encode());
            stream.extend_from_slice(body);
        }
        let mut decoder = FrameDecoder::new(FrameLimits::CLIENT);
        let mut frames: Vec<Frame> = Vec::new();
        let mut cuts = cuts.iter().copied().cycle();
        while stream.has_remaining() {
            let mut chunk = stream.split_to(cuts.next().expect("a cycle").min(stream.len()));
            while let Some(frame) = decoder.decode(&mut chunk).unwrap() {
                frames.push(frame);
            }
        }
        prop_assert!(decoder.is_between_frames());
        decoder.finish().unwrap();
        let found: Vec<&[u8]> = frames.iter().map(|frame| &frame.body[..]).collect();
        prop_assert_eq!(found, bodies);
    }
}

#[test]
fn a_large_body_arrives_in_one_piece() {
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let mut decoder = FrameDecoder::new(FrameLimits::CLIENT);
    let header = FrameHeader::new(FrameKind::Records, body.len() as u32).encode();
    assert_eq!(decoder.decode(&mut &header[..]), Ok(None));
    let mut found = None;
    for mut chunk in body.chunks(1452) {
        assert_eq!(found, None);
        found = decoder.decode(&mut chunk).unwrap();
    }
    assert!(found.expect("the last chunk ends the frame").body == body);
}

#[test]
fn messages_follow_each_other_in_one_buffer() {
    let mut bytes = BytesMut::new();
    encode_control_into(&Hello::new("one"), &mut bytes).unwrap();
    encode_control_into(&Hello::new("two"), &mut bytes).unwrap();
    let mut decoder = FrameDecoder::new(FrameLimits::CONTROL);
    for name in ["one", "two"] {
        let hello: Hello = decoder
            .decode(&mut bytes)
            .unwrap()
            .expect("a frame")
            .message()
            .unwrap();
        assert_eq!(hello.client, name);
        assert_eq!(hello.negotiate(), Some(1));
    }
}

#[test]
fn versions_are_negotiated() {
    let hello = |min_version, max_version| Hello {
        min_version,
        max_version,
        client: String::new(),
    };
    assert_eq!(hello(1, 9).negotiate(), Some(1));
    assert_eq!(hello(0, 1).negotiate(), Some(1));
    assert_eq!(hello(2, 9).negotiate(), None);
    assert_eq!(hello(0, 0).negotiate(), None);
    assert_eq!(hello(9, 1).negotiate(), None);
}
