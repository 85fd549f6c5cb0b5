//! One plugin of a chain.

use std::time::Instant;

use weir_batch::{Batch, bitmap};
use weir_runtime::CallError;

use crate::PluginKind;
use crate::flow::chain::ChainError;
use crate::flow::guest::Guest;

/// One plugin of a chain, set up.
pub(crate) struct Stage {
    /// `name@version`.
    pub(crate) plugin: String,
    pub(crate) kind: PluginKind,
    pub(crate) guest: Box<dyn Guest>,
    /// What its keys begin with, if it keeps state.
    pub(crate) state_label: Option<String>,
}

impl Stage {
    /// Has a filter judge a batch: `bits` then fits it. Returns the nanoseconds that took.
    pub(super) fn filter(&mut self, batch: Batch<'_>, bits: &mut Vec<u8>) -> Result<u64, ChainError> {
        let began = Instant::now();
        let called = self.guest.filter(batch.as_bytes(), bits);
        let took_ns = began.elapsed().as_nanos() as u64;
        called.map_err(|error| self.failure(&error))?;
        let len = batch.len();
        if !bitmap::is_valid(bits, len) {
            return Err(self.fault(format!(
                "the plugin returned a bitmap that does not fit {len} records"
            )));
        }
        Ok(took_ns)
    }

    /// Has a transform make a frame of a batch; nothing is checked about the frame. Returns the nanoseconds that took.
    pub(super) fn transform(&mut self, batch: Batch<'_>, frame: &mut Vec<u8>) -> Result<u64, ChainError> {
        let began = Instant::now();
        let called = self.guest.transform(batch.as_bytes(), frame);
        let took_ns = began.elapsed().as_nanos() as u64;
        called.map_err(|error| self.failure(&error))?;
        Ok(took_ns)
    }

    /// What is wrong with a call's answer.
    pub(super) fn fault(&self, reason: String) -> ChainError {
        ChainError::Call {
            plugin: Some(self.plugin.clone()),
            reason,
            slow: false,
        }
    }

    fn failure(&self, error: &CallError) -> ChainError {
        ChainError::Call {
            plugin: Some(self.plugin.clone()),
            reason: error.to_string(),
            slow: matches!(error, CallError::Deadline { .. }),
        }
    }
}
