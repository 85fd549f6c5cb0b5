//! The guests of a chain, as the chain calls them.

use weir_runtime::{CallError, Instance};

/// A plugin that is set up and can be called. Calls block until the guest is done or stopped.
pub(crate) trait Guest: Send {
    /// Writes a bitmap of the records to keep to `bitmap`, whose former content is lost.
    fn filter(&mut self, batch: &[u8], bitmap: &mut Vec<u8>) -> Result<(), CallError>;

    /// Writes an output frame to `frame`, whose former content is lost.
    fn transform(&mut self, batch: &[u8], frame: &mut Vec<u8>) -> Result<(), CallError>;

    /// The most linear memory it ever had, in bytes.
    fn memory_bytes_peak(&self) -> u64;
}

impl Guest for Instance {
    fn filter(&mut self, batch: &[u8], bitmap: &mut Vec<u8>) -> Result<(), CallError> {
        Instance::filter(self, batch, bitmap)
    }

    fn transform(&mut self, batch: &[u8], frame: &mut Vec<u8>) -> Result<(), CallError> {
        Instance::transform(self, batch, frame)
    }

    fn memory_bytes_peak(&self) -> u64 {
        self.stats().memory_bytes_peak as u64
    }
}
