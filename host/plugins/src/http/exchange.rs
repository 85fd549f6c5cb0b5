//! One request and its response.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as Hyper, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use super::dial::Dial;
use super::request::Checked;
use super::{HttpConfig, HttpError, HttpResponse};

/// How long a connection is kept for the next request.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Less than this the HTTP library does not take.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// The connections of one flow, and how they are used.
#[derive(Clone)]
pub(super) struct Client {
    hyper: Hyper<HttpsConnector<Dial>, Full<Bytes>>,
}

impl Client {
    pub(super) fn new(config: &HttpConfig, tls: ClientConfig) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dial::new(config.connections_max_per_flow));
        let hyper = Hyper::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(config.connections_max_per_flow)
            .http1_max_headers(config.headers_max)
            .http1_max_buf_size(config.header_bytes_max.max(BUFFER_BYTES_MIN))
            .build(connector);
        Self { hyper }
    }

    /// Sends a request and reads the response to its end.
    pub(super) async fn exchange(
        &self,
        request: Checked,
        response_bytes_max: usize,
    ) -> Result<HttpResponse, HttpError> {
        let Checked {
            method,
            uri,
            headers,
            body,
        } = request;
        let place = uri.authority().map(ToString::to_string).unwrap_or_default();
        let mut message = Request::new(Full::new(Bytes::from(body)));
        *message.method_mut() = method;
        *message.uri_mut() = uri;
        *message.headers_mut() = headers;
        let response = self.hyper.request(message).await;
        let response = response.map_err(|error| no_response(&place, &error))?;
        let (parts, body) = response.into_parts();
        let body = read(body, response_bytes_max, &place).await?;
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        Ok(HttpResponse {
            status: parts.status.as_u16(),
            headers: headers.collect(),
            body,
        })
    }
}

async fn read(mut body: Incoming, bytes_max: usize, place: &str) -> Result<Vec<u8>, HttpError> {
    let too_large = || {
        HttpError::TooLarge(format!(
            "the response of {place} has more than {bytes_max} bytes, the most that this broker takes \
             (http_response_bytes_max in its configuration)"
        ))
    };
    // What it says that it has: no need to read it first.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            HttpError::Other(format!("the response of {place} broke off: {}", chain(&error)))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn no_response(place: &str, error: &Error) -> HttpError {
    if error.is_connect() {
        return HttpError::Connect(format!("{place} cannot be reached: {}", chain(error)));
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.downcast_ref::<hyper::Error>().is_some_and(is_too_large) {
            return HttpError::TooLarge(format!(
                "the headers of the response of {place} are more or larger than this broker takes \
                 (http_headers_max and http_header_bytes_max in its configuration)"
            ));
        }
        source = cause.source();
    }
    HttpError::Other(format!("{place} did not answer: {}", chain(error)))
}

/// The library says it in words only.
fn is_too_large(error: &hyper::Error) -> bool {
    error.is_parse() && error.to_string().contains("too large")
}

/// What happened, down to the cause.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}
