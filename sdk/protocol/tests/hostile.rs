//! Bytes that a peer made to do harm.

use bytes::Bytes;
use ciborium::Value;
use proptest::{collection, prelude::*};
use weir_protocol::{
    Ack, AdminRequest, AdminResponse, ControlError, DataError, FlowSpec, FrameDecoder, FrameError,
    FrameHeader, FrameKind, FrameLimits, Goodbye, Hello, HelloOk, OpenProduce, OpenSubscribe, ProduceHeader,
    ProduceOpened, RecordsHeader, SubscribeControl, SubscribeOpened, WireError, decode_control,
    encode_control,
};

const LIMITS: FrameLimits = FrameLimits {
    control_bytes_max: 100,
    data_bytes_max: 1000,
    oversized_data_bytes_kept: None,
};

fn cbor(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("a Vec takes everything");
    bytes
}

fn map(fields: &[(&str, Value)]) -> Value {
    Value::Map(
        fields
            .iter()
            .map(|(key, value)| (Value::from(*key), value.clone()))
            .collect(),
    )
}

#[test]
fn unknown_fields_are_ignored_and_missing_ones_take_their_default() {
    let deep = map(&[("a", Value::Array(vec![Value::Null, map(&[])]))]);
    let bytes = cbor(&map(&[
        ("later", deep),
        ("max_version", 3.into()),
        ("min_version", 1.into()),
    ]));
    let hello: Hello = decode_control(&bytes).unwrap();
    assert_eq!(
        (hello.min_version, hello.max_version, hello.client.as_str()),
        (1, 3, "")
    );

    let bytes = cbor(&map(&[("topic", "t".into()), ("later", Value::Bool(true))]));
    let open: OpenSubscribe = decode_control(&bytes).unwrap();
    assert!(open.partitions.is_empty() && !open.until_end);

    let create = map(&[("create_topic", map(&[("name", "t".into()), ("later", 1.into())]))]);
    let request: AdminRequest = decode_control(&cbor(&create)).unwrap();
    assert_eq!(
        request,
        AdminRequest::CreateTopic {
            name: "t".into(),
            partitions: None,
            config: Default::default()
        }
    );
}

#[test]
fn an_unknown_request_is_an_error_that_names_it() {
    let error = decode_control::<AdminRequest>(&cbor(&Value::from("reboot"))).unwrap_err();
    assert!(error.to_string().contains("reboot"), "{error}");
}

#[test]
fn nesting_is_bounded() {
    // A field that is ignored must not be able to exhaust the stack either.
    let mut bytes = vec![0xa1, 0x61, b'x'];
    bytes.extend([0x81].repeat(100_000));
    bytes.push(0);
    let error = decode_control::<Hello>(&bytes).unwrap_err();
    assert!(error.to_string().contains("nested deeper"), "{error}");
}

#[test]
fn lying_lengths_inside_a_message_are_errors_without_the_memory() {
    for bytes in [
        &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], // array
        &[0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],     // map
        &[0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],     // text
        &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],     // bytes
        &[0x1b, 0, 0],
        &[],
    ] {
        assert!(
            matches!(
                decode_control::<Hello>(bytes),
                Err(ControlError::Malformed { .. })
            ),
            "{bytes:x?}"
        );
        assert!(decode_control::<Vec<String>>(bytes).is_err());
        assert!(decode_control::<String>(bytes).is_err());
    }
}

#[test]
fn trailing_bytes_are_an_error() {
    let mut bytes = encode_control(&Hello::new("c")).unwrap()[8..].to_vec();
    bytes.push(0);
    assert!(matches!(
        decode_control::<Hello>(&bytes),
        Err(ControlError::Trailing { len: 1 })
    ));
}

#[test]
fn a_message_of_another_kind_is_refused() {
    let mut bytes = encode_control(&Hello::new("c")).unwrap();
    let frame = FrameDecoder::new(LIMITS)
        .decode(&mut bytes)
        .unwrap()
        .expect("a frame");
    let error = frame.message::<OpenProduce>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a OpenProduce frame is expected here, not a Hello frame"
    );
}

#[test]
fn oversized_frames_are_refused_by_their_header() {
    for (kind, limit) in [(FrameKind::Hello, 100), (FrameKind::Produce, 1000)] {
        let mut decoder = FrameDecoder::new(LIMITS);
        let fits = FrameHeader::new(kind, limit).encode();
        assert_eq!(decoder.decode(&mut &fits[..]), Ok(None));
        for length in [limit + 1, u32::MAX] {
            let header = FrameHeader::new(kind, length).encode();
            let error = FrameDecoder::new(LIMITS).decode(&mut &header[..]).unwrap_err();
            assert_eq!(error, FrameError::TooLarge { kind, length, limit });
        }
    }
}

#[test]
fn an_oversized_data_frame_can_be_passed_over() {
    let limits = FrameLimits {
        oversized_data_bytes_kept: Some(8),
        ..LIMITS
    };
    let mut bytes = FrameHeader::new(FrameKind::Produce, 1001).encode().to_vec();
    bytes.extend((0..1001).map(|n| n as u8));
    let whole = bytes.len();
    bytes.extend(FrameHeader::new(FrameKind::Produce, 2).encode());
    bytes.extend([1, 2]);
    for step in [1, 7, 100, bytes.len()] {
        let mut decoder = FrameDecoder::new(limits);
        let mut frames = Vec::new();
        for mut chunk in bytes.chunks(step) {
            while let Some(frame) = decoder.decode(&mut chunk).unwrap() {
                frames.push(frame);
            }
        }
        let [cut, next] = &frames[..] else {
            panic!("{} frames", frames.len())
        };
        assert!(cut.is_cut() && !next.is_cut());
        assert_eq!(
            (cut.header.length, &cut.body[..]),
            (1001, &[0, 1, 2, 3, 4, 5, 6, 7][..])
        );
        assert_eq!(next.body[..], [1, 2]);
    }
    let mut decoder = FrameDecoder::new(limits);
    assert_eq!(decoder.decode(&mut &bytes[..whole - 1]), Ok(None));
    assert_eq!(
        decoder.finish(),
        Err(FrameError::Truncated {
            have: 1000,
            want: 1001
        })
    );

    for (kind, length) in [(FrameKind::Hello, 101), (FrameKind::Produce, (64 << 20) + 1)] {
        let header = FrameHeader::new(kind, length).encode();
        assert!(FrameDecoder::new(limits).decode(&mut &header[..]).is_err());
    }
}

#[test]
fn limits_can_change_between_frames() {
    let mut decoder = FrameDecoder::new(LIMITS);
    decoder.set_limits(FrameLimits {
        data_bytes_max: 0,
        ..LIMITS
    });
    let header = FrameHeader::new(FrameKind::Produce, 1).encode();
    assert!(decoder.decode(&mut &header[..]).is_err());
}

#[test]
fn truncated_frames_are_noticed_at_the_end() {
    let mut bytes = FrameHeader::new(FrameKind::Produce, 20).encode().to_vec();
    bytes.extend([7; 20]);
    for len in 0..bytes.len() {
        let mut decoder = FrameDecoder::new(LIMITS);
        assert_eq!(decoder.decode(&mut &bytes[..len]), Ok(None));
        let expected = match len {
            0 => Ok(()),
            1..8 => Err(FrameError::Truncated { have: len, want: 8 }),
            _ => Err(FrameError::Truncated {
                have: len - 8,
                want: 20,
            }),
        };
        assert_eq!(decoder.finish(), expected);
        assert_eq!(decoder.is_between_frames(), len == 0);
    }
}

#[test]
fn unknown_kinds_and_reserved_bits_are_refused_and_flags_are_not() {
    assert_eq!(
        FrameHeader::decode([0, 0, 0, 0, 99, 0, 0, 0]),
        Err(FrameError::UnknownKind { kind: 99 })
    );
    assert_eq!(
        FrameHeader::decode([0, 0, 0, 0, 1, 0, 0, 1]),
        Err(FrameError::ReservedBits { reserved: 1 })
    );
    let header = FrameHeader::decode([0, 0, 1, 2, 1, 0xff, 0, 0]).unwrap();
    assert_eq!(
        header,
        FrameHeader {
            length: 258,
            kind: FrameKind::Hello,
            flags: 0xff
        }
    );
}

#[test]
fn short_and_lying_data_headers_are_refused() {
    for len in 0..8 {
        assert!(matches!(
            ProduceHeader::decode(&[0; 8][..len]),
            Err(DataError::Short { want: 8, .. })
        ));
    }
    for len in 0..32 {
        assert!(matches!(
            Ack::decode(&[0; 32][..len]),
            Err(DataError::Short { want: 32, .. })
        ));
    }
    for len in 0..24 {
        assert!(matches!(
            RecordsHeader::decode(&[0; 24][..len]),
            Err(DataError::Short { want: 24, .. })
        ));
    }
    assert!(matches!(
        ProduceHeader::decode(&[0, 0, 0, 1, 0, 0, 0, 1]),
        Err(DataError::ReservedBits { .. })
    ));
    assert!(matches!(
        Ack::decode(&[0; 33]),
        Err(DataError::Trailing { len: 1, .. })
    ));
    let mut ack = [0; 32];
    ack[1] = 3;
    assert!(
        matches!(Ack::decode(&ack), Err(DataError::Control(_))),
        "an error without its description"
    );
    let mut ack = ack.to_vec();
    ack.extend(cbor(&map(&[("code", 4.into())])));
    assert!(matches!(
        Ack::decode(&ack),
        Err(DataError::CodeMismatch { header: 3, body: 4 })
    ));
}

#[test]
fn a_message_over_the_limit_is_not_written() {
    let before = bytes::BytesMut::from(&b"x"[..]);
    let mut out = before.clone();
    let huge = Hello::new("h".repeat(17 << 20));
    let error = weir_protocol::encode_control_into(&huge, &mut out).unwrap_err();
    assert!(matches!(error, ControlError::TooLarge { .. }), "{error}");
    assert_eq!(out, before);
}

/// Everything that reads bytes, on any bytes: an error or a value, never a panic.
fn read_everything(bytes: &[u8]) {
    let _ = decode_control::<Hello>(bytes);
    let _ = decode_control::<HelloOk>(bytes);
    let _ = decode_control::<Goodbye>(bytes);
    let _ = decode_control::<AdminRequest>(bytes);
    let _ = decode_control::<AdminResponse>(bytes);
    let _ = decode_control::<WireError>(bytes);
    let _ = decode_control::<OpenProduce>(bytes);
    let _ = decode_control::<ProduceOpened>(bytes);
    let _ = decode_control::<OpenSubscribe>(bytes);
    let _ = decode_control::<SubscribeOpened>(bytes);
    let _ = decode_control::<SubscribeControl>(bytes);
    let _ = decode_control::<FlowSpec>(bytes);
    let _ = ProduceHeader::decode(bytes);
    let _ = Ack::decode(bytes);
    let _ = RecordsHeader::decode(bytes);
    let mut decoder = FrameDecoder::new(LIMITS);
    let mut input = Bytes::copy_from_slice(bytes);
    while let Ok(Some(_)) = decoder.decode(&mut input) {}
    let _ = decoder.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in collection::vec(any::<u8>(), 0..400)) {
        read_everything(&bytes);
    }

    #[test]
    fn damaged_messages_never_panic(at in any::<proptest::sample::Index>(), value: u8, cut in any::<proptest::sample::Index>()) {
        let spec = FlowSpec { config: [("k".to_owned(), "v".to_owned())].into(), start: weir_protocol::Start::Time(5), on_error: weir_protocol::OnError::DeadLetter, mode: weir_protocol::FlowMode::Ingest, ..FlowSpec::new("f", "a", ["p@3"], ["b", "c"]) };
        let mut bytes = encode_control(&AdminRequest::CreateFlow { spec }).unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        read_everything(&bytes);
        read_everything(&bytes[8..]);
        read_everything(&bytes[8..8 + cut.index(bytes.len() - 8)]);
    }
}

#[test]
fn results_of_records_that_lie_are_refused() {
    let ack = |tail: &[u8]| {
        let mut bytes = vec![0; 32];
        bytes[3] = 2;
        bytes.extend_from_slice(tail);
        Ack::decode(&bytes)
    };
    let run = |kind: u8, a: u32| {
        let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 1, kind, 0, 0, 0, 5];
        bytes.extend_from_slice(&a.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes
    };
    assert!(ack(&run(0, 7)).is_ok());
    // Cut short, of an unknown kind, with a rejection that is not there, with something behind, with counts of a
    // multiple of what there is.
    let whole = run(0, 7);
    for len in 0..whole.len() {
        assert!(
            matches!(ack(&whole[..len]), Err(DataError::Results { .. })),
            "{len}"
        );
    }
    assert!(matches!(ack(&run(3, 0)), Err(DataError::Results { .. })));
    assert!(matches!(ack(&run(2, 0)), Err(DataError::Results { .. })));
    assert!(matches!(
        ack(&[&whole[..], &[0]].concat()),
        Err(DataError::Trailing { .. })
    ));
    assert!(matches!(ack(&[0xff; 64]), Err(DataError::Results { .. })));
    let reason = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];
    assert!(matches!(ack(&reason), Err(DataError::Results { .. })));
}
