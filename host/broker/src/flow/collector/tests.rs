use weir_batch::Batch;

use super::*;

pub(crate) fn sink(name: &str, topic: u32, partitions: u32) -> Sink {
    Sink {
        name: name.to_owned(),
        shape: SinkShape { topic, partitions },
        message_bytes_max: 1_048_588,
        codec: None,
        append_time: false,
        shards: (0..partitions).map(|index| (index % 2) as u16).collect(),
    }
}

fn tail(key: Option<&[u8]>, value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.push(0, key, Some(value), &[]).unwrap();
    let bytes = builder.finish().unwrap();
    let batch = Batch::parse(&bytes).unwrap();
    batch.records().unwrap().next().unwrap().tail().to_vec()
}

fn to(output: usize) -> Target {
    placed(output, OutputPartition::Unchosen)
}

fn placed(output: usize, partition: OutputPartition) -> Target {
    Target {
        output: output as u32,
        partition,
    }
}

fn push(collector: &mut Collector, output: usize, offset: i64, key: Option<&[u8]>, value: &[u8]) {
    collector
        .push(to(output), offset, 1_000 + offset, key, &tail(key, value))
        .unwrap();
}

#[test]
fn records_go_by_key_or_stay_in_their_partition() {
    let mut collector = Collector::new(vec![sink("a", 7, 4), sink("b", 8, 1)], 6, vec![0, 0]);
    collector.begin_batch(Codec::None, 0);
    push(&mut collector, 0, 0, None, b"no key");
    push(&mut collector, 0, 1, Some(b"21"), b"keyed");
    push(&mut collector, 1, 2, Some(b"21"), b"one partition");
    push(&mut collector, 0, 3, None, b"no key either");
    let batches = collector.take().unwrap();
    let places: Vec<_> = batches
        .iter()
        .map(|b| (b.partition.topic, b.partition.index, b.records))
        .collect();
    assert_eq!(
        places,
        [(7, 2, 2), (7, partition_for_key(b"21", 4), 1), (8, 0, 1)]
    );
    let values = |at: usize| -> Vec<_> {
        let batch = Batch::parse(&batches[at].batch).unwrap();
        batch
            .records()
            .unwrap()
            .map(|r| (r.timestamp(), r.value().unwrap().to_vec()))
            .collect()
    };
    assert_eq!(
        values(0),
        [(1_000, b"no key".to_vec()), (1_003, b"no key either".to_vec())]
    );
    assert!(collector.take().unwrap().is_empty(), "it begins anew");
}

#[test]
fn what_a_shard_has_already_is_left_out_there_and_nowhere_else() {
    // Partition 0 is in shard 0, partition 1 in shard 1.
    let mut collector = Collector::new(vec![sink("a", 7, 2)], 0, vec![0, 10]);
    let key_in = |partition| {
        let mut keys = (0..).map(|n: u32| n.to_string());
        keys.find(|key| partition_for_key(key.as_bytes(), 2) == partition)
            .unwrap()
    };
    let (in_0, in_1) = (key_in(0), key_in(1));
    collector.begin_batch(Codec::None, 0);
    for offset in 8..12 {
        push(&mut collector, 0, offset, Some(in_0.as_bytes()), b"x");
        push(&mut collector, 0, offset, Some(in_1.as_bytes()), b"x");
    }
    let batches = collector.take().unwrap();
    let counts: Vec<_> = batches.iter().map(|batch| (batch.shard, batch.records)).collect();
    assert_eq!(counts, [(0, 4), (1, 2)]);
}

#[test]
fn batches_are_split_at_the_sinks_limit() {
    let mut small = sink("small", 7, 1);
    small.message_bytes_max = 1_000;
    let mut collector = Collector::new(vec![small], 0, vec![0, 0]);
    collector.begin_batch(Codec::None, 0);
    for offset in 0..50 {
        push(&mut collector, 0, offset, None, &[b'v'; 100]);
    }
    let batches = collector.take().unwrap();
    assert!(batches.len() > 5);
    assert!(batches.iter().all(|batch| batch.batch.len() <= 1_000));
    assert_eq!(batches.iter().map(|batch| batch.records).sum::<u32>(), 50);
}

#[test]
fn a_record_that_is_too_large_by_itself_is_an_error_and_can_be_cleared() {
    let mut small = sink("small", 7, 1);
    small.message_bytes_max = 1_000;
    let mut collector = Collector::new(vec![small], 0, vec![0, 0]);
    collector.begin_batch(Codec::None, 0);
    push(&mut collector, 0, 0, None, b"before");
    let large = tail(None, &[b'v'; 2_000]);
    collector.push(to(0), 1, 0, None, &large).unwrap();
    let error = collector.take().unwrap_err();
    assert!(
        matches!(error, CollectError::Oversized { max: 1_000, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("max.message.bytes"));
    collector.clear();
    assert_eq!(collector.bytes(), 0);
    assert!(collector.take().unwrap().is_empty());
    push(&mut collector, 0, 0, None, b"again");
    assert_eq!(collector.take().unwrap().len(), 1);
}

#[test]
fn the_sinks_codec_or_the_sources() {
    let mut zstd = sink("zstd", 7, 1);
    zstd.codec = Some(Codec::Zstd);
    let mut collector = Collector::new(vec![zstd, sink("same", 8, 1)], 0, vec![0, 0]);
    collector.begin_batch(Codec::Lz4, 0);
    for output in 0..2 {
        push(&mut collector, output, 0, None, b"v");
    }
    let batches = collector.take().unwrap();
    let codec = |at: usize| Batch::parse(&batches[at].batch).unwrap().codec();
    assert_eq!((codec(0), codec(1)), (Codec::Zstd, Codec::Lz4));
}

#[test]
fn the_time_of_appending_where_the_sink_wants_it() {
    let mut stamped = sink("stamped", 7, 1);
    stamped.append_time = true;
    let mut collector = Collector::new(vec![stamped], 0, vec![0, 0]);
    collector.begin_batch(Codec::None, 777);
    push(&mut collector, 0, 0, None, b"v");
    let batches = collector.take().unwrap();
    let batch = Batch::parse(&batches[0].batch).unwrap();
    assert_eq!(batch.records().unwrap().next().unwrap().timestamp(), 777);
}

#[test]
fn whether_a_record_fits_is_known_to_the_byte() {
    for max in [150, 200, 201, 202, 203, 1_000, 20_000] {
        let mut small = sink("small", 7, 1);
        small.message_bytes_max = max;
        let mut collector = Collector::new(vec![small], 0, vec![0, 0]);
        collector.begin_batch(Codec::None, 0);
        let mut fitted = 0;
        for len in max - 150..max {
            let tail = tail(None, &vec![b'v'; len]);
            let fits = collector.oversized(0, tail.len()).is_none();
            assert!(fits || tail.len() > collector.tail_bytes_safe());
            collector.push(to(0), 0, 0, None, &tail).unwrap();
            assert_eq!(collector.take().is_ok(), fits, "{len} of {max}");
            collector.clear();
            fitted += usize::from(fits);
        }
        assert!(fitted > 0 && fitted < 150);
    }
}

#[test]
fn dead_letters_keep_what_they_were_and_stay_in_their_partition() {
    let sinks = vec![sink("a", 7, 2)];
    let mut collector = Collector::new(sinks, 3, vec![0, 0]).with_dead_letter(sink("letters", 9, 2));
    assert_eq!(collector.outputs(), 1, "no plugin writes to it");
    collector.begin_batch(Codec::None, 0);
    let mut builder = BatchBuilder::new();
    let own = [("h", Some(&b"1"[..])), ("n", None)];
    builder.push(5, Some(b"k"), Some(b"v"), &own).unwrap();
    let bytes = builder.finish().unwrap();
    let batch = Batch::parse(&bytes).unwrap();
    let record = batch.records().unwrap().next().unwrap();
    collector
        .push_dead_letter(10, &record, &[("weir-reason", "no")])
        .unwrap();
    let made = collector.take().unwrap();
    assert_eq!((made[0].partition.topic, made[0].partition.index), (9, 1));
    let letters = Batch::parse(&made[0].batch).unwrap();
    let letter = letters.records().unwrap().next().unwrap();
    assert_eq!(
        (letter.timestamp(), letter.key(), letter.value()),
        (5, Some(&b"k"[..]), Some(&b"v"[..]))
    );
    let headers: Vec<_> = letter.headers().collect();
    assert_eq!(
        headers,
        [
            ("h", Some(&b"1"[..])),
            ("n", None),
            ("weir-reason", Some(&b"no"[..]))
        ]
    );
}

/// Pushes keyed records for all kinds of targets; the partitions that they went to, by record.
fn partitions_of(mut collector: Collector) -> Vec<u32> {
    let targets = [
        OutputPartition::Unchosen,
        OutputPartition::Source,
        OutputPartition::Index(3),
        OutputPartition::Index(0),
    ];
    let mut places = Vec::new();
    for (offset, partition) in targets.into_iter().enumerate() {
        collector.begin_batch(Codec::None, 0);
        let tail = tail(Some(b"21"), b"v");
        collector
            .push(placed(0, partition), offset as i64, 0, Some(b"21"), &tail)
            .unwrap();
        places.extend(
            collector
                .take()
                .unwrap()
                .iter()
                .map(|batch| batch.partition.index),
        );
    }
    places
}

#[test]
fn what_a_plugin_chooses_goes_before_key_and_source() {
    let collector = || Collector::new(vec![sink("a", 7, 4)], 6, vec![0, 0]);
    let by_key = partition_for_key(b"21", 4);
    assert_ne!(by_key, 2, "the key says something else than the source");
    assert_eq!(partitions_of(collector()), [by_key, 2, 3, 0]);
    assert_eq!(partitions_of(collector().by_source()), [2, 2, 3, 0]);
    assert_eq!(partitions_of(collector().in_one_place()), [0; 4]);
    assert_eq!(partitions_of(collector().on_trial()), [0; 4]);
}

#[test]
fn a_partition_that_is_not_there_is_refused() {
    let collector = || Collector::new(vec![sink("a", 7, 4)], 0, vec![0, 0]);
    for mut collector in [collector(), collector().by_source(), collector().on_trial()] {
        collector.begin_batch(Codec::None, 0);
        assert_eq!(collector.misplaced(0, OutputPartition::Index(3)), None);
        assert_eq!(collector.misplaced(0, OutputPartition::Source), None);
        let error = collector.misplaced(0, OutputPartition::Index(4)).unwrap();
        let text = error.to_string();
        assert!(text.contains("partition 4 of topic 'a', which has 4"), "{text}");
        let pushed = collector.push(
            placed(0, OutputPartition::Index(4)),
            0,
            0,
            None,
            &tail(None, b"v"),
        );
        assert_eq!(pushed, Err(error));
    }
    assert_eq!(
        collector().in_one_place().misplaced(0, OutputPartition::Index(4)),
        None
    );
}
