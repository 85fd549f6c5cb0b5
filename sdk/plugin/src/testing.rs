//! The stand-in for the host in a plugin's own tests: what a test looks at and sets. It is there where no plugin is, on targets other
//! than wasm32, and each thread has one of its own.
//!
//! ```
//! use weir_plugin::{State, testing};
//!
//! testing::reset();
//! let state = State::new();
//! state.put(b"key", b"value");
//! state.flush();
//! assert_eq!(testing::rows(), [(b"key".to_vec(), b"value".to_vec())]);
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

use weir_batch::frame::state::{Change, Changes, Keys, put_bytes, put_found};

use crate::http::{Error, Request, Response};

#[derive(Default)]
struct Host {
    now_ms: i64,
    random: u64,
    counters: BTreeMap<String, u64>,
    histograms: BTreeMap<String, Vec<f64>>,
    rows: BTreeMap<Vec<u8>, Row>,
    calls: usize,
    http: Option<HttpHandler>,
}

type HttpHandler = Box<dyn FnMut(&Request) -> Result<Response, Error>>;

struct Row {
    value: Vec<u8>,
    expires_ms: Option<i64>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Forgets everything: state, also what is not written yet, metrics, seed and time.
pub fn reset() {
    crate::state::forget();
    HOST.set(Host::default());
}

/// Sets the time, in milliseconds since 1970. The functions that run a batch set it to the batch's newest timestamp.
pub fn set_now(now_ms: i64) {
    HOST.with_borrow_mut(|host| host.now_ms = now_ms);
}

/// Sets the seed of random numbers.
pub fn set_seed(seed: u64) {
    HOST.with_borrow_mut(|host| host.random = seed);
}

/// What the counter `name` has counted.
pub fn counter(name: &str) -> u64 {
    HOST.with_borrow(|host| host.counters.get(name).copied().unwrap_or(0))
}

/// What was recorded in the histogram `name`, in order.
pub fn histogram(name: &str) -> Vec<f64> {
    HOST.with_borrow(|host| host.histograms.get(name).cloned().unwrap_or_default())
}

/// Keys and values of the keyed state that is written and not over, sorted by key.
pub fn rows() -> Vec<(Vec<u8>, Vec<u8>)> {
    HOST.with_borrow(|host| {
        let rows = host.rows.iter();
        rows.filter_map(|(key, row)| Some((key.clone(), row.at(host.now_ms)?.to_vec())))
            .collect()
    })
}

/// Calls of the host for keyed state so far: what prefetching saves.
pub fn state_calls() -> usize {
    HOST.with_borrow(|host| host.calls)
}

/// Has `answer` answer all HTTP requests from now on, until [`reset`]. Before, none is granted.
///
/// ```
/// use weir_plugin::http::{self, Response};
/// use weir_plugin::testing;
///
/// testing::set_http(|request| {
///     assert_eq!(request.method(), "GET");
///     Ok(Response { status: 200, body: request.url().as_bytes().to_vec(), ..Response::default() })
/// });
/// assert_eq!(http::get("https://a.example/").unwrap().body, b"https://a.example/");
/// ```
pub fn set_http(answer: impl FnMut(&Request) -> Result<Response, Error> + 'static) {
    HOST.with_borrow_mut(|host| host.http = Some(Box::new(answer)));
}

pub(crate) fn send(request: Request) -> Result<Response, Error> {
    // Taken out meanwhile: the test's function may look at the stand-in itself.
    let Some(mut answer) = HOST.with_borrow_mut(|host| host.http.take()) else {
        let why = format!(
            "{} is not among the hosts that the test grants: see testing::set_http",
            request.url()
        );
        return Err(Error::NotGranted(why));
    };
    let answered = answer(&request);
    HOST.with_borrow_mut(|host| {
        host.http.get_or_insert(answer);
    });
    answered
}

impl Row {
    fn at(&self, now_ms: i64) -> Option<&[u8]> {
        self.expires_ms
            .is_none_or(|expires_ms| now_ms < expires_ms)
            .then_some(&self.value)
    }
}

pub(crate) mod clock {
    pub(crate) fn now() -> i64 {
        super::HOST.with_borrow(|host| host.now_ms)
    }
}

pub(crate) mod metrics {
    use super::HOST;

    pub(crate) fn counter_add(name: &str, by: u64) {
        HOST.with_borrow_mut(|host| *host.counters.entry(name.to_owned()).or_default() += by);
    }

    pub(crate) fn histogram_record(name: &str, value: f64) {
        HOST.with_borrow_mut(|host| {
            let values = host.histograms.entry(name.to_owned()).or_default();
            values.push(value);
        });
    }
}

pub(crate) mod random {
    use super::HOST;

    /// SplitMix64, as the broker has it.
    pub(crate) fn next() -> u64 {
        HOST.with_borrow_mut(|host| {
            host.random = host.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = host.random;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    }

    pub(crate) fn fill(len: u32) -> Vec<u8> {
        let words = (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes());
        words.take(len as usize).collect()
    }
}

pub(crate) mod state {
    use super::{Bound, Change, Changes, HOST, Keys, Row, put_bytes, put_found};

    const WHOLE: &str = "the SDK packs whole lists";

    pub(crate) fn get_many(keys: &[u8]) -> Vec<u8> {
        HOST.with_borrow_mut(|host| {
            host.calls += 1;
            let mut found = Vec::new();
            for key in Keys::new(keys) {
                let row = host.rows.get(key.expect(WHOLE));
                put_found(&mut found, row.and_then(|row| row.at(host.now_ms)));
            }
            found
        })
    }

    pub(crate) fn change(changes: &[u8]) {
        HOST.with_borrow_mut(|host| {
            host.calls += 1;
            for change in Changes::new(changes) {
                match change.expect(WHOLE) {
                    Change::Put { key, value, ttl_ms } => {
                        let row = Row {
                            value: value.to_vec(),
                            expires_ms: ttl_ms.map(|ttl_ms| host.now_ms.saturating_add(ttl_ms)),
                        };
                        host.rows.insert(key.to_vec(), row);
                    }
                    Change::Delete { key } => drop(host.rows.remove(key)),
                }
            }
        });
    }

    pub(crate) fn scan(prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Vec<u8> {
        HOST.with_borrow_mut(|host| {
            host.calls += 1;
            let mut rows = vec![0];
            let from = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let rest = host.rows.range::<[u8], _>((from, Bound::Unbounded));
            let found = rest.take_while(|(key, _)| key.starts_with(prefix));
            let alive = found.filter_map(|(key, row)| Some((key, row.at(host.now_ms)?)));
            for (index, (key, value)) in alive.enumerate() {
                if index == limit as usize {
                    rows[0] = 1;
                    break;
                }
                put_bytes(&mut rows, key);
                put_bytes(&mut rows, value);
            }
            rows
        })
    }
}
