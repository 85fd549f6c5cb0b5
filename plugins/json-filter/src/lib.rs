//! Keeps the records whose JSON value has a field that compares with a value.
//!
//! | configuration | |
//! |---|---|
//! | `field` | the field's name; dots lead into objects: `user.address.city` |
//! | `op` | `eq` (default), `ne`, `lt`, `le`, `gt`, `ge`, `contains`, `exists`, `missing` |
//! | `value` | what to compare with; not for `exists` and `missing` |
//!
//! Where both sides are numbers, they compare as numbers; otherwise as text, byte by byte. `lt`, `le`, `gt` and `ge` keep numbers where `value` is a
//! number and strings where it is none: a null, or a string beside a number, has no order and is left out. `contains` asks whether a string has a part, or an
//! array an element. A record without the field is kept by `missing` alone, and so is one that is no JSON: `ne` asks for a field that is there
//! and different. Other fields are read as far as finding this one takes: strings end, brackets close.

mod compare;

use compare::Comparison;
use weir_plugin::{Config, Record, filter};

/// The filter, configured.
#[derive(Debug)]
pub struct JsonFilter {
    path: Vec<String>,
    comparison: Comparison,
}

impl JsonFilter {
    /// Reads `field`, `op` and `value`.
    ///
    /// # Errors
    ///
    /// A sentence that says which of them is wrong.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["field", "op", "value"])?;
        let path = config.required("field")?.split('.').map(str::to_owned).collect();
        Ok(Self {
            path,
            comparison: Comparison::configure(config)?,
        })
    }

    /// Whether the record goes on.
    #[inline]
    pub fn keep(&mut self, record: &Record<'_>) -> bool {
        let found = record
            .value()
            .and_then(|json| weir_json::find(json, &self.path).ok().flatten());
        self.comparison.holds(found)
    }
}

filter!(JsonFilter, JsonFilter::keep);

#[cfg(test)]
mod tests;
