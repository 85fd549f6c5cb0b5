//! Requests and responses, and what is checked about them before anything is sent.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::{HttpConfig, HttpError};

/// A request as a plugin makes it. Nothing of it is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// In capitals.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
    /// Milliseconds after which the plugin does not want to wait any longer.
    pub timeout_ms: Option<u32>,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code; redirects are not followed.
    pub status: u16,
    /// Names, in lower case, and values, in the order they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A request that may be sent, if its host is granted.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// What a plugin may ask of a host.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// What concerns the connection, or says to whom a request goes, is not for a plugin to say.
const RESERVED: [&str; 12] = [
    "host",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl HttpRequest {
    /// What can be known of it without asking anybody.
    pub(super) fn check(self, config: &HttpConfig) -> Result<Checked, HttpError> {
        let bad = |message: String| HttpError::BadRequest(message);
        let method = METHODS
            .into_iter()
            .find(|method| method.as_str() == self.method)
            .ok_or_else(|| {
                bad(format!(
                    "the method {:?} is none of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS",
                    shorten(&self.method)
                ))
            })?;
        let bytes = self.url.len()
            + self
                .headers
                .iter()
                .map(|(name, value)| name.len() + value.len() + 4)
                .sum::<usize>();
        if bytes > config.header_bytes_max {
            return Err(bad(format!(
                "URL and headers have {bytes} bytes, and may have {}",
                config.header_bytes_max
            )));
        }
        if self.headers.len() > config.headers_max {
            return Err(bad(format!(
                "the request has {} headers, and may have {}",
                self.headers.len(),
                config.headers_max
            )));
        }
        if self.body.len() > config.request_bytes_max {
            return Err(bad(format!(
                "the request's body has {} bytes, and may have {}",
                self.body.len(),
                config.request_bytes_max
            )));
        }
        let uri: Uri = self
            .url
            .parse()
            .map_err(|error| bad(format!("{:?} is no URL: {error}", shorten(&self.url))))?;
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        if !web || uri.host().is_none_or(str::is_empty) {
            return Err(bad(format!(
                "{:?} is no absolute URL of http or https",
                shorten(&self.url)
            )));
        }
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(bad(
                "a URL has no user and no password here: send them in the header `authorization`".to_owned(),
            ));
        }
        Ok(Checked {
            method,
            uri,
            headers: headers(&self.headers)?,
            body: self.body,
        })
    }
}

fn headers(given: &[(String, Vec<u8>)]) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let bad = |why: &str| HttpError::BadRequest(format!("the header {:?} {why}", shorten(name)));
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("has no valid name"))?;
        if RESERVED.contains(&parsed.as_str()) {
            return Err(bad("is set by the broker: leave it out"));
        }
        let value = HeaderValue::from_bytes(value).map_err(|_| bad("has no valid value"))?;
        headers.append(parsed, value);
    }
    Ok(headers)
}

/// As much of a guest's text as a message holds.
fn shorten(text: &str) -> &str {
    crate::log::truncate(text, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(url: &str) -> HttpRequest {
        HttpRequest {
            method: "GET".to_owned(),
            url: url.to_owned(),
            ..HttpRequest::default()
        }
    }

    fn refused(request: HttpRequest) -> String {
        match request.check(&HttpConfig::default()) {
            Err(HttpError::BadRequest(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_checked_before_it_is_sent() {
        let checked = get("https://a.example/x?y")
            .check(&HttpConfig::default())
            .unwrap();
        assert_eq!(checked.uri.path(), "/x");
        for url in [
            "/x",
            "a.example",
            "ftp://a/",
            "https://",
            "https:///x",
            "http://ü/",
            "",
            "https://a b/",
        ] {
            assert!(refused(get(url)).contains("URL"), "{url}");
        }
        assert!(refused(get("https://u:p@a.example/")).contains("authorization"));
        for method in ["get", "CONNECT", "TRACE", "", "GET / HTTP/1.1\r\nx: y"] {
            let request = HttpRequest {
                method: method.to_owned(),
                ..get("https://a/")
            };
            assert!(refused(request).contains("method"));
        }
    }

    #[test]
    fn headers_that_are_not_the_plugins_are_refused() {
        for (name, value) in [
            ("Host", "evil"),
            ("content-length", "3"),
            ("Transfer-Encoding", "chunked"),
            ("connection", "close"),
            ("a b", "c"),
            ("", "c"),
            ("x", "a\r\nhost: evil"),
        ] {
            let request = HttpRequest {
                headers: vec![(name.to_owned(), value.as_bytes().to_vec())],
                ..get("https://a/")
            };
            assert!(refused(request).contains("header"), "{name}");
        }
    }

    #[test]
    fn requests_are_bounded() {
        let long = get(&format!("https://a/{}", "x".repeat(20_000)));
        assert!(refused(long).contains("may have 16384"));
        let many = HttpRequest {
            headers: vec![("x".to_owned(), Vec::new()); 65],
            ..get("https://a/")
        };
        assert!(refused(many).contains("65 headers"));
        let large = HttpRequest {
            body: vec![0; (1 << 20) + 1],
            ..get("https://a/")
        };
        assert!(refused(large).contains("may have 1048576"));
    }
}
