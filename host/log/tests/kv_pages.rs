//! Pages of key-value pairs show what is committed, wherever it is kept.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod common;

use std::collections::BTreeMap;

use common::small;
use weir_log::{Entry, KvOp, KvPairs, KvRange, Log, Storage};

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

fn submit(log: &Log, puts: Vec<KvOp>) {
    let entry = Entry {
        puts,
        ..Entry::default()
    };
    log.submit_blocking(0, entry).unwrap().wait().unwrap();
}

/// All pairs below `prefix`, page by page; checks that no page breaks its bounds.
fn all(log: &Log, prefix: &[u8], rows_max: usize, bytes_max: usize) -> KvPairs {
    let (mut pairs, mut after) = (KvPairs::new(), None::<Vec<u8>>);
    loop {
        let page = log
            .kv_page(
                0,
                KvRange {
                    prefix,
                    after: after.as_deref(),
                    rows_max,
                    bytes_max,
                },
            )
            .unwrap();
        assert!(page.pairs.len() <= rows_max);
        let before_last = page.pairs.iter().rev().skip(1);
        let bytes: usize = before_last.map(|(key, value)| key.len() + value.len()).sum();
        assert!(bytes < bytes_max);
        after = page.pairs.last().map(|(key, _)| key.clone());
        pairs.extend(page.pairs);
        if !page.more {
            return pairs;
        }
        assert!(after.is_some(), "a page that says there is more has something");
    }
}

#[test]
fn pages_are_what_was_put_over_checkpoints_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Log::open(Storage::Folder(folder.path().join("log")), small()).unwrap();
    let mut log = open();
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut numbers = Numbers(7);
    for round in 0..60 {
        let mut puts = Vec::new();
        for _ in 0..40 {
            let key = format!(
                "{}/{:03}",
                ["a", "b", "b/", "c"][numbers.below(4) as usize],
                numbers.below(150)
            );
            let key = key.into_bytes();
            if numbers.below(3) == 0 {
                model.remove(&key);
                puts.push(KvOp::Delete { key });
            } else {
                let value = vec![round as u8; numbers.below(200) as usize];
                model.insert(key.clone(), value.clone());
                puts.push(KvOp::Put { key, value });
            }
        }
        submit(&log, puts);
        if round % 7 == 3 {
            // What was in memory is in the database from here on.
            log.close();
            log = open();
        }
        for prefix in ["", "a/", "b/", "b//", "c", "d"] {
            let expected: KvPairs = model
                .iter()
                .filter(|(key, _)| key.starts_with(prefix.as_bytes()))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let (rows_max, bytes_max) = (1 + numbers.below(50) as usize, 1 + numbers.below(2_000) as usize);
            assert_eq!(
                all(&log, prefix.as_bytes(), rows_max, bytes_max),
                expected,
                "{prefix} in round {round}"
            );
        }
    }
    log.close();
}

#[test]
fn a_page_begins_after_a_key_that_need_not_be_there() {
    let log = Log::open(Storage::Memory, small()).unwrap();
    let puts = ["a1", "b1", "b3", "c1"].map(|key| KvOp::Put {
        key: key.into(),
        value: b"v".to_vec(),
    });
    submit(&log, puts.into());
    let keys = |after: Option<&str>| -> Vec<String> {
        let range = KvRange {
            prefix: b"b",
            after: after.map(str::as_bytes),
            rows_max: 10,
            bytes_max: 1 << 20,
        };
        let page = log.kv_page(0, range).unwrap();
        page.pairs
            .into_iter()
            .map(|(key, _)| String::from_utf8(key).unwrap())
            .collect()
    };
    assert_eq!(keys(None), ["b1", "b3"]);
    assert_eq!(keys(Some("a1")), ["b1", "b3"]);
    assert_eq!(keys(Some("b1")), ["b3"]);
    assert_eq!(keys(Some("b2")), ["b3"]);
    assert_eq!(keys(Some("b3")), [""; 0]);
    assert_eq!(keys(Some("z")), [""; 0]);
    log.close();
}
