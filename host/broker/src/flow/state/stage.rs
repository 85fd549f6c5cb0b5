//! The state as one plugin of a chain sees it.

use weir_runtime::{StateError, StateStore};

use crate::flow::state::SharedState;

/// One stage's part of a partition's state: its keys are out of the other stages' reach.
pub(crate) struct StageState {
    shared: SharedState,
    /// The stage's label and a slash, then the key at hand.
    key: Vec<u8>,
    prefix_len: usize,
}

impl StageState {
    pub(crate) fn new(shared: SharedState, label: &str) -> Self {
        let key = format!("{label}/").into_bytes();
        Self {
            shared,
            prefix_len: key.len(),
            key,
        }
    }

    /// Has `self.key` name the plugin's `key`.
    fn name(&mut self, key: &[u8]) {
        self.key.truncate(self.prefix_len);
        self.key.extend_from_slice(key);
    }
}

impl StateStore for StageState {
    fn get(&mut self, key: &[u8], now_ms: i64) -> Result<Option<Vec<u8>>, StateError> {
        self.name(key);
        self.shared.lock().get(&self.key, now_ms)
    }

    fn put(&mut self, key: &[u8], value: &[u8], expires_ms: Option<i64>) -> Result<(), StateError> {
        self.name(key);
        self.shared.lock().put(&self.key, value, expires_ms)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.name(key);
        self.shared.lock().delete(&self.key)
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        now_ms: i64,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        let after = after.map(|after| {
            self.name(after);
            self.key.clone()
        });
        self.name(prefix);
        let prefix_len = self.prefix_len;
        let mut each = |key: &[u8], value: &[u8]| each(&key[prefix_len..], value);
        self.shared
            .lock()
            .scan(&self.key, after.as_deref(), now_ms, &mut each)
    }
}
