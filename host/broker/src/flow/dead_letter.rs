//! The topic for records that a flow's plugins cannot handle.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_batch::{Batch, Record};

use crate::core::Core;
use crate::flow::Flow;
use crate::flow::chain::FailedRecord;
use crate::flow::collector::Collector;
use crate::flow::policy::Verdict;
use crate::topics::create_topic;
use crate::{BrokerError, ErrorKind, Topic};

/// What follows a flow's name in the name of its dead-letter topic.
const SUFFIX: &str = ".dead-letter";

/// The headers that a dead letter has besides its own: what did not handle it, and where it is in the source.
pub(crate) mod header {
    /// The flow's name.
    pub(crate) const FLOW: &str = "weir-flow";
    /// The plugin, `name@version`; not there if it is not a plugin's fault.
    pub(crate) const PLUGIN: &str = "weir-plugin";
    /// The source topic.
    pub(crate) const TOPIC: &str = "weir-topic";
    /// The source partition.
    pub(crate) const PARTITION: &str = "weir-partition";
    /// The record's offset there; not there for a record that an ingest flow did not let in.
    pub(crate) const OFFSET: &str = "weir-offset";
    /// Why, in words.
    pub(crate) const REASON: &str = "weir-reason";
    /// All of them. The flow's name comes first.
    pub(crate) const ALL: [&str; 6] = [FLOW, PLUGIN, TOPIC, PARTITION, OFFSET, REASON];
}

/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 1_000;

/// The name of a flow's dead-letter topic.
pub(crate) fn topic_name(flow: &str) -> String {
    format!("{flow}{SUFFIX}")
}

/// What the dead letters of one source partition have in common.
pub(crate) struct Place<'a> {
    pub(crate) flow: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) partition: u32,
}

/// What a letter says of where it comes from.
pub(crate) struct Head<'a> {
    pub(crate) flow: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) partition: &'a str,
    pub(crate) offset: Option<&'a str>,
}

/// Sends those of the failed records of `batch` to the dead-letter topic that are to go there, in order.
///
/// # Errors
/// Why one cannot be sent; some may have been.
pub(crate) fn send(
    place: &Place<'_>,
    batch: Batch<'_>,
    failed: &[FailedRecord],
    out: &mut Collector,
) -> Result<(), String> {
    send_letters(place, true, batch, failed, out)
}

/// The same for records that are not stored, and so have no offset.
///
/// # Errors
/// As [`send`].
pub(crate) fn send_unstored(
    place: &Place<'_>,
    batch: Batch<'_>,
    failed: &[FailedRecord],
    out: &mut Collector,
) -> Result<(), String> {
    send_letters(place, false, batch, failed, out)
}

fn send_letters(
    place: &Place<'_>,
    stored: bool,
    batch: Batch<'_>,
    failed: &[FailedRecord],
    out: &mut Collector,
) -> Result<(), String> {
    let mut letters = failed
        .iter()
        .filter(|failed| failed.verdict == Verdict::DeadLetter)
        .peekable();
    let partition = place.partition.to_string();
    let base_offset = batch.header().base_offset;
    let records = batch.records().map_err(|error| error.to_string())?;
    for (index, record) in records.enumerate() {
        let Some(letter) = letters.next_if(|letter| letter.index == index) else {
            if letters.peek().is_none() {
                break;
            }
            continue;
        };
        let offset = base_offset + index as i64;
        let offset_text = offset.to_string();
        let head = Head {
            flow: place.flow,
            topic: place.topic,
            partition: &partition,
            offset: stored.then_some(&offset_text),
        };
        push_letter(&head, offset, &record, letter, out)?;
    }
    Ok(())
}

/// Sends one record, which is at `offset` of what the flow reads, with the headers of a letter behind its own.
///
/// # Errors
/// Why it cannot be sent.
pub(crate) fn push_letter(
    head: &Head<'_>,
    offset: i64,
    record: &Record<'_>,
    letter: &FailedRecord,
    out: &mut Collector,
) -> Result<(), String> {
    let reason: String = letter.reason.chars().take(REASON_CHARS_MAX).collect();
    let headers = [
        (header::FLOW, Some(head.flow)),
        (header::PLUGIN, letter.plugin.as_deref()),
        (header::TOPIC, Some(head.topic)),
        (header::PARTITION, Some(head.partition)),
        (header::OFFSET, head.offset),
        (header::REASON, Some(reason.as_str())),
    ];
    let headers: Vec<_> = headers
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    out.push_dead_letter(offset, record, &headers)
        .map_err(|error| error.to_string())
}

/// Makes a flow's dead-letter topic, unless it is there: with as many partitions as the largest of its sources has, and room for
/// records a little larger than theirs.
///
/// # Errors
/// Those of making a topic.
pub(crate) async fn make_topic(core: &Arc<Core>, flow: &Flow) -> Result<(), BrokerError> {
    /// What the headers of a dead letter take, and more.
    const HEADERS_BYTES: usize = 64 * 1024;
    let sources: Vec<Topic> = flow
        .spec()
        .shown_topics()
        .iter()
        .filter_map(|name| core.topic(name).ok())
        .collect();
    let partitions = sources.iter().map(Topic::partitions).max().unwrap_or(1);
    let largest = sources
        .iter()
        .map(|source| source.config().message_bytes_max)
        .max();
    let bytes_max = largest.unwrap_or_default().saturating_add(HEADERS_BYTES);
    let bytes_max = bytes_max.min(core.limits.message_bytes_ceiling);
    let config = BTreeMap::from([("max.message.bytes".to_owned(), bytes_max.to_string())]);
    match create_topic(core, &topic_name(flow.letters_of()), partitions, config).await {
        Err(error) if error.kind != ErrorKind::TopicAlreadyExists => Err(error),
        _ => Ok(()),
    }
}
