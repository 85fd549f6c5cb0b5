//! Trying a migration, so that a plugin that refuses the state does not replace the one that knows it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Fault, Migration, Turn};
use crate::core::Core;
use crate::flow;
use crate::flow::work::FlowWork;
use crate::{BrokerError, ErrorKind, Topic};

/// Nothing else can be changed in the broker meanwhile: what was not tried within this time is migrated untried.
const TRIAL: Duration = Duration::from_secs(15);

/// Tries whether the plugins of `work` take the state that a stopped flow has of `source`. Nothing is changed by it.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`] with the words of the plugin that does not; [`ErrorKind::Storage`] when the state cannot be read.
pub(crate) async fn try_migration(
    core: &Arc<Core>,
    id: u32,
    work: &Arc<FlowWork>,
    source: &Topic,
) -> Result<(), BrokerError> {
    if !work.is_stateful() {
        return Ok(());
    }
    let topic = source.id();
    let progress = core
        .blocking(move |core| flow::stored_progress(core, id, topic))
        .await?;
    let began = Instant::now();
    for partition in 0..source.partitions() {
        // Where nothing was processed there is no state.
        let Some(progress) = progress.get(&partition) else {
            continue;
        };
        let log_partition = source.partition(partition)?.log_partition().clone();
        let (name, position, work) = (source.name().to_owned(), progress.position, Arc::clone(work));
        let open = core.blocking(move |core| {
            let bytes_max = core.limits.flow_state_bytes_max;
            let source = (name.as_str(), &log_partition);
            Migration::open(&core.log, &work, id, source, position, bytes_max, true)
                .map_err(BrokerError::storage)
        });
        let Some(mut migration) = open.await? else {
            continue;
        };
        loop {
            let Some((turned, turn)) = migration.turn(core).await else {
                return Err(BrokerError::new(
                    ErrorKind::Storage,
                    "the broker failed while it tried to migrate the flow's state: see its log",
                ));
            };
            migration = turned;
            match turn {
                Ok(Turn::Done) => break,
                Ok(Turn::More | Turn::Entry(_)) if began.elapsed() < TRIAL => {}
                Ok(Turn::More | Turn::Entry(_)) => return Ok(()),
                Err(Fault::Refused(reason)) => {
                    let message = format!("{reason}; the flow stays as it was");
                    return Err(BrokerError::new(ErrorKind::InvalidFlow, message));
                }
                Err(Fault::Read(error)) => return Err(BrokerError::storage(error)),
            }
        }
    }
    Ok(())
}
