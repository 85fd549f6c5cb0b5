//! Lines as batches, such as a producer would send.

use std::iter;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_batch::BatchBuilder;

use super::InputFormat;
use super::json::JsonRecord;
use crate::cli::Failure;
use crate::cli::produce::lines::{self, Line, Lines};
use crate::cli::produce::read_failure;

/// Bytes of a batch, as of a producer: a record that does not fit begins the next one.
const BATCH_BYTES: usize = 64 * 1024;

/// What a record may take beside key, value and headers, and each header beside its own.
const HEAD_BYTES: usize = 32;

/// How long a batch waits for more from a pipe before it is run as it is.
const LINGER: Duration = Duration::from_millis(2);

/// Some lines of the input as one batch.
#[derive(Debug)]
pub(super) struct InputBatch {
    /// The batch. Offsets are those of the lines, from 0.
    pub(super) bytes: Vec<u8>,
    /// The line of its first record, from 1.
    pub(super) first_line: u64,
}

/// The input. What it holds at any time is bounded by a few chunks of it and one line.
pub(super) struct Input {
    lines: Lines,
    chunk: Box<dyn Iterator<Item = Line> + Send>,
    /// Read, and of the next batch.
    pending: Option<Line>,
    /// Lines that are in batches.
    number: u64,
    /// What ends the input when the lines before it have been run.
    failure: Option<Failure>,
    ended: bool,
    /// Whether lines may still be on their way.
    live: bool,
    form: Form,
    builder: BatchBuilder,
}

/// What a line is.
enum Form {
    Value,
    KeyValue(String),
    Json,
}

impl Input {
    /// Begins to read `file`, or standard input for `-`.
    pub(super) fn open(
        file: &Path,
        format: InputFormat,
        key_separator: Option<String>,
    ) -> Result<Self, Failure> {
        let input = lines::open(Some(file))?;
        let live = input.len().is_none();
        let form = match (format, key_separator) {
            (InputFormat::Json, _) => Form::Json,
            (InputFormat::Lines, Some(separator)) => Form::KeyValue(separator),
            (InputFormat::Lines, None) => Form::Value,
        };
        Ok(Self {
            lines: input.start(),
            chunk: Box::new(iter::empty()),
            pending: None,
            number: 0,
            failure: None,
            ended: false,
            live,
            form,
            builder: BatchBuilder::new(),
        })
    }

    /// The next batch, or none at the end. May be dropped while it waits and be called again.
    ///
    /// # Errors
    ///
    /// When a line is not what the input format says or cannot be read; the lines before it have been given out by then.
    pub(super) async fn next_batch(&mut self) -> Result<Option<InputBatch>, Failure> {
        while self.fill() {
            if !self.more().await {
                break;
            }
        }
        if self.builder.is_empty() {
            return self.failure.take().map_or(Ok(None), Err);
        }
        self.finish().map(Some)
    }

    /// How many lines there are, those that nobody wants any more included, and whether there may be more: of a pipe only those
    /// that were read.
    pub(super) async fn count(&mut self) -> (u64, bool) {
        if self.live {
            return (self.number, true);
        }
        loop {
            match self.next_batch().await {
                Ok(Some(_)) => {}
                Ok(None) => return (self.number, false),
                Err(_) => return (self.number, true),
            }
        }
    }

    /// Moves lines from the chunk to the batch. Whether there is room for more.
    fn fill(&mut self) -> bool {
        let timestamp = now_ms();
        while let Some(line) = self.pending.take().or_else(|| self.chunk.next()) {
            match self.push(&line, timestamp) {
                Ok(true) => self.number += 1,
                Ok(false) => {
                    self.pending = Some(line);
                    return false;
                }
                Err(failure) => {
                    self.failure = Some(failure.context(format_args!("line {}", self.number + 1)));
                    self.chunk = Box::new(iter::empty());
                    self.ended = true;
                    return false;
                }
            }
        }
        true
    }

    /// Waits for the next chunk. False if there is none, or not soon enough for lines that wait.
    async fn more(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let chunk = if self.live && !self.builder.is_empty() {
            match tokio::time::timeout(LINGER, self.lines.next_chunk()).await {
                Ok(chunk) => chunk,
                Err(_) => return false,
            }
        } else {
            self.lines.next_chunk().await
        };
        match chunk {
            Some(Ok(bytes)) => {
                self.chunk = Box::new(lines::split(bytes));
                return true;
            }
            Some(Err(error)) => self.failure = Some(read_failure(&error, self.number)),
            None => {}
        }
        self.ended = true;
        false
    }

    /// Appends a record. False if it is for the next batch.
    fn push(&mut self, line: &[u8], now_ms: i64) -> Result<bool, Failure> {
        match &self.form {
            Form::Value => append(&mut self.builder, now_ms, None, Some(line), &[]),
            Form::KeyValue(separator) => match memchr::memmem::find(line, separator.as_bytes()) {
                Some(at) => {
                    let value = &line[at + separator.len()..];
                    append(&mut self.builder, now_ms, Some(&line[..at]), Some(value), &[])
                }
                None => Err(Failure::new(
                    format!("no key separator {separator:?}"),
                    "mend the line, or leave --key-separator out",
                )),
            },
            Form::Json => {
                let record = JsonRecord::parse(line)?;
                let headers: Vec<(&str, Option<&[u8]>)> = record.headers().collect();
                let timestamp = record.timestamp_ms.unwrap_or(now_ms);
                append(
                    &mut self.builder,
                    timestamp,
                    record.key(),
                    record.value(),
                    &headers,
                )
            }
        }
    }

    fn finish(&mut self) -> Result<InputBatch, Failure> {
        let first_line = self.number - self.builder.len() as u64 + 1;
        let failure = |error| Failure::new(format!("cannot build a batch: {error}"), "report this as a bug");
        let mut bytes = self.builder.finish().map_err(failure)?;
        weir_batch::set_base_offset(&mut bytes, first_line as i64 - 1).map_err(failure)?;
        Ok(InputBatch { bytes, first_line })
    }
}

/// Appends a record unless the batch has others and would be too large with it.
fn append(
    builder: &mut BatchBuilder,
    timestamp_ms: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> Result<bool, Failure> {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers_len: usize = headers
        .iter()
        .map(|(name, value)| name.len() + len(*value) + HEAD_BYTES)
        .sum();
    let record_len = len(key) + len(value) + headers_len + HEAD_BYTES;
    if !builder.is_empty() && builder.encoded_len() + record_len > BATCH_BYTES {
        return Ok(false);
    }
    builder
        .push(timestamp_ms, key, value, headers)
        .map(|()| true)
        .map_err(|error| Failure::new(error.to_string(), "make the record smaller"))
}

/// Milliseconds since 1970, as a producer stamps what it sends.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use weir_batch::Batch;

    use super::*;

    async fn batches(text: &[u8], format: InputFormat) -> (Vec<InputBatch>, Option<Failure>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let mut input = Input::open(file.path(), format, None).unwrap();
        let mut batches = Vec::new();
        loop {
            match input.next_batch().await {
                Ok(Some(batch)) => batches.push(batch),
                Ok(None) => return (batches, None),
                Err(failure) => return (batches, Some(failure)),
            }
        }
    }

    fn values(batches: &[InputBatch]) -> Vec<String> {
        let mut values = Vec::new();
        for input in batches {
            let batch = Batch::parse(&input.bytes).unwrap();
            assert_eq!(input.first_line, values.len() as u64 + 1);
            assert_eq!(batch.base_offset(), values.len() as i64);
            for record in batch.records().unwrap() {
                values.push(String::from_utf8(record.value().unwrap().to_vec()).unwrap());
            }
        }
        values
    }

    #[tokio::test]
    async fn every_line_is_in_one_batch_in_order_and_batches_are_bounded() {
        let lines: Vec<String> = (0..20_000)
            .map(|i| format!("line {i} {}", "x".repeat(i % 50)))
            .collect();
        let (batches, failure) = batches(lines.join("\n").as_bytes(), InputFormat::Lines).await;
        assert!(failure.is_none());
        assert!(values(&batches) == lines, "lines are lost or out of order");
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.bytes.len()).collect();
        assert!(sizes.iter().all(|size| *size <= BATCH_BYTES), "{sizes:?}");
        let (_, full) = sizes.split_last().unwrap();
        assert!(full.iter().all(|size| *size > BATCH_BYTES - 200), "{sizes:?}");
    }

    #[tokio::test]
    async fn a_record_larger_than_a_batch_is_one_of_its_own() {
        let large = "y".repeat(3 * BATCH_BYTES);
        let (batches, _) = batches(format!("a\n{large}\nb\n").as_bytes(), InputFormat::Lines).await;
        assert_eq!(values(&batches), ["a", &large, "b"]);
        assert_eq!(batches.len(), 3);
    }

    #[tokio::test]
    async fn lines_before_one_that_cannot_be_read_are_given_out_first() {
        let text = b"{\"value\":\"a\"}\n{\"value\":\"b\"}\n{\"value\":\n{\"value\":\"c\"}\n";
        let (batches, failure) = batches(text, InputFormat::Json).await;
        assert_eq!(values(&batches), ["a", "b"]);
        let failure = failure.unwrap().to_string();
        assert!(failure.starts_with("error: line 3: "), "{failure}");
    }
}
