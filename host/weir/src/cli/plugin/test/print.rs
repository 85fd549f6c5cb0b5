//! What comes out of the plugin, on standard output.

use std::io::{self, Write as _};

use serde::Serialize;
use weir_batch::Headers;
use weir_runtime::Kind;

use super::Args;
use crate::cli::Output;
use crate::cli::consume::form::{Header, Key, Value};

/// Output collected before it is written.
const BUFFER_BYTES: usize = 64 * 1024;

/// A record that comes out.
pub(super) struct Out<'a> {
    /// Where it comes from.
    pub(super) from: Origin,
    /// Which output, of a transform or a producer.
    pub(super) output: Option<usize>,
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Headers<'a>,
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Origin {
    /// A line of the input.
    Line(u64),
    /// A poll, from 1.
    Poll(u64),
}

/// Standard output with a buffer.
pub(super) struct Printer {
    form: Output,
    outputs: Vec<String>,
    name_outputs: bool,
    key_separator: Option<String>,
    buffer: Vec<u8>,
}

#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    from: Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
    timestamp: i64,
    #[serde(flatten)]
    key: Key<'a>,
    #[serde(flatten)]
    value: Value<'a>,
    headers: Vec<Header<'a>>,
}

impl Printer {
    pub(super) fn new(args: &Args, kind: Kind, form: Output) -> Self {
        Self {
            form,
            outputs: args.outputs.clone(),
            name_outputs: kind != Kind::Filter && args.outputs.len() > 1,
            key_separator: args.key_separator.clone(),
            buffer: Vec::new(),
        }
    }

    /// Prints a record, soon.
    pub(super) fn record(&mut self, out: Out<'_>) -> io::Result<()> {
        match self.form {
            Output::Plain => self.plain(&out),
            Output::Json => self.json(out),
        }
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes what was collected.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let written = out.write_all(&self.buffer).and_then(|()| out.flush());
        self.buffer.clear();
        written
    }

    fn plain(&mut self, out: &Out<'_>) {
        let buffer = &mut self.buffer;
        if let Some(name) = out.output.and_then(|output| self.outputs.get(output))
            && self.name_outputs
        {
            buffer.extend_from_slice(name.as_bytes());
            buffer.push(b'\t');
        }
        if let Some(separator) = &self.key_separator {
            buffer.extend_from_slice(out.key.unwrap_or_default());
            buffer.extend_from_slice(separator.as_bytes());
        }
        buffer.extend_from_slice(out.value.unwrap_or_default());
    }

    fn json(&mut self, out: Out<'_>) {
        let object = Object {
            from: out.from,
            output: out
                .output
                .and_then(|output| self.outputs.get(output))
                .map(String::as_str),
            timestamp: out.timestamp_ms,
            key: out.key.into(),
            value: out.value.into(),
            headers: out
                .headers
                .map(|(name, value)| Header {
                    name,
                    value: value.into(),
                })
                .collect(),
        };
        // Writing JSON into memory cannot fail: the map's keys are strings.
        let _ = serde_json::to_writer(&mut self.buffer, &object);
    }
}
