mod access;
mod memory;

pub(crate) use access::{Access, Usage};
pub use memory::MemoryState;

/// Why keyed state cannot be read or written: never the guest's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct StateError {
    /// What went wrong, in words.
    pub reason: String,
}

impl StateError {
    /// With a reason in words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// The keyed state of one instance for one call: what a plugin reads and changes through `weir:plugin/state`.
///
/// The runtime has checked keys and values against its [limits](crate::Limits) before they come here, and bounds how many come in a
/// call. What a call changes must be visible to what it reads afterwards. Whether it stays is for the owner to decide once the call is
/// over: of a call that failed, nothing may.
///
/// `now_ms` is the record time of the call. A value that was put with `expires_ms` is there as long as `now_ms < expires_ms`,
/// to [`get`](Self::get) and [`scan`](Self::scan) alike. All of this runs on the thread that calls the guest, and is not interrupted: a
/// deadline that passes meanwhile is noticed when the guest goes on.
pub trait StateStore: Send {
    /// The value under `key` at `now_ms`, if there is one.
    ///
    /// # Errors
    ///
    /// [`StateError`] ends the call.
    fn get(&mut self, key: &[u8], now_ms: i64) -> Result<Option<Vec<u8>>, StateError>;

    /// Stores `value` under `key`, until `expires_ms` if there is one: milliseconds of record time.
    ///
    /// # Errors
    ///
    /// [`StateError`] ends the call.
    fn put(&mut self, key: &[u8], value: &[u8], expires_ms: Option<i64>) -> Result<(), StateError>;

    /// Removes what is under `key`, if anything is.
    ///
    /// # Errors
    ///
    /// [`StateError`] ends the call.
    fn delete(&mut self, key: &[u8]) -> Result<(), StateError>;

    /// Gives `each` the keys that begin with `prefix`, and come after `after` if there is one, with their values at `now_ms`:
    /// ascending by the keys' bytes, until it says false or there are no more.
    ///
    /// # Errors
    ///
    /// [`StateError`] ends the call.
    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        now_ms: i64,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError>;
}
