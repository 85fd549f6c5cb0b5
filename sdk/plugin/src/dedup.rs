use crate::State;
use crate::state_keys::Keys;

/// Tells the first of several alike from the others, for a while, in the [keyed state](State).
///
/// Time is that of the records: a batch has one time, that of its newest record. It counts from the first one; those that
/// were recognised do not make it longer.
///
/// ```
/// use weir_plugin::{Dedup, testing};
///
/// testing::reset();
/// let mut seen = Dedup::new("orders", 60_000);
/// assert!(seen.first(b"order 17"));
/// assert!(!seen.first(b"order 17"));
/// ```
#[derive(Clone, Debug)]
pub struct Dedup {
    state: State,
    keys: Keys,
    ttl_ms: u64,
}

impl Dedup {
    /// What is stored under `name`, for `ttl_ms` milliseconds of record time: others of the plugin's have other names.
    pub fn new(name: &str, ttl_ms: u64) -> Self {
        Self {
            state: State::new(),
            keys: Keys::new(name),
            ttl_ms,
        }
    }

    /// Whether `id` is the first of its kind within the time. From now on it is known.
    pub fn first(&mut self, id: &[u8]) -> bool {
        let key = self.keys.of(id);
        let known = self.state.read(key, |value| value.is_some());
        if !known {
            self.state.put_with_ttl(key, &[], self.ttl_ms);
        }
        !known
    }

    /// Fetches what is known of `ids` in one call of the host, see [`State::prefetch`].
    pub fn prefetch<K: AsRef<[u8]>>(&mut self, ids: impl IntoIterator<Item = K>) {
        self.state.prefetch_named(&mut self.keys, ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_first_is_told_from_the_others_for_a_while() {
        testing::reset();
        let mut seen = Dedup::new("d", 100);
        testing::set_now(1_000);
        seen.prefetch([b"a", b"b"]);
        let first = [b"a", b"b", b"a"].map(|id| seen.first(id));
        assert_eq!(first, [true, true, false]);
        assert_eq!(testing::state_calls(), 1);
        crate::batch_hooks::end(true);
        testing::set_now(1_099);
        assert!(!seen.first(b"a"), "it does not begin anew");
        crate::batch_hooks::end(true);
        testing::set_now(1_100);
        assert!(seen.first(b"a"));
        assert!(Dedup::new("other", 100).first(b"b"));
    }
}
