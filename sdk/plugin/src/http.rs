//! Outbound HTTP and HTTPS, to the hosts that the flow was granted: `weir flow create --allow-http HOST`.
//!
//! ```
//! use weir_plugin::{Output, Record, http, transform};
//!
//! fn look_up(record: &Record<'_>, out: &mut Output) -> Result<(), String> {
//!     let id = std::str::from_utf8(record.key().unwrap_or_default()).map_err(|error| error.to_string())?;
//!     match http::get(&format!("https://catalog.example/items/{id}")) {
//!         Ok(response) if response.is_success() => out.edit(record).value(&response.body).emit(),
//!         Ok(response) => return Err(format!("the catalog answered {}", response.status)),
//!         Err(error) if error.is_transient() => out.retry(&error.to_string()),
//!         Err(error) => return Err(error.to_string()),
//!     }
//!     Ok(())
//! }
//!
//! transform!(look_up);
//! ```
//!
//! A call blocks the plugin until the whole response is there, 5 seconds at most unless the broker says otherwise, and nothing else: other
//! flows go on. Redirects are not followed. A batch that is processed again makes its calls again, and may be answered otherwise: send
//! what must not happen twice with a key of its own (topic, partition and offset make one), so that the other side can tell.

use std::fmt;

/// A request. [`get`] and [`post`] are shorter where there is nothing to set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing is sent before `send`"]
pub struct Request {
    method: &'static str,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    timeout_ms: Option<u32>,
}

/// A whole response, whatever its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names, in lower case, and values, in the order they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, as it was sent.
    pub body: Vec<u8>,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The flow was not granted this scheme, host and port.
    NotGranted(String),
    /// The request is none.
    BadRequest(String),
    /// It was not over in time.
    Timeout(String),
    /// The response is larger than the broker takes.
    TooLarge(String),
    /// The host cannot be reached, or its certificate is not trusted.
    Connect(String),
    /// Anything else.
    Other(String),
}

/// Sends a GET.
///
/// # Errors
///
/// See [`Error`]; a status of 400 and more is none.
pub fn get(url: &str) -> Result<Response, Error> {
    Request::get(url).send()
}

/// Sends a POST with `body`.
///
/// # Errors
///
/// See [`Error`]; a status of 400 and more is none.
pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Result<Response, Error> {
    Request::post(url, body).send()
}

impl Request {
    fn new(method: &'static str, url: &str) -> Self {
        Self {
            method,
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
        }
    }

    /// A GET of `url`, which is absolute.
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// A HEAD.
    pub fn head(url: &str) -> Self {
        Self::new("HEAD", url)
    }

    /// A POST of `body`.
    pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", url).body(body)
    }

    /// A PUT of `body`.
    pub fn put(url: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("PUT", url).body(body)
    }

    /// A PATCH with `body`.
    pub fn patch(url: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("PATCH", url).body(body)
    }

    /// A DELETE.
    pub fn delete(url: &str) -> Self {
        Self::new("DELETE", url)
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// One more header. `host`, `content-length` and those of the connection are the broker's.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Waits this many milliseconds at most, if the broker allows as many.
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    /// Sends it and waits for the whole response.
    ///
    /// # Errors
    ///
    /// See [`Error`]; a status of 400 and more is none.
    pub fn send(self) -> Result<Response, Error> {
        crate::host::send(self)
    }

    /// In capitals.
    pub fn method(&self) -> &str {
        self.method
    }

    /// Where it goes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was set, in order.
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    /// What it carries.
    pub fn content(&self) -> &[u8] {
        &self.body
    }
}

impl Response {
    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        headers.find_map(|(own, value)| (own == name).then_some(value.as_slice()))
    }
}

impl Error {
    /// Whether the same request may be answered another time: what a record is worth trying again for.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Connect(_) | Self::Other(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotGranted(why)
        | Self::BadRequest(why)
        | Self::Timeout(why)
        | Self::TooLarge(why)
        | Self::Connect(why)
        | Self::Other(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for Error {}

/// Sends a request through the broker.
#[cfg(target_arch = "wasm32")]
pub(crate) fn send(request: Request) -> Result<Response, Error> {
    use crate::bindings::filter::weir::plugin::http as host;
    let Request {
        method,
        url,
        headers,
        body,
        timeout_ms,
    } = request;
    match host::send(method, &url, &headers, &body, timeout_ms) {
        Ok(response) => Ok(Response {
            status: response.status,
            headers: response.headers,
            body: response.body,
        }),
        Err(error) => Err(match error {
            host::Error::NotGranted(why) => Error::NotGranted(why),
            host::Error::BadRequest(why) => Error::BadRequest(why),
            host::Error::Timeout(why) => Error::Timeout(why),
            host::Error::TooLarge(why) => Error::TooLarge(why),
            host::Error::Connect(why) => Error::Connect(why),
            host::Error::Other(why) => Error::Other(why),
        }),
    }
}
