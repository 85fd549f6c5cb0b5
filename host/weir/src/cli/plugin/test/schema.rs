//! State of another version than the plugin's, before the first record.

use weir_runtime::Instance;

use super::state::TestState;
use crate::cli::Failure;

/// Steps after which a migration is one without an end.
const STEPS_MAX: u32 = 1_000_000;

/// Has the plugin migrate the state, if that is of another version than it knows, as the broker does when a flow is changed.
///
/// # Errors
///
/// When the plugin does not take the state: then that is as it was.
pub(super) fn migrate(instance: &mut Instance, state: &TestState) -> Result<(), Failure> {
    let version = instance.state_version().map_err(|error| {
        Failure::new(
            format!("the plugin does not say which version of its state it knows: {error}"),
            "look at what it exports as `version` of weir:plugin/state-schema",
        )
    })?;
    let from = state.version();
    if from != version && state.len() > 0 {
        let mut after = None;
        for step in 1.. {
            let migrated = instance.migrate(from, after.as_deref(), 0);
            let refused = match migrated {
                Ok(None) => break,
                Ok(_) if step == STEPS_MAX => format!("it has taken {STEPS_MAX} steps, and is not at an end"),
                Ok(next) => {
                    after = next;
                    continue;
                }
                Err(error) => error.to_string(),
            };
            state.forget();
            return Err(Failure::new(
                format!(
                    "the state of version {from} is not taken by the plugin, which knows version {version}: {refused}"
                ),
                "leave out --state, name another file, or mend the plugin's `migrate`",
            ));
        }
        state.keep();
        eprintln!("state migrated from version {from} to {version}");
    }
    state.set_version(version);
    Ok(())
}
