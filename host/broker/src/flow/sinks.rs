//! The topics that a flow writes to, as its collector sees them.

use weir_log::Log;

use crate::Topic;
use crate::flow::collector::Sink;
use crate::flow::cursor::SinkShape;
use crate::topic::{Compression, TimestampType, TopicState};

pub(crate) fn shape(topic: &Topic, state: &TopicState) -> SinkShape {
    SinkShape {
        topic: topic.id(),
        partitions: state.partitions.len() as u32,
    }
}

pub(crate) fn sink(log: &Log, topic: &Topic, state: &TopicState, shape: SinkShape) -> Sink {
    let shards = state
        .partitions
        .iter()
        .take(shape.partitions as usize)
        .map(|p| log.shard_of(p.id()));
    Sink {
        name: topic.name().to_owned(),
        shape,
        message_bytes_max: state.config.message_bytes_max,
        codec: match state.config.compression {
            Compression::Producer => None,
            Compression::Codec(codec) => Some(codec),
        },
        append_time: state.config.timestamp_type == TimestampType::LogAppendTime,
        shards: shards.collect(),
    }
}
