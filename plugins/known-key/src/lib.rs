//! Keeps records whose key a host knows: it is asked for each key, and 200 keeps the record, 404 leaves it out.
//!
//! | configuration | |
//! |---|---|
//! | `url` | what to ask: `{key}` stands for the record's key |
//! | `cache` | answers that are kept in memory (default 1,000; 0: none) |
//!
//! The host of `url` has to be granted: `weir flow create … --allow-http HOST`. Records without a key, or with one that is not made of
//! letters, digits and `-._~` alone, are left out unasked. A filter has no words for a record that it cannot judge: any other answer, or
//! none, is a trap, and the flow's policy decides.

use std::collections::HashMap;

use weir_plugin::http::Request;
use weir_plugin::{Config, Record, filter};

/// What stands for the key in `url`.
const KEY: &str = "{key}";

/// The filter, configured.
#[derive(Debug)]
pub struct KnownKey {
    url: String,
    cache_max: usize,
    known: HashMap<String, bool>,
}

impl KnownKey {
    /// Reads `url` and `cache`.
    ///
    /// # Errors
    ///
    /// A sentence that says which of them is wrong.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["url", "cache"])?;
        let url = config.required("url")?.to_owned();
        if !url.contains(KEY) {
            return Err(format!(
                "`url` has no {KEY}, and would ask the same about every record"
            ));
        }
        Ok(Self {
            url,
            cache_max: config.parse("cache")?.unwrap_or(1_000),
            known: HashMap::new(),
        })
    }

    /// Whether the host knows the record's key.
    ///
    /// # Panics
    ///
    /// When the host does not say.
    pub fn keep(&mut self, record: &Record<'_>) -> bool {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        let key = record.key().filter(|key| key.iter().all(plain));
        let Some(key) = key.and_then(|key| str::from_utf8(key).ok()) else {
            return false;
        };
        if let Some(&known) = self.known.get(key) {
            return known;
        }
        let known = match Request::get(&self.url.replace(KEY, key)).send() {
            Ok(response) if response.status == 200 => true,
            Ok(response) if response.status == 404 => false,
            Ok(response) => panic!("asked about key {key}, the host answers {}", response.status),
            Err(error) => panic!("asked about key {key}, the host does not answer: {error}"),
        };
        if self.known.len() >= self.cache_max {
            // What is asked for often is soon there again.
            self.known.clear();
        }
        if self.cache_max > 0 {
            self.known.insert(key.to_owned(), known);
        }
        known
    }
}

filter!(KnownKey, KnownKey::keep);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use weir_batch::BatchBuilder;
    use weir_plugin::http::Response;
    use weir_plugin::{run_filter, testing};

    use super::*;

    thread_local! {
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }

    /// Which of the records with these keys are kept.
    fn kept(plugin: &mut KnownKey, keys: &[Option<&str>]) -> Vec<bool> {
        let mut builder = BatchBuilder::new();
        for key in keys {
            builder.push(0, key.map(str::as_bytes), Some(b"v"), &[]).unwrap();
        }
        let bits = run_filter(plugin, KnownKey::keep, &builder.finish().unwrap());
        (0..keys.len())
            .map(|index| bits[index / 8] >> (index % 8) & 1 == 1)
            .collect()
    }

    fn configured(pairs: &[(&str, &str)]) -> Result<KnownKey, String> {
        let pairs = pairs.iter();
        let entries = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        KnownKey::configure(&Config::new(entries.collect(), vec!["out".to_owned()]))
    }

    #[test]
    fn known_keys_are_kept_and_each_is_asked_for_once() {
        testing::reset();
        CALLS.set(0);
        testing::set_http(|request| {
            CALLS.set(CALLS.get() + 1);
            let status = if request.url().ends_with("/a") { 200 } else { 404 };
            Ok(Response {
                status,
                ..Response::default()
            })
        });
        let mut plugin = configured(&[("url", "https://keys.example/{key}")]).unwrap();
        let keys = [Some("a"), Some("b"), None, Some("a"), Some("../a"), Some("b")];
        assert_eq!(kept(&mut plugin, &keys), [true, false, false, true, false, false]);
        assert_eq!(CALLS.get(), 2);
    }

    #[test]
    #[should_panic(expected = "the host answers 503")]
    fn a_host_that_does_not_say_is_a_trap() {
        testing::reset();
        testing::set_http(|_| {
            Ok(Response {
                status: 503,
                ..Response::default()
            })
        });
        kept(
            &mut configured(&[("url", "https://keys.example/{key}")]).unwrap(),
            &[Some("a")],
        );
    }

    #[test]
    fn what_would_ask_nothing_is_refused() {
        assert!(
            configured(&[("url", "https://keys.example/")])
                .unwrap_err()
                .contains("{key}")
        );
        assert!(configured(&[]).unwrap_err().contains("url"));
    }
}
