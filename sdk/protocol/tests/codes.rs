//! Numbers and names that must never change: peers of every version rely on them.

use std::collections::HashSet;

use weir_protocol::{CloseCode, ErrorCode, FrameKind, WireError};

/// Number, name, retriable.
const TABLE: &[(u16, &str, bool)] = &[
    (1, "OFFSET_OUT_OF_RANGE", false),
    (2, "CORRUPT_MESSAGE", false),
    (3, "UNKNOWN_TOPIC_OR_PARTITION", false),
    (7, "REQUEST_TIMED_OUT", true),
    (10, "MESSAGE_TOO_LARGE", false),
    (17, "INVALID_TOPIC_EXCEPTION", false),
    (35, "UNSUPPORTED_VERSION", false),
    (36, "TOPIC_ALREADY_EXISTS", false),
    (37, "INVALID_PARTITIONS", false),
    (40, "INVALID_CONFIG", false),
    (42, "INVALID_REQUEST", false),
    (45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false),
    (46, "DUPLICATE_SEQUENCE_NUMBER", false),
    (47, "INVALID_PRODUCER_EPOCH", false),
    (56, "KAFKA_STORAGE_ERROR", true),
    (76, "UNSUPPORTED_COMPRESSION_TYPE", false),
    (87, "INVALID_RECORD", false),
    (1000, "STORAGE_FULL", true),
    (1001, "SHUTTING_DOWN", true),
    (1002, "PROTOCOL_VIOLATION", false),
    (1003, "FRAME_TOO_LARGE", false),
    (1004, "OVERLOADED", true),
    (1005, "IDLE_TIMEOUT", true),
    (1006, "INTERNAL", false),
    (1010, "UNKNOWN_PLUGIN", false),
    (1011, "INVALID_PLUGIN", false),
    (1012, "PLUGIN_TOO_LARGE", false),
    (1013, "PLUGIN_IN_USE", false),
    (1014, "PLUGIN_FAILED", false),
    (1020, "UNKNOWN_FLOW", false),
    (1021, "FLOW_ALREADY_EXISTS", false),
    (1022, "INVALID_FLOW", false),
    (1023, "FLOW_NOT_RUNNING", true),
    (1024, "RECORD_REJECTED", false),
    (1025, "RECORD_DEFERRED", true),
    (1030, "TOO_MANY_STREAMS", true),
    (1031, "LIMIT_EXCEEDED", false),
];

#[test]
fn every_error_code_keeps_its_number_name_and_retriability() {
    let found: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| (code.number(), code.name(), code.is_retriable()))
        .collect();
    assert_eq!(found, TABLE);
}

#[test]
fn error_codes_are_found_by_number_and_only_by_theirs() {
    let known: HashSet<u16> = TABLE.iter().map(|row| row.0).collect();
    for number in 0..=u16::MAX {
        let code = ErrorCode::from_number(number);
        assert_eq!(code.is_some(), known.contains(&number), "{number}");
        assert!(code.is_none_or(|code| code.number() == number));
    }
}

#[test]
fn every_frame_kind_keeps_its_number() {
    let names: Vec<_> = (1..=16)
        .map(|number| {
            format!(
                "{:?}",
                FrameKind::from_number(number).expect("a kind of this version")
            )
        })
        .collect();
    assert_eq!(
        names.join(" "),
        "Hello HelloOk Request Response Error OpenProduce ProduceOpened Produce Ack OpenSubscribe \
         SubscribeOpened Records SubscribeControl UploadChunk Goodbye SubscribeProgress"
    );
    for number in (0..=u8::MAX).filter(|number| !(1..=16).contains(number)) {
        assert_eq!(FrameKind::from_number(number), None);
    }
}

#[test]
fn close_codes_keep_their_numbers() {
    let codes = [
        CloseCode::Done,
        CloseCode::ShuttingDown,
        CloseCode::ProtocolViolation,
        CloseCode::UnsupportedVersion,
        CloseCode::Timeout,
        CloseCode::TooManyConnections,
        CloseCode::Failed,
    ];
    assert_eq!(codes.map(CloseCode::number), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn an_error_says_its_name_its_number_and_what_to_do() {
    let error = WireError::new(ErrorCode::StorageFull, "free some space").at(3, Some(9));
    assert_eq!(error.to_string(), "STORAGE_FULL (1000): free some space");
    assert!(error.retriable);
    assert_eq!(error.error_code(), Some(ErrorCode::StorageFull));
    assert_eq!((error.partition, error.offset), (Some(3), Some(9)));
}
