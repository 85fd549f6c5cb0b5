//! A transform of the world `typed-transform`, on wit-bindgen alone. `do` says what becomes of each record:
//!
//! | `do` | |
//! |---|---|
//! | `forward` (default) | it goes on as it is, to the last output |
//! | `describe` | a record that says in its value what was given, an hour later, without key and headers |
//! | `drop` | nothing |
//! | `twice` | it goes on twice |
//! | `dead-letter`, `retry`, `fail` | that outcome, with the record's value as reason |
//! | `lie-source`, `lie-output` | it goes on from a record, or to an output, that there is not |
//! | `flood-bytes`, `flood-records` | a record of 1 MiB, or a thousand and one |

use std::cell::RefCell;

use bindings::{Emitted, Fault, Outcome, Record};

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all)]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "weir:plugin/typed-transform" });

    pub(crate) use exports::weir::plugin::record_transform_typed::{Emitted, Fault, Guest, Outcome, Record};

    #[cfg(target_arch = "wasm32")]
    use super::TypedTransform;
    #[cfg(target_arch = "wasm32")]
    export!(TypedTransform);
}

/// Milliseconds.
const HOUR: i64 = 3_600_000;

/// What it was told.
#[derive(Debug, Default)]
struct Settings {
    what: String,
    outputs: u32,
}

impl Settings {
    fn outcomes(&self, source: u32, record: Record, outcomes: &mut Vec<Outcome>) {
        let fault = |record: Record| Fault {
            source,
            reason: String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned(),
        };
        let forward = |record: Record| Emitted {
            output: self.outputs - 1,
            source,
            timestamp: None,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        let outcome = match self.what.as_str() {
            "drop" => return,
            "twice" => {
                outcomes.push(Outcome::Emit(forward(record.clone())));
                Outcome::Emit(forward(record))
            }
            "describe" => Outcome::Emit(Emitted {
                timestamp: Some(record.timestamp + HOUR),
                value: Some(describe(&record).into_bytes()),
                key: None,
                headers: Vec::new(),
                ..forward(record)
            }),
            "dead-letter" => Outcome::DeadLetter(fault(record)),
            "retry" => Outcome::Retry(fault(record)),
            "fail" => Outcome::Fail(fault(record)),
            "lie-source" => Outcome::Emit(Emitted {
                source: u32::MAX,
                ..forward(record)
            }),
            "lie-output" => Outcome::Emit(Emitted {
                output: self.outputs,
                ..forward(record)
            }),
            "flood-bytes" => Outcome::Emit(Emitted {
                value: Some(vec![b'x'; 1 << 20]),
                ..forward(record)
            }),
            "flood-records" => {
                outcomes.extend((0..1_000).map(|_| Outcome::Emit(forward(record.clone()))));
                Outcome::Emit(forward(record))
            }
            _ => Outcome::Emit(forward(record)),
        };
        outcomes.push(outcome);
    }
}

fn describe(record: &Record) -> String {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(String::from_utf8_lossy).map(String::from);
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(name, value)| (name, text(value)))
        .collect();
    format!(
        "{} {} {:?} {:?} {headers:?}",
        record.offset,
        record.timestamp,
        text(&record.key),
        text(&record.value),
    )
}

thread_local! {
    static SETTINGS: RefCell<Settings> = RefCell::default();
}

/// The exported interface.
pub struct TypedTransform;

impl bindings::Guest for TypedTransform {
    fn configure(config: Vec<(String, String)>, outputs: Vec<String>) -> Result<(), String> {
        let mut what = String::new();
        for (key, value) in config {
            match key.as_str() {
                "do" => what = value,
                _ => return Err(format!("there is no `{key}`")),
            }
        }
        let outputs = outputs.len() as u32;
        SETTINGS.set(Settings { what, outputs });
        Ok(())
    }

    fn transform(records: Vec<Record>) -> Vec<Outcome> {
        SETTINGS.with_borrow(|settings| {
            let mut outcomes = Vec::with_capacity(records.len());
            for (source, record) in records.into_iter().enumerate() {
                settings.outcomes(source as u32, record, &mut outcomes);
            }
            outcomes
        })
    }
}
