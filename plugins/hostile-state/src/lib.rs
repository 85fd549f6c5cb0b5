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
//! | `look` | time and two random numbers are emitted as one value instead of the first record |

#[cfg(target_arch = "wasm32")]
mod deeds;

#[cfg(target_arch = "wasm32")]
use deeds::Hostile;

#[cfg(target_arch = "wasm32")]
weir_plugin::transform!(Hostile, Hostile::record, begin = Hostile::begin);
