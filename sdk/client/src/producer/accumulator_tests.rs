use super::*;

use crate::producer::batch_state::Stored;

const MS: Duration = Duration::from_millis(1);

fn config() -> AccumulatorConfig {
    AccumulatorConfig {
        batch_bytes: 1000,
        linger: Duration::ZERO,
        buffer_bytes: 1_000_000,
        record_bytes_max: 100_000,
        codec: Codec::None,
    }
}

/// An accumulator whose clock is the tests'.
struct Fixture {
    accumulator: Accumulator,
    now: Instant,
}

impl Fixture {
    fn new(partitions: u32, config: AccumulatorConfig) -> Self {
        Self {
            accumulator: Accumulator::new("t".into(), partitions, 0, config),
            now: Instant::now(),
        }
    }

    fn send(&mut self, record: Record<'_>) -> Result<Accepted, ProduceError> {
        let now = self.now;
        self.accumulator.append(&record, 0, false, || now)
    }

    fn to(&mut self, partition: u32, value: &str) -> Accepted {
        self.send(Record::value(value.to_owned()).partition(partition))
            .unwrap()
    }

    fn take(&mut self) -> Option<OpenBatch> {
        self.accumulator.take(self.now, true, |_, _| false)
    }

    /// Takes a batch and resolves it: its partition and number of records.
    fn drain(&mut self) -> Option<(u32, usize)> {
        let batch = self.take()?;
        self.accumulator.resolve(batch.number, None);
        self.accumulator.release(batch.charged_bytes);
        Some((batch.partition, batch.builder.len()))
    }
}

#[test]
fn without_linger_what_is_there_leaves_at_once_and_what_comes_later_leaves_together() {
    let mut f = Fixture::new(1, config());
    f.to(0, "a");
    assert_eq!(f.drain(), Some((0, 1)));
    f.to(0, "b");
    f.to(0, "c");
    assert_eq!(f.drain(), Some((0, 2)));
    assert_eq!(f.drain(), None);
}

#[test]
fn batches_that_could_grow_stay_while_partials_are_not_wanted() {
    let mut f = Fixture::new(1, config());
    f.to(0, &"x".repeat(600));
    assert!(f.accumulator.take(f.now, false, |_, _| false).is_none());
    f.to(0, &"x".repeat(600));
    // The first is full now, the second is not.
    assert!(f.accumulator.take(f.now, false, |_, _| false).is_some());
    assert!(f.accumulator.take(f.now, false, |_, _| false).is_none());
    assert!(f.take().is_some());
}

#[test]
fn records_without_a_key_fill_a_batch_and_go_on_to_the_next_partition() {
    let mut f = Fixture::new(
        3,
        AccumulatorConfig {
            linger: 10 * MS,
            ..config()
        },
    );
    for _ in 0..7 * 4 {
        f.send(Record::value("x".repeat(200))).unwrap();
    }
    let mut batches = Vec::new();
    while let Some(batch) = f.drain() {
        batches.push(batch);
    }
    assert_eq!(
        batches,
        [(0, 4), (1, 4), (2, 4), (0, 4), (1, 4), (2, 4)],
        "no batch of one record is left behind"
    );
    f.now += 10 * MS;
    assert_eq!(f.drain(), Some((0, 4)));
    f.send(Record::value("x")).unwrap();
    f.now += 10 * MS;
    assert_eq!(f.drain(), Some((1, 1)), "a batch that was due is one that left");
}

#[test]
fn a_lingering_batch_leaves_when_it_is_due_full_or_flushed() {
    let mut f = Fixture::new(
        3,
        AccumulatorConfig {
            linger: 10 * MS,
            ..config()
        },
    );
    f.to(0, "a");
    assert!(f.take().is_none());
    assert_eq!(f.accumulator.rest(), Some(f.now + 10 * MS));
    f.now += 4 * MS;
    f.to(1, "b");
    f.now += 6 * MS;
    assert_eq!(f.drain(), Some((0, 1)));
    assert_eq!(f.accumulator.rest(), Some(f.now + 4 * MS));
    f.to(2, &"x".repeat(2000));
    assert_eq!(f.drain(), Some((2, 1)));
    assert_eq!(f.drain(), None);
    f.accumulator.seal_all();
    assert_eq!(f.drain(), Some((1, 1)));
    // The due times of batches that are gone bother nobody.
    f.now += 20 * MS;
    assert!(f.take().is_none());
    assert_eq!(f.accumulator.rest(), None);
}

#[test]
fn batches_are_sealed_before_they_are_too_large() {
    let mut f = Fixture::new(1, config());
    for _ in 0..50 {
        f.to(0, &"x".repeat(90));
    }
    let mut records = 0;
    while let Some(batch) = f.take() {
        assert!(batch.builder.encoded_len() <= 1000);
        records += batch.builder.len();
    }
    assert_eq!(records, 50);
}

#[test]
fn a_record_larger_than_a_batch_has_one_of_its_own() {
    let mut f = Fixture::new(1, config());
    f.to(0, "a");
    f.to(0, &"x".repeat(5000));
    f.to(0, "b");
    assert_eq!([f.drain(), f.drain(), f.drain()], [Some((0, 1)); 3]);
}

#[test]
fn partitions_take_turns_and_held_ones_lose_nothing() {
    let mut f = Fixture::new(
        3,
        AccumulatorConfig {
            batch_bytes: 1,
            ..config()
        },
    );
    for _ in 0..2 {
        for partition in 0..3 {
            f.to(partition, "x");
        }
    }
    let held = |partition, _| partition == 1;
    let mut order = Vec::new();
    while let Some(batch) = f.accumulator.take(f.now, true, held) {
        order.push(batch.partition);
    }
    assert_eq!(order, [0, 2, 0, 2]);
    assert_eq!(
        [f.drain(), f.drain(), f.drain()],
        [Some((1, 1)), Some((1, 1)), None]
    );
}

#[test]
fn records_without_a_key_fill_one_partition_after_the_other() {
    let mut f = Fixture::new(3, config());
    let mut chosen = Vec::new();
    for _ in 0..3 {
        for _ in 0..2 {
            chosen.push(f.send(Record::value("x")).unwrap().batch.partition);
        }
        f.drain();
    }
    assert_eq!(chosen, [0, 0, 1, 1, 2, 2]);
    let keyed = f.send(Record::value("x").key("k")).unwrap().batch.partition;
    assert_eq!(keyed, weir_batch::partition_for_key(b"k", 3));
}

#[test]
fn memory_is_bounded_counted_to_the_byte_and_comes_back() {
    let mut f = Fixture::new(
        2,
        AccumulatorConfig {
            buffer_bytes: 5000,
            ..config()
        },
    );
    let mut sent = 0;
    while f.send(Record::value([b'x'; 100].as_slice())).is_ok() {
        sent += 1;
        assert!(f.accumulator.buffered_bytes() <= 5000);
    }
    assert!(sent > 20, "{sent} records of 100 bytes fit");
    let mut drained = 0;
    while let Some((_, records)) = f.drain() {
        drained += records;
    }
    assert_eq!((drained, f.accumulator.buffered_bytes()), (sent, 0));
    assert!(!f.accumulator.has_outstanding());
    // A record larger than the buffer is taken when it is alone.
    f.to(0, &"x".repeat(9000));
    assert!(matches!(
        f.send("x".into()),
        Err(ProduceError::BufferFull { limit: 5000 })
    ));
}

#[test]
fn nobody_overtakes_those_who_wait() {
    let mut f = Fixture::new(1, config());
    f.accumulator.add_waiting();
    assert!(matches!(f.send("x".into()), Err(ProduceError::BufferFull { .. })));
    let now = f.now;
    f.accumulator.append(&"x".into(), 0, true, || now).unwrap();
    f.accumulator.remove_waiting();
    f.send("x".into()).unwrap();
}

#[test]
fn the_drain_is_woken_once_and_only_when_it_rests() {
    let mut f = Fixture::new(1, config());
    assert!(!f.to(0, "a").wake);
    f.drain();
    f.accumulator.rest();
    assert!(f.to(0, "b").wake);
    assert!(!f.to(0, "c").wake);
    f.accumulator.rest();
    assert!(
        !f.to(0, "d").wake,
        "the batch was known when the drain went to rest"
    );
    assert!(f.to(0, &"x".repeat(2000)).wake, "but it is full now");
}

#[test]
fn what_is_too_old_is_given_up_and_nothing_else() {
    let mut f = Fixture::new(
        2,
        AccumulatorConfig {
            linger: 1000 * MS,
            ..config()
        },
    );
    let old = f.now;
    f.to(0, &"x".repeat(2000));
    f.to(1, "a");
    f.now += 5 * MS;
    f.to(0, "b");
    assert_eq!(f.accumulator.oldest(), Some(old));
    let given_up = f.accumulator.give_up(old);
    assert_eq!(
        given_up.iter().map(|batch| batch.partition).collect::<Vec<_>>(),
        [0, 1]
    );
    for batch in given_up {
        let failure = ProduceError::Closed;
        f.accumulator.resolve(batch.number, Some(failure.clone()));
        f.accumulator.release(batch.charged_bytes);
    }
    assert!(matches!(f.accumulator.take_failure(), Some(ProduceError::Closed)));
    assert!(f.accumulator.take_failure().is_none());
    assert_eq!(f.accumulator.oldest(), Some(f.now));
    f.accumulator.seal_all();
    assert_eq!(f.drain(), Some((0, 1)));
    assert_eq!(f.drain(), None);
}

#[test]
fn a_closed_accumulator_gives_what_it_has_and_takes_nothing() {
    let mut f = Fixture::new(
        1,
        AccumulatorConfig {
            linger: 1000 * MS,
            ..config()
        },
    );
    f.to(0, "a");
    f.accumulator.close();
    assert!(matches!(f.send("b".into()), Err(ProduceError::Closed)));
    assert_eq!(f.drain(), Some((0, 1)));
}

#[test]
fn deliveries_of_one_batch_know_their_places() {
    let mut f = Fixture::new(1, config());
    let (first, second) = (f.to(0, "a"), f.to(0, "b"));
    assert!(Arc::ptr_eq(&first.batch, &second.batch));
    assert_eq!((first.index, second.index), (0, 1));
    first.batch.complete(Ok(Stored::whole(9)));
    first.batch.complete(Err(ProduceError::Closed));
    assert_eq!(second.batch.result().unwrap().as_ref().unwrap().base_offset, 9);
}

#[test]
fn a_topic_that_got_more_partitions_is_used_in_full() {
    let mut f = Fixture::new(1, config());
    assert!(f.send(Record::value("x").partition(2)).is_err());
    f.accumulator.adapt(3, 500);
    f.to(2, "x");
    assert_eq!(f.drain(), Some((2, 1)));
    let error = f.send(Record::value([0; 600].as_slice())).unwrap_err();
    assert!(matches!(error, ProduceError::RecordTooLarge { limit: 500, .. }));
}
