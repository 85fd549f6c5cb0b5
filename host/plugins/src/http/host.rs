//! The interface `weir:plugin/http`, as a guest calls it.

use std::time::{Duration, Instant};

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower, WasmList, WasmStr};

use super::{HttpAccess, HttpError, HttpRequest, HttpResponse};
use crate::epoch::Epoch;
use crate::state::HostState;

type Store<'a> = StoreContextMut<'a, HostState>;
type Headers = WasmList<(WasmStr, WasmList<u8>)>;
type Params = (WasmStr, WasmStr, Headers, WasmList<u8>, Option<u32>);

/// What one call of a guest has used of HTTP so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    exchanges: u32,
    waited: Duration,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Response {
    #[component(name = "status")]
    status: u16,
    #[component(name = "headers")]
    headers: Vec<(String, Vec<u8>)>,
    #[component(name = "body")]
    body: Vec<u8>,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "not-granted")]
    NotGranted(String),
    #[component(name = "bad-request")]
    BadRequest(String),
    #[component(name = "timeout")]
    Timeout(String),
    #[component(name = "too-large")]
    TooLarge(String),
    #[component(name = "connect")]
    Connect(String),
    #[component(name = "other")]
    Other(String),
}

/// Ends a guest's call because its flow is being stopped.
#[derive(Debug, thiserror::Error)]
#[error("the flow is being stopped")]
pub(crate) struct Stopped;

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .instance("weir:plugin/http@0.1.0")?
        .func_wrap("send", |store: Store<'_>, params: Params| {
            let answer = match send(store, &params)? {
                Ok(HttpResponse {
                    status,
                    headers,
                    body,
                }) => Ok(Response {
                    status,
                    headers,
                    body,
                }),
                Err(error) => Err(match error {
                    HttpError::NotGranted(why) => Error::NotGranted(why),
                    HttpError::BadRequest(why) => Error::BadRequest(why),
                    HttpError::Timeout(why) => Error::Timeout(why),
                    HttpError::TooLarge(why) => Error::TooLarge(why),
                    HttpError::Connect(why) => Error::Connect(why),
                    HttpError::Other(why) => Error::Other(why),
                    // The guest is not asked what it makes of that: whatever it said would become its records' fate.
                    HttpError::Stopped => return Err(wasmtime::Error::new(Stopped)),
                }),
            };
            Ok((answer,))
        })
}

fn send(mut store: Store<'_>, params: &Params) -> wasmtime::Result<Result<HttpResponse, HttpError>> {
    let host = store.data();
    let Some(access) = host.http.clone().filter(|_| host.in_call()) else {
        let why = "there is no HTTP here: it is there in calls with records and in polls, not in `configure` or in a migration of state";
        return Ok(Err(HttpError::NotGranted(why.to_owned())));
    };
    let config = access.config();
    let usage = host.http_usage;
    if usage.exchanges >= config.exchanges_max_per_call {
        return Ok(Err(HttpError::Other(format!(
            "the plugin called out {} times for one batch, the most that this broker allows (http_exchanges_max in its \
             configuration)",
            usage.exchanges
        ))));
    }
    let time_left = Duration::from_millis(config.call_timeout_ms).saturating_sub(usage.waited);
    if time_left.is_zero() {
        return Ok(Err(HttpError::Timeout(format!(
            "the plugin has waited for hosts for {} ms in one batch, the most that this broker allows (http_batch_timeout_ms \
             in its configuration)",
            config.call_timeout_ms
        ))));
    }
    let request = match request(&mut store, params, &access)? {
        Ok(request) => request,
        Err(error) => return Ok(Err(error)),
    };
    let began = Instant::now();
    let answer = access.call(request, time_left);
    let waited = began.elapsed();
    let host = store.data_mut();
    host.http_usage = Usage {
        exchanges: usage.exchanges + 1,
        waited: usage.waited + waited,
    };
    // The guest did not run meanwhile: its time goes on where it stood.
    let left_ms = host.waited(waited);
    store.set_epoch_deadline(Epoch::ticks(left_ms));
    Ok(answer)
}

/// Reads the request out of the guest's memory. Its lists are looked at before they are copied.
fn request(
    store: &mut Store<'_>,
    (method, url, headers, body, timeout_ms): &Params,
    access: &HttpAccess,
) -> wasmtime::Result<Result<HttpRequest, HttpError>> {
    let config = access.config();
    if headers.len() > config.headers_max {
        return Ok(Err(HttpError::BadRequest(format!(
            "the request has {} headers, and may have {}",
            headers.len(),
            config.headers_max
        ))));
    }
    if body.len() > config.request_bytes_max {
        return Ok(Err(HttpError::BadRequest(format!(
            "the request's body has {} bytes, and may have {} (http_request_bytes_max in the broker's configuration)",
            body.len(),
            config.request_bytes_max
        ))));
    }
    let mut pairs = Vec::with_capacity(headers.len());
    let mut bytes = 0;
    let listed: Vec<_> = headers.iter(&mut *store)?.collect::<wasmtime::Result<_>>()?;
    for (name, value) in listed {
        let name = name.to_str(&*store)?;
        bytes += name.len() + value.len();
        if bytes > config.header_bytes_max {
            return Ok(Err(HttpError::BadRequest(format!(
                "the headers have more than {} bytes, the most that they may have",
                config.header_bytes_max
            ))));
        }
        pairs.push((name.into_owned(), value.as_le_slice(&*store).to_vec()));
    }
    Ok(Ok(HttpRequest {
        method: method.to_str(&*store)?.into_owned(),
        url: url.to_str(&*store)?.into_owned(),
        headers: pairs,
        body: body.as_le_slice(&*store).to_vec(),
        timeout_ms: *timeout_ms,
    }))
}
