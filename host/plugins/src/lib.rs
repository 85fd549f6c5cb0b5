//! The plugin runtime: takes WebAssembly components for the worlds of `weir:plugin`, validates and compiles them, keeps
//! the compiled code in a cache, and runs them under limits.
//!
//! It knows batches and frames, not topics: whoever calls says what a batch is for.
//!
//! ```no_run
//! use std::sync::Arc;
//! use weir_runtime::{InstanceOptions, Runtime, RuntimeConfig, TracingLog};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (wasm, batch) = (Vec::new(), Vec::new());
//! let runtime = Runtime::new(RuntimeConfig::default())?;
//! let plugin = runtime.load(&wasm)?;
//! let mut instance = plugin.instantiate(InstanceOptions::new(Arc::new(TracingLog::new("my-flow"))))?;
//! let mut bitmap = Vec::new();
//! instance.filter(&batch, &mut bitmap)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Threads
//!
//! Everything here is synchronous. [`Runtime::load`] may compile for seconds, a call may run until its deadline: use
//! threads that nothing else waits for, with at least 2 MiB of stack (the default of `std::thread`), of which a guest may
//! use [`RuntimeConfig::stack_bytes_max`].
//!
//! # What a guest can do
//!
//! Compute, and log. Standard WASI is linked with nothing behind it (see [`mod@self`]'s `wasi` module source for each
//! function): no files, no environment, no sockets, a clock that shows the time of the records and random numbers from a
//! fixed seed. A component that asks for more is refused by [`Runtime::load`].

mod cache;
mod componentize;
mod engine;
mod epoch;
mod error;
mod inspect;
mod instance;
mod limits;
mod log;
mod output;
mod plugin;
mod runtime;
mod state;
mod trap;
mod wasi;

pub use componentize::componentize;
pub use error::{CallError, LoadError, RuntimeError};
pub use instance::{Instance, InstanceOptions, Stats};
pub use limits::Limits;
pub use log::{Level, LogSink, NoLog, TracingLog};
pub use plugin::{Kind, Plugin};
pub use runtime::{Runtime, RuntimeConfig};
