//! What is sent: pieces of real text, cut to size.

use bytes::Bytes;

use crate::cli::Failure;

/// An endless supply of records of one size, taken from the flight data without copying.
#[derive(Clone)]
pub(super) struct Source {
    text: Bytes,
    record_bytes: usize,
    at: usize,
    lap: usize,
}

impl Source {
    /// `record_bytes`: 1 byte to 4 MiB.
    pub(super) fn new(record_bytes: usize) -> Result<Self, Failure> {
        let text = crate::flights::lines()?;
        if record_bytes == 0 || record_bytes > text.len() / 2 {
            return Err(Failure::new(
                format!("no records of {record_bytes} bytes can be made"),
                format!("choose --record-bytes between 1 and {}", text.len() / 2),
            ));
        }
        Ok(Self {
            text,
            record_bytes,
            at: 0,
            lap: 0,
        })
    }

    pub(super) fn next(&mut self) -> Bytes {
        if self.at + self.record_bytes > self.text.len() {
            // Every lap begins elsewhere, so that the records of one are not those of the one before.
            self.lap += 1;
            self.at = self.lap * 17 % self.record_bytes;
        }
        let record = self.text.slice(self.at..self.at + self.record_bytes);
        self.at += self.record_bytes;
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_size_and_no_end() {
        let mut source = Source::new(1024).unwrap();
        let mut zeros = 0;
        for _ in 0..40_000 {
            let record = source.next();
            assert_eq!(record.len(), 1024);
            zeros += record.iter().filter(|byte| **byte == 0).count();
        }
        assert_eq!(zeros, 0);
        assert!(Source::new(0).is_err() && Source::new(1 << 30).is_err());
    }
}
