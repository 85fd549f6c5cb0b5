//! A transform that does what a transform must not. `do` says what:
//!
//! | `do` | what happens |
//! |---|---|
//! | `identity` (default) | nothing bad: every record is forwarded |
//! | `loop`, `memory`, `recurse`, `panic`, `trap` | at the first record, or at those whose value contains `at` |
//! | `flood-bytes`, `flood-records` | an output of `n` bytes or entries (default: endless) |
//! | `busy` | `n` turns of a loop (default 1,000,000) for each record, which is then forwarded |
//! | `flood-log` | `n` log lines (default 100,000) for each batch |
//! | `configure-loop`, `configure-memory`, `configure-panic`, `configure-error` | the same before the first batch |
//! | `frame-empty`, `frame-version`, `frame-count`, `frame-truncated`, `frame-source`, `frame-output`, `frame-tail`, `frame-trailing` | a frame that lies |
//! | `fail`, `retry`, `dead-letter` | that outcome, for records whose value contains `at` (default: for all) |
//! | `partition` | they go to partition `n`, or to the number of the one that they come from |
//! | `grow` | keeps `n` bytes (default 1 MiB) more after each batch |
//!
//! With `log` set to `each` it also logs each record that it is given.

use std::cell::RefCell;

use weir_plugin::bindings::transform::exports::weir::plugin::record_transform::Guest;
use weir_plugin::{Config, Output, Record, log};

/// What it was told to do.
pub struct Hostile {
    what: String,
    at: Option<Vec<u8>>,
    n: Option<usize>,
    logs_each: bool,
    kept: Vec<Vec<u8>>,
    out: Output,
}

impl Hostile {
    /// Reads `do`, `at`, `n` and `log`; the `configure-…` misdeeds happen here.
    pub fn configure(config: &Config) -> Result<Self, String> {
        config.only(&["do", "at", "n", "log"])?;
        let what = config.get("do").unwrap_or("identity").to_owned();
        match what.as_str() {
            "configure-loop" => spin(),
            "configure-memory" => hoard(),
            "configure-panic" => panic!("configure was told to panic"),
            "configure-error" => return Err("configure was told to refuse".to_owned()),
            _ => {}
        }
        Ok(Self {
            what,
            at: config.get("at").map(|at| at.as_bytes().to_vec()),
            n: config.parse("n")?,
            logs_each: config.get("log") == Some("each"),
            kept: Vec::new(),
            out: Output::new(config.outputs().to_vec()),
        })
    }

    /// The answer for a batch.
    pub fn transform(&mut self, batch: &[u8]) -> Vec<u8> {
        match self.what.as_str() {
            "flood-bytes" => return flood(&[0; 4096], self.n.unwrap_or(usize::MAX)),
            "flood-log" => {
                for line in 0..self.n.unwrap_or(100_000) {
                    log::log(log::Level::Info, format_args!("line {line} of a flood"));
                }
            }
            "grow" => self.kept.push(vec![1; self.n.unwrap_or(1 << 20)]),
            _ => {}
        }
        let mut out = std::mem::replace(&mut self.out, Output::new(Vec::new()));
        let mut frame = weir_plugin::run_transform(self, &mut out, Self::record, batch);
        self.out = out;
        self.lie(&mut frame);
        frame
    }

    fn record(&mut self, record: &Record<'_>, out: &mut Output) {
        let value = record.value().unwrap_or_default();
        if self.logs_each {
            log::log(
                log::Level::Info,
                format_args!("given {}", String::from_utf8_lossy(value)),
            );
        }
        let here = self
            .at
            .as_ref()
            .is_none_or(|at| value.windows(at.len()).any(|part| part == at));
        if !here {
            return out.forward(record);
        }
        match self.what.as_str() {
            "loop" => spin(),
            "memory" => hoard(),
            "busy" => busy(self.n.unwrap_or(1_000_000)),
            "recurse" => {
                let _ = recurse(1);
            }
            "panic" => panic!("told to panic at {:?}", String::from_utf8_lossy(value)),
            "trap" => trap(),
            "fail" => return out.fail("told to fail"),
            "retry" => return out.retry("told to ask again"),
            "dead-letter" => return out.dead_letter("told to give up"),
            "partition" => {
                let draft = out.edit(record);
                return match self.n {
                    Some(n) => draft.partition(n as u32).emit(),
                    None => draft.source_partition().emit(),
                };
            }
            "flood-records" => {
                for _ in 0..self.n.unwrap_or(usize::MAX) {
                    out.forward(record);
                }
                return;
            }
            _ => {}
        }
        out.forward(record);
    }

    fn lie(&self, frame: &mut Vec<u8>) {
        // The head of the first entry is kind, output, source: one byte each, after version and count.
        match self.what.as_str() {
            "frame-empty" => frame.clear(),
            "frame-version" => frame[0] = 9,
            "frame-count" => frame[1..5].copy_from_slice(&u32::MAX.to_le_bytes()),
            "frame-truncated" => frame.truncate(frame.len().saturating_sub(1)),
            "frame-output" => frame[6] = 99,
            "frame-source" => frame[7] = 127,
            "frame-tail" => {
                let last = frame.len() - 1;
                frame[last] = 0x55;
            }
            "frame-trailing" => frame.push(0),
            _ => {}
        }
    }
}

fn busy(turns: usize) {
    for turn in 0..turns {
        std::hint::black_box(turn);
    }
}

fn spin() {
    let mut turns = 0_u64;
    while std::hint::black_box(turns) != u64::MAX {
        turns = turns.wrapping_add(1) & 0xffff;
    }
}

fn hoard() {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

fn flood(piece: &[u8], bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        all.extend_from_slice(&piece[..piece.len().min(bytes - all.len())]);
    }
    all
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let space = std::hint::black_box([depth; 64]);
    if space[1] == u64::MAX {
        return depth;
    }
    recurse(depth.wrapping_add(1)).wrapping_add(space[3])
}

fn trap() {
    #[cfg(target_arch = "wasm32")]
    std::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

thread_local! {
    static STATE: RefCell<Option<Hostile>> = const { RefCell::new(None) };
}

/// The exported world, without the SDK's macro: it would not let a frame lie.
pub struct Exported;

impl Guest for Exported {
    fn configure(entries: Vec<(String, String)>, outputs: Vec<String>) -> Result<(), String> {
        weir_plugin::__install_panic_hook();
        let hostile = Hostile::configure(&Config::new(entries, outputs))?;
        STATE.set(Some(hostile));
        Ok(())
    }

    fn transform(batch: Vec<u8>) -> Vec<u8> {
        STATE.with_borrow_mut(|state| {
            state
                .as_mut()
                .map_or_else(Vec::new, |hostile| hostile.transform(&batch))
        })
    }
}

#[cfg(target_arch = "wasm32")]
weir_plugin::bindings::transform::export_transform!(Exported with_types_in weir_plugin::bindings::transform);
