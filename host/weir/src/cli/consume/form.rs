//! One record as a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use weir_batch::Record;

/// How records are printed.
pub(super) enum Form {
    /// The value; before it the key and a separator, if one is given.
    Plain { key_separator: Option<String> },
    /// An object.
    Json { topic: String },
}

impl Form {
    /// Appends `record` and a newline.
    pub(super) fn write(&self, partition: u32, record: &Record<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Plain { key_separator } => {
                if let Some(separator) = key_separator {
                    out.extend_from_slice(record.key().unwrap_or_default());
                    out.extend_from_slice(separator.as_bytes());
                }
                out.extend_from_slice(record.value().unwrap_or_default());
            }
            Self::Json { topic } => {
                let object = Object {
                    topic,
                    partition,
                    offset: record.offset(),
                    timestamp: record.timestamp(),
                    key: record.key().into(),
                    value: record.value().into(),
                    headers: record
                        .headers()
                        .map(|(name, value)| Header {
                            name,
                            value: value.into(),
                        })
                        .collect(),
                };
                // Writing JSON into memory cannot fail: the map's keys are strings.
                let _ = serde_json::to_writer(&mut *out, &object);
            }
        }
        out.push(b'\n');
    }
}

/// A record as an object; what is no text stands in base64 under a name of its own.
#[derive(Serialize)]
struct Object<'a> {
    topic: &'a str,
    partition: u32,
    offset: i64,
    timestamp: i64,
    #[serde(flatten)]
    key: Key<'a>,
    #[serde(flatten)]
    value: Value<'a>,
    headers: Vec<Header<'a>>,
}

/// A header as an object.
#[derive(Serialize)]
pub(in crate::cli) struct Header<'a> {
    pub(in crate::cli) name: &'a str,
    #[serde(flatten)]
    pub(in crate::cli) value: Value<'a>,
}

/// Text, nothing, or bytes in base64: of these three one is written.
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::cli) enum Key<'a> {
    Text { key: Option<&'a str> },
    Bytes { key_base64: String },
}

/// As [`Key`].
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::cli) enum Value<'a> {
    Text { value: Option<&'a str> },
    Bytes { value_base64: String },
}

/// Text or nothing, or else bytes in base64.
fn text(bytes: Option<&[u8]>) -> Result<Option<&str>, String> {
    let Some(bytes) = bytes else { return Ok(None) };
    std::str::from_utf8(bytes)
        .map(Some)
        .map_err(|_| STANDARD.encode(bytes))
}

impl<'a> From<Option<&'a [u8]>> for Key<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        text(bytes).map_or_else(|key_base64| Self::Bytes { key_base64 }, |key| Self::Text { key })
    }
}

impl<'a> From<Option<&'a [u8]>> for Value<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        text(bytes).map_or_else(
            |value_base64| Self::Bytes { value_base64 },
            |value| Self::Text { value },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(
        form: &Form,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> String {
        let mut builder = weir_batch::BatchBuilder::new();
        builder.push(1000, key, value, headers).unwrap();
        let batch = builder.finish().unwrap();
        let mut out = Vec::new();
        for record in weir_batch::Batch::parse(&batch).unwrap().records().unwrap() {
            form.write(3, &record, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_output_is_the_value() {
        let plain = Form::Plain { key_separator: None };
        assert_eq!(line(&plain, Some(b"k"), Some(b"v"), &[]), "v\n");
        assert_eq!(line(&plain, Some(b"k"), None, &[]), "\n");
        let keyed = Form::Plain {
            key_separator: Some("=>".to_owned()),
        };
        assert_eq!(line(&keyed, Some(b"k"), Some(b"v"), &[]), "k=>v\n");
        assert_eq!(line(&keyed, None, Some(b"v"), &[]), "=>v\n");
    }

    #[test]
    fn json_output_has_everything_and_base64_for_what_is_no_text() {
        let json = Form::Json {
            topic: "t".to_owned(),
        };
        assert_eq!(
            line(&json, None, Some("é\"".as_bytes()), &[("h", Some(b"1"))]),
            "{\"topic\":\"t\",\"partition\":3,\"offset\":0,\"timestamp\":1000,\"key\":null,\"value\":\"é\\\"\",\
             \"headers\":[{\"name\":\"h\",\"value\":\"1\"}]}\n"
        );
        let bytes = line(&json, Some(&[0xff, 0x00]), None, &[("h", Some(&[0xff]))]);
        assert!(
            bytes.contains(
                r#""key_base64":"/wA=","value":null,"headers":[{"name":"h","value_base64":"/w=="}]"#
            ),
            "{bytes}"
        );
    }
}
