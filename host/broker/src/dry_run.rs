//! Dry runs: what a flow with other versions or settings would make of the last records of its source. Nothing is stored.

mod compare;
mod run;
mod shown;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use weir_log::ReadError;

use crate::core::Core;
use crate::error::read_error;
use crate::flow::{self, FlowWork};
use crate::plugin::PluginRef;
use crate::{Broker, BrokerError, ErrorKind, FlowChange, FlowSpec};
use compare::compare;
use run::{BatchRun, Made, Stream, TrialSink};

/// Records that a dry run takes if nobody says how many.
pub const DRY_RUN_RECORDS: u32 = 1_000;
/// Most records that one takes.
const RECORDS_MAX: u32 = 100_000;
/// Most bytes of stored batches that it reads.
const BYTES_MAX: usize = 64 << 20;
/// It ends with the batch at hand after this time.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Failures and differences that are shown one by one; all are counted.
pub(crate) const SHOWN_MAX: usize = 20;
/// The flow that dry runs are in the eyes of the pool for guests: together they have one flow's share.
const POOL_FLOW: u32 = u32::MAX;

/// What a dry run found out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DryRun {
    /// What was tried, every plugin with its version.
    pub tried: Trial,
    /// What the flow runs now made of the same records; `None` if that is the very same.
    pub running: Option<Trial>,
    /// Records of which both made the same.
    pub same: u64,
    /// Records of which they made different things.
    pub different: u64,
    /// The first of those.
    pub differences: Vec<Difference>,
    /// Why not all the records that were asked for were taken; `None` if they were, or there are no more.
    pub cut_short: Option<String>,
}

/// What came of the records.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trial {
    /// The plugins, `name@version`.
    pub plugins: Vec<String>,
    /// Records that went in.
    pub records_in: u64,
    /// Bytes of their batches, as stored.
    pub bytes_in: u64,
    /// Records that came out, by topic.
    pub records_out: BTreeMap<String, u64>,
    /// Bytes of keys, values and headers that came out.
    pub bytes_out: u64,
    /// Records of which nothing came out.
    pub dropped: u64,
    /// Records that a plugin could not handle.
    pub failed: u64,
    /// Records that a plugin wanted among the dead letters.
    pub dead_lettered: u64,
    /// The first of both.
    pub failures: Vec<DryRunFailure>,
    /// Nanoseconds in the plugins' calls.
    pub guest_ns: u64,
    /// The most linear memory that one of the plugins had, in bytes.
    pub memory_bytes_peak: u64,
}

/// A record that a plugin could not handle, or wanted among the dead letters.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DryRunFailure {
    /// The source topic.
    pub topic: String,
    /// The source partition.
    pub partition: u32,
    /// The record's offset.
    pub offset: i64,
    /// The plugin, `name@version`.
    pub plugin: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// The beginning of the record's value, as text.
    pub sample: Option<String>,
    /// Whether the plugin wanted it among the dead letters, which is no failure of the plugin's.
    pub dead_letter: bool,
}

/// A record of which different things were made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Difference {
    /// The source topic.
    pub topic: String,
    /// The source partition.
    pub partition: u32,
    /// The record's offset.
    pub offset: i64,
    /// What the flow makes of it now: the topic and the beginning of the value of each record that comes out, and what else about it is
    /// different from what was tried: key, timestamp, headers, the partition that the plugin chose.
    pub running: Vec<String>,
    /// What was tried makes of it.
    pub tried: Vec<String>,
}

impl Broker {
    /// Runs the flow `name`, with `change` made (its plugins' newest versions if that is empty), over the last `records` of its sources,
    /// in equal shares over all partitions of all of them, and what it runs now over the same records, and compares. Nothing is stored, and the flow is left alone. Plugins that keep
    /// state begin with none; those that call out over HTTP do so with `allow_http`, to the hosts that the flow is granted, and without it
    /// there is no dry run of them. It takes 20 seconds at most, and one flow's share of the threads for guests.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`], [`ErrorKind::UnknownPlugin`], [`ErrorKind::UnknownTopicOrPartition`];
    /// [`ErrorKind::InvalidFlow`] for a change that cannot be made and for plugins that do not start;
    /// [`ErrorKind::CorruptMessage`], [`ErrorKind::Storage`], [`ErrorKind::ShuttingDown`].
    pub async fn dry_run_flow(
        &self,
        name: &str,
        change: FlowChange,
        records: u32,
        allow_http: bool,
    ) -> Result<DryRun, BrokerError> {
        let running = self.core.flow(name)?.spec().clone();
        let changed = change
            .applied_to(&running)
            .map_err(|message| BrokerError::new(ErrorKind::InvalidFlow, message))?;
        let tried = flow::check_change(&self.core, changed)?;
        check_http(&tried, allow_http)?;
        let compared = (tried.plugins != running.plugins
            || tried.config != running.config
            || tried.limits != running.limits)
            .then_some(&running);
        dry_run(&self.core, &tried, compared, records).await
    }

    /// The same for a flow that does not exist yet.
    ///
    /// # Errors
    /// As [`dry_run_flow`](Self::dry_run_flow), and as [`create_flow`](Self::create_flow).
    pub async fn dry_run_new_flow(
        &self,
        spec: FlowSpec,
        records: u32,
        allow_http: bool,
    ) -> Result<DryRun, BrokerError> {
        let spec = flow::check(&self.core, spec)?;
        check_http(&spec, allow_http)?;
        dry_run(&self.core, &spec, None, records).await
    }
}

/// What happens outside is no dry run's: whoever wants that has to say so.
fn check_http(spec: &FlowSpec, allowed: bool) -> Result<(), BrokerError> {
    if spec.allow_http.is_empty() || allowed {
        return Ok(());
    }
    let message = format!(
        "the flow calls out over HTTP, to {}, and in a dry run that would be real: say --call-out if that does no harm",
        spec.allow_http.join(", ")
    );
    Err(BrokerError::new(ErrorKind::InvalidFlow, message))
}

async fn dry_run(
    core: &Arc<Core>,
    tried: &FlowSpec,
    running: Option<&FlowSpec>,
    records: u32,
) -> Result<DryRun, BrokerError> {
    if tried.schedule.is_some() {
        let message = "a flow with a schedule reads no records that it could be tried on: poll its producer with 'weir plugin test'";
        return Err(BrokerError::new(ErrorKind::InvalidFlow, message.to_owned()));
    }
    let records = records.clamp(1, RECORDS_MAX);
    let began = Instant::now();
    let mut trials = vec![Trier::load(core, tried).await?];
    if let Some(running) = running {
        trials.push(Trier::load(core, running).await?);
    }
    let mut found = DryRun::default();
    // What records are stored in front of an ingest flow is what it let through; there is nothing better to try it on.
    let mut lanes = Vec::new();
    for name in tried.shown_topics() {
        let source = core.topic(name)?;
        lanes.extend((0..source.partitions()).map(|index| (source.clone(), index)));
    }
    let share = i64::from(records.div_ceil(u32::try_from(lanes.len()).unwrap_or(u32::MAX).max(1)));
    let mut bytes_left = BYTES_MAX;
    'lanes: for (source, index) in lanes {
        let partition = source.partition(index)?;
        let place: (Arc<str>, u32) = (source.name().into(), index);
        let (first, end) = (partition.log_start_offset(), partition.high_watermark());
        let mut from = (end - share).max(first);
        let mut begins = true;
        while from < end {
            if began.elapsed() > TIME_MAX {
                found.cut_short = Some(format!("it took longer than {} s", TIME_MAX.as_secs()));
                break 'lanes;
            }
            if bytes_left == 0 {
                found.cut_short = Some(format!("the records have more than {} MiB", BYTES_MAX >> 20));
                break 'lanes;
            }
            let batch = read_one(core, &source, index, from).await?;
            let Some((batch, next)) = batch else { break };
            bytes_left = bytes_left.saturating_sub(batch.len());
            let run = |trier: &Trier| {
                let run = BatchRun {
                    work: Arc::clone(&trier.work),
                    sinks: trier.sinks.clone(),
                    batch: batch.clone(),
                    place: place.clone(),
                    begins,
                    range: from..end,
                    unpacked_bytes_max: core.limits.unpacked_batch_bytes_max,
                };
                on_pool(core, run)
            };
            let mut made = Vec::with_capacity(trials.len());
            for trier in &mut trials {
                let outcome = run(trier).await?;
                trier.add(&outcome);
                made.push(outcome);
            }
            if let [tried, running] = made.as_slice() {
                compare(
                    &place,
                    tried.records_in,
                    &running.streams,
                    &tried.streams,
                    &mut found,
                );
            }
            from = next;
            begins = false;
        }
    }
    core.pool.forget(POOL_FLOW);
    let mut trials = trials.into_iter().map(|trier| trier.trial);
    found.tried = trials.next().unwrap_or_default();
    found.running = trials.next();
    Ok(found)
}

/// A chain that is tried, and what came of it so far.
struct Trier {
    work: Arc<FlowWork>,
    sinks: Vec<TrialSink>,
    trial: Trial,
}

impl Trier {
    async fn load(core: &Arc<Core>, spec: &FlowSpec) -> Result<Self, BrokerError> {
        for plugin in &spec.plugins {
            core.registry.resolve(&PluginRef::parse(plugin)?)?;
        }
        let work = flow::load(core, spec, Arc::default(), Arc::default(), None).await?;
        let mut sinks = Vec::new();
        for name in &spec.to {
            let topic = core.topic(name)?;
            sinks.push(TrialSink {
                name: name.clone(),
                partitions: topic.partitions(),
                message_bytes_max: topic.state().config.message_bytes_max,
            });
        }
        Ok(Self {
            work: Arc::new(work),
            sinks,
            trial: Trial {
                plugins: spec.plugins.clone(),
                ..Trial::default()
            },
        })
    }

    fn add(&mut self, made: &Made) {
        let trial = &mut self.trial;
        trial.records_in += made.records_in;
        trial.bytes_in += made.bytes_in;
        trial.dropped += made.dropped;
        trial.guest_ns += made.guest_ns;
        trial.memory_bytes_peak = trial.memory_bytes_peak.max(made.memory_bytes_peak);
        for failure in &made.failures {
            if failure.dead_letter {
                trial.dead_lettered += 1;
            } else {
                trial.failed += 1;
            }
            if trial.failures.len() < SHOWN_MAX {
                trial.failures.push(failure.clone());
            }
        }
        for (topic, bytes) in made.streams.iter().flat_map(Stream::outputs) {
            *trial.records_out.entry(topic.to_owned()).or_default() += 1;
            trial.bytes_out += bytes;
        }
    }
}

async fn on_pool(core: &Core, run: BatchRun) -> Result<Made, BrokerError> {
    let (reply, made) = oneshot::channel();
    let waits = run.work.waits();
    core.pool.push_that(POOL_FLOW, waits, move || {
        // Whoever asked may have gone.
        let _ = reply.send(run.run());
    });
    made.await.map_err(|_| BrokerError::shutting_down())?
}

/// The batch that holds `offset`, and where the next one begins.
async fn read_one(
    core: &Arc<Core>,
    source: &crate::Topic,
    partition: u32,
    offset: i64,
) -> Result<Option<(bytes::Bytes, i64)>, BrokerError> {
    let log = source.partition(partition)?.log_partition().clone();
    let topic = source.name().to_owned();
    core.blocking(move |_| {
        let fetched = match log.read(offset, 1) {
            Ok(fetched) => fetched,
            // Retention was faster.
            Err(ReadError::OffsetOutOfRange { .. }) => return Ok(None),
            Err(error) => return Err(read_error(error, &topic, partition)),
        };
        let batch = weir_batch::iter_batches(&fetched.batches)
            .next()
            .and_then(Result::ok)
            .map(|(header, bytes)| (fetched.batches.slice_ref(bytes), header.next_offset()));
        Ok(batch)
    })
    .await
}
