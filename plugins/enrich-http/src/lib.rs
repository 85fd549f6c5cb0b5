//! Looks up the key of each record over HTTP and adds what is found to the record, as a header.
//!
//! | configuration | |
//! |---|---|
//! | `url` | where to look: `{key}` stands for the record's key, percent-encoded |
//! | `header` | the name of the header (default `enriched`) |
//! | `cache` | answers that are kept in memory (default 1,000; 0: none) |
//! | `timeout-ms` | how long to wait for one answer (default: what the broker allows) |
//!
//! The host of `url` has to be granted: `weir flow create … --allow-http HOST`. A record without a key, or whose key is not found (404),
//! goes on as it is. A host that does not answer, or answers with 429 or 500 and more, has the record tried again; any other answer is a
//! failure, and the flow's policy decides.

use std::collections::HashMap;
use std::rc::Rc;

use weir_plugin::http::Request;
use weir_plugin::{Config, Output, Record, transform};

/// What stands for the key in `url`.
const KEY: &str = "{key}";

/// The transform, configured.
#[derive(Debug)]
pub struct EnrichHttp {
    url: String,
    header: String,
    timeout_ms: Option<u32>,
    cache_max: usize,
    /// What was found by key; `None` where nothing is.
    cache: HashMap<Vec<u8>, Option<Rc<[u8]>>>,
}

/// Why there is no answer.
enum Failure {
    /// There may be one later.
    Later(String),
    /// There never is.
    Never(String),
}

impl EnrichHttp {
    /// Reads `url`, `header`, `cache` and `timeout-ms`.
    ///
    /// # Errors
    ///
    /// A sentence that says which of them is wrong.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["url", "header", "cache", "timeout-ms"])?;
        let url = config.required("url")?.to_owned();
        if !url.contains(KEY) {
            return Err(format!(
                "`url` has no {KEY}, and would give every record the same answer"
            ));
        }
        Ok(Self {
            url,
            header: config.get("header").unwrap_or("enriched").to_owned(),
            timeout_ms: config.parse("timeout-ms")?,
            cache_max: config.parse("cache")?.unwrap_or(1_000),
            cache: HashMap::new(),
        })
    }

    /// Enriches one record.
    ///
    /// # Errors
    ///
    /// What the other side answered, if that will not change.
    pub fn record(&mut self, record: &Record<'_>, out: &mut Output) -> Result<(), String> {
        let Some(key) = record.key() else {
            out.forward(record);
            return Ok(());
        };
        match self.look_up(key) {
            Ok(Some(found)) => out.edit(record).header(&self.header, &found).emit(),
            Ok(None) => out.forward(record),
            Err(Failure::Later(why)) => out.retry(&why),
            Err(Failure::Never(why)) => return Err(why),
        }
        Ok(())
    }

    fn look_up(&mut self, key: &[u8]) -> Result<Option<Rc<[u8]>>, Failure> {
        if let Some(found) = self.cache.get(key) {
            return Ok(found.clone());
        }
        let found = self.ask(key)?;
        if self.cache.len() >= self.cache_max {
            // What is asked for often is soon there again.
            self.cache.clear();
        }
        if self.cache_max > 0 {
            self.cache.insert(key.to_vec(), found.clone());
        }
        Ok(found)
    }

    fn ask(&self, key: &[u8]) -> Result<Option<Rc<[u8]>>, Failure> {
        let mut request = Request::get(&self.url.replace(KEY, &percent_encoded(key)));
        if let Some(timeout_ms) = self.timeout_ms {
            request = request.timeout_ms(timeout_ms);
        }
        let response = request.send().map_err(|error| {
            let why = error.to_string();
            if error.is_transient() {
                Failure::Later(why)
            } else {
                Failure::Never(why)
            }
        })?;
        match response.status {
            200..300 => Ok(Some(response.body.into())),
            404 => Ok(None),
            status @ (429 | 500..) => Err(Failure::Later(format!("the answer is {status}"))),
            status => Err(Failure::Never(format!("the answer is {status}"))),
        }
    }
}

/// Letters, digits and `-._~` as they are, any other byte as `%XX`.
fn percent_encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
            byte => {
                const DIGITS: [char; 16] = [
                    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
                ];
                text.push('%');
                text.push(DIGITS[usize::from(byte >> 4)]);
                text.push(DIGITS[usize::from(byte & 15)]);
            }
        }
    }
    text
}

transform!(EnrichHttp, EnrichHttp::record);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use weir_batch::BatchBuilder;
    use weir_batch::frame::{Entry, Reader};
    use weir_plugin::http::{Error, Response};
    use weir_plugin::{run_transform, testing};

    use super::*;

    fn configured(pairs: &[(&str, &str)]) -> Result<EnrichHttp, String> {
        let pairs = pairs.iter();
        let entries = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        EnrichHttp::configure(&Config::new(entries.collect(), vec!["out".to_owned()]))
    }

    /// What comes out for these keys: the header's value, or the outcome.
    fn run(plugin: &mut EnrichHttp, keys: &[Option<&str>]) -> Vec<String> {
        let mut builder = BatchBuilder::new();
        for key in keys {
            builder.push(0, key.map(str::as_bytes), Some(b"v"), &[]).unwrap();
        }
        let batch = builder.finish().unwrap();
        let mut out = Output::new(vec!["out".to_owned()]);
        let frame = run_transform(plugin, &mut out, EnrichHttp::record, &batch);
        let reader = Reader::new(&frame, keys.len() as u32, 1).unwrap();
        reader
            .entries()
            .map(|entry| match entry {
                Entry::Emit { tail, .. } => tail
                    .headers()
                    .map(|(name, value)| {
                        format!("{name}={}", String::from_utf8_lossy(value.unwrap_or_default()))
                    })
                    .collect::<Vec<_>>()
                    .join(" "),
                Entry::Retry { reason, .. } => format!("retry: {reason}"),
                Entry::Fail { reason, .. } => format!("fail: {reason}"),
                Entry::DeadLetter { .. } => "dead letter".to_owned(),
            })
            .collect()
    }

    thread_local! {
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }

    fn serve() {
        testing::reset();
        CALLS.set(0);
        testing::set_http(|request| {
            CALLS.set(CALLS.get() + 1);
            let status = match request.url().strip_prefix("https://a.example/").unwrap() {
                "missing" => 404,
                "broken" => 503,
                "forbidden" => 403,
                "slow" => return Err(Error::Timeout("too slow".to_owned())),
                _ => 200,
            };
            Ok(Response {
                status,
                body: request.url().as_bytes().to_vec(),
                ..Response::default()
            })
        });
    }

    #[test]
    fn what_is_found_becomes_a_header() {
        serve();
        let mut plugin = configured(&[("url", "https://a.example/{key}"), ("header", "seen")]).unwrap();
        let out = run(&mut plugin, &[Some("x y"), None, Some("missing"), Some("x y")]);
        assert_eq!(
            out,
            [
                "seen=https://a.example/x%20y",
                "",
                "",
                "seen=https://a.example/x%20y"
            ]
        );
        assert_eq!(CALLS.get(), 2, "the second is from the cache");
    }

    #[test]
    fn what_is_not_answered_is_tried_again_or_fails() {
        serve();
        let mut plugin = configured(&[("url", "https://a.example/{key}")]).unwrap();
        let out = run(&mut plugin, &[Some("broken"), Some("slow"), Some("forbidden")]);
        assert_eq!(
            out,
            [
                "retry: the answer is 503",
                "retry: too slow",
                "fail: the answer is 403"
            ]
        );
    }

    #[test]
    fn the_cache_is_bounded() {
        serve();
        let mut plugin = configured(&[("url", "https://a.example/{key}"), ("cache", "2")]).unwrap();
        for key in ["a", "b", "c", "d"] {
            run(&mut plugin, &[Some(key)]);
            assert!(plugin.cache.len() <= 2);
        }
        let mut plugin = configured(&[("url", "https://a.example/{key}"), ("cache", "0")]).unwrap();
        run(&mut plugin, &[Some("a")]);
        assert!(plugin.cache.is_empty());
    }

    #[test]
    fn a_url_without_a_place_for_the_key_is_refused() {
        assert!(
            configured(&[("url", "https://a.example/")])
                .unwrap_err()
                .contains("{key}")
        );
        assert!(configured(&[]).unwrap_err().contains("url"));
    }
}
