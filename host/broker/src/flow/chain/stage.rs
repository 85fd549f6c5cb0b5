//! One plugin of a chain.

use std::sync::Arc;
use std::time::Instant;

use weir_batch::frame::Checked;
use weir_batch::{Batch, bitmap};
use weir_runtime::{CallError, Stats};

use crate::PluginKind;
use crate::flow::calls::Fault;
use crate::flow::chain::ChainError;
use crate::flow::guest::Guest;
use crate::flow::metrics::GuestMetrics;

/// One plugin of a chain, set up.
pub(crate) struct Stage {
    /// `name@version`.
    pub(crate) plugin: String,
    pub(crate) kind: PluginKind,
    pub(crate) guest: Box<dyn Guest>,
    /// Where all instances of the plugin are accounted for.
    pub(crate) metrics: Arc<GuestMetrics>,
    /// What this one had done and taken when it was last.
    pub(crate) accounted: Stats,
    /// What its keys begin with, if it keeps state.
    pub(crate) state_label: Option<String>,
}

impl Stage {
    /// Has a filter judge a batch: `bits` then fits it. Adds the nanoseconds that took to `took_ns`, after an error too.
    pub(super) fn filter(
        &mut self,
        batch: Batch<'_>,
        bits: &mut Vec<u8>,
        took_ns: &mut u64,
    ) -> Result<(), ChainError> {
        let began = Instant::now();
        let called = self.guest.filter(batch.as_bytes(), bits);
        *took_ns += began.elapsed().as_nanos() as u64;
        called.map_err(|error| self.failure(&error))?;
        let len = batch.len();
        if !bitmap::is_valid(bits, len) {
            return Err(self.fault(format!(
                "the plugin returned a bitmap that does not fit {len} records"
            )));
        }
        Ok(())
    }

    /// Has a transform make a frame of a batch. What is known of the frame, if it was checked. Adds the nanoseconds that took to `took_ns`,
    /// after an error too.
    pub(super) fn transform(
        &mut self,
        batch: Batch<'_>,
        frame: &mut Vec<u8>,
        took_ns: &mut u64,
    ) -> Result<Option<Checked>, ChainError> {
        let began = Instant::now();
        let called = self.guest.transform(batch.as_bytes(), frame);
        *took_ns += began.elapsed().as_nanos() as u64;
        called.map_err(|error| self.failure(&error))
    }

    /// Accounts for what the instance has done and taken since the last time.
    pub(super) fn account(&mut self) {
        let now = self.guest.stats();
        self.metrics.learn(&self.accounted, &now);
        self.accounted = now;
    }

    /// What is wrong with a call's answer.
    pub(super) fn fault(&self, reason: String) -> ChainError {
        ChainError::Call {
            plugin: Some(self.plugin.clone()),
            reason,
            fault: Fault::Output,
        }
    }

    fn failure(&self, error: &CallError) -> ChainError {
        ChainError::Call {
            plugin: Some(self.plugin.clone()),
            reason: error.to_string(),
            fault: error.fault().into(),
        }
    }
}
