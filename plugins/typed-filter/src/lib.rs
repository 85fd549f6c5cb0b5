//! A filter of the world `typed-filter`, on wit-bindgen alone.
//!
//! | configuration | |
//! |---|---|
//! | `contains` | keeps the records whose value contains this (default: all) |
//! | `answers` | gives so many answers whatever the number of records |

use std::cell::RefCell;

use bindings::Record;

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all)]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "weir:plugin/typed-filter" });

    pub(crate) use exports::weir::plugin::record_filter_typed::{Guest, Record};

    #[cfg(target_arch = "wasm32")]
    use super::TypedFilter;
    #[cfg(target_arch = "wasm32")]
    export!(TypedFilter);
}

/// What it was told.
#[derive(Debug, Default)]
struct Settings {
    contains: Vec<u8>,
    answers: Option<usize>,
}

impl Settings {
    fn parse(config: Vec<(String, String)>) -> Result<Self, String> {
        let mut settings = Self::default();
        for (key, value) in config {
            match key.as_str() {
                "contains" => settings.contains = value.into_bytes(),
                "answers" => {
                    let number = value.parse();
                    settings.answers = Some(number.map_err(|_| "`answers` is a number".to_owned())?);
                }
                _ => return Err(format!("there is no `{key}`")),
            }
        }
        Ok(settings)
    }

    fn keep(&self, record: &Record) -> bool {
        let value = record.value.as_deref().unwrap_or_default();
        let wanted = self.contains.as_slice();
        wanted.is_empty() || value.windows(wanted.len()).any(|part| part == wanted)
    }
}

thread_local! {
    static SETTINGS: RefCell<Settings> = RefCell::default();
}

/// The exported interface.
pub struct TypedFilter;

impl bindings::Guest for TypedFilter {
    fn configure(config: Vec<(String, String)>) -> Result<(), String> {
        SETTINGS.set(Settings::parse(config)?);
        Ok(())
    }

    fn filter(records: Vec<Record>) -> Vec<bool> {
        SETTINGS.with_borrow(|settings| match settings.answers {
            Some(answers) => vec![true; answers],
            None => records.iter().map(|record| settings.keep(record)).collect(),
        })
    }
}
