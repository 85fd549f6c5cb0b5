use wasmtime::{Store, Trap, WasmBacktrace};

use crate::http::Stopped;
use crate::refusal::Refusal;
use crate::state::HostState;
use crate::{CallError, StateError};

/// Frames worth showing: the innermost say what happened.
const FRAMES_SHOWN: usize = 6;

/// What stopped a guest, in words.
pub(crate) fn call_error(
    error: &wasmtime::Error,
    store: &mut Store<HostState>,
    limit_ms: u64,
    limit_bytes: usize,
) -> CallError {
    let last_words = store.data_mut().take_last_words();
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        return CallError::Deadline { limit_ms };
    }
    if error.is::<Stopped>() {
        return CallError::Stopped;
    }
    if let Some(StateError { reason }) = error.downcast_ref() {
        return CallError::State {
            reason: reason.clone(),
        };
    }
    if let Some(Refusal(reason)) = error.downcast_ref() {
        return CallError::Trap {
            reason: reason.clone(),
            backtrace: backtrace(error),
        };
    }
    // A guest that is refused memory may go on without it: it is the reason only if the guest gave up in its own words.
    if let Some(asked_bytes) = store.data().refused_bytes()
        && matches!(trap, None | Some(Trap::UnreachableCodeReached))
    {
        return CallError::Memory {
            asked_bytes,
            limit_bytes,
        };
    }
    let reason = match (trap, last_words) {
        (None | Some(Trap::UnreachableCodeReached), Some(words)) => words,
        (Some(trap), _) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        (None, None) => error.root_cause().to_string(),
    };
    CallError::Trap {
        reason,
        backtrace: backtrace(error),
    }
}

fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let frames = error
        .downcast_ref::<WasmBacktrace>()
        .map_or(&[][..], WasmBacktrace::frames);
    frames
        .iter()
        .filter_map(|frame| frame.func_name())
        .map(|symbol| format!("{:#}", rustc_demangle::demangle(symbol)))
        .filter(|name| !is_machinery(name))
        .take(FRAMES_SHOWN)
        .collect()
}

/// What a Rust panic goes through on its way to the trap says nothing of the plugin.
fn is_machinery(name: &str) -> bool {
    [
        "core::panicking::",
        "core::option::",
        "core::result::",
        "std::panicking::",
        "std::sys::",
        "__rust",
        "rust_",
        "abort",
    ]
    .iter()
    .any(|prefix| {
        name.starts_with(prefix)
            || name
                .strip_prefix('<')
                .is_some_and(|name| name.starts_with(prefix))
    })
}
