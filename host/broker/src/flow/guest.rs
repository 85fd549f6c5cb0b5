//! The guests of a chain, as the chain calls them.

use weir_batch::frame::Checked;
use weir_runtime::{CallError, Instance, StateStore, Stats};

/// A plugin that is set up and can be called. Calls block until the guest is done or stopped.
pub(crate) trait Guest: Send {
    /// Writes a bitmap of the records to keep to `bitmap`, whose former content is lost.
    fn filter(&mut self, batch: &[u8], bitmap: &mut Vec<u8>) -> Result<(), CallError>;

    /// Writes an output frame to `frame`, whose former content is lost. What is known of it, if it was checked.
    fn transform(&mut self, batch: &[u8], frame: &mut Vec<u8>) -> Result<Option<Checked>, CallError>;

    /// The version of its keyed state.
    fn state_version(&mut self) -> Result<u32, CallError>;

    /// One step of migrating state of version `from`, see [`Instance::migrate`].
    fn migrate(&mut self, from: u32, after: Option<&[u8]>, now_ms: i64)
    -> Result<Option<Vec<u8>>, CallError>;

    /// What it has done and taken so far.
    fn stats(&self) -> Stats;

    /// Decides the random numbers of the next call.
    fn set_seed(&mut self, seed: u64);

    /// Gives the next calls their keyed state, or takes it away.
    fn set_state(&mut self, state: Option<Box<dyn StateStore>>);
}

impl Guest for Instance {
    fn filter(&mut self, batch: &[u8], bitmap: &mut Vec<u8>) -> Result<(), CallError> {
        Instance::filter(self, batch, bitmap)
    }

    fn transform(&mut self, batch: &[u8], frame: &mut Vec<u8>) -> Result<Option<Checked>, CallError> {
        Instance::transform(self, batch, frame).map(Some)
    }

    fn state_version(&mut self) -> Result<u32, CallError> {
        Instance::state_version(self)
    }

    fn migrate(
        &mut self,
        from: u32,
        after: Option<&[u8]>,
        now_ms: i64,
    ) -> Result<Option<Vec<u8>>, CallError> {
        Instance::migrate(self, from, after, now_ms)
    }

    fn stats(&self) -> Stats {
        Instance::stats(self)
    }

    fn set_seed(&mut self, seed: u64) {
        Instance::set_seed(self, seed);
    }

    fn set_state(&mut self, state: Option<Box<dyn StateStore>>) {
        match state {
            Some(state) => Instance::set_state(self, state),
            None => drop(self.take_state()),
        }
    }
}
