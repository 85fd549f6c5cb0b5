//! What plugins are called with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use weir_batch::BatchBuilder;

use crate::bench::source::Source;
use crate::cli::Failure;
use crate::flights;

/// What a batch of a producer has.
const BATCH_BYTES: usize = 64 * 1024;

/// More than a batch takes of the smallest objects.
const OBJECTS: usize = 2_000;

/// Keys of records: one in four passes the key filter.
const KEYS: [&str; 4] = ["UA", "AA", "DL", "B6"];

/// A configuration of a plugin, and the records it is called with.
pub(super) struct Case {
    pub(super) what: String,
    settings: Vec<(&'static str, String)>,
    pub(super) batch: Vec<u8>,
}

impl Case {
    /// Whether the plugin does so little with records of 100 bytes that the call itself is what is seen.
    pub(super) fn is_packed_call(&self) -> bool {
        self.what.starts_with("identity ") && self.what.ends_with(", 100 B records")
    }

    pub(super) fn config(&self) -> BTreeMap<String, String> {
        self.settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect()
    }
}

/// The plugins by name, each with its cases: one of each size in `sizes` (bytes of a value), and what the demo does.
pub(super) fn all(sizes: &[u64]) -> Result<Vec<(&'static str, Vec<Case>)>, Failure> {
    let mut plugins = Vec::new();
    for (plugin, what, settings) in sized() {
        let mut cases = Vec::new();
        for size in sizes {
            let bytes = usize::try_from(*size).unwrap_or(usize::MAX);
            let batch = match plugin {
                "json-filter" | "json-project" => objects(bytes)?,
                _ => text(bytes)?,
            };
            cases.push(Case {
                what: format!("{what}, {} records", size_name(*size)),
                settings: owned(settings),
                batch,
            });
        }
        plugins.push((plugin, cases));
    }
    let csv = flights::lines()?;
    let mut lines = csv.split(|byte| *byte == b'\n').cycle();
    plugins.push((
        "lines-to-json",
        vec![Case {
            what: "CSV to JSON, lines of 92 B".to_owned(),
            settings: owned(&[("columns", flights::HEADER)]),
            batch: batch(|| lines.next().unwrap_or_default().to_vec())?,
        }],
    ));
    let flights: Vec<Vec<u8>> = csv.split(|byte| *byte == b'\n').take(1000).map(flight).collect();
    let mut flights = flights.iter().cycle();
    plugins.push((
        "json-filter",
        vec![Case {
            what: "JSON field filter, objects of 19 fields".to_owned(),
            settings: owned(&[("field", "arr_delay"), ("op", "ge"), ("value", "60")]),
            batch: batch(|| flights.next().cloned().unwrap_or_default())?,
        }],
    ));
    Ok(plugins)
}

type Settings = &'static [(&'static str, &'static str)];

/// Plugins that are called with records of each size. The identity transform is first: others look for its row.
fn sized() -> [(&'static str, &'static str, Settings); 5] {
    [
        ("identity", "identity transform", &[]),
        ("identity-filter", "identity filter", &[]),
        ("key-filter", "key filter", &[("keys", "DL")]),
        (
            "json-filter",
            "JSON field filter, the last field",
            &[("field", "delay"), ("op", "ge"), ("value", "60")],
        ),
        (
            "json-project",
            "JSON projection to two fields",
            &[("keep", "n,delay")],
        ),
    ]
}

fn owned(settings: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    settings
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect()
}

/// `100 B`, `16 KiB`.
fn size_name(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1024 && bytes.is_multiple_of(1024) => format!("{} KiB", bytes / 1024),
        _ => format!("{bytes} B"),
    }
}

/// A batch of pieces of real text.
fn text(bytes: usize) -> Result<Vec<u8>, Failure> {
    let mut source = Source::new(bytes)?;
    batch(|| source.next().to_vec())
}

/// A batch of objects.
fn objects(bytes: usize) -> Result<Vec<u8>, Failure> {
    let mut objects = some_objects(bytes, OBJECTS)?.into_iter().cycle();
    batch(|| objects.next().unwrap_or_default())
}

/// `count` objects of `bytes` each, every one with the fields `n` and `delay`.
pub(super) fn some_objects(bytes: usize, count: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let csv = flights::lines()?;
    let mut lines = csv
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .cycle();
    Ok((1..=count).map(|n| object(bytes, n, &mut lines)).collect())
}

/// An object of `bytes`, or of somewhat more if that is too few: `n`, as many fields of flights as there is room for, a text for what
/// is left, `delay`.
fn object<'a>(bytes: usize, n: usize, lines: &mut impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut object = format!("{{\"n\":{n}");
    let tail = format!(",\"delay\":{}}}", n % 120);
    const TEXT: &str = ",\"text\":\"\"";
    let room = |object: &str| bytes.saturating_sub(object.len() + tail.len() + TEXT.len());
    'full: for (lap, line) in (0..).zip(lines) {
        for (name, value) in fields(line) {
            let field = format!(",\"{name}_{lap}\":{value}");
            if field.len() > room(&object) {
                break 'full;
            }
            object.push_str(&field);
        }
    }
    if let left @ 1.. = room(&object) {
        let _ = write!(object, ",\"text\":\"{}\"", "x".repeat(left));
    }
    object.push_str(&tail);
    object.into_bytes()
}

/// A flight as an object.
fn flight(line: &[u8]) -> Vec<u8> {
    let fields: Vec<String> = fields(line)
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", fields.join(",")).into_bytes()
}

/// A flight's columns: names, and values as JSON.
fn fields(line: &[u8]) -> impl Iterator<Item = (&'static str, String)> {
    let values: Vec<String> = String::from_utf8_lossy(line)
        .split(',')
        .map(|value| match value.parse::<i64>() {
            Ok(number) => number.to_string(),
            Err(_) => serde_json::Value::from(value).to_string(),
        })
        .collect();
    flights::HEADER.split(',').zip(values)
}

/// A batch of as many records as fit.
fn batch(mut value: impl FnMut() -> Vec<u8>) -> Result<Vec<u8>, Failure> {
    let failure = |error| Failure::new(format!("cannot build a batch: {error}"), "choose smaller records");
    let mut builder = BatchBuilder::new();
    let mut keys = KEYS.iter().cycle();
    while builder.encoded_len() < BATCH_BYTES {
        let key = keys.next().map(|key| key.as_bytes());
        builder.push(0, key, Some(&value()), &[]).map_err(failure)?;
    }
    builder.finish().map_err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_json_and_have_their_size() {
        let csv = flights::lines().unwrap();
        let mut lines = csv.split(|byte| *byte == b'\n');
        for bytes in [64, 100, 1024, 16 * 1024] {
            let text = object(bytes, 77, &mut lines);
            assert_eq!(text.len(), bytes);
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!((&value["n"], &value["delay"]), (&77.into(), &77.into()));
            let fields = value.as_object().unwrap().len();
            assert!(fields > bytes / 40, "{fields} fields in {bytes} B");
        }
        assert_eq!(size_name(100), "100 B");
        assert_eq!(size_name(16 << 10), "16 KiB");
    }
}
