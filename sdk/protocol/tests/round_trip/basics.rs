//! What messages are made of.

use std::collections::BTreeMap;

use proptest::{collection, option, prelude::*};
use weir_protocol::{ErrorCode, Start, WireError};

pub(crate) fn text() -> impl Strategy<Value = String> {
    ".{0,40}"
}

pub(crate) fn texts() -> impl Strategy<Value = Vec<String>> {
    collection::vec(text(), 0..4)
}

pub(crate) fn settings() -> impl Strategy<Value = BTreeMap<String, String>> {
    collection::btree_map(text(), text(), 0..4)
}

pub(crate) fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Earliest),
        Just(Start::Latest),
        any::<i64>().prop_map(Start::Offset),
        any::<i64>().prop_map(Start::Time)
    ]
}

pub(crate) fn wire_error() -> impl Strategy<Value = WireError> {
    (
        proptest::sample::select(ErrorCode::ALL),
        text(),
        option::of((any::<u32>(), option::of(any::<i64>()))),
    )
        .prop_map(|(code, message, place)| {
            let error = WireError::new(code, message);
            match place {
                Some((partition, offset)) => error.at(partition, offset),
                None => error,
            }
        })
}

pub(crate) fn octets() -> impl Strategy<Value = Vec<u8>> {
    collection::vec(any::<u8>(), 0..40)
}
