//! A transform that misuses what the broker grants. `do` says what, once for each batch:
//!
//! | `do` | what happens |
//! |---|---|
//! | `identity` (default) | nothing bad |
//! | `state-changes` | `n` deletions, a thousand a call |
//! | `state-bytes` | `n` puts of a value of 64 KiB |
//! | `state-reads` | `n` keys are read, a thousand a call |
//! | `state-key`, `state-value` | a key or value of `n` bytes is put |
//! | `state-lie-change`, `state-lie-keys` | a packed list whose lengths go beyond its end |
//! | `state-configure` | state is used in `configure` |
//! | `state-panic` | a row is put, then the plugin panics |
//! | `metrics` | `n` counters of different names, and some names that are none |
//! | `random` | `n` random bytes are asked for |
//! | `set` | the record's value is put under its key |
//! | `look` | time and two random numbers are emitted as one value instead of the first record |
//!
//! Its state has the version `version` (default 0). `migrate` says what it does about state of another one:
//!
//! | `migrate` | what happens |
//! |---|---|
//! | `mark` (default) | an exclamation mark is put behind every value, `rows` rows a step; it refuses a key that ends with `poison` |
//! | `refuse` | it refuses |
//! | `panic`, `version-panic` | it panics; or when it is asked for its version |
//! | `again` | each step ends at the same place |
//! | `huge` | a step ends at a place of 1 MiB |
//! | `bomb` | a step changes rows without end |

#[cfg(target_arch = "wasm32")]
mod deeds;
#[cfg(target_arch = "wasm32")]
mod schema;

#[cfg(target_arch = "wasm32")]
use deeds::Hostile;

#[cfg(target_arch = "wasm32")]
weir_plugin::transform!(Hostile, Hostile::record, begin = Hostile::begin);
