use weir_batch::frame::state::{Found, put_change, rows};

use super::*;
use crate::MemoryState;

/// Runs `call` on `state` with small limits; the refusal's words if it is refused.
fn with<T>(
    state: &mut MemoryState,
    usage: &mut Usage,
    call: impl FnOnce(&mut Access<'_>) -> wasmtime::Result<T>,
) -> Result<T, String> {
    let limits = Limits {
        state_key_bytes_max: 8,
        state_value_bytes_max: 100,
        state_changes_max: 5,
        state_change_bytes_max: 200,
        state_reads_max: 10,
        output_bytes_max: 250,
        ..Limits::default()
    };
    let mut access = Access {
        store: state,
        usage,
        limits: &limits,
        now_ms: 1_000,
    };
    call(&mut access).map_err(|error| {
        let refusal = error.downcast_ref::<Refusal>();
        refusal.expect("it is refused in words").0.clone()
    })
}

fn put(key: &str, value: &[u8]) -> Vec<u8> {
    let mut list = Vec::new();
    let key = key.as_bytes();
    let ttl_ms = None;
    put_change(&mut list, &Change::Put { key, value, ttl_ms });
    list
}

fn keys(keys: &[&str]) -> Vec<u8> {
    let mut list = Vec::new();
    keys.iter().for_each(|key| put_bytes(&mut list, key.as_bytes()));
    list
}

fn change(state: &mut MemoryState, usage: &mut Usage, list: &[u8]) -> Result<(), String> {
    with(state, usage, |access| access.change(list))
}

#[test]
fn what_is_changed_is_found() {
    let (mut state, mut usage) = (MemoryState::new(), Usage::default());
    let mut list = put("a", b"1");
    put_change(
        &mut list,
        &Change::Put {
            key: b"b",
            value: b"",
            ttl_ms: Some(i64::MAX),
        },
    );
    put_change(
        &mut list,
        &Change::Put {
            key: b"c",
            value: b"over at once",
            ttl_ms: Some(0),
        },
    );
    put_change(&mut list, &Change::Delete { key: b"x" });
    change(&mut state, &mut usage, &list).unwrap();
    let found = with(&mut state, &mut usage, |access| {
        access.get_many(&keys(&["c", "b", "a", ""]))
    });
    let found = found.unwrap();
    let found: Vec<_> = Found::new(&found).map(Result::unwrap).collect();
    assert_eq!(found, [None, Some(&b""[..]), Some(b"1"), None]);
}

#[test]
fn every_limit_of_changes_holds() {
    let refused = |lists: &[Vec<u8>]| {
        let (mut state, mut usage) = (MemoryState::new(), Usage::default());
        let results: Vec<_> = lists
            .iter()
            .map(|list| change(&mut state, &mut usage, list))
            .collect();
        let (last, before) = results.split_last().unwrap();
        assert!(before.iter().all(Result::is_ok), "{results:?}");
        last.clone().expect_err("it is over a limit")
    };
    assert!(refused(&[put("eight by", b""), put("nine byte", b"")]).contains("9 bytes, and may have 8"));
    assert!(refused(&[put("a", &[0; 100]), put("a", &[0; 101])]).contains("value"));
    assert!(refused(&[put("a", b"").repeat(5), put("a", b"")]).contains("more than 5 times in one call"));
    assert!(
        refused(&[put("a", &[0; 99]), put("a", &[0; 99]), put("a", b"")])
            .contains("more than 200 bytes of its state")
    );
    assert!(refused(&[vec![0, 1, b'a', 100, 0]]).contains("malformed changes"));
}

#[test]
fn reads_are_bounded_in_number_and_bytes() {
    let (mut state, mut usage) = (MemoryState::new(), Usage::default());
    let all = keys(&["a"; 10]);
    assert!(with(&mut state, &mut usage, |access| access.get_many(&all)).is_ok());
    let over = with(&mut state, &mut usage, |access| access.get_many(&keys(&["a"])));
    assert!(over.unwrap_err().contains("more than 10 keys"));
    let over = with(&mut state, &mut usage, |access| access.scan(b"", None, 1));
    assert!(over.unwrap_err().contains("more than 10 keys"));

    change(&mut state, &mut Usage::default(), &put("a", &[0; 99])).unwrap();
    let mut usage = Usage::default();
    let over = with(&mut state, &mut usage, |access| {
        access.get_many(&keys(&["a", "a", "a"]))
    });
    assert!(over.unwrap_err().contains("more than 250 bytes"));
    let lie = with(&mut state, &mut usage, |access| access.get_many(&[9, b'a']));
    assert!(lie.unwrap_err().contains("malformed keys"));
}

#[test]
fn a_scan_says_whether_there_is_more() {
    let (mut state, mut usage) = (MemoryState::new(), Usage::default());
    for key in ["k1", "k2", "k3"] {
        change(&mut state, &mut Usage::default(), &put(key, b"v")).unwrap();
    }
    let mut scan = |after: Option<&[u8]>, limit| {
        let list = with(&mut state, &mut usage, |access| access.scan(b"k", after, limit)).unwrap();
        let (more, rows) = rows(&list).unwrap();
        let keys: Vec<_> = rows
            .map(|row| String::from_utf8(row.unwrap().0.to_vec()).unwrap())
            .collect();
        (more, keys.join(" "))
    };
    assert_eq!(scan(None, 2), (true, "k1 k2".to_owned()));
    assert_eq!(scan(Some(b"k2"), 2), (false, "k3".to_owned()));
    assert_eq!(scan(None, 0), (true, String::new()));
    assert_eq!(scan(None, 3), (false, "k1 k2 k3".to_owned()));
}

#[test]
fn a_scan_ends_after_a_mebibyte() {
    let mut state = MemoryState::new();
    for key in [b"a", b"b", b"c"] {
        state.put(key, &vec![0; SCAN_BYTES - 10], None).unwrap();
    }
    let list = with(&mut state, &mut Usage::default(), |access| {
        access.scan(b"", None, 9)
    });
    let list = list.unwrap();
    let (more, rows) = rows(&list).unwrap();
    assert_eq!((more, rows.count()), (true, 1));
}
