//! A row of state as it is stored.

/// A value that a plugin has put.
///
/// Layout: `[version u8 = 1][expires_ms i64, big-endian; i64::MAX if it stays][value]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    /// Record time, in milliseconds, from which on it is gone; `i64::MAX` if it stays.
    pub(crate) expires_ms: i64,
    pub(crate) value: Vec<u8>,
}

const VERSION: u8 = 1;
const HEAD_LEN: usize = 1 + 8;

impl Row {
    /// Whether it is there at `now_ms`.
    pub(crate) fn is_there(&self, now_ms: i64) -> bool {
        now_ms < self.expires_ms || !self.expires()
    }

    /// Whether its time will ever be over.
    pub(crate) fn expires(&self) -> bool {
        self.expires_ms != i64::MAX
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_LEN + self.value.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.expires_ms.to_be_bytes());
        bytes.extend_from_slice(&self.value);
        bytes
    }

    /// The row in `bytes`; `None` if that is no row of version 1.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (expires_ms, value) = rest.split_first_chunk()?;
        (*version == VERSION).then(|| Self {
            expires_ms: i64::from_be_bytes(*expires_ms),
            value: value.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_the_round_trip() {
        for (expires_ms, value) in [(i64::MAX, ""), (-1, "x"), (1 << 40, "a value")] {
            let row = Row {
                expires_ms,
                value: value.into(),
            };
            assert_eq!(Row::decode(&row.encode()), Some(row));
        }
        assert_eq!(Row::decode(&[VERSION; HEAD_LEN - 1]), None);
        assert_eq!(Row::decode(&[2; HEAD_LEN]), None);
    }

    #[test]
    fn a_row_is_there_until_its_time_is_over() {
        let row = |expires_ms| Row {
            expires_ms,
            value: Vec::new(),
        };
        assert!(row(10).is_there(9) && !row(10).is_there(10));
        assert!(row(i64::MAX).is_there(i64::MAX));
    }
}
