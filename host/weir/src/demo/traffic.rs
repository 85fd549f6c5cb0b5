//! The lines on their way into the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use weir_client::{Deliveries, Producer, Record};

use super::expect::carrier;
use crate::cli::Failure;

/// Lines handed to the producer in one call.
const LINES_AT_ONCE: usize = 500;

/// Calls whose acknowledgements are awaited in order.
const CALLS_WAITING_MAX: usize = 1024;

/// Lines that are being sent, and how many of them are acknowledged.
pub(super) struct Traffic {
    sent: Arc<AtomicU64>,
    acknowledged: watch::Receiver<u64>,
    sender: JoinHandle<Result<(), weir_client::Error>>,
    acknowledger: JoinHandle<Result<(), weir_client::Error>>,
}

/// A line as a record: keyed by its carrier, so that a carrier's flights stay in order.
pub(super) fn record(line: &Bytes) -> Record<'static> {
    Record::value(line.clone()).key(carrier(line))
}

impl Traffic {
    /// Sends `lines`; those from `gate` on only when `open` turns true.
    pub(super) fn start(
        producer: Producer,
        lines: Vec<Bytes>,
        gate: usize,
        mut open: watch::Receiver<bool>,
    ) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let (counter, acknowledged) = watch::channel(0);
        let (calls, mut waiting) = mpsc::channel::<Deliveries>(CALLS_WAITING_MAX);
        let sent_by_task = Arc::clone(&sent);
        let sender = tokio::spawn(async move {
            for (at, chunk) in lines.chunks(LINES_AT_ONCE).enumerate() {
                // A story that was broken off has dropped the other end: then there is nothing to wait for.
                if at * LINES_AT_ONCE >= gate && open.wait_for(|open| *open).await.is_err() {
                    break;
                }
                let deliveries = producer.send_all(chunk.iter().map(record)).await?;
                sent_by_task.fetch_add(deliveries.records(), Ordering::Relaxed);
                if calls.send(deliveries).await.is_err() {
                    break; // a delivery failed: the other side says which
                }
            }
            Ok(())
        });
        let acknowledger = tokio::spawn(async move {
            while let Some(deliveries) = waiting.recv().await {
                let records = deliveries.await?;
                counter.send_modify(|count| *count += records);
            }
            Ok(())
        });
        Self {
            sent,
            acknowledged,
            sender,
            acknowledger,
        }
    }

    /// Lines handed to the producer.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Lines acknowledged, now.
    pub(super) fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// A watch of [`acknowledged`](Self::acknowledged).
    pub(super) fn acknowledgements(&self) -> watch::Receiver<u64> {
        self.acknowledged.clone()
    }

    /// Waits until every line is acknowledged.
    pub(super) async fn finish(self) -> Result<(), Failure> {
        for task in [self.sender, self.acknowledger] {
            task.await.map_err(|error| {
                Failure::new(format!("the producer ended: {error}"), "report this as a bug")
            })??;
        }
        Ok(())
    }
}
