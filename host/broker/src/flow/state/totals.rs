//! What the state of one flow and source partition comes to.

use crate::flow::state::row::Row;

/// Written in the same entry as the rows that it counts.
///
/// Layout, big-endian: `[version u8 = 1][rows u64][bytes u64][expiring u64][swept up to: key after the rows' prefix]`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    /// Bytes of their values and of their keys, with the stage's name before them.
    pub(crate) bytes: u64,
    /// Rows whose time will be over.
    pub(crate) expiring: u64,
    /// Where the search for rows whose time is over goes on; empty for the beginning.
    pub(crate) swept: Vec<u8>,
}

const VERSION: u8 = 1;

impl Totals {
    /// Counts a row under a key of `key_bytes`.
    pub(crate) fn add(&mut self, key_bytes: usize, row: &Row) {
        self.rows = self.rows.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes(key_bytes, row));
        self.expiring = self.expiring.saturating_add(u64::from(row.expires()));
    }

    /// No longer counts it.
    pub(crate) fn remove(&mut self, key_bytes: usize, row: &Row) {
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes(key_bytes, row));
        self.expiring = self.expiring.saturating_sub(u64::from(row.expires()));
    }

    /// Counts `new` instead of `old`, under the same key.
    pub(crate) fn exchange(&mut self, key_bytes: usize, old: Option<&Row>, new: Option<&Row>) {
        if let Some(old) = old {
            self.remove(key_bytes, old);
        }
        if let Some(new) = new {
            self.add(key_bytes, new);
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoded = vec![VERSION];
        for number in [self.rows, self.bytes, self.expiring] {
            encoded.extend_from_slice(&number.to_be_bytes());
        }
        encoded.extend_from_slice(&self.swept);
        encoded
    }

    /// The totals in `bytes`; `None` if those are none of version 1.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (rows, rest) = rest.split_first_chunk()?;
        let (bytes, rest) = rest.split_first_chunk()?;
        let (expiring, swept) = rest.split_first_chunk()?;
        (*version == VERSION).then(|| Self {
            rows: u64::from_be_bytes(*rows),
            bytes: u64::from_be_bytes(*bytes),
            expiring: u64::from_be_bytes(*expiring),
            swept: swept.to_vec(),
        })
    }
}

fn bytes(key_bytes: usize, row: &Row) -> u64 {
    (key_bytes + row.value.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_survive_the_round_trip() {
        for swept in ["", "stage/key"] {
            let totals = Totals {
                rows: 1,
                bytes: 1 << 40,
                expiring: 3,
                swept: swept.into(),
            };
            let encoded = totals.encode();
            assert_eq!(Totals::decode(&encoded), Some(totals));
        }
        assert_eq!(Totals::decode(&[VERSION; 24]), None);
        assert_eq!(Totals::decode(&[2; 25]), None);
    }

    #[test]
    fn what_is_added_and_removed_is_gone() {
        let (mut totals, row) = (Totals::default(), |expires_ms, value: &str| Row {
            expires_ms,
            value: value.into(),
        });
        totals.add(3, &row(i64::MAX, "four"));
        totals.add(1, &row(5, "x"));
        assert_eq!((totals.rows, totals.bytes, totals.expiring), (2, 9, 1));
        totals.remove(3, &row(i64::MAX, "four"));
        totals.remove(1, &row(5, "x"));
        assert_eq!(totals, Totals::default());
    }
}
