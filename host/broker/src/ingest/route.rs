//! What the batches of a lane go through, and where they go.

use std::sync::Arc;

use crate::core::Core;
use crate::flow::collector::{Collector, Sink};
use crate::flow::{Flow, FlowWork, dead_letter};
use crate::ingest::letters::{Target, letter_index, sink_for};
use crate::ingest::rules::IngestRules;
use crate::{BrokerError, Topic};

/// Looked up once for the batches that are judged in one turn, and kept by those that take several.
pub(super) struct Route {
    pub(super) work: Arc<FlowWork>,
    pub(super) rules: IngestRules,
    /// The guarded topic's name.
    pub(super) topic: String,
    pub(super) partition: u32,
    /// What a batch may unpack to.
    pub(super) unpacked_bytes_max: usize,
    /// The partition itself.
    pub(super) target: Target,
    sink: Sink,
    /// Where dead letters go, if there is such a topic.
    letters: Option<(Sink, Target)>,
}

impl Route {
    /// The route of a partition as the topics are now.
    ///
    /// # Errors
    /// [`UnknownTopicOrPartition`](crate::ErrorKind::UnknownTopicOrPartition) if the topic is gone, or has no such partition.
    pub(super) fn new(
        core: &Core,
        flow: &Flow,
        work: &Arc<FlowWork>,
        topic: &Topic,
        partition: u32,
    ) -> Result<Self, BrokerError> {
        let log = &core.log;
        let (sink, target) =
            sink_for(log, topic, partition).ok_or_else(|| BrokerError::unknown_topic(topic.name()))?;
        let letters = core.topic(&dead_letter::topic_name(flow.name())).ok();
        let letters = letters.and_then(|letters| {
            let index = letter_index(log, &letters, partition, target.shard);
            sink_for(log, &letters, index)
        });
        Ok(Self {
            work: Arc::clone(work),
            rules: IngestRules {
                on_error: flow.spec().on_error,
            },
            topic: topic.name().to_owned(),
            partition,
            unpacked_bytes_max: core.limits.unpacked_batch_bytes_max,
            target,
            sink,
            letters,
        })
    }

    /// For the outputs of one batch: the first sink is the partition, the second, if there is one, is for dead letters.
    pub(super) fn collector(&self) -> Collector {
        let collector = Collector::new(vec![self.sink.clone()], 0, Vec::new())
            .in_one_place()
            .tracing_sources();
        match &self.letters {
            None => collector,
            Some((sink, _)) => collector.with_dead_letter(sink.clone()),
        }
    }

    /// Where dead letters go, if there is such a topic.
    pub(super) fn letters(&self) -> Option<Target> {
        self.letters.as_ref().map(|(_, target)| *target)
    }
}
