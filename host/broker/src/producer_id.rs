//! Producer ids, each given once.

use tokio::sync::Mutex;

use crate::BrokerError;

/// Ids taken from the metadata at once: one write serves so many producers.
pub(crate) const BLOCK_LEN: u64 = 1_000;

/// A producer's identity, by which the log recognises what it has written before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProducerId {
    /// Never given to another producer of this broker.
    pub id: i64,
    /// 0 for a new producer.
    pub epoch: i16,
}

/// What is left of the block of ids that was taken last.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    left: Mutex<std::ops::Range<u64>>,
}

impl ProducerIds {
    /// The next id; `take` gets the first of a new block of [`BLOCK_LEN`] when the last is used up.
    pub(crate) async fn next<F>(&self, take: impl FnOnce() -> F) -> Result<ProducerId, BrokerError>
    where
        F: Future<Output = Result<u64, BrokerError>>,
    {
        let mut left = self.left.lock().await;
        if left.is_empty() {
            let first = take().await?;
            *left = first..first + BLOCK_LEN;
        }
        let id = left.start;
        left.start += 1;
        // The metadata gives out nothing beyond `i64::MAX`.
        Ok(ProducerId {
            id: id.cast_signed(),
            epoch: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ids_are_given_once_and_blocks_taken_when_needed() {
        let ids = ProducerIds::default();
        let mut taken = 0;
        for expected in 0..2 * BLOCK_LEN {
            let block = taken * BLOCK_LEN;
            let id = ids.next(|| {
                taken += 1;
                async move { Ok(block) }
            });
            assert_eq!(id.await.unwrap().id, expected.cast_signed());
        }
        assert_eq!(taken, 2);
    }
}
