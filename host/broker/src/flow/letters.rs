//! Dead letters on their way back through the plugins.

use weir_batch::{Batch, BatchBuilder, BatchError, Record, set_base_offset};

use crate::flow::chain::FailedRecord;
use crate::flow::collector::Collector;
use crate::flow::dead_letter::{Head, Place, header, push_letter};
use crate::flow::policy::Verdict;

type Headers<'a> = Vec<(&'a str, Option<&'a [u8]>)>;

/// The batch with its records as they were before they became dead letters: without the headers that were added then. Offsets,
/// times, keys and values stay. Not compressed.
///
/// # Errors
/// Those of a batch that cannot be read, or made.
pub(crate) fn as_they_were(batch: &Batch<'_>) -> Result<Vec<u8>, BatchError> {
    let mut builder = BatchBuilder::new();
    for record in batch.records()? {
        let headers: Headers<'_> = record.headers().collect();
        let own = own_headers(&headers);
        builder.push(record.timestamp(), record.key(), record.value(), &headers[..own])?;
    }
    let mut bytes = builder.finish()?;
    set_base_offset(&mut bytes, batch.base_offset())?;
    Ok(bytes)
}

/// Sends those of the failed records of `batch` to the dead-letter topic that are to go there, in order. `letters` are what they
/// were made of: each keeps the place that it names, and has the plugin and the reason of now. What is no letter gets `place`.
///
/// # Errors
/// Why one cannot be sent; some may have been.
pub(crate) fn send_again(
    place: &Place<'_>,
    letters: Batch<'_>,
    batch: Batch<'_>,
    failed: &[FailedRecord],
    out: &mut Collector,
) -> Result<(), String> {
    let mut failed = failed
        .iter()
        .filter(|failed| failed.verdict == Verdict::DeadLetter)
        .peekable();
    let unreadable = |error: BatchError| error.to_string();
    let pairs = letters
        .records()
        .map_err(unreadable)?
        .zip(batch.records().map_err(unreadable)?);
    for (index, (letter, record)) in pairs.enumerate() {
        let Some(failed) = failed.next_if(|failed| failed.index == index) else {
            if failed.peek().is_none() {
                break;
            }
            continue;
        };
        send_one(place, &letter, &record, failed, out)?;
    }
    Ok(())
}

fn send_one(
    place: &Place<'_>,
    letter: &Record<'_>,
    record: &Record<'_>,
    failed: &FailedRecord,
    out: &mut Collector,
) -> Result<(), String> {
    let headers: Headers<'_> = letter.headers().collect();
    let added = &headers[own_headers(&headers)..];
    let text = |name: &str| {
        let value = added.iter().find(|(key, _)| *key == name)?.1?;
        str::from_utf8(value).ok()
    };
    let (partition, offset) = (place.partition.to_string(), letter.offset().to_string());
    let head = match added {
        [] => Head {
            flow: place.flow,
            topic: place.topic,
            partition: &partition,
            offset: Some(&offset),
        },
        _ => Head {
            flow: text(header::FLOW).unwrap_or(place.flow),
            topic: text(header::TOPIC).unwrap_or_default(),
            partition: text(header::PARTITION).unwrap_or_default(),
            offset: text(header::OFFSET),
        },
    };
    push_letter(&head, letter.offset(), record, failed, out)
}

/// How many of a letter's headers are the record's own: the last ones, from the flow's name on, were added. All of them if it is no
/// letter. Of a letter's letter, the first one's headers are its own.
fn own_headers(headers: &Headers<'_>) -> usize {
    let begins = headers.iter().rposition(|(key, _)| *key == header::FLOW);
    let is_added = |(key, _): &(&str, _)| header::ALL.contains(key);
    begins
        .filter(|&begins| headers[begins..].iter().all(is_added))
        .unwrap_or(headers.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch at offset 40 with one record of these headers.
    fn batch(headers: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        let headers: Headers<'_> = headers
            .iter()
            .map(|(key, value)| (*key, Some(value.as_bytes())))
            .collect();
        builder.push(7, Some(b"k"), Some(b"v"), &headers).unwrap();
        let mut bytes = builder.finish().unwrap();
        set_base_offset(&mut bytes, 40).unwrap();
        bytes
    }

    /// The names of the headers that are left.
    fn left(headers: &[(&str, &str)]) -> Vec<String> {
        let letters = batch(headers);
        let bytes = as_they_were(&Batch::parse(&letters).unwrap()).unwrap();
        let batch = Batch::parse(&bytes).unwrap();
        let record = batch.records().unwrap().next().unwrap();
        assert_eq!((record.offset(), record.timestamp()), (40, 7));
        assert_eq!((record.key(), record.value()), (Some(&b"k"[..]), Some(&b"v"[..])));
        record.headers().map(|(key, _)| key.to_owned()).collect()
    }

    #[test]
    fn what_was_added_goes_and_what_is_the_records_own_stays() {
        let added = [
            ("weir-flow", "f"),
            ("weir-plugin", "p@1"),
            ("weir-topic", "a"),
            ("weir-partition", "1"),
            ("weir-offset", "9"),
            ("weir-reason", "no"),
        ];
        assert_eq!(left(&added), [""; 0]);
        let own = [("trace", "1"), ("weir-note", "2"), ("weir-reason", "3")];
        assert_eq!(
            left(&[&own[..], &added].concat()),
            ["trace", "weir-note", "weir-reason"]
        );
        assert_eq!(left(&own), ["trace", "weir-note", "weir-reason"], "no letter");
        let twice = left(&[&added[..], &added].concat());
        assert_eq!(twice, added.map(|(key, _)| key), "a letter's letter");
        let more = [&added[..], &[("mine", "x")]].concat();
        assert_eq!(left(&more).len(), 7, "somebody made something else of it");
    }
}
