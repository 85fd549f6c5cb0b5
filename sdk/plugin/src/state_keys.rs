/// Keys of the state that begin with a name and a slash, made in one buffer.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    buffer: Vec<u8>,
    prefix_len: usize,
}

impl Keys {
    pub(crate) fn new(name: &str) -> Self {
        let buffer = format!("{name}/").into_bytes();
        Self {
            prefix_len: buffer.len(),
            buffer,
        }
    }

    /// The key in the state, until the next is asked for.
    #[inline]
    pub(crate) fn of(&mut self, key: &[u8]) -> &[u8] {
        self.buffer.truncate(self.prefix_len);
        self.buffer.extend_from_slice(key);
        &self.buffer
    }

    /// The key in the state.
    pub(crate) fn owned(&self, key: &[u8]) -> Vec<u8> {
        [&self.buffer[..self.prefix_len], key].concat()
    }
}
