//! What it says of older state, past the SDK where the SDK would not let it.

use std::cell::RefCell;

use weir_plugin::bindings::transform::weir::plugin::state;
use weir_plugin::bindings::versioned_state::exports::weir::plugin::state_schema::Guest;
use weir_plugin::{Config, StateSchema, migrate_rows, run_migration};

/// What it was told to do.
#[derive(Clone, Default)]
struct Told {
    version: u32,
    what: String,
    rows: u32,
    poison: String,
}

thread_local! {
    static TOLD: RefCell<Told> = RefCell::default();
}

/// The settings that are read here.
pub(crate) const SETTINGS: [&str; 4] = ["version", "migrate", "rows", "poison"];

/// Reads them.
pub(crate) fn configure(config: &Config) -> Result<(), String> {
    let told = Told {
        version: config.parse("version")?.unwrap_or(0),
        what: config.get("migrate").unwrap_or("mark").to_owned(),
        rows: config.parse("rows")?.unwrap_or(1_000),
        poison: config.get("poison").unwrap_or_default().to_owned(),
    };
    TOLD.set(told);
    Ok(())
}

struct Exported;

impl Guest for Exported {
    fn version() -> u32 {
        TOLD.with_borrow(|told| match told.what.as_str() {
            "version-panic" => panic!("told to panic when asked for the version"),
            _ => told.version,
        })
    }

    fn migrate(from: u32, after: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, String> {
        let told = TOLD.with_borrow(Clone::clone);
        match told.what.as_str() {
            "refuse" => Err(format!("told to refuse version {from}")),
            "panic" => panic!("told to panic at version {from}"),
            "again" => Ok(Some(b"here".to_vec())),
            "huge" => Ok(Some(vec![0; 1 << 20])),
            "bomb" => loop {
                state::change(&[2, 1, b'k'].repeat(1_000));
            },
            _ => run_migration::<Mark>(from, after.as_deref()),
        }
    }
}

weir_plugin::bindings::versioned_state::export_versioned_state!(
    Exported with_types_in weir_plugin::bindings::versioned_state
);

/// Puts an exclamation mark behind the value of each row, some rows a step. The SDK runs it, and takes all older versions.
struct Mark;

impl StateSchema for Mark {
    const VERSION: u32 = u32::MAX;

    fn migrate(_: u32, after: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
        let told = TOLD.with_borrow(Clone::clone);
        let mut left = told.rows;
        let mut last = None;
        let next = migrate_rows(b"", after, |state, key, value| {
            if left == 0 {
                return Ok(());
            }
            if !told.poison.is_empty() && key.ends_with(told.poison.as_bytes()) {
                return Err(format!(
                    "told to refuse the key {:?}",
                    String::from_utf8_lossy(key)
                ));
            }
            left -= 1;
            last = Some(key.to_vec());
            state.put(key, &[value, b"!"].concat());
            Ok(())
        });
        // A step that was full may have left rows of its page.
        match next? {
            None if left > 0 => Ok(None),
            _ => Ok(last),
        }
    }
}
