//! What a client subscribes to.

use std::collections::BTreeMap;

use weir_broker::{ErrorKind, RecordFilter, Topic, TopicPartition};
use weir_protocol::{
    ErrorCode, OpenSubscribe, PartitionStart, Start, SubscribeOpened, SubscribedPartition, WireError,
};

use crate::context::Context;
use crate::error::wire_error;
use crate::subscribe::cursor::{Cursor, State};

/// A subscription that can begin.
pub(super) struct Opened {
    pub(super) answer: SubscribeOpened,
    pub(super) cursors: Vec<Cursor>,
    /// Partitions that cannot begin where they should; the others can.
    pub(super) failed: Vec<WireError>,
    /// Bytes of batches in a frame that the client asks for.
    pub(super) frame_bytes_max: u32,
    pub(super) until_end: bool,
    pub(super) filter: Option<RecordFilter>,
}

/// Resolves what the client asks for.
pub(super) async fn open(mut open: OpenSubscribe, context: &Context) -> Result<Opened, WireError> {
    let topic = context.broker.topic(&open.topic).map_err(wire_error)?;
    let filter = match open.filter.take() {
        Some(filter) => {
            let made = context.broker.record_filter(&filter.plugin, filter.config).await;
            Some(made.map_err(wire_error)?)
        }
        None => None,
    };
    let mut answer = SubscribeOpened {
        topic_id: topic.id(),
        partitions: Vec::new(),
        filter: filter.as_ref().map(|filter| filter.plugin().to_owned()),
    };
    let mut cursors = Vec::new();
    let mut failed = Vec::new();
    for (partition, start) in starts(&open, &topic)? {
        let partition = topic.partition(partition).map_err(wire_error)?;
        let (position, error) = resolve(&partition, start).await?;
        let subscribed = describe(&partition, position);
        let end = open.until_end.then_some(subscribed.high_watermark);
        let mut cursor = Cursor::new(partition, position, end);
        if let Some(error) = error {
            cursor.state = State::Failed;
            failed.push(error);
        }
        answer.partitions.push(subscribed);
        cursors.push(cursor);
    }
    let frame_bytes_max = match open.max_bytes_per_frame {
        0 => u32::MAX,
        bytes => bytes,
    };
    Ok(Opened {
        answer,
        cursors,
        failed,
        frame_bytes_max,
        until_end: open.until_end,
        filter,
    })
}

/// Each partition once, with its start.
fn starts(open: &OpenSubscribe, topic: &Topic) -> Result<BTreeMap<u32, Start>, WireError> {
    if open.partitions.is_empty() {
        return Ok((0..topic.partitions())
            .map(|partition| (partition, open.start))
            .collect());
    }
    let mut starts = BTreeMap::new();
    for &PartitionStart { partition, start } in &open.partitions {
        if starts.insert(partition, start).is_some() {
            let message = format!("partition {partition} is named twice: name each partition once");
            return Err(WireError::new(ErrorCode::InvalidRequest, message).at(partition, None));
        }
    }
    Ok(starts)
}

/// The offset where reading begins; with the error if it cannot begin there but may elsewhere.
pub(super) async fn resolve(
    partition: &TopicPartition,
    start: Start,
) -> Result<(i64, Option<WireError>), WireError> {
    let broker_start = match start {
        Start::Earliest => weir_broker::Start::Earliest,
        Start::Latest => weir_broker::Start::Latest,
        Start::Offset(offset) => weir_broker::Start::Offset(offset),
        Start::Time(timestamp_ms) => weir_broker::Start::Time(timestamp_ms),
    };
    match partition.resolve(broker_start).await {
        Ok(offset) => Ok((offset, None)),
        Err(error) if error.kind == ErrorKind::OffsetOutOfRange => {
            let offset = match start {
                Start::Offset(offset) => offset,
                _ => partition.high_watermark(),
            };
            let mut error = wire_error(error);
            error.partition = Some(partition.index());
            Ok((offset, Some(error)))
        }
        Err(error) => Err(wire_error(error.at_partition(partition.index()))),
    }
}

pub(super) fn describe(partition: &TopicPartition, start_offset: i64) -> SubscribedPartition {
    SubscribedPartition {
        partition: partition.index(),
        start_offset,
        high_watermark: partition.high_watermark(),
        log_start_offset: partition.log_start_offset(),
    }
}
