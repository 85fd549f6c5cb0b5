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
//! With `keep`, fields that it does not name are read as far as finding the next takes (strings end, brackets close): whether they are JSON is
//! not checked. Key, headers and timestamp of the record stay.

mod rules;

use std::ops::Range;

use rules::{Rule, Rules};
use weir_json::{Colons, Kind, Malformed, Members, Value, ends_at, write_string};
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

    #[inline]
    fn object(&self, text: &[u8], buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        let end = self.members(text, &self.rules, buffer)?;
        ends_at(text, end)
    }

    /// Writes the object that `text` begins with; gives the place after it.
    #[inline]
    fn members(&self, text: &[u8], rules: &Rules, buffer: &mut Vec<u8>) -> Result<usize, Malformed> {
        let start = Malformed { at: 0 };
        buffer.push(b'{');
        let end = if rules.others_stay() {
            let mut members = weir_json::members(text).ok_or(start)?;
            self.all_but(&mut members, rules, buffer)?;
            members.end()
        } else {
            let mut colons = weir_json::colons(text, rules.endings()).ok_or(start)?;
            self.only(&mut colons, text, rules, buffer)?;
            colons.end()
        };
        buffer.push(b'}');
        Ok(end.unwrap_or(text.len()))
    }

    /// Writes members that rules name, and looks at no others.
    #[inline]
    fn only(
        &self,
        colons: &mut Colons<'_>,
        text: &[u8],
        rules: &Rules,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let opened = buffer.len();
        while let Some(colon) = colons.next_colon()? {
            if let Some((rule, start)) = rules.at(&colon)
                && !rule.dropped
            {
                let (value, place) = colon.value()?;
                separate(buffer, opened);
                if rule.changes() {
                    self.changed((start, place.start), value, rule, text, buffer)?;
                } else {
                    buffer.extend_from_slice(&text[start..place.end]);
                }
            }
        }
        Ok(())
    }

    /// Copies members in runs: from the first that stays as it is to the last before one that does not, with what stands between them.
    fn all_but(
        &self,
        members: &mut Members<'_>,
        rules: &Rules,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let text = members.text();
        let opened = buffer.len();
        let mut run: Option<Range<usize>> = None;
        while let Some(member) = members.next_at()? {
            let rule = rules.of(member.key);
            let stays = rule.is_none_or(|rule| !rule.dropped);
            if stays && rule.is_none_or(|rule| !rule.changes()) {
                run = Some(run.map_or(member.start, |run| run.start)..member.end);
                continue;
            }
            if let Some(run) = run.take() {
                separate(buffer, opened);
                buffer.extend_from_slice(&text[run]);
            }
            if let (true, Some(rule)) = (stays, rule) {
                separate(buffer, opened);
                self.changed(
                    (member.start, member.value_start),
                    member.value,
                    rule,
                    text,
                    buffer,
                )?;
            }
        }
        if let Some(run) = run {
            separate(buffer, opened);
            buffer.extend_from_slice(&text[run]);
        }
        Ok(())
    }

    /// Writes a member that does not stay as it is, from its name and its value on.
    fn changed(
        &self,
        (start, value_start): (usize, usize),
        value: Value<'_>,
        rule: &Rule,
        text: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        match &rule.renamed {
            Some(renamed) => {
                buffer.extend_from_slice(renamed);
                buffer.push(b':');
            }
            None => buffer.extend_from_slice(&text[start..value_start]),
        }
        match value.kind() {
            _ if rule.masked => buffer.extend_from_slice(&self.mask),
            Kind::Object if rule.has_inner() => {
                self.members(value.raw(), &rule.inner, buffer)?;
            }
            _ => buffer.extend_from_slice(value.raw()),
        }
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

/// A comma, unless nothing has been written since the object was opened.
#[inline]
fn separate(buffer: &mut Vec<u8>, opened: usize) {
    if buffer.len() > opened {
        buffer.push(b',');
    }
}

transform!(JsonProject, JsonProject::project);

#[cfg(test)]
mod tests;
