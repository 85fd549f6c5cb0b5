//! A transform that calls what its records say, `METHOD URL [HEADER:VALUE]…`, and gives what comes back: the status and the body, with
//! `location` where there is one, or the kind of error and why.
//!
//! | configuration | |
//! |---|---|
//! | `do` | `call` (default); `configure`: calls the value of `url` before the first batch, and refuses with what came back; `spin`: never ends after the call |
//! | `timeout-ms` | how long to wait |
//! | `body-bytes` | bytes of the request's body (default 0) |
//! | `times` | calls for each record (default 1); the last answer is given |

use weir_plugin::http::{Error, Request};
use weir_plugin::{Config, Output, Record, transform};

/// What it was told to do.
#[derive(Debug)]
pub struct Caller {
    spin: bool,
    timeout_ms: Option<u32>,
    body_bytes: usize,
    times: u32,
}

impl Caller {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and with `do` = `configure` always.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["do", "url", "timeout-ms", "body-bytes", "times"])?;
        let caller = Self {
            spin: config.get("do") == Some("spin"),
            timeout_ms: config.parse("timeout-ms")?,
            body_bytes: config.parse("body-bytes")?.unwrap_or(0),
            times: config.parse("times")?.unwrap_or(1),
        };
        match config.get("do") {
            Some("configure") => Err(caller.call(config.required("url")?)),
            _ => Ok(caller),
        }
    }

    /// Calls what a record says.
    pub fn record(&mut self, record: &Record<'_>, out: &mut Output) {
        let value = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
        let mut answer = String::new();
        for _ in 0..self.times {
            answer = self.call(&value);
        }
        // For ever, and where the compiler cannot see it.
        while std::hint::black_box(self.spin) {}
        out.edit(record).value(answer.as_bytes()).emit();
    }

    fn call(&self, line: &str) -> String {
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default();
        let url = words.next().unwrap_or_default();
        let mut request = match method {
            "POST" => Request::post(url, vec![b'x'; self.body_bytes]),
            _ => Request::get(url),
        };
        for (name, value) in words.filter_map(|header| header.split_once(':')) {
            request = request.header(name, value);
        }
        if let Some(timeout_ms) = self.timeout_ms {
            request = request.timeout_ms(timeout_ms);
        }
        match request.send() {
            Ok(response) => {
                let location = response.header("location").map(String::from_utf8_lossy);
                let location = location.map(|place| format!(" -> {place}")).unwrap_or_default();
                let body = String::from_utf8_lossy(&response.body);
                format!("{}{location} {body}", response.status)
            }
            Err(error) => {
                let kind = match &error {
                    Error::NotGranted(_) => "not-granted",
                    Error::BadRequest(_) => "bad-request",
                    Error::Timeout(_) => "timeout",
                    Error::TooLarge(_) => "too-large",
                    Error::Connect(_) => "connect",
                    Error::Other(_) => "other",
                };
                format!("{kind}: {error}")
            }
        }
    }
}

transform!(Caller, Caller::record);
