use weir_batch::frame::{OutputPartition, Target, Writer};
use weir_batch::{Batch, Headers, Record};

use crate::config::find_output;

/// Where a transform writes. Whatever it writes belongs to the record it was called for; a record for which it writes nothing is
/// dropped.
#[derive(Debug)]
pub struct Output {
    writer: Writer,
    names: Vec<String>,
    base_timestamp: i64,
    source: u32,
    source_timestamp: i64,
    /// Bytes of the largest frame so far: what the next one is likely to need.
    expected_bytes: usize,
}

impl Output {
    /// `names` are the names of the flow's outputs, in order of their indices. The macro makes it; tests may.
    pub fn new(names: Vec<String>) -> Self {
        Self {
            writer: Writer::new(Vec::new()),
            names,
            base_timestamp: 0,
            source: 0,
            source_timestamp: 0,
            expected_bytes: 0,
        }
    }

    /// Writes the record to the first output as it is: key, value, headers and timestamp.
    #[inline]
    pub fn forward(&mut self, record: &Record<'_>) {
        self.forward_to(0, record);
    }

    /// Writes the record to the output with this index as it is.
    #[inline]
    pub fn forward_to(&mut self, output: u32, record: &Record<'_>) {
        let delta = record.timestamp().wrapping_sub(self.base_timestamp);
        let written = self.writer.emit_tail(output, self.source, delta, record.tail());
        if written.is_err() {
            self.too_large();
        }
    }

    /// Begins a record that is like `record` (key, value, headers, timestamp) until told otherwise, for the first output.
    #[inline]
    pub fn edit<'a>(&'a mut self, record: &Record<'a>) -> Draft<'a> {
        Draft {
            timestamp: record.timestamp(),
            out: self,
            output: Some(0),
            partition: OutputPartition::Unchosen,
            key: record.key(),
            value: record.value(),
            kept: Some(record.headers()),
            added: Vec::new(),
        }
    }

    /// Begins a record without key, value and headers, with the timestamp of the record it is made from, for the first output.
    #[inline]
    pub fn create(&mut self) -> Draft<'_> {
        Draft {
            timestamp: self.source_timestamp,
            out: self,
            output: Some(0),
            partition: OutputPartition::Unchosen,
            key: None,
            value: None,
            kept: None,
            added: Vec::new(),
        }
    }

    /// Sends the record to the flow's dead-letter topic, with a reason for people to read.
    pub fn dead_letter(&mut self, reason: &str) {
        let _ = self.writer.dead_letter(self.source, reason);
    }

    /// Asks for the record to be given again later.
    pub fn retry(&mut self, reason: &str) {
        let _ = self.writer.retry(self.source, reason);
    }

    /// Says that the record cannot be processed; the flow's error policy decides what becomes of it.
    pub fn fail(&mut self, reason: &str) {
        let _ = self.writer.fail(self.source, reason);
    }

    /// Names of the flow's outputs, in order of their indices.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn begin(&mut self, batch: &Batch<'_>) {
        // Records go on mostly as they are: the batch's own size, and a few bytes for the head of each entry.
        const HEAD_BYTES: usize = 8;
        let like_the_batch = batch.as_bytes().len() + batch.len() * HEAD_BYTES;
        let expected = if self.expected_bytes == 0 {
            like_the_batch
        } else {
            self.expected_bytes
        };
        self.writer = Writer::new(Vec::with_capacity(expected));
        self.base_timestamp = batch.base_timestamp();
    }

    /// Begins a producer's page: no batch, timestamps from 1970 on, `now_ms` where a record has none of its own.
    pub(crate) fn begin_page(&mut self, now_ms: i64) {
        self.writer = Writer::new(Vec::with_capacity(self.expected_bytes));
        self.base_timestamp = 0;
        self.source = 0;
        self.source_timestamp = now_ms;
    }

    /// Entries so far.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.writer.len()
    }

    /// Bytes of the frame so far.
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        self.writer.encoded_len()
    }

    #[inline]
    pub(crate) fn source(&mut self, index: u32, record: &Record<'_>) {
        self.source = index;
        self.source_timestamp = record.timestamp();
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let frame = std::mem::replace(&mut self.writer, Writer::new(Vec::new())).finish();
        self.expected_bytes = self.expected_bytes.max(frame.len());
        frame
    }

    #[cold]
    fn too_large(&mut self) {
        self.fail("the record made from it is too large");
    }
}

/// A record under way to an [`Output`]. Nothing is written before [`emit`](Draft::emit).
#[must_use = "a draft is written by `emit`"]
#[derive(Debug)]
pub struct Draft<'a> {
    out: &'a mut Output,
    output: Option<u32>,
    partition: OutputPartition,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    kept: Option<Headers<'a>>,
    added: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl<'a> Draft<'a> {
    /// Sets the key.
    #[inline]
    pub fn key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// Leaves the key out.
    #[inline]
    pub fn without_key(mut self) -> Self {
        self.key = None;
        self
    }

    /// Sets the value.
    #[inline]
    pub fn value<V: AsRef<[u8]> + ?Sized>(mut self, value: &'a V) -> Self {
        self.value = Some(value.as_ref());
        self
    }

    /// Leaves the value out: a tombstone for the key.
    #[inline]
    pub fn without_value(mut self) -> Self {
        self.value = None;
        self
    }

    /// Adds a header after those that are there.
    #[inline]
    pub fn header<V: AsRef<[u8]> + ?Sized>(mut self, name: &'a str, value: &'a V) -> Self {
        self.added.push((name, Some(value.as_ref())));
        self
    }

    /// Leaves out the headers there are so far.
    #[inline]
    pub fn without_headers(mut self) -> Self {
        self.kept = None;
        self.added.clear();
        self
    }

    /// Sets the timestamp: milliseconds since 1970.
    #[inline]
    pub fn timestamp(mut self, timestamp_ms: i64) -> Self {
        self.timestamp = timestamp_ms;
        self
    }

    /// Sends it to the output with this index instead of the first.
    #[inline]
    pub fn to(mut self, output: u32) -> Self {
        self.output = Some(output);
        self
    }

    /// Sends it to the output of this name instead of the first. Where there is none, [`emit`](Self::emit) fails the record; look the
    /// index up in `configure` ([`Config::output`](crate::Config::output)) to learn of it at once.
    #[inline]
    pub fn to_name(mut self, name: &str) -> Self {
        self.output = find_output(&self.out.names, name);
        self
    }

    /// Sends it to this partition of its output, from 0, instead of the one that its key stands for. Where the topic has none of that
    /// number, the record it is made from fails. On ingest, and where a later transform of the flow chooses, it is without meaning.
    #[inline]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = OutputPartition::Index(partition);
        self
    }

    /// Sends it to the partition of its output with the number of the one that the record comes from (modulo their number) instead of the
    /// one that its key stands for.
    #[inline]
    pub fn source_partition(mut self) -> Self {
        self.partition = OutputPartition::Source;
        self
    }

    /// Writes it.
    #[inline]
    pub fn emit(mut self) {
        let Some(output) = self.output else {
            self.out
                .fail("the plugin named an output that the flow does not have");
            return;
        };
        if let Some(kept) = self.kept.filter(|kept| !kept.is_empty()) {
            self.added.splice(0..0, kept);
        }
        let delta = self.timestamp.wrapping_sub(self.out.base_timestamp);
        let target = Target {
            output,
            partition: self.partition,
        };
        let written =
            self.out
                .writer
                .emit_to(target, self.out.source, delta, self.key, self.value, &self.added);
        if written.is_err() {
            self.out.too_large();
        }
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
