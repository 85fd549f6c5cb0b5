//! Everything that is not writing and reading: retention, sealing, checkpoints, giving disk back. One thread for all
//! shards, which works when it is asked to and now and then by itself.

mod checkpoint;
mod reclaim;
mod retention;
mod rewrite;
mod seal;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;

pub(crate) use seal::ranges_in;

use crate::LogConfig;
use crate::housekeeper::Housekeeper;
use crate::queue::Command;
use crate::shard::Shard;
use crate::state_db::ManifestChange;
use crate::store_error::StoreError;

/// Works whenever it is asked to, until it is stopped.
pub(crate) fn run(shards: &[Arc<Shard>], housekeeper: &Housekeeper, config: &LogConfig) {
    while let Some(number) = housekeeper.next(config.housekeeping_interval) {
        let mut first_error = None;
        for shard in shards {
            if let Err(error) = pass(shard) {
                tracing::warn!(shard = shard.id, %error, "housekeeping failed");
                first_error.get_or_insert_with(|| error.to_string());
            }
        }
        housekeeper.done(number, first_error);
    }
}

fn pass(shard: &Shard) -> Result<(), StoreError> {
    // First what keeps the next start quick and rolling free of waiting.
    seal::seal(shard)?;
    shard.prepare_segment()?;
    if shard.loss_settled.load(Ordering::Acquire) {
        checkpoint::checkpoint(shard, || ManifestChange {
            lost: Some(None),
            ..ManifestChange::default()
        })?;
        *shard.lost() = None;
        shard.loss_settled.store(false, Ordering::Release);
    }

    retention::retain(shard)?;
    reclaim::count_dead(shard)?;
    if reclaim::active_is_dead(shard) {
        roll(shard)?;
        seal::seal(shard)?;
    }
    reclaim::reclaim(shard)?;
    if shard.is_checkpoint_due() {
        checkpoint::checkpoint(shard, ManifestChange::default)?;
    }
    Ok(())
}

fn roll(shard: &Shard) -> Result<(), StoreError> {
    let (reply, rolled) = sync_channel(1);
    if !shard.queue.command(Command::Roll(reply)) {
        return Err(closed());
    }
    rolled.recv().map_err(|_| closed())?
}

fn closed() -> StoreError {
    StoreError::Io("the log is closed".to_owned())
}
