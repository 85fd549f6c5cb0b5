//! Makes a JSON object of each line of text.
//!
//! | configuration | |
//! |---|---|
//! | `format` | `csv` (default), `tsv` or `key-value` (`a=1 b="two words"`) |
//! | `columns` | names of a line's columns, comma-separated; for `csv` and `tsv` |
//! | `delimiter` | one character instead of the comma or the tab |
//! | `null` | texts that become `null`, comma-separated (default `NA`); an empty field that is not quoted always does |
//! | `text` | columns that stay text, whatever they look like |
//! | `key` | the column whose text becomes the record's key |
//! | `invalid` | what becomes of a line with too few or too many columns: `fail` (default), `dead-letter` or `drop` |
//!
//! Numbers (by JSON's grammar), `true` and `false` are written as such, everything else as text. A line that repeats the column names is a
//! file's header, and is dropped. Quoted fields follow RFC 4180, within one line. Headers and timestamp of the record stay, and the key unless
//! `key` says otherwise.

mod fields;
mod plain;

use std::ops::Range;

use fields::{Field, Fields};
use weir_json::{is_number, is_plain, write_string};
use weir_plugin::{Config, Output, Record, transform};

/// Bytes of a line that a reason quotes.
const SHOWN_BYTES: usize = 120;

/// The transform, configured.
#[derive(Debug)]
pub struct LinesToJson {
    format: Format,
    nulls: Vec<String>,
    key: Option<String>,
    text: Vec<String>,
    invalid: Invalid,
    buffer: Vec<u8>,
    key_buffer: Vec<u8>,
}

#[derive(Debug)]
enum Format {
    Columns { delimiter: u8, columns: Vec<Column> },
    KeyValue,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// What stands before the value: brace or comma, the name as a JSON string, colon.
    label: Vec<u8>,
    /// The same with zeros behind it, up to whole words.
    padded: Vec<u8>,
    text: bool,
    key: bool,
}

/// What becomes of lines that do not fit.
#[derive(Clone, Copy, Debug)]
enum Invalid {
    Fail,
    DeadLetter,
    Drop,
}

/// What a line turned out to be.
enum Line {
    Object,
    Header,
    Misfit(String),
}

impl LinesToJson {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with it.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["format", "columns", "delimiter", "null", "text", "key", "invalid"])?;
        let invalid = match config.get("invalid").unwrap_or("fail") {
            "fail" => Invalid::Fail,
            "dead-letter" => Invalid::DeadLetter,
            "drop" => Invalid::Drop,
            other => {
                return Err(format!(
                    "`invalid` cannot be {other:?}: it is one of fail, dead-letter, drop"
                ));
            }
        };
        Ok(Self {
            format: Format::configure(config)?,
            nulls: match config.get("null") {
                None => vec!["NA".to_owned()],
                Some(_) => config.list("null").map(str::to_owned).collect(),
            },
            key: config.get("key").map(str::to_owned),
            text: config.list("text").map(str::to_owned).collect(),
            invalid,
            buffer: Vec::new(),
            key_buffer: Vec::new(),
        })
    }

    /// Writes the record's line as an object.
    #[inline]
    pub fn line(&mut self, record: &Record<'_>, out: &mut Output) {
        let line = record.value().unwrap_or_default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut buffer = std::mem::take(&mut self.buffer);
        if let Some((len, key)) = self.plain(line, &mut buffer) {
            let draft = out.edit(record).value(&buffer[..len]);
            match key {
                Some(key) => draft.key(&line[key]).emit(),
                None => draft.emit(),
            }
            self.buffer = buffer;
            return;
        }
        let mut key = std::mem::take(&mut self.key_buffer);
        buffer.clear();
        key.clear();
        match self.object(line, &mut buffer, &mut key) {
            Line::Object if self.key.is_some() => out.edit(record).key(&key).value(&buffer).emit(),
            Line::Object => out.edit(record).value(&buffer).emit(),
            Line::Header => {}
            Line::Misfit(reason) => self.settle(&reason, line, out),
        }
        self.buffer = buffer;
        self.key_buffer = key;
    }

    /// The length of the line's object at the front of the buffer, and the place of the key in the line, if the line can go the short
    /// way: neither header nor misfit, nothing in it that needs care.
    #[inline]
    fn plain(&self, line: &[u8], buffer: &mut Vec<u8>) -> Option<(usize, Option<Range<usize>>)> {
        match &self.format {
            Format::Columns { delimiter, columns }
                if is_plain(line) && !line.starts_with(columns[0].name.as_bytes()) =>
            {
                plain::object(line, *delimiter, columns, &self.nulls, buffer)
            }
            _ => None,
        }
    }

    #[inline]
    fn object(&self, line: &[u8], buffer: &mut Vec<u8>, key: &mut Vec<u8>) -> Line {
        match &self.format {
            Format::Columns { delimiter, columns } => self.columns(line, *delimiter, columns, buffer, key),
            Format::KeyValue => self.pairs(line, buffer, key),
        }
    }

    #[inline]
    fn columns(
        &self,
        line: &[u8],
        delimiter: u8,
        columns: &[Column],
        buffer: &mut Vec<u8>,
        key: &mut Vec<u8>,
    ) -> Line {
        let mut fields = Fields::new(line, delimiter);
        let mut is_header = true;
        for (index, column) in columns.iter().enumerate() {
            let Some(field) = fields.next() else {
                return Line::Misfit(format!("{index} columns instead of {}", columns.len()));
            };
            is_header = is_header && field.is(column.name.as_bytes());
            buffer.extend_from_slice(&column.label);
            self.write(field, column.text, buffer);
            if column.key {
                key.extend_from_slice(&field.unquoted());
            }
        }
        match fields.count() {
            0 if is_header => return Line::Header,
            0 => {}
            more => {
                return Line::Misfit(format!(
                    "{} columns instead of {}",
                    columns.len() + more,
                    columns.len()
                ));
            }
        }
        buffer.push(b'}');
        Line::Object
    }

    fn pairs(&self, line: &[u8], buffer: &mut Vec<u8>, key: &mut Vec<u8>) -> Line {
        buffer.push(b'{');
        for pair in Fields::new(line, b' ').filter(|field| !field.is(b"")) {
            let Some((name, field)) = pair.split() else {
                return Line::Misfit("a word without `=`".to_owned());
            };
            if buffer.len() > 1 {
                buffer.push(b',');
            }
            write_string(buffer, name);
            buffer.push(b':');
            self.write(
                field,
                self.text.iter().any(|text| text.as_bytes() == name),
                buffer,
            );
            if self.key.as_ref().is_some_and(|key| key.as_bytes() == name) {
                key.clear();
                key.extend_from_slice(&field.unquoted());
            }
        }
        buffer.push(b'}');
        Line::Object
    }

    #[inline]
    fn write(&self, field: Field<'_>, text: bool, buffer: &mut Vec<u8>) {
        let Some(bare) = field.bare() else {
            return write_string(buffer, &field.unquoted());
        };
        if bare.is_empty() || self.nulls.iter().any(|null| null.as_bytes() == bare) {
            buffer.extend_from_slice(b"null");
        } else if !text && (matches!(bare, b"true" | b"false") || is_number(bare)) {
            buffer.extend_from_slice(bare);
        } else {
            write_string(buffer, bare);
        }
    }

    #[cold]
    fn settle(&self, reason: &str, line: &[u8], out: &mut Output) {
        let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES)]);
        let reason = format!("{reason} in the line {shown:?}");
        match self.invalid {
            Invalid::Fail => out.fail(&reason),
            Invalid::DeadLetter => out.dead_letter(&reason),
            Invalid::Drop => {}
        }
    }
}

impl Format {
    fn configure(config: &Config) -> Result<Self, String> {
        let delimiter = match (config.get("format").unwrap_or("csv"), config.get("delimiter")) {
            ("csv", None) => b',',
            ("tsv", None) => b'\t',
            ("csv" | "tsv", Some(delimiter)) => match delimiter.as_bytes() {
                [delimiter] if *delimiter != b'"' => *delimiter,
                _ => {
                    return Err(format!(
                        "`delimiter` cannot be {delimiter:?}: it is one ASCII character, and not the quote"
                    ));
                }
            },
            ("key-value", None) => {
                return match config.get("columns") {
                    None => Ok(Self::KeyValue),
                    Some(_) => {
                        Err("`columns` means nothing to key-value lines, which name their own".to_owned())
                    }
                };
            }
            ("key-value", Some(_)) => return Err("`delimiter` means nothing to key-value lines".to_owned()),
            (other, _) => {
                return Err(format!(
                    "`format` cannot be {other:?}: it is one of csv, tsv, key-value"
                ));
            }
        };
        config.required("columns")?;
        let columns: Vec<Column> = config
            .list("columns")
            .enumerate()
            .map(|(index, name)| Column::new(index, name, config))
            .collect();
        if columns.is_empty() {
            return Err("`columns` names none".to_owned());
        }
        for name in config.get("key").into_iter().chain(config.list("text")) {
            if !columns.iter().any(|column| column.name == name) {
                return Err(format!("there is no column {name:?}"));
            }
        }
        Ok(Self::Columns { delimiter, columns })
    }
}

impl Column {
    fn new(index: usize, name: &str, config: &Config) -> Self {
        let mut label = vec![if index == 0 { b'{' } else { b',' }];
        write_string(&mut label, name.as_bytes());
        label.push(b':');
        let mut padded = label.clone();
        padded.resize(label.len().next_multiple_of(plain::WORD), 0);
        Self {
            name: name.to_owned(),
            label,
            padded,
            text: config.list("text").any(|text| text == name),
            key: config.get("key") == Some(name),
        }
    }
}

transform!(LinesToJson, LinesToJson::line);

#[cfg(test)]
mod tests;
