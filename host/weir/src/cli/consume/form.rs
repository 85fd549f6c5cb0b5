//! One record as a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
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
                let object = object(topic, partition, record);
                // Writing JSON into memory cannot fail: the map's keys are strings.
                let _ = serde_json::to_writer(&mut *out, &object);
            }
        }
        out.push(b'\n');
    }
}

fn object(topic: &str, partition: u32, record: &Record<'_>) -> Value {
    let mut object = Map::new();
    object.insert("topic".to_owned(), json!(topic));
    object.insert("partition".to_owned(), json!(partition));
    object.insert("offset".to_owned(), json!(record.offset()));
    object.insert("timestamp".to_owned(), json!(record.timestamp()));
    insert(&mut object, "key", record.key());
    insert(&mut object, "value", record.value());
    let headers = record.headers().map(|(name, value)| {
        let mut header = Map::new();
        insert(&mut header, "name", Some(name.as_bytes()));
        insert(&mut header, "value", value);
        Value::Object(header)
    });
    object.insert("headers".to_owned(), Value::Array(headers.collect()));
    Value::Object(object)
}

/// `name` as text or null, and as `name_base64` what is no text.
fn insert(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(std::str::from_utf8) {
        Some(Ok(text)) => object.insert(name.to_owned(), json!(text)),
        Some(Err(_)) => object.insert(
            format!("{name}_base64"),
            json!(STANDARD.encode(bytes.unwrap_or_default())),
        ),
        None => object.insert(name.to_owned(), Value::Null),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_stands_in_base64() {
        let mut object = Map::new();
        insert(&mut object, "a", Some(b"text \xc3\xa9"));
        insert(&mut object, "b", Some(&[0xff, 0x00]));
        insert(&mut object, "c", None);
        assert_eq!(
            Value::Object(object),
            json!({ "a": "text é", "b_base64": "/wA=", "c": null })
        );
    }
}
