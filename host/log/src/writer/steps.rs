//! Append, commit and apply, and how they are caught up after a failure.

use redb::{Durability, ReadableDatabase, ReadableTable, WriteTransaction};

use super::{Writer, WrittenGroup, WrittenRun};
use crate::chunk::write_run;
use crate::descriptor::Descriptor;
use crate::group::LEADER_EPOCH;
use crate::segment::{DATA, GROUPS};
use crate::store_error::{StoreError, guarded};

impl Writer {
    /// Appends groups to the active segment, one after the other, and commits them: all or none.
    pub(super) fn append_and_commit(
        &mut self,
        groups: &[WrittenGroup],
        durable: bool,
    ) -> Result<(), StoreError> {
        let Self {
            shard,
            active,
            row,
            descriptor,
            order_max,
            ..
        } = self;
        let mut bytes = 0;
        active.file().with_writer(|database| {
            let mut txn = database.begin_write()?;
            txn.set_quick_repair(shard.config.quick_repair && durable);
            if !durable {
                txn.set_durability(Durability::None)
                    .map_err(|error| StoreError::Io(error.to_string()))?;
            }
            for group in groups {
                bytes += append(&txn, group, *order_max, row, descriptor)?;
            }
            commit(txn)
        })?;
        self.active_groups += groups.len() as u64;
        self.active_bytes += bytes;
        Ok(())
    }

    /// The group is committed: lets everybody see it.
    pub(super) fn apply(&mut self, group: &WrittenGroup) {
        let ends = self.shard.apply(&self.active, group.number, &group.descriptor);
        // Proposing has made sure of every offset.
        let ends = ends.unwrap_or_else(|what| unreachable!("a proposed group does not apply: {what}"));
        for WrittenRun { state, batches, .. } in &group.runs {
            for (base_offset, next_offset, bytes) in batches {
                if !state.is_gone() {
                    self.tail.push(state, *base_offset, *next_offset, bytes.clone());
                }
            }
        }
        ends.publish();
    }

    /// Opens the active segment again after a failure. What it has of groups that were not applied, because their
    /// commit was reported as failed, is applied now; relaxed groups that it lost are appended again.
    pub(super) fn reopen(&mut self) -> Result<(), StoreError> {
        self.active.file().open_writer()?;
        let applied = self.shard.applied().number;
        let (newer, last) = self.active.file().with_writer(|database| {
            guarded(|| {
                let txn = database.begin_read()?;
                let table = txn.open_table(GROUPS)?;
                let mut newer = Vec::new();
                for row in table.range(applied + 1..)? {
                    let (number, value) = row?;
                    let descriptor = Descriptor::decode(value.value()).map_err(StoreError::corrupt)?;
                    newer.push((number.value(), descriptor));
                }
                let last = table.last()?.map(|(number, _)| number.value());
                Ok((newer, last))
            })
        })?;
        for (number, descriptor) in newer {
            self.active_groups += 1;
            match self.shard.apply(&self.active, number, &descriptor) {
                Ok(ends) => ends.publish(),
                Err(what) => return Err(StoreError::corrupt(what)),
            }
        }
        let lost: Vec<WrittenGroup> = {
            let unsynced = std::mem::take(&mut self.unsynced);
            unsynced
                .into_iter()
                .filter(|group| Some(group.number) > last)
                .collect()
        };
        if !lost.is_empty() {
            let result = self.append_and_commit(&lost, true);
            self.unsynced = lost;
            result?;
        }
        Ok(())
    }
}

/// Puts a group's rows into a transaction. Returns how many bytes that is.
fn append(
    txn: &WriteTransaction,
    group: &WrittenGroup,
    order_max: u32,
    row: &mut Vec<u8>,
    descriptor: &mut Vec<u8>,
) -> Result<u64, StoreError> {
    let mut total = 0;
    if !group.runs.is_empty() {
        let mut data = txn.open_table(DATA)?;
        let mut batches = Vec::new();
        for run in &group.runs {
            batches.clear();
            batches.extend(
                run.batches
                    .iter()
                    .map(|(base_offset, _, bytes)| (*base_offset, bytes.as_ref())),
            );
            write_run(
                run.partition,
                LEADER_EPOCH,
                &batches,
                order_max,
                row,
                |key, value| {
                    total += value.len() as u64;
                    data.insert(key, value).map(drop)
                },
            )?;
        }
    }
    group.descriptor.encode(descriptor);
    total += descriptor.len() as u64;
    txn.open_table(GROUPS)?
        .insert(group.number, descriptor.as_slice())?;
    Ok(total)
}

/// One fsync, unless the transaction is relaxed.
fn commit(txn: WriteTransaction) -> Result<(), StoreError> {
    Ok(txn.commit()?)
}
