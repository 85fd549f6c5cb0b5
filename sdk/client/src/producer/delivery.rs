use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::producer::batch_state::{BatchResult, BatchState};
use crate::producer::record_fates::Fate;
use crate::{ProduceError, RecordFate, RecordMetadata};

/// The fate of one record that was sent: a future of where it was stored.
///
/// Where the topic has an ingest flow, this very record may fail although others of its batch are stored: with
/// `RECORD_REJECTED`, or with `RECORD_DEFERRED` if it may be sent again later, and the plugin's words. A record that the flow
/// leaves out is no failure: [`RecordMetadata::fate`] says so.
///
/// It need not be awaited: dropping it costs nothing and changes nothing. [`Producer::flush`](crate::Producer::flush)
/// reports failures of records whose deliveries nobody looked at.
#[derive(Debug)]
#[must_use = "a delivery says whether the record was stored; drop it if `flush` is to say so"]
pub struct Delivery {
    batch: Arc<BatchState>,
    index: u32,
    slot: Option<usize>,
    timestamp_ms: i64,
}

impl Delivery {
    #[inline]
    pub(crate) fn new(batch: Arc<BatchState>, index: u32, timestamp_ms: i64) -> Self {
        Self {
            batch,
            index,
            slot: None,
            timestamp_ms,
        }
    }

    /// The topic that the record is for.
    pub fn topic(&self) -> &str {
        &self.batch.topic
    }

    /// The partition that was chosen for the record.
    pub fn partition(&self) -> u32 {
        self.batch.partition
    }

    /// What became of the record, if it is known by now. Does not wait.
    pub fn try_result(&self) -> Option<Result<RecordMetadata, ProduceError>> {
        self.batch.result().map(|result| self.of_record(result))
    }

    fn of_record(&self, result: &BatchResult) -> Result<RecordMetadata, ProduceError> {
        let stored = result.as_ref().map_err(Clone::clone)?;
        let (mut fate, mut behind) = (RecordFate::Stored, i64::from(self.index));
        if let Some(records) = &stored.records {
            match records.of(self.index) {
                Fate::Stored(offset) => behind = offset,
                Fate::Dropped => fate = RecordFate::Dropped,
                Fate::Rejected(rejection) => return Err(records.error(rejection)),
            }
        }
        let known = stored.base_offset >= 0 && fate == RecordFate::Stored;
        let offset = if known { stored.base_offset + behind } else { -1 };
        Ok(RecordMetadata {
            topic: Arc::clone(&self.batch.topic),
            partition: self.batch.partition,
            offset,
            fate,
            timestamp: self.timestamp_ms,
        })
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ProduceError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.batch.poll(&mut this.slot, context.waker()) {
            Poll::Ready(result) => Poll::Ready(this.of_record(result)),
            Poll::Pending => Poll::Pending,
        }
    }
}
