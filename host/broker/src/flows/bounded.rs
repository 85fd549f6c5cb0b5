//! Making flows that come to an end: backfills and replays.

use std::sync::Arc;

use super::revise::{Revised, replace};
use super::{begin, delete};
use crate::core::Core;
use crate::flow::{self, Flow, TriedOut};
use crate::flow_state::source_of;
use crate::meta::SourceRow;
use crate::{
    Backfill, BoundedKind, Broker, BrokerError, ErrorKind, FlowBounded, FlowInfo, FlowSpec, Mode, Replay,
    Start, Topic, Until,
};

impl Broker {
    /// Makes a flow that processes what the sources of the flow `name` hold once more, between two places, with what that flow
    /// runs or with other plugins, and is finished then. It has a cursor and state of its own; the flow itself is left alone.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`]; [`ErrorKind::InvalidFlow`] for a flow that reads no topic;
    /// otherwise as [`create_flow`](Self::create_flow).
    pub async fn backfill_flow(&self, name: &str, backfill: Backfill) -> Result<FlowInfo, BrokerError> {
        let parent = self.core.flow(name)?;
        check_reads(&parent, "backfill")?;
        let mut spec = FlowSpec {
            start: backfill.start,
            ..parent.spec().clone()
        };
        if !backfill.plugins.is_empty() {
            spec.plugins = backfill.plugins;
        }
        if !backfill.to.is_empty() {
            spec.to = backfill.to;
        }
        let bounded = FlowBounded {
            of: name.to_owned(),
            kind: BoundedKind::Backfill,
        };
        let name = Name::new(backfill.name, name, "backfill");
        let until = backfill.until;
        self.begin_bounded(spec, name, bounded, move |core, spec| async move {
            let mut sources = Vec::with_capacity(spec.from.len());
            for topic in &spec.from {
                sources.push(range_of(&core.topic(topic)?, spec.start, until).await?);
            }
            Ok(sources)
        })
        .await
    }

    /// Sends what the flow `name` has read already through its plugins once more, with a flow that is finished then.
    ///
    /// Dead letters go through as the records that they were; one that fails again becomes a dead letter of the flow again. The flow
    /// that does this is `NAME.replay`: when it is there already, it goes on behind the last letter that it has processed, with
    /// the flow's present plugins, so that no letter is sent twice.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`]; [`ErrorKind::InvalidFlow`] for a flow that reads no topic or has no dead letters;
    /// [`ErrorKind::OffsetOutOfRange`]; otherwise as [`create_flow`](Self::create_flow) and, for a replay that goes on, as
    /// [`upgrade_flow`](Self::upgrade_flow).
    pub async fn replay_flow(&self, name: &str, replay: Replay) -> Result<FlowInfo, BrokerError> {
        let parent = self.core.flow(name)?;
        check_reads(&parent, "replay")?;
        match replay {
            Replay::Letters { start } => self.replay_letters(&parent, start).await,
            Replay::Range {
                topic,
                partition,
                offsets,
                name: wanted,
            } => {
                let source = source_of(parent.spec(), topic.as_deref())?.to_owned();
                let spec = FlowSpec {
                    from: vec![source],
                    start: Start::Offset(offsets.start),
                    ..parent.spec().clone()
                };
                let bounded = FlowBounded {
                    of: name.to_owned(),
                    kind: BoundedKind::Range,
                };
                let name = Name::new(wanted, name, "replay-range");
                self.begin_bounded(spec, name, bounded, move |core, spec| async move {
                    let source = core.topic(&spec.from[0])?;
                    Ok(vec![one_range(&source, partition, offsets.start, offsets.end)?])
                })
                .await
            }
        }
    }

    async fn begin_bounded<F>(
        &self,
        mut spec: FlowSpec,
        name: Name,
        bounded: FlowBounded,
        range: impl FnOnce(Arc<Core>, FlowSpec) -> F + Send + 'static,
    ) -> Result<FlowInfo, BrokerError>
    where
        F: Future<Output = Result<Vec<SourceRow>, BrokerError>> + Send,
    {
        spec.name = name.choose(&self.core);
        let spec = flow::check_bounded(&self.core, spec, &bounded)?;
        // Outside of the change: compiling may take seconds, and what is loaded is there when the flow starts.
        let loaded = flow::try_out(&self.core, &spec).await?;
        let made = self
            .core
            .change(move |core| async move {
                // Somebody else may have taken the name meanwhile.
                let name = name.choose(&core);
                let spec = flow::check_bounded(&core, FlowSpec { name, ..spec }, &bounded)?;
                let sources = range(Arc::clone(&core), spec.clone()).await?;
                begin(&core, spec, sources, Some(bounded)).await
            })
            .await;
        drop(loaded);
        made
    }

    async fn replay_letters(
        &self,
        parent: &Arc<Flow>,
        start: Option<Start>,
    ) -> Result<FlowInfo, BrokerError> {
        let letters = flow::dead_letter_topic(parent.letters_of());
        if self.core.topic(&letters).is_err() {
            let message = format!(
                "flow '{}' has no dead letters: there is no topic '{letters}'",
                parent.name()
            );
            return Err(BrokerError::new(ErrorKind::InvalidFlow, message));
        }
        let spec = FlowSpec {
            name: format!("{}.replay", parent.name()),
            from: vec![letters],
            start: start.unwrap_or(Start::Earliest),
            ..parent.spec().clone()
        };
        let bounded = FlowBounded {
            of: parent.name().to_owned(),
            kind: BoundedKind::Letters,
        };
        let loaded = Arc::new(flow::try_out(&self.core, &spec).await?);
        let tried = Arc::clone(&loaded);
        let made = self
            .core
            .change(move |core| async move {
                if let Ok(before) = core.flow(&spec.name) {
                    if before.bounded() != Some(&bounded) {
                        let message =
                            format!("flow '{}' exists and is no {bounded}: delete it first", spec.name);
                        return Err(BrokerError::new(ErrorKind::FlowAlreadyExists, message));
                    }
                    if start.is_none() {
                        return go_on(&core, &before, spec, tried).await;
                    }
                    delete(&core, &spec.name).await?;
                }
                let spec = flow::check_bounded(&core, spec, &bounded)?;
                let source = core.topic(&spec.from[0])?;
                let range = range_of(&source, spec.start, Until::Now).await?;
                begin(&core, spec, vec![range], Some(bounded)).await
            })
            .await;
        drop(loaded);
        made
    }
}

/// Has a replay of dead letters process those that came since, too.
async fn go_on(
    core: &Arc<Core>,
    before: &Arc<Flow>,
    spec: FlowSpec,
    tried: Arc<TriedOut>,
) -> Result<FlowInfo, BrokerError> {
    let source = core.topic(&spec.from[0])?;
    let known = before.row().sources.into_iter().next();
    let known = known.filter(|known| known.topic == source.id());
    let mut range = range_of(&source, Start::Earliest, Until::Now).await?;
    // Where it has a cursor, that counts; what it began at shows what was for it to do.
    for (start, known) in range
        .start
        .iter_mut()
        .zip(known.iter().flat_map(|known| &known.start))
    {
        *start = *known;
    }
    for (end, known) in range
        .end
        .iter_mut()
        .zip(known.iter().flat_map(|known| &known.end))
    {
        *end = (*end).max(*known);
    }
    let change = Revised {
        back_to: None,
        range: Some(vec![range]),
        tried,
    };
    let spec = FlowSpec {
        start: before.spec().start,
        ..spec
    };
    replace(core, before, spec, change).await
}

/// From `start` up to `until` in each partition.
async fn range_of(source: &Topic, start: Start, until: Until) -> Result<SourceRow, BrokerError> {
    let mut range = SourceRow {
        topic: source.id(),
        ..SourceRow::default()
    };
    for index in 0..source.partitions() {
        let partition = source.partition(index)?;
        let first = partition.resolve(start).await?;
        let end = match until {
            Until::Now => partition.high_watermark(),
            Until::Offset(offset) => offset.min(partition.high_watermark()),
            Until::Time(timestamp_ms) => partition.resolve(Start::Time(timestamp_ms)).await?,
        };
        range.start.push(first);
        range.end.push(end.max(first));
    }
    Ok(range)
}

/// Some offsets of one partition, cut to what there is; nothing of the others.
fn one_range(source: &Topic, index: u32, from: i64, to: i64) -> Result<SourceRow, BrokerError> {
    let partition = source.partition(index)?;
    let end = partition.high_watermark();
    if from < 0 || from >= to {
        let message = format!(
            "offsets {from}..{to} are none: give the first one, and the one behind the last, as 10..20"
        );
        return Err(BrokerError::new(ErrorKind::InvalidRequest, message));
    }
    if from >= end {
        let message = format!(
            "there is no offset {from} in partition {index} of '{}': it ends at {end}",
            source.name()
        );
        let error = BrokerError::new(ErrorKind::OffsetOutOfRange, message);
        return Err(error.at_partition(index).at_offset(from));
    }
    let mut range = SourceRow {
        topic: source.id(),
        start: vec![0; index as usize],
        end: vec![0; index as usize],
    };
    range.start.push(from);
    range.end.push(to.min(end));
    Ok(range)
}

/// Refuses what reads no topic.
fn check_reads(parent: &Flow, what: &str) -> Result<(), BrokerError> {
    let (name, spec) = (parent.name(), parent.spec());
    let message = if spec.mode == Mode::Ingest {
        format!(
            "flow '{name}' stands in front of topic '{0}' and reads none that there could be a {what} of: what it refused was never \
             stored; mend what was wrong and send it to '{0}' once more",
            spec.guarded_topic().unwrap_or_default()
        )
    } else if spec.schedule.is_some() {
        format!(
            "flow '{name}' polls a producer and reads no topic that there could be a {what} of: where to poll from is for its \
             plugin's configuration to say"
        )
    } else if let Some(bounded) = parent.bounded().filter(|bounded| bounded.letters_of().is_some()) {
        format!(
            "flow '{name}' is a {bounded}: ask for a {what} of '{}'",
            bounded.of
        )
    } else {
        return Ok(());
    };
    Err(BrokerError::new(ErrorKind::InvalidFlow, message))
}

/// The name of a flow that is to be.
struct Name {
    wanted: Option<String>,
    /// What it is called if nobody says how; a number follows where that is taken.
    usual: String,
}

impl Name {
    fn new(wanted: Option<String>, of: &str, what: &str) -> Self {
        Self {
            wanted,
            usual: format!("{of}.{what}"),
        }
    }

    fn choose(&self, core: &Core) -> String {
        if let Some(wanted) = &self.wanted {
            return wanted.clone();
        }
        let numbered = (2_u32..).map(|number| format!("{}-{number}", self.usual));
        // There are fewer flows than numbers.
        std::iter::once(self.usual.clone())
            .chain(numbered)
            .find(|name| core.flow(name).is_err())
            .unwrap_or_default()
    }
}
