//! What two chains made of the same batch, side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::run::{Output, Stream};
use super::shown::{Shown, side_by_side};
use super::{Difference, DryRun, SHOWN_MAX};

/// What was made of one record: what identifies it, and what shows it.
#[derive(Default)]
struct OfRecord<'a> {
    hashes: Vec<(&'a str, u64)>,
    shown: Vec<(&'a str, &'a Shown)>,
}

/// Compares what came out of the same `records` of a topic's partition, record by record. Those of which neither made anything are the
/// same.
pub(super) fn compare(
    (topic, partition): &(Arc<str>, u32),
    records: u64,
    running: &[Stream],
    tried: &[Stream],
    found: &mut DryRun,
) {
    let (mut running, mut tried) = (by_source(running), by_source(tried));
    let mut offsets: Vec<i64> = running.keys().chain(tried.keys()).copied().collect();
    offsets.sort_unstable();
    offsets.dedup();
    found.same += records.saturating_sub(offsets.len() as u64);
    for offset in offsets {
        let running = running.remove(&offset).unwrap_or_default();
        let tried = tried.remove(&offset).unwrap_or_default();
        if running.hashes == tried.hashes {
            found.same += 1;
            continue;
        }
        found.different += 1;
        if found.differences.len() < SHOWN_MAX {
            let (running, tried) = side_by_side(&running.shown, &tried.shown);
            found.differences.push(Difference {
                topic: topic.to_string(),
                partition: *partition,
                offset,
                running,
                tried,
            });
        }
    }
}

fn by_source(streams: &[Stream]) -> BTreeMap<i64, OfRecord<'_>> {
    let mut of: BTreeMap<i64, OfRecord<'_>> = BTreeMap::new();
    for stream in streams {
        for Output {
            source, hash, shown, ..
        } in &stream.outputs
        {
            let record = of.entry(*source).or_default();
            record.hashes.push((&stream.topic, *hash));
            record.shown.push((&stream.topic, shown));
        }
    }
    of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(topic: &str, outputs: &[(i64, u64)]) -> Stream {
        Stream {
            topic: topic.to_owned(),
            outputs: outputs
                .iter()
                .map(|&(source, hash)| Output {
                    source,
                    hash,
                    bytes: 1,
                    shown: Shown::value(&hash.to_string()),
                })
                .collect(),
        }
    }

    #[test]
    fn records_are_compared_one_by_one() {
        let running = [
            stream("a", &[(1, 10), (2, 20), (2, 21), (4, 40)]),
            stream("b", &[(3, 30)]),
        ];
        let tried = [stream("a", &[(1, 10), (2, 20), (3, 30)]), stream("b", &[])];
        let mut found = DryRun::default();
        compare(&("t".into(), 7), 6, &running, &tried, &mut found);
        assert_eq!(
            (found.same, found.different),
            (3, 3),
            "and two of which nothing came"
        );
        let offsets: Vec<i64> = found
            .differences
            .iter()
            .map(|difference| difference.offset)
            .collect();
        assert_eq!(offsets, [2, 3, 4]);
        assert_eq!(found.differences[0].running, ["a: 20", "a: 21"]);
        assert_eq!(found.differences[0].tried, ["a: 20"]);
        assert_eq!(found.differences[1].running, ["b: 30"]);
        assert_eq!(found.differences[2].tried, Vec::<String>::new());
    }

    #[test]
    fn differences_are_counted_beyond_those_that_are_shown() {
        let count = SHOWN_MAX as i64 + 5;
        let outputs: Vec<(i64, u64)> = (0..count).map(|n| (n, 1)).collect();
        let mut found = DryRun::default();
        compare(
            &("t".into(), 0),
            count as u64,
            &[stream("a", &outputs)],
            &[],
            &mut found,
        );
        assert_eq!(
            (found.different, found.differences.len()),
            (count as u64, SHOWN_MAX)
        );
    }
}
