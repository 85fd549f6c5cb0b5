//! A chain that only says which records to keep.

use std::ops::Range;

use weir_batch::{Batch, bitmap};

use crate::PluginKind;
use crate::flow::chain::records::{Keep, Records, as_records, rewrite};
use crate::flow::chain::{Chain, ChainError, unreadable};

impl Chain {
    /// Whether all plugins are filters: what is kept is kept as it was.
    pub(crate) fn only_selects(&self) -> bool {
        self.stages.iter().all(|stage| stage.kind == PluginKind::Filter)
    }

    /// Runs the records `range` of `batch`, which is not compressed, through all plugins, which are filters, and sets the
    /// bits of those that are kept in `kept`. Returns the nanoseconds in the guests' calls. After an error, `kept` is as
    /// it was.
    ///
    /// # Panics
    /// If the range is not within the batch, or a plugin is no filter.
    pub(crate) fn select(
        &mut self,
        batch: Batch<'_>,
        range: Range<usize>,
        kept: &mut [u8],
    ) -> Result<u64, ChainError> {
        assert!(range.start <= range.end && range.end <= batch.len() && self.only_selects());
        self.metered(&batch, range.clone(), false, |chain| {
            chain.select_by_stages(batch, range, kept)
        })
    }

    fn select_by_stages(
        &mut self,
        batch: Batch<'_>,
        range: Range<usize>,
        kept: &mut [u8],
    ) -> Result<u64, ChainError> {
        let len = batch.len();
        self.builder.clear();
        let mut keep = (range.len() < len).then(|| Keep::range(range, len));
        let mut records = Records {
            batch,
            sources: None,
            targets: None,
        };
        // Owns what `records` borrows, where that is not the source.
        let mut bytes;
        for stage in &mut self.stages {
            if let Some(left) = keep.take() {
                if left.count == 0 {
                    return Ok(self.took_ns);
                }
                let made = rewrite(&records, &left, &mut self.builder).map_err(unreadable)?;
                bytes = made.0;
                records = as_records(&bytes, made.1, made.2).map_err(unreadable)?;
            }
            stage.filter(records.batch, &mut self.bitmap, &mut self.took_ns)?;
            keep = Keep::of(&self.bitmap, records.batch.len());
        }
        for index in 0..records.batch.len() {
            if keep.as_ref().is_none_or(|keep| bitmap::get(&keep.bits, index)) {
                bitmap::set(kept, records.source(index) as usize);
            }
        }
        Ok(self.took_ns)
    }
}
