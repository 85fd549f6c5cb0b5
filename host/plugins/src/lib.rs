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
//! Compute, log, record metrics, see the time of its records, draw random numbers from a seed that the caller gives, and use
//! keyed state and call out over HTTP where the caller [grants](Grants) it. Standard WASI is linked with nothing behind it (see the source of the
//! module `wasi` for each function): no files, no environment, no sockets, the same time and the same random numbers. A component that
//! asks for more is refused by [`Runtime::load`].
//!
//! Keyed state is the caller's: it moves a [`StateStore`] into the instance before a call and takes it back afterwards, also
//! after a trap.
//!
//! ```no_run
//! use weir_runtime::{Grants, InstanceOptions, MemoryState};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (plugin, batch): (weir_runtime::Plugin, Vec<u8>) = unimplemented!();
//! let mut instance = plugin.instantiate_with(InstanceOptions::default(), Grants::none().state())?;
//! instance.set_state(Box::new(MemoryState::new()));
//! instance.set_seed(7);
//! let mut frame = Vec::new();
//! let called = instance.transform(&batch, &mut frame);
//! let state = instance.take_state();
//! // Store the records of `frame` and the changes of `state` in one step, or drop both.
//! # called?;
//! # Ok(())
//! # }
//! ```

mod cache;
mod componentize;
mod engine;
mod epoch;
mod error;
mod exports;
mod fault;
mod http;
mod inspect;
mod instance;
mod keyed_state;
mod limits;
mod link;
mod log;
mod metrics;
mod output;
mod plugin;
mod random;
mod refusal;
mod runtime;
mod state;
mod trap;
mod wasi;
mod world;

pub use componentize::componentize;
pub use error::{CallError, LoadError, RuntimeError};
pub use fault::CallFault;
pub use http::{GrantError, HttpAccess, HttpConfig, HttpError, HttpGrant, HttpRequest, HttpResponse};
pub use instance::{Budget, Grants, Instance, InstanceOptions, Page, Stats};
pub use keyed_state::{MemoryState, StateError, StateStore};
pub use limits::Limits;
pub use log::{Level, LogSink, NoLog, TracingLog};
pub use metrics::{MetricsSink, NoMetrics};
pub use plugin::{Kind, Plugin};
pub use runtime::{Runtime, RuntimeConfig};
