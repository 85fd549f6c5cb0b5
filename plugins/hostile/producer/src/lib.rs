//! A producer that does what a producer must not. `do` says what:
//!
//! | `do` | what happens |
//! |---|---|
//! | `tick` (default) | one record, the cursor is how many there were |
//! | `records` | one record more than the budget has |
//! | `bytes` | one record of as many bytes as the budget has |
//! | `cursor` | a cursor of `n` bytes |
//! | `refuse` | no page, but a reason of `n` bytes |
//! | `dead-letter` | an entry that is no record |
//! | `loop`, `panic` | that |
//! | `source`, `truncated` | a frame that lies |

use std::cell::RefCell;

use weir_plugin::bindings::producer::exports::weir::plugin::record_producer::{Budget, Guest, Page};
use weir_plugin::{Config, run_poll};

/// What it was told to do.
pub struct Hostile {
    what: String,
    n: usize,
    polls: usize,
}

impl Hostile {
    /// Reads `do` and `n`.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["do", "n"])?;
        Ok(Self {
            what: config.get("do").unwrap_or("tick").to_owned(),
            n: config.parse("n")?.unwrap_or(1),
            polls: 0,
        })
    }

    fn page(
        &mut self,
        page: &mut weir_plugin::Page,
        cursor: Option<&[u8]>,
        budget: Budget,
    ) -> Result<Page, String> {
        self.polls += 1;
        let granted = weir_plugin::Budget {
            records: budget.records,
            bytes: budget.bytes,
        };
        let mut polled = run_poll(self, page, Self::poll, cursor, granted)?;
        match self.what.as_str() {
            // The head of the first entry is kind, output, source: one byte each, after version and count.
            "source" => polled.frame[7] = 1,
            "truncated" => drop(polled.frame.pop()),
            "dead-letter" => {
                polled.frame = vec![1, 1, 0, 0, 0, 1, 0, 4];
                polled.frame.extend_from_slice(b"nope");
            }
            "cursor" => polled.cursor = vec![b'c'; self.n],
            _ => {}
        }
        Ok(Page {
            records: polled.frame,
            cursor: polled.cursor,
            more: polled.more,
        })
    }

    fn poll(&mut self, _: Option<&[u8]>, page: &mut weir_plugin::Page) -> Result<(), String> {
        let records = match self.what.as_str() {
            "records" => page.records_left() + 1,
            "refuse" => return Err("x".repeat(self.n)),
            "panic" => panic!("told to panic"),
            "loop" => loop {
                std::hint::black_box(());
            },
            _ => 1,
        };
        let size = if self.what == "bytes" { self.n } else { 4 };
        for _ in 0..records {
            page.create().value(&vec![b'v'; size]).emit();
        }
        page.set_cursor(&self.polls.to_string());
        Ok(())
    }
}

thread_local! {
    static STATE: RefCell<Option<(Hostile, weir_plugin::Page)>> = const { RefCell::new(None) };
}

/// The exported world, without the SDK's macro: it would not let a page lie.
pub struct Exported;

impl Guest for Exported {
    fn configure(entries: Vec<(String, String)>, outputs: Vec<String>) -> Result<(), String> {
        weir_plugin::__install_panic_hook();
        let config = Config::new(entries, outputs);
        let page = weir_plugin::Page::new(config.outputs().to_vec());
        STATE.set(Some((Hostile::configure(&config)?, page)));
        Ok(())
    }

    fn poll(cursor: Option<Vec<u8>>, budget: Budget) -> Result<Page, String> {
        STATE.with_borrow_mut(|state| match state {
            Some((hostile, page)) => hostile.page(page, cursor.as_deref(), budget),
            None => Err("poll was called before configure".to_owned()),
        })
    }
}

#[cfg(target_arch = "wasm32")]
weir_plugin::bindings::producer::export_producer!(Exported with_types_in weir_plugin::bindings::producer);
