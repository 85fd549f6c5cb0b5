//! Produces what a host has: each poll asks for what comes after the lines that were had so far, and each line of the answer is a record.
//!
//! | configuration | |
//! |---|---|
//! | `url` | what to ask: `{after}` stands for the number of lines had so far |
//!
//! The host of `url` has to be granted: `weir flow create … --allow-http HOST`. Status 200 gives lines, 204 or an empty answer says that
//! there are no more for now; any other, or none, is a reason to ask again later. The cursor is the number of lines, as text.

use weir_plugin::http::Request;
use weir_plugin::{Config, Page, producer};

/// What stands for the number of lines in `url`.
const AFTER: &str = "{after}";

/// The producer, configured.
#[derive(Debug)]
pub struct PollHttp {
    url: String,
}

impl PollHttp {
    /// Reads `url`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["url"])?;
        let url = config.required("url")?.to_owned();
        if !url.contains(AFTER) {
            return Err(format!(
                "`url` has no {AFTER}, and would get the same lines for ever"
            ));
        }
        Ok(Self { url })
    }

    /// Fills a page with as many of the lines as fit; the others come with the next.
    ///
    /// # Errors
    ///
    /// When the host does not answer as it should, or the cursor is not one of this plugin's.
    pub fn poll(&mut self, cursor: Option<&[u8]>, page: &mut Page) -> Result<(), String> {
        let mut after: u64 = match cursor {
            None => 0,
            Some(cursor) => str::from_utf8(cursor)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or("the cursor is no number: it is of another plugin")?,
        };
        let url = self.url.replace(AFTER, &after.to_string());
        let response = Request::get(&url).send().map_err(|error| error.to_string())?;
        if !matches!(response.status, 200 | 204) {
            return Err(format!("{url} answers {}", response.status));
        }
        let text = String::from_utf8_lossy(&response.body);
        let mut lines = 0;
        for line in text.lines() {
            if !page.has_room(line.len()) {
                if lines == 0 {
                    return Err(format!(
                        "line {after} has {} bytes and fits into no page",
                        line.len()
                    ));
                }
                break;
            }
            page.create().value(line).emit();
            lines += 1;
        }
        after += lines;
        page.set_cursor(&after.to_string());
        // Where there were lines, there may be others behind them.
        page.set_more(lines > 0);
        Ok(())
    }
}

producer!(PollHttp, PollHttp::poll);

#[cfg(test)]
mod tests {
    use weir_batch::frame::{Entry, Reader};
    use weir_plugin::http::Response;
    use weir_plugin::{Budget, run_poll, testing};

    use super::*;

    fn configured(url: &str) -> Result<PollHttp, String> {
        let entries = vec![("url".to_owned(), url.to_owned())];
        PollHttp::configure(&Config::new(entries, vec!["out".to_owned()]))
    }

    /// The values of a page of two records at most, its cursor, and whether there is more.
    fn poll(plugin: &mut PollHttp, cursor: Option<&str>) -> Result<(Vec<String>, String, bool), String> {
        let mut page = Page::new(vec!["out".to_owned()]);
        let budget = Budget {
            records: 2,
            bytes: 1_000,
        };
        let polled = run_poll(
            plugin,
            &mut page,
            PollHttp::poll,
            cursor.map(str::as_bytes),
            budget,
        )?;
        let reader = Reader::new(&polled.frame, 1, 1).unwrap();
        let records = reader.entries().map(|entry| match entry {
            Entry::Emit { tail, .. } => String::from_utf8_lossy(tail.value().unwrap()).into_owned(),
            other => panic!("{other:?}"),
        });
        Ok((
            records.collect(),
            String::from_utf8(polled.cursor).unwrap(),
            polled.more,
        ))
    }

    #[test]
    fn lines_are_records_and_what_does_not_fit_comes_with_the_next_page() {
        testing::reset();
        testing::set_http(|request| {
            let after: usize = request.url().rsplit('=').next().unwrap().parse().unwrap();
            let lines = ["a", "b", "c"];
            let (status, body) = match lines.get(after..) {
                Some(rest) if !rest.is_empty() => (200, rest.join("\n")),
                _ => (204, String::new()),
            };
            Ok(Response {
                status,
                body: body.into_bytes(),
                ..Response::default()
            })
        });
        let mut plugin = configured("http://lines.example/?after={after}").unwrap();
        let page = |values: &[&str], cursor: &str, more| {
            let values = values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
            Ok((values, cursor.to_owned(), more))
        };
        assert_eq!(poll(&mut plugin, None), page(&["a", "b"], "2", true));
        assert_eq!(poll(&mut plugin, Some("2")), page(&["c"], "3", true));
        assert_eq!(poll(&mut plugin, Some("3")), page(&[], "3", false));
        assert!(poll(&mut plugin, Some("x")).unwrap_err().contains("no number"));
        testing::set_http(|_| {
            Ok(Response {
                status: 200,
                body: vec![b'x'; 1_000],
                ..Response::default()
            })
        });
        assert!(
            poll(&mut plugin, None)
                .unwrap_err()
                .contains("line 0 has 1000 bytes")
        );
    }

    #[test]
    fn what_is_no_answer_is_a_reason_to_ask_later() {
        testing::reset();
        testing::set_http(|_| {
            Ok(Response {
                status: 503,
                ..Response::default()
            })
        });
        let mut plugin = configured("http://lines.example/{after}").unwrap();
        assert!(poll(&mut plugin, None).unwrap_err().contains("answers 503"));
        assert!(
            configured("http://lines.example/")
                .unwrap_err()
                .contains("{after}")
        );
    }
}
