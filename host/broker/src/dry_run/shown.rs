//! Outputs as they are shown where they differ.

use std::hash::{DefaultHasher, Hash, Hasher};

use weir_batch::Record;
use weir_batch::frame::OutputPartition;

use crate::flow::failure::sample;

/// Headers of a record that are shown.
const HEADERS_MAX: usize = 16;
/// What there may be to say of a record beside the beginning of its value.
const PARTS: usize = 5;

/// A record that came out: what there is to say of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// The beginning of its value.
    value: String,
    /// What is said only where it makes the difference.
    parts: [String; PARTS],
}

impl Shown {
    /// A record, and the partition that its plugin chose.
    pub(super) fn of(record: &Record<'_>, partition: OutputPartition) -> Self {
        let text = |bytes: Option<&[u8]>| bytes.map_or_else(|| "(null)".to_owned(), sample);
        let mut headers: Vec<String> = record
            .headers()
            .take(HEADERS_MAX + 1)
            .map(|(name, value)| format!("{}={}", sample(name.as_bytes()), text(value)))
            .collect();
        if headers.len() > HEADERS_MAX {
            headers[HEADERS_MAX] = "…".to_owned();
        }
        let mut hasher = DefaultHasher::new();
        record.value().hash(&mut hasher);
        Self {
            value: text(record.value()),
            parts: [
                format!("key {}", text(record.key())),
                format!("timestamp {}", record.timestamp()),
                format!("headers [{}]", headers.join(", ")),
                match partition {
                    OutputPartition::Unchosen => "partition by key".to_owned(),
                    OutputPartition::Source => "partition of the source".to_owned(),
                    OutputPartition::Index(index) => format!("partition {index}"),
                },
                // Values that differ only behind what is shown.
                format!(
                    "value of {} bytes, hash {:016x}",
                    record.value().map_or(0, <[u8]>::len),
                    hasher.finish()
                ),
            ],
        }
    }

    /// A record of which only the value matters.
    #[cfg(test)]
    pub(super) fn value(value: &str) -> Self {
        Self {
            value: value.to_owned(),
            parts: Default::default(),
        }
    }
}

/// What was made of one record by the one and by the other, with the topics: a line each, which say what makes the difference.
pub(super) fn side_by_side(
    running: &[(&str, &Shown)],
    tried: &[(&str, &Shown)],
) -> (Vec<String>, Vec<String>) {
    let pairs = || running.iter().zip(tried);
    let differs: [bool; PARTS] = std::array::from_fn(|part| {
        pairs().any(|((_, running), (_, tried))| {
            let whole_value = part + 1 == PARTS;
            // What is plain from the values as they are shown needs no more words.
            (!whole_value || running.value == tried.value) && running.parts[part] != tried.parts[part]
        })
    });
    let line = |(topic, shown): &(&str, &Shown)| {
        let mut line = format!("{topic}: {}", shown.value);
        for (part, _) in shown.parts.iter().zip(differs).filter(|(_, differs)| *differs) {
            line.push_str("; ");
            line.push_str(part);
        }
        line
    };
    (
        running.iter().map(line).collect(),
        tried.iter().map(line).collect(),
    )
}

#[cfg(test)]
mod tests {
    use weir_batch::{Batch, BatchBuilder};

    use super::*;

    type Headers<'a> = &'a [(&'a str, Option<&'a [u8]>)];

    fn shown(timestamp: i64, key: Option<&[u8]>, value: &str, headers: Headers<'_>) -> Shown {
        let mut builder = BatchBuilder::new();
        builder
            .push(timestamp, key, Some(value.as_bytes()), headers)
            .unwrap();
        let bytes = builder.finish().unwrap();
        let batch = Batch::parse(&bytes).unwrap();
        let record = batch.records().unwrap().next().unwrap();
        Shown::of(&record, OutputPartition::Unchosen)
    }

    fn lines(running: &Shown, tried: &Shown) -> [String; 2] {
        let (running, tried) = side_by_side(&[("t", running)], &[("t", tried)]);
        [running, tried].map(|lines| lines.concat())
    }

    #[test]
    fn what_makes_the_difference_is_said_and_nothing_else() {
        let plain = shown(5, None, "v", &[("h", Some(b"1"))]);
        let cases = [
            (shown(5, None, "w", &[("h", Some(b"1"))]), ["t: v", "t: w"]),
            (
                shown(5, None, "v", &[("h", Some(b"2")), ("i", None)]),
                ["t: v; headers [h=1]", "t: v; headers [h=2, i=(null)]"],
            ),
            (
                shown(6, Some(b"k"), "v", &[("h", Some(b"1"))]),
                ["t: v; key (null); timestamp 5", "t: v; key k; timestamp 6"],
            ),
        ];
        for (tried, expected) in cases {
            assert_eq!(lines(&plain, &tried), expected);
        }
        let mut chosen = plain.clone();
        chosen.parts[3] = "partition 7".to_owned();
        assert_eq!(
            lines(&plain, &chosen),
            ["t: v; partition by key", "t: v; partition 7"]
        );
    }

    #[test]
    fn values_that_differ_behind_what_is_shown_do_not_look_the_same() {
        let long = "x".repeat(1_000);
        let [running, tried] = lines(
            &shown(5, None, &format!("{long}1"), &[]),
            &shown(5, None, &format!("{long}2"), &[]),
        );
        assert!(running.contains("; value of 1001 bytes, hash "), "{running}");
        assert_ne!(running, tried);
    }

    #[test]
    fn many_headers_are_cut_short() {
        let names: Vec<String> = (0..40).map(|n| format!("h{n}")).collect();
        let headers: Vec<(&str, Option<&[u8]>)> = names.iter().map(|name| (name.as_str(), None)).collect();
        let shown = shown(5, None, "v", &headers);
        assert!(shown.parts[2].contains("h15=(null), …"), "{}", shown.parts[2]);
        assert!(!shown.parts[2].contains("h16"), "{}", shown.parts[2]);
    }
}
