use weir_log::{Entry, LogConfig, Storage};

use super::*;

const KEYS: StateKeys = StateKeys {
    flow: 3,
    topic: 5,
    partition: 0,
};

fn log() -> Log {
    let config = LogConfig {
        shards: 1,
        ..LogConfig::default()
    };
    Log::open(Storage::Memory, config).unwrap()
}

fn open(log: &Log, bytes_max: u64) -> PartitionState {
    PartitionState::open(log.clone(), 0, KEYS, bytes_max).unwrap()
}

fn commit(log: &Log, puts: Vec<KvOp>) {
    let entry = Entry {
        puts,
        ..Entry::default()
    };
    log.submit_blocking(0, entry).unwrap().wait().unwrap();
}

fn get(state: &mut PartitionState, key: &str, now_ms: i64) -> Option<String> {
    let value = state.get(key.as_bytes(), now_ms).unwrap()?;
    Some(String::from_utf8(value).unwrap())
}

fn put(state: &mut PartitionState, key: &str, value: &str) {
    state.put(key.as_bytes(), value.as_bytes(), None).unwrap();
}

fn keys(state: &mut PartitionState, prefix: &str, after: Option<&str>, now_ms: i64) -> String {
    let mut keys = Vec::new();
    let after = after.map(str::as_bytes);
    let mut each = |key: &[u8], _: &[u8]| {
        keys.push(String::from_utf8(key.to_vec()).unwrap());
        true
    };
    state.scan(prefix.as_bytes(), after, now_ms, &mut each).unwrap();
    keys.join(" ")
}

#[test]
fn a_pass_sees_what_the_ones_before_it_changed_committed_or_not() {
    let log = log();
    let mut state = open(&log, 1 << 20);
    state.begin_pass(0);
    state.begin_run(0);
    for key in ["p/a", "p/b", "q/a"] {
        put(&mut state, key, "1");
    }
    let first = state.finish_pass().unwrap();

    state.begin_pass(1);
    state.begin_run(0);
    assert_eq!(get(&mut state, "p/a", 0).as_deref(), Some("1"));
    put(&mut state, "p/a", "2");
    state.delete(b"p/b").unwrap();
    put(&mut state, "p/c", "2");
    assert_eq!(keys(&mut state, "p/", None, 0), "p/a p/c");
    let second = state.finish_pass().unwrap();

    commit(&log, first);
    state.begin_pass(1);
    state.begin_run(0);
    assert_eq!(
        keys(&mut state, "p/", None, 0),
        "p/a p/c",
        "one committed, one not"
    );
    assert_eq!(keys(&mut state, "p/", Some("p/a"), 0), "p/c");
    assert_eq!(keys(&mut state, "", None, 0), "p/a p/c q/a");
    assert_eq!(get(&mut state, "p/b", 0), None);

    commit(&log, second);
    let mut anew = open(&log, 1 << 20);
    assert_eq!(anew.totals, state.totals);
    assert_eq!(get(&mut anew, "p/a", 0).as_deref(), Some("2"));
    assert_eq!(keys(&mut anew, "", None, 0), "p/a p/c q/a");
    log.close();
}

#[test]
fn a_run_that_failed_has_changed_nothing() {
    let log = log();
    let mut state = open(&log, 1 << 20);
    state.begin_pass(0);
    state.begin_run(0);
    put(&mut state, "kept", "1");
    let totals = state.totals.clone();
    state.begin_run(0);
    put(&mut state, "kept", "2");
    put(&mut state, "kept", "3");
    put(&mut state, "new", "1");
    state.delete(b"kept").unwrap();
    state.roll_back();
    assert_eq!(state.totals, totals);
    assert_eq!(keys(&mut state, "", None, 0), "kept");
    assert_eq!(get(&mut state, "kept", 0).as_deref(), Some("1"));
    let changes = state.finish_pass().unwrap();
    assert_eq!(changes.len(), 2, "a row and the totals: {changes:?}");
    state.begin_pass(0);
    assert_eq!(
        state.finish_pass().unwrap(),
        [],
        "nothing changed, nothing to write"
    );
    log.close();
}

#[test]
fn what_is_not_committed_stays_in_memory_and_the_rest_need_not() {
    let log = log();
    let mut state = open(&log, 1 << 40);
    let big = "x".repeat(KEPT_BYTES_MAX / 4);
    let mut waiting = Vec::new();
    for pass in 0..12_usize {
        state.begin_pass(waiting.len());
        state.begin_run(0);
        for before in 0..pass {
            let value = get(&mut state, &format!("k{before}"), 0);
            assert_eq!(
                value.map(|value| value.len()),
                Some(big.len() + before),
                "k{before} in {pass}"
            );
        }
        put(
            &mut state,
            &format!("k{pass}"),
            &format!("{big}{}", "y".repeat(pass)),
        );
        waiting.push(state.finish_pass().unwrap());
        if waiting.len() > 3 {
            commit(&log, waiting.remove(0));
        }
    }
    state.begin_pass(waiting.len());
    assert!(
        state.slots.len() <= 5,
        "{} rows of 4 MiB are kept",
        state.slots.len()
    );
    log.close();
}

#[test]
fn rows_are_gone_when_their_time_is_over_and_swept_some_time_later() {
    let log = log();
    let mut state = open(&log, 1 << 20);
    let run = |state: &mut PartitionState, time_ms: i64, work: &dyn Fn(&mut PartitionState)| {
        state.begin_pass(0);
        state.begin_run(time_ms);
        work(state);
        let changes = state.finish_pass().unwrap();
        commit(&log, changes);
    };
    run(&mut state, 0, &|state| {
        for n in 0..1_000 {
            let (key, expires_ms) = (format!("{n:04}"), if n % 10 == 0 { None } else { Some(100 + n) });
            state.put(key.as_bytes(), b"v", expires_ms).unwrap();
        }
    });
    assert_eq!((state.totals.rows, state.totals.expiring), (1_000, 900));
    run(&mut state, 150, &|state| {
        assert_eq!(get(state, "0049", 148).as_deref(), Some("v"));
        assert_eq!(get(state, "0049", 149), None);
        assert_eq!(keys(state, "004", None, 149), "0040");
    });
    assert!(
        state.totals.rows > 900,
        "a pass that changes little sweeps little"
    );
    for time_ms in 0..20 {
        run(&mut state, 2_000 + time_ms, &|_| ());
    }
    assert_eq!((state.totals.rows, state.totals.expiring), (100, 0));
    assert_eq!(log.kv_scan(0, &KEYS.rows()).unwrap().len(), 100);
    assert_eq!(state.totals.bytes, 100 * 5);
    log.close();
}

#[test]
fn a_sweep_keeps_up_with_what_comes_in() {
    let log = log();
    let mut state = open(&log, 1 << 30);
    for pass in 0..40_i64 {
        state.begin_pass(0);
        state.begin_run(pass);
        for n in 0..500 {
            let key = format!("{n}/{pass}");
            state.put(key.as_bytes(), b"", Some(pass + 1)).unwrap();
        }
        let changes = state.finish_pass().unwrap();
        commit(&log, changes);
        assert!(
            state.totals.rows <= 1_600,
            "{} rows after pass {pass}",
            state.totals.rows
        );
    }
    log.close();
}

#[test]
fn more_than_its_limit_is_refused_in_words() {
    let log = log();
    let mut state = open(&log, 100);
    state.begin_pass(0);
    state.begin_run(0);
    put(&mut state, "a", &"x".repeat(60));
    let error = state.put(b"b", &[0; 60], None).unwrap_err();
    assert!(
        error.reason.contains("would have 122 bytes, and may have 100"),
        "{error}"
    );
    assert_eq!(state.take_fault(), None, "that is the plugin's to answer for");
    put(&mut state, "a", &"x".repeat(30));
    put(&mut state, "b", &"x".repeat(60));
    let changes = state.finish_pass().unwrap();
    commit(&log, changes);
    // A limit that is lowered lets go of what is there.
    let mut state = open(&log, 50);
    state.begin_pass(0);
    state.begin_run(0);
    put(&mut state, "b", &"x".repeat(50));
    state.delete(b"a").unwrap();
    assert!(state.put(b"b", &[0; 51], None).is_err());
    log.close();
}

#[test]
fn a_log_that_cannot_be_read_is_nobody_s_fault() {
    let log = log();
    let mut state = open(&log, 100);
    log.close();
    state.begin_pass(0);
    state.begin_run(0);
    assert!(state.get(b"a", 0).unwrap_err().reason.contains("cannot be read"));
    assert_eq!(state.take_fault(), Some(ReadError::Closed));
    let mut each = |_: &[u8], _: &[u8]| true;
    assert!(state.scan(b"", None, 0, &mut each).is_err());
    assert!(state.take_fault().is_some());
}
