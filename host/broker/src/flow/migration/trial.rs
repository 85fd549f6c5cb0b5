//! Trying a migration, so that a plugin that refuses the state does not replace the one that knows it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Fault, Migration, Source, Turn};
use crate::core::Core;
use crate::flow::Lane;
use crate::flow::work::FlowWork;
use crate::{BrokerError, ErrorKind, Topic};

/// Nothing else can be changed in the broker meanwhile: what was not tried within this time is migrated untried.
const TRIAL: Duration = Duration::from_secs(15);

/// Tries whether the plugins of `work` take the state that a stopped flow has in `places`: sources, lanes, and the offsets up to
/// which they are processed. Nothing is changed by it.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`] with the words of the plugin that does not; [`ErrorKind::Storage`] when the state cannot be read.
pub(crate) async fn try_migration(
    core: &Arc<Core>,
    id: u32,
    work: &Arc<FlowWork>,
    places: Vec<(Topic, Lane, i64)>,
) -> Result<(), BrokerError> {
    let began = Instant::now();
    for (topic, lane, position) in places {
        let partition = topic.partition(lane.partition)?.log_partition().clone();
        let work = Arc::clone(work);
        let open = core.blocking(move |core| {
            let source = Source {
                topic: topic.name(),
                partition: &partition,
                lane,
                position,
            };
            let bytes_max = core.limits.flow_state_bytes_max;
            Migration::open(&core.log, &work, id, source, bytes_max, true).map_err(BrokerError::storage)
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
