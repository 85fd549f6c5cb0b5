//! Where a subscription stands in each partition. No I/O, no clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use weir_protocol::{
    OpenSubscribe, PartitionStart, RECORDS_HEADER_LEN, RecordsHeader, Start, SubscribeControl,
    SubscribeOpened, SubscribeProgress, SubscriptionFilter, WireError,
};

use crate::Error;
use crate::consumer::cursor::{Cursor, Status};
use crate::consumer::event::Event;
use crate::consumer::read_batches::read_batches;

/// A subscription over all the streams that carry it in the course of time.
#[derive(Debug)]
pub(super) struct Subscription {
    topic: Arc<str>,
    topic_id: u32,
    until_end: bool,
    frame_bytes: u32,
    decompressed_bytes_max: usize,
    /// Which records the broker sends; the version is the one that ran first.
    filter: Option<SubscriptionFilter>,
    cursors: BTreeMap<u32, Cursor>,
}

/// What a command means for the open stream.
#[derive(Debug)]
pub(super) enum Reaction {
    /// Tell the broker.
    Send(Vec<SubscribeControl>),
    /// Only a new stream will do.
    Reopen,
}

impl Subscription {
    /// The subscription that the broker has just confirmed.
    pub(super) fn new(
        topic: Arc<str>,
        until_end: bool,
        frame_bytes: u32,
        decompressed_bytes_max: usize,
        opened: &SubscribeOpened,
    ) -> Self {
        let cursors = opened
            .partitions
            .iter()
            .map(|partition| {
                let end = until_end.then_some(partition.high_watermark);
                (partition.partition, Cursor::new(partition.start_offset, end))
            })
            .collect();
        Self {
            topic,
            topic_id: opened.topic_id,
            until_end,
            frame_bytes,
            decompressed_bytes_max,
            filter: None,
            cursors,
        }
    }

    /// The same with a filter that the broker has set up.
    pub(super) fn with_filter(mut self, filter: Option<SubscriptionFilter>) -> Self {
        self.filter = filter;
        self
    }

    /// The partitions.
    pub(super) fn partitions(&self) -> impl Iterator<Item = u32> {
        self.cursors.keys().copied()
    }

    /// Marks the partitions that have nothing to read. To be called after `new` and after each command.
    pub(super) fn take_ended(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for (&partition, cursor) in &mut self.cursors {
            if cursor.reaches_end() {
                cursor.status = Status::Ended;
                let generation = cursor.generation;
                events.push(Event::Records {
                    partition,
                    generation,
                    batches: Vec::new(),
                    next_offset: cursor.position(),
                    high_watermark: None,
                    ended: true,
                });
            }
        }
        events
    }

    /// Whether there is nothing more to receive, unless a partition is sought.
    pub(super) fn is_finished(&self) -> bool {
        self.cursors
            .values()
            .all(|cursor| cursor.status != Status::Active)
    }

    /// The request that goes on where this subscription stands.
    pub(super) fn request(&self) -> OpenSubscribe {
        let active = self
            .cursors
            .iter()
            .filter(|(_, cursor)| cursor.status == Status::Active);
        OpenSubscribe {
            topic: self.topic.to_string(),
            partitions: active
                .map(|(&partition, cursor)| PartitionStart {
                    partition,
                    start: cursor.start,
                })
                .collect(),
            start: Start::Earliest,
            max_bytes_per_frame: self.frame_bytes,
            until_end: self.until_end,
            filter: self.filter.clone(),
        }
    }

    /// A new stream is open: what was asked on the old one is forgotten. Returns what to say on it first.
    ///
    /// # Errors
    /// [`Error::TopicReplaced`] if it is not the topic that it was: offsets mean nothing there.
    pub(super) fn reopened(&mut self, opened: &SubscribeOpened) -> Result<Option<SubscribeControl>, Error> {
        if opened.topic_id != self.topic_id {
            return Err(Error::TopicReplaced {
                topic: self.topic.to_string(),
            });
        }
        for cursor in self.cursors.values_mut() {
            cursor.seeks_pending = 0;
        }
        for partition in &opened.partitions {
            if let Some(cursor) = self.cursors.get_mut(&partition.partition) {
                cursor.resolved(partition.start_offset);
            }
        }
        let paused: Vec<u32> = self
            .cursors
            .iter()
            .filter(|(_, cursor)| cursor.paused)
            .map(|(&partition, _)| partition)
            .collect();
        Ok((!paused.is_empty()).then_some(SubscribeControl::Pause { partitions: paused }))
    }

    /// A seek was carried out: what follows of its partition is from the new position, if no other seek is under way.
    pub(super) fn sought(&mut self, opened: &SubscribeOpened) {
        for partition in &opened.partitions {
            if let Some(cursor) = self.cursors.get_mut(&partition.partition) {
                cursor.seeks_pending = cursor.seeks_pending.saturating_sub(1);
                if cursor.seeks_pending == 0 {
                    cursor.resolved(partition.start_offset);
                }
            }
        }
    }

    /// The consumer seeks; a paused partition flows again.
    pub(super) fn seek(&mut self, partition: u32, start: Start, generation: u64) -> Reaction {
        let Some(cursor) = self.cursors.get_mut(&partition) else {
            return Reaction::Send(Vec::new());
        };
        let was_active = cursor.status == Status::Active;
        let was_paused = std::mem::take(&mut cursor.paused);
        cursor.start = start;
        cursor.generation = generation;
        cursor.damaged = None;
        cursor.status = Status::Active;
        if !was_active {
            return Reaction::Reopen;
        }
        cursor.seeks_pending += 1;
        let mut controls = vec![SubscribeControl::Seek { partition, start }];
        if was_paused {
            controls.push(SubscribeControl::Resume {
                partitions: vec![partition],
            });
        }
        Reaction::Send(controls)
    }

    /// The consumer wants nothing more from a partition for a while.
    pub(super) fn pause(&mut self, partition: u32) -> Reaction {
        let Some(cursor) = self.cursors.get_mut(&partition) else {
            return Reaction::Send(Vec::new());
        };
        let news = !std::mem::replace(&mut cursor.paused, true) && cursor.status == Status::Active;
        Reaction::Send(if news {
            vec![SubscribeControl::Pause {
                partitions: vec![partition],
            }]
        } else {
            Vec::new()
        })
    }

    /// The broker reports an error. `Err` if it concerns the subscription as a whole.
    pub(super) fn error(&mut self, error: WireError) -> Result<Option<Event>, Error> {
        let Some(partition) = error.partition else {
            return Err(Error::Broker(error));
        };
        let Some(cursor) = self.cursors.get_mut(&partition) else {
            return Ok(None);
        };
        if cursor.seeks_pending > 0 {
            // It failed at a place that nobody is interested in any more.
            return Ok(None);
        }
        cursor.status = Status::Failed;
        Ok(Some(Event::Failed {
            partition,
            generation: cursor.generation,
            error: Error::Broker(error),
        }))
    }

    /// Takes in a `Records` frame; `None` if there is nothing in it for the consumer.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a frame that makes no sense. A damaged batch is an event of its partition.
    pub(super) fn records(&mut self, body: Bytes) -> Result<Option<Event>, Error> {
        let header = RecordsHeader::decode(&body).map_err(|error| Error::Protocol(error.to_string()))?;
        let partition = header.partition;
        let Some(cursor) = self.cursors.get_mut(&partition) else {
            return Err(Error::Protocol(format!(
                "records of partition {partition}, which was not asked for"
            )));
        };
        if !cursor.takes_records() {
            return Ok(None);
        }
        let generation = cursor.generation;
        let (batches, failure) = read_batches(
            &self.topic,
            cursor,
            self.decompressed_bytes_max,
            &header,
            &body.slice(RECORDS_HEADER_LEN..),
        );
        if let Some((offset, reason)) = failure {
            // What came before the damage is sound: it is delivered first, by asking again from there.
            if batches.is_empty() {
                cursor.status = Status::Failed;
                let error = Error::Corrupt {
                    topic: self.topic.to_string(),
                    partition,
                    offset,
                    reason,
                };
                return Ok(Some(Event::Failed {
                    partition,
                    generation,
                    error,
                }));
            }
            cursor.damaged = Some((offset, reason));
        }
        let ended = cursor.damaged.is_none() && (header.end_reached || cursor.reaches_end());
        if ended {
            cursor.status = Status::Ended;
            if let Some(end) = cursor.end.filter(|&end| end > cursor.position()) {
                // What lies between was left out by the filter.
                cursor.start = Start::Offset(end);
            }
        }
        if batches.is_empty() && !ended {
            return Ok(None);
        }
        Ok(Some(Event::Records {
            partition,
            generation,
            batches,
            next_offset: cursor
                .end
                .map_or(cursor.position(), |end| cursor.position().min(end)),
            high_watermark: Some(header.high_watermark),
            ended,
        }))
    }

    /// The filter has got on without keeping anything.
    pub(super) fn progress(&mut self, progress: &SubscribeProgress) -> Option<Event> {
        let partition = progress.partition;
        let cursor = self.cursors.get_mut(&partition)?;
        if !cursor.takes_records() || progress.next_offset <= cursor.position() {
            return None;
        }
        let end = cursor.end.unwrap_or(i64::MAX);
        cursor.start = Start::Offset(progress.next_offset.min(end));
        let ended = cursor.reaches_end();
        if ended {
            cursor.status = Status::Ended;
        }
        Some(Event::Records {
            partition,
            generation: cursor.generation,
            batches: Vec::new(),
            next_offset: cursor.position(),
            high_watermark: Some(progress.high_watermark),
            ended,
        })
    }

    /// Damage that was found behind records that have been passed on by now.
    pub(super) fn take_damage(&mut self) -> Option<Event> {
        let (&partition, cursor) = self
            .cursors
            .iter_mut()
            .find(|(_, cursor)| cursor.damaged.is_some())?;
        let (offset, reason) = cursor.damaged.take()?;
        cursor.status = Status::Failed;
        let error = Error::Corrupt {
            topic: self.topic.to_string(),
            partition,
            offset,
            reason,
        };
        Some(Event::Failed {
            partition,
            generation: cursor.generation,
            error,
        })
    }
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
