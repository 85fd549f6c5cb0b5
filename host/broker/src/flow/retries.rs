//! How often the record at which a flow stands is tried again.

use std::time::Duration;

use crate::flow::backoff::Backoff;

/// The retries of the record at which a runner stands.
#[derive(Default)]
pub(crate) struct Retries {
    offset: Option<i64>,
    count: u32,
    backoff: Backoff,
    /// The offset of the record that was tried often enough.
    pub(crate) given_up: Option<i64>,
}

impl Retries {
    /// The record at `offset` failed: the number of the retry and how long to wait before it. `None` if there were `most`.
    pub(crate) fn failed(&mut self, offset: i64, most: u32) -> Option<(u32, Duration)> {
        if self.offset != Some(offset) {
            *self = Self {
                offset: Some(offset),
                ..Self::default()
            };
        }
        if self.count >= most {
            self.given_up = Some(offset);
            return None;
        }
        self.count += 1;
        Some((self.count, self.backoff.failed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_tried_so_often_and_the_next_one_as_often() {
        let mut retries = Retries::default();
        let first: Vec<_> = (0..3).map(|_| retries.failed(7, 2)).collect();
        let ms = Duration::from_millis;
        assert_eq!(first, [Some((1, ms(50))), Some((2, ms(100))), None]);
        assert_eq!(retries.given_up, Some(7));
        assert_eq!(retries.failed(8, 2), Some((1, ms(50))));
        assert_eq!(retries.given_up, None);
    }
}
