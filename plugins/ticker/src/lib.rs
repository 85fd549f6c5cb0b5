//! Produces numbered records: `{"n":0}`, `{"n":1}` and so on, with the time of the poll.
//!
//! | configuration | |
//! |---|---|
//! | `limit` | how many records there are in all; without end if it is not set |
//! | `per-poll` | records of one poll at most (default 100) |
//! | `prefix` | gives each record a key: this and its number |
//!
//! The cursor is the next number, as text.

use weir_plugin::{Config, Page, producer};

/// The producer, configured.
#[derive(Debug)]
pub struct Ticker {
    limit: u64,
    per_poll: u32,
    prefix: Option<String>,
    key: String,
}

impl Ticker {
    /// Reads `limit`, `per-poll` and `prefix`.
    ///
    /// # Errors
    ///
    /// A sentence that says which of them is wrong.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["limit", "per-poll", "prefix"])?;
        let per_poll = config.parse("per-poll")?.unwrap_or(100);
        if per_poll == 0 {
            return Err("`per-poll` is 0: it has to be 1 at least".to_owned());
        }
        Ok(Self {
            limit: config.parse("limit")?.unwrap_or(u64::MAX),
            per_poll,
            prefix: config.get("prefix").map(str::to_owned),
            key: String::new(),
        })
    }

    /// Fills a page.
    ///
    /// # Errors
    ///
    /// When the cursor is not one of its own.
    pub fn poll(&mut self, cursor: Option<&[u8]>, page: &mut Page) -> Result<(), String> {
        let mut next = cursor.map_or(Ok(0), parse)?;
        let end = self.limit.min(next.saturating_add(u64::from(self.per_poll)));
        let mut value = String::new();
        while next < end {
            use std::fmt::Write as _;
            value.clear();
            let _ = write!(value, "{{\"n\":{next}}}");
            self.key.clear();
            if let Some(prefix) = &self.prefix {
                let _ = write!(self.key, "{prefix}{next}");
            }
            if !page.has_room(value.len() + self.key.len()) {
                break;
            }
            let record = page.create().value(&value);
            if self.prefix.is_some() {
                record.key(&self.key).emit();
            } else {
                record.emit();
            }
            next += 1;
        }
        page.set_cursor(&next.to_string());
        // A full page is no reason to hurry: a ticker's pace is that of its schedule.
        page.set_more(next < end);
        Ok(())
    }
}

fn parse(cursor: &[u8]) -> Result<u64, String> {
    let text = str::from_utf8(cursor).ok().and_then(|text| text.parse().ok());
    text.ok_or_else(|| {
        format!(
            "the cursor {:?} is no number: it is of another plugin",
            String::from_utf8_lossy(cursor)
        )
    })
}

producer!(Ticker, Ticker::poll);

#[cfg(test)]
mod tests {
    use weir_batch::frame::{Entry, Reader};
    use weir_plugin::{Budget, run_poll};

    use super::*;

    fn ticker(pairs: &[(&str, &str)]) -> Result<Ticker, String> {
        let pairs = pairs.iter();
        let entries = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Ticker::configure(&Config::new(entries.collect(), vec!["out".to_owned()]))
    }

    /// The records of a page as `key value`, its cursor, and whether there is more.
    fn poll(ticker: &mut Ticker, cursor: Option<&str>, budget: Budget) -> (Vec<String>, String, bool) {
        let mut page = Page::new(vec!["out".to_owned()]);
        let cursor = cursor.map(str::as_bytes);
        let polled = run_poll(ticker, &mut page, Ticker::poll, cursor, budget).unwrap();
        let reader = Reader::new(&polled.frame, 1, 1).unwrap();
        let records = reader.entries().map(|entry| match entry {
            Entry::Emit { tail, .. } => {
                let text =
                    |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                format!("{} {}", text(tail.key()), text(tail.value()))
            }
            other => panic!("{other:?}"),
        });
        (
            records.collect(),
            String::from_utf8(polled.cursor).unwrap(),
            polled.more,
        )
    }

    const LARGE: Budget = Budget {
        records: 1_000,
        bytes: 1 << 20,
    };

    #[test]
    fn it_counts_to_its_limit() {
        let mut ticker = ticker(&[("limit", "5"), ("per-poll", "3"), ("prefix", "k")]).unwrap();
        let (records, cursor, more) = poll(&mut ticker, None, LARGE);
        assert_eq!(records, [r#"k0 {"n":0}"#, r#"k1 {"n":1}"#, r#"k2 {"n":2}"#]);
        assert_eq!((cursor.as_str(), more), ("3", false));
        let (records, cursor, _) = poll(&mut ticker, Some("3"), LARGE);
        assert_eq!(records.len(), 2);
        assert_eq!(
            poll(&mut ticker, Some(&cursor), LARGE),
            (vec![], "5".to_owned(), false)
        );
    }

    #[test]
    fn a_budget_ends_a_page() {
        let mut ticker = ticker(&[]).unwrap();
        let small = Budget { records: 7, ..LARGE };
        let (records, cursor, more) = poll(&mut ticker, Some("10"), small);
        assert_eq!((records.len(), cursor.as_str(), more), (7, "17", true));
        assert_eq!(records[0], r#" {"n":10}"#, "no key without a prefix");
        let tiny = Budget { bytes: 60, ..LARGE };
        assert_eq!(poll(&mut ticker, None, tiny).0.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(ticker(&[("per-poll", "0")]).unwrap_err().contains("per-poll"));
        assert!(ticker(&[("limit", "many")]).unwrap_err().contains("limit"));
        let mut page = Page::new(vec!["out".to_owned()]);
        let refused = run_poll(
            &mut ticker(&[]).unwrap(),
            &mut page,
            Ticker::poll,
            Some(b"x"),
            LARGE,
        );
        assert!(refused.unwrap_err().contains("no number"));
    }
}
