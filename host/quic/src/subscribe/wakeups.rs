//! Waiting for records to be written to any of many partitions.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use futures_util::stream::{FuturesUnordered, Stream};
use weir_broker::{BrokerError, TopicPartition};

/// A wait's outcome: the cursor's index, and the error if nothing can come any more.
type Wakeup = (usize, Result<(), BrokerError>);

/// Waits for records to be written to any of many partitions. What it costs grows with the partitions that are written
/// to, not with those that are waited for.
#[derive(Default)]
pub(super) struct Wakeups(FuturesUnordered<Pin<Box<dyn Future<Output = Wakeup> + Send>>>);

impl Wakeups {
    /// Waits until the partition holds the record at `offset`.
    pub(super) fn wait(&mut self, index: usize, partition: TopicPartition, offset: i64) {
        self.0
            .push(Box::pin(async move { (index, partition.wait_for(offset).await) }));
    }

    /// The next partition that is woken up; never, if none is waited for.
    pub(super) async fn next(&mut self) -> Wakeup {
        poll_fn(|cx| match Pin::new(&mut self.0).poll_next(cx) {
            Poll::Ready(Some(wakeup)) => Poll::Ready(wakeup),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        })
        .await
    }
}
