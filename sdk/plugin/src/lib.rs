//! Plugins for the Weir message broker: filters, transforms and producers that run inside it, as WebAssembly.
//!
//! A plugin is a library crate with one macro. This is a whole filter:
//!
//! ```
//! use weir_plugin::{Record, filter};
//!
//! filter!(|record: &Record<'_>| record.value().is_some_and(|value| value.len() > 10));
//! ```
//!
//! and this a transform, with a function of its own and a configuration that is read once:
//!
//! ```
//! use weir_plugin::{Config, Output, Record, transform};
//!
//! struct Shout {
//!     suffix: String,
//!     buffer: Vec<u8>,
//! }
//!
//! impl Shout {
//!     fn configure(config: &Config) -> Result<Self, String> {
//!         config.only(&["suffix"])?;
//!         Ok(Self { suffix: config.get("suffix").unwrap_or("!").to_owned(), buffer: Vec::new() })
//!     }
//!
//!     fn shout(&mut self, record: &Record<'_>, out: &mut Output) -> Result<(), String> {
//!         let text = record.value().ok_or("there is nothing to shout")?;
//!         self.buffer.clear();
//!         self.buffer.extend(text.iter().map(u8::to_ascii_uppercase));
//!         self.buffer.extend_from_slice(self.suffix.as_bytes());
//!         out.edit(record).value(&self.buffer).emit();
//!         Ok(())
//!     }
//! }
//!
//! transform!(Shout, Shout::shout);
//! ```
//!
//! In its `Cargo.toml`: `[lib] crate-type = ["cdylib"]`. `weir plugin build` compiles it for `wasm32-unknown-unknown` and makes
//! a component of it, `weir plugin upload` brings it to a broker.
//!
//! # Rules of the house
//!
//! - The host calls once for each batch and hands out the batch as it is; the SDK walks over it without allocating. Keep buffers in
//!   your state and use them again: an allocation for each record is most of the cost of a plugin.
//! - A record that cannot be processed is no reason to panic: return `Err`, or call [`Output::dead_letter`], [`Output::retry`] or
//!   [`Output::fail`]. A panic stops the whole batch, and its message reaches whoever looks at the flow.
//! - There is no file, no network but [`http`] to the hosts that the flow is granted, and what a plugin keeps in memory is gone when the host restarts it: results depend on
//!   the records, the configuration and the [keyed state](State) alone. [`clock`] shows the time of the records, [`random`] draws from a
//!   seed that the host gives, so that the same records processed again come out the same.
//!
//! # What the broker grants
//!
//! [`log`] and [`metrics`] for the people who run the flow; [`clock`] and [`random`]; [`State`], keyed and stored in one step with the
//! output, and on top of it [`Counters`], [`Dedup`], and [`Windows`] and [`Timers`] on event time; [`http`], where the flow is granted
//! hosts. [`state_schema!`] says what a plugin makes of state that an older version of it has left. A plugin imports only what it uses.
//!
//! # Without the broker
//!
//! The functions behind the macros are here too ([`run_filter`], [`run_transform`], [`run_poll`]), and work on any target: tests of a
//! plugin are ordinary tests. What the broker grants has a stand-in there, in memory: `testing` looks at it.

mod accumulator;
mod agenda;
mod batch_hooks;
#[doc(hidden)]
pub mod bindings;
pub mod clock;
mod config;
mod counters;
mod dedup;
mod event_time;
mod filter;
mod hook;
mod host;
pub mod http;
mod late;
pub mod log;
pub mod metrics;
mod output;
mod page;
mod producer;
pub mod random;
mod schema;
mod state;
mod state_cache;
mod state_keys;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod timers;
mod transform;
mod windows;

pub use accumulator::{Accumulator, Aggregate};
pub use config::Config;
pub use counters::Counters;
pub use dedup::Dedup;
pub use filter::{run_filter, run_filter_with};
pub use late::Late;
pub use output::{Draft, Output};
pub use page::{Budget, Page};
pub use producer::{Polled, run_poll};
pub use schema::{StateSchema, migrate_rows, run_migration};
pub use state::{Scan, State};
pub use timers::{Timer, Timers};
pub use transform::{Outcome, run_transform, run_transform_with};
pub use weir_batch::{Headers, Record, Records};
pub use windows::{Fired, Windows};

#[doc(hidden)]
pub use hook::install as __install_panic_hook;
