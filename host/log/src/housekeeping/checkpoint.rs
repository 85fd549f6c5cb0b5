use std::sync::mpsc::sync_channel;

use super::closed;
use crate::checkpoint::Snapshot;
use crate::queue::Command;
use crate::shard::Shard;
use crate::state_db::ManifestChange;
use crate::store_error::StoreError;

/// Writes what differs from the state database, together with a change of the manifest. The change is made up after
/// the difference was taken, so that whatever happens to the partitions' ranges from then on is a difference to it.
pub(super) fn checkpoint(shard: &Shard, change: impl FnOnce() -> ManifestChange) -> Result<(), StoreError> {
    let (reply, frozen) = sync_channel(1);
    if !shard.queue.command(Command::Freeze(reply)) {
        return Err(closed());
    }
    let snapshot: Snapshot = frozen.recv().map_err(|_| closed())??;
    match shard.state.checkpoint(Some(&snapshot), &change()) {
        Ok(()) => {
            snapshot.written(&mut shard.applied());
            Ok(())
        }
        Err(error) => {
            snapshot.failed(&mut shard.applied());
            Err(error)
        }
    }
}
