use crate::State;
use crate::state_keys::Keys;

/// Numbers by key, in the [keyed state](State).
///
/// ```
/// use weir_plugin::{Counters, testing};
///
/// testing::reset();
/// let mut counters = Counters::new("clicks");
/// assert_eq!(counters.add(b"home", 2), 2);
/// assert_eq!(counters.add(b"home", -1), 1);
/// assert_eq!(counters.get(b"away"), 0);
/// ```
#[derive(Clone, Debug)]
pub struct Counters {
    state: State,
    keys: Keys,
}

impl Counters {
    /// Those stored under `name`: others of the plugin's have other names.
    pub fn new(name: &str) -> Self {
        Self {
            state: State::new(),
            keys: Keys::new(name),
        }
    }

    /// The number of `key`, 0 where there is none.
    ///
    /// # Panics
    ///
    /// When the plugin has stored something else there.
    pub fn get(&mut self, key: &[u8]) -> i64 {
        self.state.read(self.keys.of(key), number)
    }

    /// Adds `by` to the number of `key`, which stops at the ends of its range; gives the new number.
    ///
    /// # Panics
    ///
    /// When the plugin has stored something else there.
    pub fn add(&mut self, key: &[u8], by: i64) -> i64 {
        let add = |value: Option<&[u8]>| number(value).saturating_add(by).to_le_bytes();
        i64::from_le_bytes(self.state.update(self.keys.of(key), add))
    }

    /// Sets the number of `key`.
    pub fn set(&mut self, key: &[u8], number: i64) {
        self.state.put(self.keys.of(key), &number.to_le_bytes());
    }

    /// Removes the number of `key`.
    pub fn remove(&mut self, key: &[u8]) {
        self.state.delete(self.keys.of(key));
    }

    /// Fetches the numbers of `keys` in one call of the host, see [`State::prefetch`].
    pub fn prefetch<K: AsRef<[u8]>>(&mut self, keys: impl IntoIterator<Item = K>) {
        self.state.prefetch_named(&mut self.keys, keys);
    }
}

fn number(value: Option<&[u8]>) -> i64 {
    match value.map(<[u8; 8]>::try_from) {
        None => 0,
        Some(Ok(bytes)) => i64::from_le_bytes(bytes),
        Some(Err(_)) => panic!("what is stored under a counter's key is no counter: give it another name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn numbers_outlive_the_batch() {
        testing::reset();
        let mut counters = Counters::new("n");
        assert_eq!(counters.add(b"a", 5), 5);
        counters.set(b"b", i64::MAX);
        assert_eq!(counters.add(b"b", 1), i64::MAX, "it stops there");
        crate::batch_hooks::end(true);
        let mut again = Counters::new("n");
        again.prefetch([b"a", b"b", b"c"]);
        let calls = testing::state_calls();
        assert_eq!((again.get(b"a"), again.get(b"c")), (5, 0));
        again.remove(b"a");
        assert_eq!(again.get(b"a"), 0);
        assert_eq!(testing::state_calls(), calls, "all of it was fetched");
        assert_eq!(Counters::new("other").get(b"b"), 0);
    }

    #[test]
    #[should_panic(expected = "is no counter")]
    fn what_is_no_number_is_said() {
        testing::reset();
        State::new().put(b"n/a", b"text");
        Counters::new("n").get(b"a");
    }
}
