use std::sync::Arc;

use weir_batch::{Batch, BatchBuilder};

use super::*;
use crate::producer::batch_state::BatchState;

const MS: Duration = Duration::from_millis(1);

fn opened(id: i64) -> ProduceOpened {
    ProduceOpened {
        topic_id: 1,
        partitions: 4,
        max_message_bytes: 1 << 20,
        window_frames: 100,
        window_bytes: 1 << 20,
        producer_id: id,
        producer_epoch: 0,
        compression: String::new(),
    }
}

/// A pipeline, and the broker's end of its stream.
struct Fixture {
    pipeline: Pipeline,
    now: Instant,
    numbers: u64,
    /// What is on the wire, in order.
    wire: Vec<(u32, Bytes)>,
    finished: Vec<Finished>,
}

impl Fixture {
    fn new(idempotent: bool) -> Self {
        let mut pipeline = Pipeline::new(PipelineConfig {
            idempotent,
            window_frames: 10,
            window_bytes: 1 << 20,
            retry_delay: 100 * MS,
            retry_delay_max: 1000 * MS,
            ack_timeout: 5000 * MS,
        });
        pipeline.opened(&opened(if idempotent { 7 } else { -1 })).unwrap();
        Self {
            pipeline,
            now: Instant::now(),
            numbers: 0,
            wire: Vec::new(),
            finished: Vec::new(),
        }
    }

    /// Sends a new batch of `records`.
    fn send(&mut self, partition: u32, records: i32) -> u64 {
        let (id, epoch, sequence) = self.pipeline.number(partition, records);
        let mut builder = BatchBuilder::new().producer(id, epoch, sequence);
        for _ in 0..records {
            builder
                .push(0, None, Some(self.numbers.to_string().as_bytes()), &[])
                .unwrap();
        }
        let bytes = Bytes::from(builder.finish().unwrap());
        self.wire.push((partition, bytes.clone()));
        let number = self.numbers;
        self.numbers += 1;
        self.pipeline.sent(SentBatch {
            number,
            partition,
            bytes,
            records,
            state: Arc::new(BatchState::new("t".into(), partition)),
            created: self.now,
            sent: self.now,
            charged_bytes: 100,
            given_up: false,
        });
        number
    }

    /// Sends what is due again; partition, producer id, sequence and the batch's number.
    fn again(&mut self) -> Vec<(u32, i64, i32, u64)> {
        let mut sent = Vec::new();
        while let Some((partition, bytes)) = self.pipeline.next_again(self.now) {
            let batch = Batch::parse(&bytes).unwrap();
            let header = *batch.header();
            let value = batch.records().unwrap().next().unwrap().value().unwrap().to_vec();
            let number = String::from_utf8(value).unwrap().parse().unwrap();
            sent.push((partition, header.producer_id, header.base_sequence, number));
            self.wire.push((partition, bytes));
        }
        sent
    }

    fn ack(&mut self, partition: u32, base_offset: i64) {
        let ack = Ack {
            partition,
            base_offset,
            log_start_offset: 0,
            duplicate: false,
            records: None,
            error: None,
        };
        self.pipeline.acked(ack, self.now, &mut self.finished).unwrap();
    }

    fn refuse(&mut self, partition: u32, code: ErrorCode) {
        let ack = Ack::refused(partition, WireError::new(code, ""));
        self.pipeline.acked(ack, self.now, &mut self.finished).unwrap();
    }

    /// What is resolved since the last call: number, and base offset or error code.
    fn results(&mut self) -> Vec<(u64, Result<i64, Option<ErrorCode>>)> {
        self.finished
            .drain(..)
            .filter_map(|finished| {
                let result = finished.result?;
                let number = finished.number;
                Some((
                    number,
                    result
                        .map(|stored| stored.base_offset)
                        .map_err(|error| error.code()),
                ))
            })
            .collect()
    }

    fn disconnect(&mut self) {
        self.pipeline.disconnected(&mut self.finished);
        self.wire.clear();
    }
}

#[test]
fn sequences_count_records_for_each_partition() {
    let mut f = Fixture::new(true);
    assert_eq!(f.pipeline.number(0, 3), (7, 0, 0));
    assert_eq!(f.pipeline.number(1, 1), (7, 0, 0));
    assert_eq!(f.pipeline.number(0, 1), (7, 0, 3));
    assert_eq!(f.pipeline.number(0, i32::MAX - 3), (7, 0, 4));
    assert_eq!(
        f.pipeline.number(0, 1),
        (7, 0, 0),
        "after i32::MAX comes 0... and here the count is one past it"
    );
}

#[test]
fn the_window_counts_frames_and_bytes_and_always_lets_one_through() {
    let mut f = Fixture::new(true);
    assert!(f.pipeline.has_room(usize::MAX / 2));
    f.send(0, 1);
    assert!(!f.pipeline.has_room(1 << 20));
    for _ in 1..10 {
        assert!(f.pipeline.has_room(100));
        f.send(0, 1);
    }
    assert!(!f.pipeline.has_room(1));
    f.ack(0, 0);
    assert!(f.pipeline.has_room(1));
}

#[test]
fn acks_resolve_in_order() {
    let mut f = Fixture::new(true);
    f.send(0, 2);
    f.send(1, 1);
    f.ack(0, 10);
    f.ack(1, 20);
    assert_eq!(f.results(), [(0, Ok(10)), (1, Ok(20))]);
    assert_eq!(f.pipeline.in_flight(), 0);
}

#[test]
fn an_ack_for_nothing_or_for_another_partition_is_an_error() {
    let mut f = Fixture::new(true);
    let ack = |partition| Ack {
        partition,
        base_offset: 0,
        log_start_offset: 0,
        duplicate: false,
        records: None,
        error: None,
    };
    assert!(f.pipeline.acked(ack(0), f.now, &mut f.finished).is_err());
    f.send(0, 1);
    assert!(f.pipeline.acked(ack(1), f.now, &mut f.finished).is_err());
    assert_eq!(f.pipeline.in_flight(), 1);
}

#[test]
fn a_lost_stream_resends_everything_as_it_was_before_anything_new() {
    let mut f = Fixture::new(true);
    f.send(0, 2);
    f.send(1, 1);
    f.send(0, 1);
    f.disconnect();
    assert!(!f.pipeline.takes_new());
    assert_eq!(f.pipeline.identity(), Some(ProducerIdentity { id: 7, epoch: 0 }));
    f.pipeline.opened(&opened(7)).unwrap();
    // And again, in the middle.
    assert!(f.pipeline.next_again(f.now).is_some());
    f.disconnect();
    f.pipeline.opened(&opened(7)).unwrap();
    assert_eq!(f.again(), [(0, 7, 0, 0), (1, 7, 0, 1), (0, 7, 2, 2)]);
    assert!(f.pipeline.takes_new());
}

#[test]
fn a_retriable_refusal_waits_probes_with_one_and_then_follows_up() {
    let mut f = Fixture::new(true);
    for _ in 0..3 {
        f.send(0, 1);
    }
    f.send(1, 1);
    f.refuse(0, ErrorCode::StorageFull);
    f.refuse(0, ErrorCode::OutOfOrderSequence);
    f.refuse(0, ErrorCode::OutOfOrderSequence);
    f.ack(1, 5);
    assert_eq!(f.results(), [(3, Ok(5))]);
    assert!(f.pipeline.is_blocked(0) && !f.pipeline.is_blocked(1) && f.pipeline.takes_new());
    assert!(f.again().is_empty());
    let due = f.pipeline.retry_due().unwrap();
    assert!(due > f.now && due <= f.now + 100 * MS);
    f.now = due;
    assert_eq!(f.again(), [(0, 7, 0, 0)]);
    f.refuse(0, ErrorCode::StorageFull);
    assert!(f.again().is_empty());
    let due = f.pipeline.retry_due().unwrap();
    assert!(due >= f.now + 100 * MS, "the second delay is longer");
    f.now = due;
    assert_eq!(f.again(), [(0, 7, 0, 0)]);
    f.ack(0, 1);
    assert_eq!(f.again(), [(0, 7, 1, 1), (0, 7, 2, 2)]);
    assert!(!f.pipeline.is_blocked(0));
}

#[test]
fn a_lost_batch_asks_for_a_new_identity_once_everything_else_is_answered() {
    let mut f = Fixture::new(true);
    f.send(0, 2);
    f.send(0, 3);
    f.send(1, 1);
    f.send(0, 1);
    f.refuse(0, ErrorCode::InvalidRecord);
    assert_eq!(f.results(), [(0, Err(Some(ErrorCode::InvalidRecord)))]);
    assert!(!f.pipeline.takes_new() && !f.pipeline.wants_renewal());
    f.refuse(0, ErrorCode::OutOfOrderSequence);
    f.ack(1, 0);
    assert_eq!(f.pipeline.identity(), Some(ProducerIdentity { id: 7, epoch: 0 }));
    f.refuse(0, ErrorCode::OutOfOrderSequence);
    assert!(f.pipeline.wants_renewal());
    assert_eq!(f.pipeline.identity(), None);
    f.disconnect();
    f.pipeline.opened(&opened(8)).unwrap();
    assert_eq!(f.again(), [(0, 8, 0, 1), (0, 8, 3, 3)]);
    assert_eq!(f.pipeline.number(0, 1), (8, 0, 4));
    assert_eq!(f.pipeline.number(1, 1), (8, 0, 0));
}

#[test]
fn a_stream_that_is_lost_before_the_renewal_keeps_the_old_identity_until_all_is_answered() {
    let mut f = Fixture::new(true);
    f.send(0, 1);
    f.send(1, 1);
    f.refuse(0, ErrorCode::InvalidRecord);
    f.disconnect();
    // Partition 1's batch may be stored: only under its old identity will the broker know it again.
    assert_eq!(f.pipeline.identity(), Some(ProducerIdentity { id: 7, epoch: 0 }));
    f.pipeline.opened(&opened(7)).unwrap();
    assert_eq!(f.again(), [(1, 7, 0, 1)]);
    f.ack(1, 0);
    assert!(f.pipeline.wants_renewal());
}

#[test]
fn a_sequence_that_the_broker_does_not_know_is_begun_anew() {
    for code in [ErrorCode::OutOfOrderSequence, ErrorCode::InvalidProducerEpoch] {
        let mut f = Fixture::new(true);
        f.send(0, 1);
        f.refuse(0, code);
        assert!(f.results().is_empty());
        assert!(f.pipeline.wants_renewal());
        f.disconnect();
        f.pipeline.opened(&opened(9)).unwrap();
        assert_eq!(f.again(), [(0, 9, 0, 0)]);
    }
}

#[test]
fn a_topic_of_the_same_name_begins_sequences_anew() {
    let mut f = Fixture::new(true);
    f.send(0, 5);
    f.ack(0, 0);
    f.send(0, 1);
    f.disconnect();
    f.pipeline
        .opened(&ProduceOpened {
            topic_id: 2,
            ..opened(7)
        })
        .unwrap();
    assert_eq!(f.again(), [(0, 7, 0, 1)]);
}

#[test]
fn given_up_in_flight_is_failed_now_and_released_with_its_ack() {
    let mut f = Fixture::new(true);
    f.send(0, 1);
    let old = f.now;
    f.now += MS;
    f.send(0, 1);
    f.pipeline.give_up(old, &ProduceError::Closed, &mut f.finished);
    f.pipeline.give_up(old, &ProduceError::Closed, &mut f.finished);
    assert_eq!(
        f.finished
            .iter()
            .map(|finished| finished.released_bytes)
            .sum::<usize>(),
        0
    );
    assert_eq!(f.results(), [(0, Err(None))]);
    f.ack(0, 0);
    assert_eq!(
        f.finished
            .iter()
            .map(|finished| finished.released_bytes)
            .sum::<usize>(),
        100
    );
    assert!(f.results().is_empty());
    f.ack(0, 1);
    assert_eq!(f.results(), [(1, Ok(1))]);
    assert!(f.pipeline.takes_new(), "it was stored: the sequence has no hole");
}

#[test]
fn given_up_and_not_stored_leaves_a_hole_that_is_dealt_with() {
    // Refused after it was given up.
    let mut f = Fixture::new(true);
    f.send(0, 1);
    f.pipeline.give_up(f.now, &ProduceError::Closed, &mut f.finished);
    f.refuse(0, ErrorCode::StorageFull);
    assert!(f.pipeline.wants_renewal());
    // Given up while it waited to be sent again.
    let mut f = Fixture::new(true);
    f.send(0, 1);
    f.refuse(0, ErrorCode::StorageFull);
    f.pipeline.give_up(f.now, &ProduceError::Closed, &mut f.finished);
    assert_eq!(f.results(), [(0, Err(None))]);
    assert!(f.pipeline.wants_renewal());
    // Lost with the stream: whether it was stored is unknown until its successor is refused.
    let mut f = Fixture::new(true);
    f.send(0, 1);
    let old = f.now;
    f.now += MS;
    f.send(0, 1);
    f.pipeline.give_up(old, &ProduceError::Closed, &mut f.finished);
    f.disconnect();
    f.pipeline.opened(&opened(7)).unwrap();
    assert_eq!(f.again(), [(0, 7, 1, 1)]);
    f.refuse(0, ErrorCode::OutOfOrderSequence);
    assert!(f.pipeline.wants_renewal());
}

#[test]
fn without_idempotence_nothing_is_numbered_and_nothing_renewed() {
    let mut f = Fixture::new(false);
    assert_eq!(f.pipeline.identity(), None);
    assert_eq!(f.pipeline.number(0, 1), (-1, -1, -1));
    f.send(0, 1);
    f.send(0, 1);
    f.refuse(0, ErrorCode::InvalidRecord);
    f.refuse(0, ErrorCode::StorageFull);
    assert_eq!(f.results(), [(0, Err(Some(ErrorCode::InvalidRecord)))]);
    assert!(!f.pipeline.wants_renewal());
    f.now += 200 * MS;
    assert_eq!(f.again(), [(0, -1, -1, 1)]);
}

#[test]
fn an_ack_is_due_from_when_the_batch_was_last_sent() {
    let mut f = Fixture::new(true);
    f.send(0, 1);
    assert_eq!(f.pipeline.ack_due(), Some(f.now + 5000 * MS));
    f.disconnect();
    assert_eq!(f.pipeline.ack_due(), None);
    f.pipeline.opened(&opened(7)).unwrap();
    f.now += 3000 * MS;
    f.again();
    assert_eq!(f.pipeline.ack_due(), Some(f.now + 5000 * MS));
}

/// A broker as simple as it gets: stores each sequence once, in order, and fails as the random numbers say.
#[test]
fn whatever_happens_every_batch_is_stored_once_and_in_order() {
    for seed in 1..200u64 {
        let mut random = seed;
        let mut roll = move |sides: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % sides
        };
        let mut f = Fixture::new(true);
        let mut expected_sequence = std::collections::HashMap::new();
        let mut stored: Vec<u64> = Vec::new();
        let mut identity = 7;
        let mut broker_read = 0;
        let mut sent = 0;
        while stored.len() < 40 || f.pipeline.in_flight() > 0 {
            f.now += 50 * MS;
            f.again();
            while sent < 40
                && f.pipeline.takes_new()
                && !f.pipeline.is_blocked(0)
                && f.pipeline.has_room(100)
                && roll(3) > 0
            {
                f.send(0, 1 + roll(3) as i32);
                sent += 1;
            }
            // The broker answers some of what is on the wire.
            while broker_read < f.wire.len() && roll(4) > 0 {
                let (partition, bytes) = f.wire[broker_read].clone();
                broker_read += 1;
                let batch = Batch::parse(&bytes).unwrap();
                let header = *batch.header();
                let value = batch.records().unwrap().next().unwrap().value().unwrap().to_vec();
                let number: u64 = String::from_utf8(value).unwrap().parse().unwrap();
                let expected = expected_sequence.entry(header.producer_id).or_insert(0);
                if header.base_sequence < *expected {
                    f.refuse(partition, ErrorCode::DuplicateSequence);
                } else if header.base_sequence > *expected {
                    f.refuse(partition, ErrorCode::OutOfOrderSequence);
                } else if roll(5) == 0 {
                    f.refuse(partition, ErrorCode::StorageFull);
                } else {
                    *expected = next_sequence(*expected, header.record_count);
                    stored.push(number);
                    f.ack(partition, 0);
                }
            }
            let lost = roll(6) == 0;
            if lost {
                // The broker stores some of what it was sent, and the acks are lost.
                for (_, bytes) in &f.wire[broker_read..] {
                    let batch = Batch::parse(bytes).unwrap();
                    let header = *batch.header();
                    let expected = expected_sequence.entry(header.producer_id).or_insert(0);
                    if header.base_sequence == *expected && roll(2) == 0 {
                        *expected = next_sequence(*expected, header.record_count);
                        let value = batch.records().unwrap().next().unwrap().value().unwrap().to_vec();
                        stored.push(String::from_utf8(value).unwrap().parse().unwrap());
                    }
                }
            }
            if lost || f.pipeline.wants_renewal() {
                let asked = f.pipeline.identity();
                f.disconnect();
                broker_read = 0;
                if asked.is_none() {
                    identity += 1;
                }
                f.pipeline.opened(&opened(identity)).unwrap();
            }
        }
        assert_eq!(stored, (0..40).collect::<Vec<_>>(), "seed {seed}");
        assert!(
            f.results().iter().all(|(_, result)| result.is_ok()),
            "seed {seed}"
        );
    }
}
