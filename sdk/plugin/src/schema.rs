use weir_batch::frame::state as packed;

use crate::state::broken;
use crate::{State, batch_hooks, host};

/// Versions of a plugin's [keyed state](State): what [`state_schema!`](crate::state_schema) exports.
pub trait StateSchema {
    /// The version that the plugin reads and writes. Count it up when older rows would be misread. State of a plugin that does not
    /// say has version 0.
    const VERSION: u32;

    /// Whether [`migrate`](Self::migrate) takes state of newer versions, too: of those that a rollback comes from. They are refused unless it
    /// says so.
    const TAKES_NEWER: bool = false;

    /// Migrates some rows of state of version `from`, after those that the step before has migrated up to `after`, what it
    /// returned; none for the first step. `None` is the end. Each step has the limits of a batch: [`migrate_rows`] goes row by row.
    ///
    /// The plugin is configured by then. A step may be repeated from the state as it was, and must come to the same.
    ///
    /// # Errors
    ///
    /// The sentence with which the plugin refuses the state: the flow is not changed to this version then.
    fn migrate(from: u32, after: Option<&[u8]>) -> Result<Option<Vec<u8>>, String>;
}

/// Rows of one step of [`migrate_rows`].
const STEP_ROWS: u32 = 1_000;

/// One step of a migration that goes over the rows whose keys begin with `prefix`, by key: `migrate` is given the rows of this step one after the
/// other, to put and to delete what it has to. What is put after the row at hand, in the order of the keys, may come by again: give
/// such rows another prefix, or have `migrate` know them.
///
/// # Errors
///
/// What `migrate` returns.
pub fn migrate_rows(
    prefix: &[u8],
    after: Option<&[u8]>,
    mut migrate: impl FnMut(&State, &[u8], &[u8]) -> Result<(), String>,
) -> Result<Option<Vec<u8>>, String> {
    let state = State::new();
    state.flush();
    let list = host::state::scan(prefix, after, STEP_ROWS);
    let (more, rows) = packed::rows(&list).unwrap_or_else(broken);
    let mut last = None;
    for row in rows {
        let (key, value) = row.unwrap_or_else(broken);
        migrate(&state, key, value)?;
        last = Some(key);
    }
    Ok(last.filter(|_| more).map(<[u8]>::to_vec))
}

/// Runs a step of a migration: what the exported function does, on any target.
///
/// # Errors
///
/// What [`StateSchema::migrate`] returns, or a sentence for state that is newer than the plugin takes.
pub fn run_migration<S: StateSchema>(from: u32, after: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
    if from > S::VERSION && !S::TAKES_NEWER {
        return Err(format!(
            "it has version {from}, and this version of the plugin knows it up to {}",
            S::VERSION
        ));
    }
    let migrated = S::migrate(from, after);
    batch_hooks::end(migrated.is_ok());
    migrated
}

/// Exports the versions of a plugin's keyed state, beside [`transform!`](crate::transform) or [`filter!`](crate::filter).
///
/// The broker stores the version with the state. Before the plugin runs on state of another one, it has it migrate that state, or
/// refuse it: then the flow is not changed, and goes on with the version of the plugin that it had.
///
/// ```
/// use weir_plugin::{StateSchema, migrate_rows, state_schema};
///
/// /// Counts were text up to version 0, and are eight bytes now.
/// struct Counts;
///
/// impl StateSchema for Counts {
///     const VERSION: u32 = 1;
///
///     fn migrate(from: u32, after: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
///         if from != 0 {
///             return Err(format!("there never was a version {from}"));
///         }
///         migrate_rows(b"count/", after, |state, key, value| {
///             let text = str::from_utf8(value).map_err(|error| error.to_string())?;
///             let count: u64 = text.parse().map_err(|_| format!("{text:?} is no count"))?;
///             state.put(key, &count.to_le_bytes());
///             Ok(())
///         })
///     }
/// }
///
/// state_schema!(Counts);
/// ```
#[macro_export]
macro_rules! state_schema {
    ($schema:ty $(,)?) => {
        const _: () = {
            #[allow(dead_code)]
            fn is_schema<S: $crate::StateSchema>() {}
            #[allow(dead_code)]
            fn check() {
                is_schema::<$schema>();
            }
        };

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::versioned_state::exports::weir::plugin::state_schema::Guest for Exported {
                fn version() -> u32 {
                    <$schema as $crate::StateSchema>::VERSION
                }

                fn migrate(
                    from: u32,
                    after: ::std::option::Option<::std::vec::Vec<u8>>,
                ) -> ::std::result::Result<::std::option::Option<::std::vec::Vec<u8>>, ::std::string::String>
                {
                    $crate::run_migration::<$schema>(from, after.as_deref())
                }
            }

            $crate::bindings::versioned_state::export_versioned_state!(
                Exported with_types_in $crate::bindings::versioned_state
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// Doubles every number.
    struct Doubled;

    impl StateSchema for Doubled {
        const VERSION: u32 = 3;

        fn migrate(_: u32, after: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
            migrate_rows(b"n/", after, |state, key, value| {
                if value == b"bad" {
                    return Err("this is bad".to_owned());
                }
                state.put(key, &[value, value].concat());
                Ok(())
            })
        }
    }

    #[test]
    fn rows_are_migrated_once_each_step_by_step() {
        testing::reset();
        let state = State::new();
        for n in 0..2_500 {
            state.put(format!("n/{n:05}").as_bytes(), b"v");
        }
        state.put(b"o", b"v");
        state.flush();
        let (mut after, mut steps) = (None, 0);
        loop {
            after = run_migration::<Doubled>(2, after.as_deref()).unwrap();
            steps += 1;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(steps, 3);
        let rows = testing::rows();
        let doubled = rows.iter().filter(|(_, value)| value == b"vv").count();
        assert_eq!((doubled, rows.len()), (2_500, 2_501));
    }

    #[test]
    fn what_is_refused_is_not_changed() {
        testing::reset();
        let state = State::new();
        state.put(b"n/1", b"v");
        state.put(b"n/2", b"bad");
        state.flush();
        assert_eq!(run_migration::<Doubled>(0, None).unwrap_err(), "this is bad");
        assert_eq!(testing::rows()[0].1, b"v");
        let newer = run_migration::<Doubled>(4, None).unwrap_err();
        assert!(
            newer.contains("version 4") && newer.contains("up to 3"),
            "{newer}"
        );
    }
}
