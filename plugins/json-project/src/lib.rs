//! Cuts JSON objects to shape: keeps, drops, masks and renames fields. What is kept is copied as it is written.
//!
//! | configuration | |
//! |---|---|
//! | `keep` | the only fields that stay, comma-separated; all if not set |
//! | `drop` | fields that go |
//! | `mask` | fields whose value becomes the text of `mask-with` (default `***`) |
//! | `rename` | `old=new`, comma-separated; the new name is that of the field alone, it stays where it is |
//! | `invalid` | what becomes of a record that is no JSON object: `fail` (default), `dead-letter`, `drop` or `forward` |
//!
//! Dots lead into objects: `drop = user.email`. Objects in arrays are not looked into. Where `keep` and another rule name a field, both hold.
//! Key, headers and timestamp of the record stay.

mod rules;

use rules::Rules;
use weir_json::{Malformed, Members, Value, write_string};
use weir_plugin::{Config, Output, Record, transform};

/// The transform, configured.
#[derive(Debug)]
pub struct JsonProject {
    rules: Rules,
    mask: Vec<u8>,
    invalid: Invalid,
    buffer: Vec<u8>,
}

/// What becomes of records that are no JSON objects.
#[derive(Clone, Copy, Debug)]
enum Invalid {
    Fail,
    DeadLetter,
    Drop,
    Forward,
}

impl JsonProject {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with it.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["keep", "drop", "mask", "mask-with", "rename", "invalid"])?;
        let mut mask = Vec::new();
        write_string(&mut mask, config.get("mask-with").unwrap_or("***").as_bytes());
        let invalid = match config.get("invalid").unwrap_or("fail") {
            "fail" => Invalid::Fail,
            "dead-letter" => Invalid::DeadLetter,
            "drop" => Invalid::Drop,
            "forward" => Invalid::Forward,
            other => {
                return Err(format!(
                    "`invalid` cannot be {other:?}: it is one of fail, dead-letter, drop, forward"
                ));
            }
        };
        Ok(Self {
            rules: Rules::configure(config)?,
            mask,
            invalid,
            buffer: Vec::new(),
        })
    }

    /// Writes the record's object, cut to shape.
    #[inline]
    pub fn project(&mut self, record: &Record<'_>, out: &mut Output) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        match self.object(record.value().unwrap_or_default(), &mut buffer) {
            Ok(()) => out.edit(record).value(&buffer).emit(),
            Err(error) => self.settle(error, record, out),
        }
        self.buffer = buffer;
    }

    fn object(&self, text: &[u8], buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        let members = Value::parse(text)?.members().ok_or(Malformed { at: 0 })?;
        self.members(members, &self.rules, buffer)
    }

    fn members(&self, members: Members<'_>, rules: &Rules, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        buffer.push(b'{');
        let mut empty = true;
        for member in members {
            let (name, value) = member?;
            let rule = rules.of(name);
            if rule.is_none_or(|rule| rule.dropped) && (rule.is_some() || !rules.others_stay()) {
                continue;
            }
            if !empty {
                buffer.push(b',');
            }
            empty = false;
            match rule.and_then(|rule| rule.renamed.as_deref()) {
                Some(renamed) => buffer.extend_from_slice(renamed),
                None => {
                    buffer.push(b'"');
                    buffer.extend_from_slice(name.raw());
                    buffer.push(b'"');
                }
            }
            buffer.push(b':');
            match rule {
                Some(rule) if rule.masked => buffer.extend_from_slice(&self.mask),
                Some(rule) if rule.has_inner() => match value.members() {
                    Some(inner) => self.members(inner, &rule.inner, buffer)?,
                    None => buffer.extend_from_slice(value.raw()),
                },
                _ => buffer.extend_from_slice(value.raw()),
            }
        }
        buffer.push(b'}');
        Ok(())
    }

    #[cold]
    fn settle(&self, error: Malformed, record: &Record<'_>, out: &mut Output) {
        let reason = format!("the value is no JSON object: {error}");
        match self.invalid {
            Invalid::Fail => out.fail(&reason),
            Invalid::DeadLetter => out.dead_letter(&reason),
            Invalid::Drop => {}
            Invalid::Forward => out.forward(record),
        }
    }
}

transform!(JsonProject, JsonProject::project);

#[cfg(test)]
mod tests;
