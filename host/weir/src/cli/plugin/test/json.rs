//! A line of `weir consume --output json`, read back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use crate::cli::Failure;

/// A record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JsonRecord {
    /// Milliseconds since 1970, if the object says.
    pub(super) timestamp_ms: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The object. Where it was stored and what came of it (topic, partition, offset, line, output) are of no concern.
#[derive(Deserialize)]
struct Object {
    timestamp: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    key: Option<Option<String>>,
    key_base64: Option<String>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Option<String>>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: Option<String>,
    value_base64: Option<String>,
}

/// Tells a null, which is inside, from a field that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl JsonRecord {
    /// Reads one line.
    ///
    /// # Errors
    ///
    /// When it is no such object.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Failure> {
        let refused = |what: String| {
            Failure::new(
                what,
                "give lines as `weir consume --output json` prints them, or leave --input-format out",
            )
        };
        let object: Object = serde_json::from_slice(line)
            .map_err(|error| refused(format!("this is no record as JSON: {error}")))?;
        if object.value.is_none() && object.value_base64.is_none() {
            return Err(refused(
                "this is no record as JSON: it has neither value nor value_base64".to_owned(),
            ));
        }
        let bytes = |name: &str, text: Option<String>, base64: Option<String>| match base64 {
            None => Ok(text.map(String::into_bytes)),
            Some(base64) => STANDARD
                .decode(&base64)
                .map(Some)
                .map_err(|error| refused(format!("{name}_base64 is no base64: {error}"))),
        };
        Ok(Self {
            timestamp_ms: object.timestamp,
            key: bytes("key", object.key.flatten(), object.key_base64)?,
            value: bytes("value", object.value.flatten(), object.value_base64)?,
            headers: object
                .headers
                .into_iter()
                .map(|header| Ok((header.name, bytes("value", header.value, header.value_base64)?)))
                .collect::<Result<_, Failure>>()?,
        })
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// Names and values, in order.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_consume_prints_is_read_back() {
        let line = br#"{"topic":"t","partition":3,"offset":7,"timestamp":1000,"key_base64":"/wA=","value":"\u00e9\"",
            "headers":[{"name":"h","value":"1"},{"name":"h","value_base64":"/w=="},{"name":"n","value":null}]}"#;
        let record = JsonRecord::parse(line).unwrap();
        assert_eq!(record.timestamp_ms, Some(1000));
        assert_eq!(record.key(), Some(&[0xff, 0][..]));
        assert_eq!(record.value(), Some("é\"".as_bytes()));
        let headers: Vec<_> = record.headers().collect();
        assert_eq!(
            headers,
            [("h", Some(&b"1"[..])), ("h", Some(&[0xff][..])), ("n", None)]
        );
    }

    #[test]
    fn a_tombstone_says_that_it_is_one() {
        let record = JsonRecord::parse(br#"{"key":"k","value":null}"#).unwrap();
        assert_eq!((record.key(), record.value()), (Some(&b"k"[..]), None));
        assert_eq!(record.timestamp_ms, None);
    }

    #[test]
    fn what_is_no_record_is_refused_in_two_lines() {
        for line in [
            "",
            "text",
            "[]",
            r#"{"price":1}"#,
            r#"{"value":1}"#,
            r#"{"value_base64":"?"}"#,
            r#"{"value":"","headers":[{"value":"x"}]}"#,
        ] {
            let refusal = JsonRecord::parse(line.as_bytes()).unwrap_err().to_string();
            assert_eq!(refusal.lines().count(), 2, "{line}: {refusal}");
        }
    }
}
