use super::*;
use crate::testing;

fn fresh() -> State {
    testing::reset();
    State::new()
}

#[test]
fn changes_are_seen_at_once_and_written_at_the_end() {
    let state = fresh();
    assert_eq!(state.get(b"a"), None);
    state.put(b"a", b"1");
    state.put(b"a", b"22");
    state.put(b"b", b"");
    state.delete(b"b");
    assert_eq!(state.get(b"a").as_deref(), Some(&b"22"[..]));
    assert_eq!(state.get(b"b"), None);
    assert!(testing::rows().is_empty());
    let calls = testing::state_calls();
    crate::batch_hooks::end(true);
    assert_eq!(testing::state_calls(), calls + 1);
    assert_eq!(testing::rows(), [(b"a".to_vec(), b"22".to_vec())]);
    crate::batch_hooks::end(true);
    assert_eq!(testing::state_calls(), calls + 1, "nothing to write is no call");
}

#[test]
fn what_failed_is_not_written() {
    let state = fresh();
    state.put(b"a", b"1");
    crate::batch_hooks::end(false);
    assert!(testing::rows().is_empty());
    assert_eq!(state.get(b"a"), None);
}

#[test]
fn a_key_is_fetched_once_for_a_batch() {
    let state = fresh();
    for _ in 0..3 {
        assert_eq!(state.get(b"a"), None);
    }
    assert_eq!(testing::state_calls(), 1);
    state.prefetch([b"a", b"b", b"c", b"b"]);
    assert_eq!(testing::state_calls(), 2);
    state.prefetch([b"b", b"c"]);
    assert_eq!((state.get(b"b"), state.get(b"c")), (None, None));
    assert_eq!(testing::state_calls(), 2);
}

#[test]
fn time_to_live_counts_in_record_time() {
    let state = fresh();
    testing::set_now(1_000);
    state.put_with_ttl(b"a", b"1", 50);
    state.put_with_ttl(b"gone", b"1", 0);
    state.put_with_ttl(b"stays", b"1", u64::MAX);
    assert_eq!(state.get(b"gone"), None);
    crate::batch_hooks::end(true);
    testing::set_now(1_049);
    assert!(state.get(b"a").is_some());
    crate::batch_hooks::end(true);
    testing::set_now(1_050);
    assert_eq!(state.get(b"a"), None);
    assert!(state.get(b"stays").is_some());
}

#[test]
fn a_scan_goes_over_pages_and_sees_what_was_changed() {
    let state = fresh();
    for number in 0..2_500 {
        state.put(format!("k/{number:05}").as_bytes(), b"v");
    }
    state.put(b"l", b"not of it");
    let keys: Vec<_> = state.scan(b"k/").map(|(key, _)| key).collect();
    assert_eq!(keys.len(), 2_500);
    assert!(keys.is_sorted());
    assert_eq!(testing::state_calls(), 1 + 3);
    assert_eq!(state.scan(b"x").count(), 0);
}
