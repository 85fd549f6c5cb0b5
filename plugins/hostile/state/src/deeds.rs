//! What it does, past the SDK where the SDK would not let it.

use weir_plugin::bindings::transform::weir::plugin::{metrics, random, state};
use weir_plugin::{Config, Output, Record, Records, clock};

use crate::schema;

/// What it was told to do.
pub(crate) struct Hostile {
    what: String,
    n: usize,
    looked: bool,
}

impl Hostile {
    /// Reads `do` and `n`.
    pub(crate) fn configure(config: &Config) -> Result<Self, String> {
        let known: Vec<&str> = ["do", "n"].into_iter().chain(schema::SETTINGS).collect();
        config.only(&known)?;
        schema::configure(config)?;
        let what = config.get("do").unwrap_or("identity").to_owned();
        if what == "state-configure" {
            state::get_many(&[1, b'k']);
        }
        Ok(Self {
            what,
            n: config.parse("n")?.unwrap_or(1),
            looked: false,
        })
    }

    /// The misdeed.
    pub(crate) fn begin(&mut self, _: Records<'_>) {
        self.looked = false;
        match self.what.as_str() {
            "state-changes" => in_pieces(self.n, |count| state::change(&[2, 1, b'k'].repeat(count))),
            "state-reads" => in_pieces(self.n, |count| drop(state::get_many(&[1, b'k'].repeat(count)))),
            "state-bytes" => (0..self.n).for_each(|_| put(1, 64 << 10)),
            "state-key" => put(self.n, 1),
            "state-value" => put(1, self.n),
            "state-lie-change" => state::change(&[0, 1, b'k', 0xff, 0xff, 0xff, 0xff, 0x0f, b'v']),
            "state-lie-keys" => drop(state::get_many(&[1, b'k', 9, b'k'])),
            "state-panic" => {
                put(1, 1);
                panic!("told to panic after a change");
            }
            "metrics" => {
                for number in 0..self.n {
                    metrics::counter_add(&format!("m{number}"), 1);
                }
                metrics::counter_add("No Name", 1);
                metrics::counter_add(&"x".repeat(1 << 20), 1);
                metrics::histogram_record("m0", f64::NAN);
            }
            "random" => drop(random::fill(u32::try_from(self.n).unwrap_or(u32::MAX))),
            _ => {}
        }
    }

    /// Forwards the record.
    pub(crate) fn record(&mut self, record: &Record<'_>, out: &mut Output) {
        if self.what == "set" {
            let key = record.key().unwrap_or_default();
            weir_plugin::State::new().put(key, record.value().unwrap_or_default());
        }
        if self.what != "look" || self.looked {
            return out.forward(record);
        }
        self.looked = true;
        let bytes = random::fill(8);
        let seen = format!("{} {} {bytes:?}", clock::now(), random::next());
        out.edit(record).value(&seen).emit();
    }
}

fn in_pieces(n: usize, mut call: impl FnMut(usize)) {
    let mut left = n;
    while left > 0 {
        let count = left.min(1_000);
        call(count);
        left -= count;
    }
}

/// Puts a value under a key of zeros.
fn put(key_bytes: usize, value_bytes: usize) {
    let mut list = vec![0];
    for bytes in [key_bytes, value_bytes] {
        let mut len = bytes;
        while len >= 0x80 {
            list.push(len as u8 | 0x80);
            len >>= 7;
        }
        list.push(len as u8);
        list.resize(list.len() + bytes, 0);
    }
    state::change(&list);
}
