//! Bringing the state of a flow to the versions that its plugins know, before they run on it.
//!
//! Each source partition says of each stage which version its rows are of ([`SchemaRow`]). A runner looks at that before its first
//! pass, and has the plugin migrate what is of another version, step by step. What the steps change is written in one entry with the new
//! version; beyond some bytes, in several, each with the place at which the next one goes on. So after a crash, rows are of the version
//! that is written beside them, or the migration goes on where it was: no plugin ever runs on rows of a version that it does not know.
//!
//! When a flow is changed, the same is tried first, in memory alone ([`try_migration`]), between the stop of what ran and the
//! storing of the change: what refuses the state refuses the change.

mod plan;
mod trial;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use weir_batch::iter_batches;
use weir_log::{KvOp, KvRange, Log, Partition, ReadError};
use weir_runtime::CallError;

use crate::core::Core;
use crate::flow::Lane;
use crate::flow::chain::{Chain, Seed, StageSchema};
use crate::flow::state::{PartitionState, SchemaRow, SharedState, StateKeys};
use crate::flow::work::FlowWork;
use plan::{Plan, plan};
pub(crate) use trial::try_migration;

/// A turn on the threads for guests ends after this time.
const SLICE: Duration = Duration::from_millis(100);
/// Bytes of changes after which they are written, with the place where the migration goes on.
const ENTRY_BYTES: usize = 4 << 20;
/// Steps for one stage and partition. A step goes over many rows: more steps than this are a plugin that does not get on.
const STEPS_MAX: u32 = 1_000_000;

/// The state of one source partition on its way to the versions that the plugins know.
pub(crate) struct Migration {
    work: Arc<FlowWork>,
    log: Log,
    shard: u16,
    keys: StateKeys,
    /// What refusals call the partition.
    place: String,
    seed: Seed,
    state: SharedState,
    /// What the plugins' clock shows.
    now_ms: i64,
    /// Nothing is written.
    trial: bool,
    /// Stages that were not looked at yet; none before the first turn.
    stages: Option<VecDeque<StageSchema>>,
    under_way: Option<UnderWay>,
}

/// What is processed of a source partition.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The name of its topic.
    pub(crate) topic: &'a str,
    pub(crate) partition: &'a Partition,
    pub(crate) lane: Lane,
    /// Everything below is done.
    pub(crate) position: i64,
}

/// A stage whose rows are migrated.
struct UnderWay {
    schema: StageSchema,
    from: u32,
    after: Option<Vec<u8>>,
    /// The row of its version as it is stored.
    stored: Option<Vec<u8>>,
    steps: u32,
}

/// What a turn came to.
pub(crate) enum Turn {
    /// It goes on.
    More,
    /// This is to be written first, in one entry.
    Entry(Vec<KvOp>),
    /// All rows are of the versions that the plugins know.
    Done,
}

/// Why rows cannot be brought to another version.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A plugin refuses them, or fails at them: in words.
    Refused(String),
    /// They cannot be read.
    Read(ReadError),
}

impl Migration {
    /// Looks at what there is of `source`. `None` where nobody has ever spoken of versions. Blocks.
    ///
    /// # Errors
    /// Those of [`PartitionState::open`].
    pub(crate) fn open(
        log: &Log,
        work: &Arc<FlowWork>,
        flow: u32,
        source: Source<'_>,
        bytes_max: u64,
        trial: bool,
    ) -> Result<Option<Self>, ReadError> {
        let Source {
            topic,
            partition,
            lane,
            position,
        } = source;
        let id = partition.id();
        let keys = StateKeys {
            flow,
            topic: id.topic,
            partition: id.index,
        };
        let shard = log.shard_of(id);
        if !work.has_state_schema() && !has_versions(log, shard, keys)? {
            return Ok(None);
        }
        let state = PartitionState::open(log.clone(), shard, keys, bytes_max)?;
        Ok(Some(Self {
            work: Arc::clone(work),
            log: log.clone(),
            shard,
            keys,
            place: format!("partition {} of topic '{topic}'", id.index),
            seed: Seed::new(flow, lane),
            state: SharedState::new(state),
            now_ms: time_before(partition, position),
            trial,
            stages: None,
            under_way: None,
        }))
    }

    /// The shard that its entries are for.
    pub(crate) fn shard(&self) -> u16 {
        self.shard
    }

    /// What is being done, in words.
    pub(crate) fn shown(&self) -> Option<String> {
        let UnderWay { schema, from, .. } = self.under_way.as_ref()?;
        Some(format!(
            "plugin {} migrates the state in {} from version {from} to {}",
            schema.plugin, self.place, schema.version
        ))
    }

    /// Has it go on for a while on the threads for guests. `None` if they are gone, or it panicked.
    pub(crate) async fn turn(mut self, core: &Core) -> Option<(Self, Result<Turn, Fault>)> {
        let (reply, turned) = oneshot::channel();
        core.pool.push(self.keys.flow, move || {
            let turn = self.run();
            // Whoever waited may have gone: then nobody wants it.
            let _ = reply.send((self, turn));
        });
        turned.await.ok()
    }

    fn run(&mut self) -> Result<Turn, Fault> {
        let does_not_start = |(plugin, error): (String, CallError)| {
            Fault::Refused(format!("plugin {plugin} does not start: {error}"))
        };
        let mut chain = self.work.chain().map_err(does_not_start)?;
        chain.begin_pass(self.seed, Some(&self.state));
        let turn = self.run_with(&mut chain);
        chain.end_pass();
        self.work.rest(chain);
        turn
    }

    fn run_with(&mut self, chain: &mut Chain) -> Result<Turn, Fault> {
        let began = Instant::now();
        if self.stages.is_none() {
            let schemas = chain.schemas().map_err(|(plugin, error)| {
                Fault::Refused(format!(
                    "plugin {plugin} does not say which state it knows: {error}"
                ))
            })?;
            self.stages = Some(schemas.into());
        }
        loop {
            let Some(mut stage) = self.under_way.take() else {
                let Some(schema) = self.stages.as_mut().and_then(VecDeque::pop_front) else {
                    return Ok(Turn::Done);
                };
                if let Some(entry) = self.begin(schema)? {
                    return Ok(Turn::Entry(entry));
                }
                continue;
            };
            let next = self.step(chain, &stage)?;
            stage.steps += 1;
            if stage.steps > STEPS_MAX {
                return Err(self.refused(&stage, "it does not come to an end"));
            }
            let ended = next.is_none();
            let large = self.state.lock().changed_bytes() >= ENTRY_BYTES;
            stage.after = next;
            if ended || large {
                let entry = self.entry(&mut stage)?;
                if !ended {
                    self.under_way = Some(stage);
                }
                match entry {
                    Some(entry) => return Ok(Turn::Entry(entry)),
                    // What was tried so far takes memory.
                    None if large => return Ok(Turn::Done),
                    None => continue,
                }
            }
            self.under_way = Some(stage);
            if began.elapsed() >= SLICE {
                return Ok(Turn::More);
            }
        }
    }

    /// Takes up a stage. What is to be written at once, where there is nothing to migrate.
    fn begin(&mut self, schema: StageSchema) -> Result<Option<Vec<KvOp>>, Fault> {
        let stored = self
            .log
            .kv_read(self.shard, &self.keys.schema(&schema.label))
            .map_err(Fault::Read)?;
        let has_rows = self.has_rows(&schema.label)?;
        let (from, after) = match plan(stored.as_deref(), has_rows, schema.version).map_err(Fault::Read)? {
            Plan::Nothing => return Ok(None),
            Plan::Begin => {
                let version = SchemaRow::At(schema.version);
                let ops = self.version_ops(&schema.label, stored, &version);
                return Ok(Some(ops.into()).filter(|_| !self.trial));
            }
            Plan::Migrate { from, after } => (from, after),
            Plan::HalfWay { from, to } => {
                return Err(Fault::Refused(format!(
                    "the state that plugin {} has in {} is half way from version {from} to {to}: only a version of the plugin whose \
                     state has version {to} can finish that",
                    schema.plugin, self.place
                )));
            }
        };
        self.under_way = Some(UnderWay {
            schema,
            from,
            after,
            stored,
            steps: 0,
        });
        self.state.lock().begin_pass(0);
        Ok(None)
    }

    /// One call of the plugin.
    fn step(&self, chain: &mut Chain, stage: &UnderWay) -> Result<Option<Vec<u8>>, Fault> {
        self.state.lock().begin_run(self.now_ms);
        let after = stage.after.as_deref();
        let called = chain.migrate(stage.schema.stage, stage.from, after, self.now_ms);
        called.map_err(|error| {
            let mut state = self.state.lock();
            state.roll_back();
            match (state.take_fault(), error) {
                (Some(fault), _) => Fault::Read(fault),
                (None, CallError::Migrate { message }) => self.refused(stage, &message),
                (None, error) => self.refused(stage, &error.to_string()),
            }
        })
    }

    /// What the steps up to here have changed, with the version that it is of now. None in a trial.
    fn entry(&self, stage: &mut UnderWay) -> Result<Option<Vec<KvOp>>, Fault> {
        if self.trial {
            return Ok(None);
        }
        let version = match &stage.after {
            None => SchemaRow::At(stage.schema.version),
            Some(after) => SchemaRow::Migrating {
                from: stage.from,
                to: stage.schema.version,
                after: after.clone(),
            },
        };
        let mut state = self.state.lock();
        let mut ops = state.finish_pass().map_err(Fault::Read)?;
        // What was changed is written before the next step reads it.
        state.begin_pass(0);
        let stored = stage.stored.replace(version.encode());
        ops.extend(self.version_ops(&stage.schema.label, stored, &version));
        Ok(Some(ops))
    }

    fn version_ops(&self, label: &str, stored: Option<Vec<u8>>, version: &SchemaRow) -> [KvOp; 2] {
        let key = self.keys.schema(label);
        [
            KvOp::Expect {
                key: key.clone(),
                value: stored,
            },
            KvOp::Put {
                key,
                value: version.encode(),
            },
        ]
    }

    fn has_rows(&self, label: &str) -> Result<bool, Fault> {
        let mut found = false;
        let mut state = self.state.lock();
        let prefix = format!("{label}/");
        // Rows whose time is over count: they may be there for the plugin's clock.
        let scanned = state.scan(prefix.as_bytes(), None, i64::MIN, &mut |_, _| {
            found = true;
            false
        });
        match scanned {
            Ok(()) => Ok(found),
            Err(error) => Err(match state.take_fault() {
                Some(fault) => Fault::Read(fault),
                None => Fault::Refused(error.to_string()),
            }),
        }
    }

    fn refused(&self, stage: &UnderWay, why: &str) -> Fault {
        Fault::Refused(format!(
            "plugin {} does not take the state of version {} that the flow has in {}: {why}",
            stage.schema.plugin, stage.from, self.place
        ))
    }
}

/// Whether a version is stored of any stage's rows.
fn has_versions(log: &Log, shard: u16, keys: StateKeys) -> Result<bool, ReadError> {
    let range = KvRange {
        prefix: &keys.schema(""),
        after: None,
        rows_max: 1,
        bytes_max: 1,
    };
    Ok(!log.kv_page(shard, range)?.pairs.is_empty())
}

/// The newest timestamp of the batch that ends at `position`, 0 if that is not there any more.
fn time_before(source: &Partition, position: i64) -> i64 {
    let before = source.read(position - 1, 1).ok();
    let header = before.and_then(|fetched| {
        let (header, _) = iter_batches(&fetched.batches).next()?.ok()?;
        Some(header)
    });
    header.map_or(0, |header| header.max_timestamp)
}
