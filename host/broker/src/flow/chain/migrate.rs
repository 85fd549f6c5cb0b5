//! The versions of the chain's keyed state.

use super::Chain;
use weir_runtime::CallError;

/// A stage that keeps state, and the version of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct StageSchema {
    /// Its place in the chain.
    pub(crate) stage: usize,
    /// `name@version`.
    pub(crate) plugin: String,
    /// What its keys begin with.
    pub(crate) label: String,
    /// The version of the state that it reads and writes.
    pub(crate) version: u32,
}

impl Chain {
    /// The versions of the stages that keep state.
    ///
    /// # Errors
    /// The plugin that could not say, and why.
    pub(crate) fn schemas(&mut self) -> Result<Vec<StageSchema>, (String, CallError)> {
        let mut schemas = Vec::new();
        for (index, stage) in self.stages.iter_mut().enumerate() {
            let Some(label) = &stage.state_label else {
                continue;
            };
            let version = stage.guest.state_version();
            schemas.push(StageSchema {
                stage: index,
                plugin: stage.plugin.clone(),
                label: label.clone(),
                version: version.map_err(|error| (stage.plugin.clone(), error))?,
            });
        }
        Ok(schemas)
    }

    /// One step of migrating a stage's state, which [`begin_pass`](Chain::begin_pass) has given it: where the next one goes on, none at the end.
    pub(crate) fn migrate(
        &mut self,
        stage: usize,
        from: u32,
        after: Option<&[u8]>,
        now_ms: i64,
    ) -> Result<Option<Vec<u8>>, CallError> {
        let stage = &mut self.stages[stage];
        // The same numbers for every step that is repeated.
        stage.guest.set_seed(u64::from(from));
        stage.guest.migrate(from, after, now_ms)
    }
}
