//! What the host grants, as functions: the broker's in a plugin, the stand-in's anywhere else.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::filter::weir::plugin::{clock, metrics, random, state};
#[cfg(target_arch = "wasm32")]
pub(crate) use crate::http::send;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::{clock, metrics, random, send, state};
