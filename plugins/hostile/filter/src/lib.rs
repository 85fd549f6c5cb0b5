//! A filter that does what a filter must not. `do` says what: `keep` (default: nothing bad, all is kept), `loop`, `panic` (at the first
//! record, or at those whose value contains `at`), `short`, `long`, `spare-bits` (bitmaps that are wrong).

use std::cell::RefCell;

use weir_plugin::bindings::filter::exports::weir::plugin::record_filter::Guest;
use weir_plugin::{Config, Record};

/// What it was told to do.
pub struct Hostile {
    what: String,
    at: Option<Vec<u8>>,
}

impl Hostile {
    /// Reads `do` and `at`.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["do", "at"])?;
        Ok(Self {
            what: config.get("do").unwrap_or("keep").to_owned(),
            at: config.get("at").map(|at| at.as_bytes().to_vec()),
        })
    }

    /// The answer for a batch.
    pub fn filter(&mut self, batch: &[u8]) -> Vec<u8> {
        let mut bitmap = weir_plugin::run_filter(self, Self::keep, batch);
        match self.what.as_str() {
            "short" => drop(bitmap.pop()),
            "long" => bitmap.push(0),
            "spare-bits" => bitmap.iter_mut().for_each(|byte| *byte = 0xff),
            _ => {}
        }
        bitmap
    }

    fn keep(&mut self, record: &Record<'_>) -> bool {
        let value = record.value().unwrap_or_default();
        let here = self
            .at
            .as_ref()
            .is_none_or(|at| value.windows(at.len()).any(|part| part == at));
        match self.what.as_str() {
            "loop" if here => loop {
                std::hint::black_box(());
            },
            "panic" if here => panic!("told to panic at {:?}", String::from_utf8_lossy(value)),
            _ => true,
        }
    }
}

thread_local! {
    static STATE: RefCell<Option<Hostile>> = const { RefCell::new(None) };
}

/// The exported world, without the SDK's macro: it would not let a bitmap lie.
pub struct Exported;

impl Guest for Exported {
    fn configure(entries: Vec<(String, String)>) -> Result<(), String> {
        weir_plugin::__install_panic_hook();
        STATE.set(Some(Hostile::configure(&Config::new(entries, Vec::new()))?));
        Ok(())
    }

    fn filter(batch: Vec<u8>) -> Vec<u8> {
        STATE.with_borrow_mut(|state| {
            state
                .as_mut()
                .map_or_else(Vec::new, |hostile| hostile.filter(&batch))
        })
    }
}

#[cfg(target_arch = "wasm32")]
weir_plugin::bindings::filter::export_filter!(Exported with_types_in weir_plugin::bindings::filter);
