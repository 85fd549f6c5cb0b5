//! Before the first pass: the state is brought to the versions that the plugins know.

use weir_log::{Durability, Entry, Partition};

use super::{Attempt, Runner};
use crate::flow::migration::{Fault, Migration, Source, Turn};

impl Runner {
    /// Has what is stored of the flow's state migrated, where it is of another version than the plugins know.
    pub(super) async fn migrate_state(&self, source: &Partition, position: i64) -> Result<(), Attempt> {
        if !self.work.is_stateful() {
            return Ok(());
        }
        let (log, work, flow) = (self.source.log().clone(), self.work.clone(), self.flow.id());
        let (topic, partition) = (self.source.name().to_owned(), source.clone());
        let bytes_max = self.core.limits.flow_state_bytes_max;
        let lane = self.lane;
        let open = move || {
            let source = Source {
                topic: &topic,
                partition: &partition,
                lane,
                position,
            };
            Migration::open(&log, &work, flow, source, bytes_max, false)
        };
        let mut migration = match tokio::task::spawn_blocking(open).await {
            Ok(Ok(Some(migration))) => migration,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(self.state_failed(error)),
            Err(_) => return Err(Attempt::Stopped),
        };
        let mut shown = None;
        loop {
            // What is not written is done again the next time.
            if *self.stop.borrow() {
                return Err(Attempt::Stopped);
            }
            let Some((turned, turn)) = migration.turn(&self.core).await else {
                return Err(self.migration_lost());
            };
            migration = turned;
            let now = migration.shown();
            if let Some(now) = now.filter(|now| shown.as_ref() != Some(now)) {
                self.flow.log().push("info", &now);
                self.flow.waits(self.lane, now.clone());
                shown = Some(now);
            }
            match turn {
                Ok(Turn::More) => {}
                Ok(Turn::Done) => break,
                Ok(Turn::Entry(puts)) => {
                    let entry = Entry {
                        appends: Vec::new(),
                        puts,
                        durability: Durability::Fsync,
                    };
                    let submitted = self.source.log().submit(migration.shard(), entry).await;
                    let written = match submitted {
                        Ok(receipt) => receipt.await.map(drop),
                        Err(error) => Err(error),
                    };
                    written.map_err(|error| self.append_failed(error))?;
                }
                Err(Fault::Refused(reason)) => return Err(Attempt::Pause(reason, None)),
                Err(Fault::Read(error)) => return Err(self.state_failed(error)),
            }
        }
        if shown.is_some() {
            self.flow.works(self.lane);
        }
        Ok(())
    }

    fn migration_lost(&self) -> Attempt {
        if *self.stop.borrow() {
            return Attempt::Stopped;
        }
        let reason = "the broker failed while the flow's state was migrated: see the broker's log, then resume the flow";
        Attempt::Pause(reason.to_owned(), None)
    }
}
