//! Whether a flow can be as it is described.

use std::sync::Arc;

use crate::core::Core;
use crate::flow::graph::cycle;
use crate::flow::http;
use crate::flow::producing::{check_kind, check_schedule};
use crate::flow::{Flow, FlowBounded, FlowSpec, Mode};
use crate::flow::{dead_letter, log_topic};
use crate::name::{check_flow_name, check_topic_name};
use crate::plugin::PluginRef;
use crate::{BrokerError, ErrorKind, Start};

/// Checks everything about `spec` that can be known without running it, and gives every plugin its version.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`], [`ErrorKind::UnknownTopicOrPartition`], [`ErrorKind::UnknownPlugin`],
/// [`ErrorKind::FlowAlreadyExists`], [`ErrorKind::LimitExceeded`].
pub(crate) fn check(core: &Core, spec: FlowSpec) -> Result<FlowSpec, BrokerError> {
    check_all(core, spec, None)
}

/// The same for a flow that comes to an end, and so closes no cycle.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_bounded(
    core: &Core,
    spec: FlowSpec,
    bounded: &FlowBounded,
) -> Result<FlowSpec, BrokerError> {
    check_all(core, spec, Some(bounded))
}

fn check_all(
    core: &Core,
    mut spec: FlowSpec,
    bounded: Option<&FlowBounded>,
) -> Result<FlowSpec, BrokerError> {
    check_flow_name(&spec.name)?;
    check_bounds(core, &spec)?;
    let letters_of = bounded.and_then(FlowBounded::letters_of);
    for topic in own_topics(&spec.name, letters_of) {
        check_topic_name(&topic).map_err(|error| {
            invalid(format!(
                "the flow's name leaves no room for its topic '{topic}': choose a shorter one ({})",
                error.message
            ))
        })?;
    }
    check_schedule(&spec)?;
    match spec.mode {
        Mode::Stream => {}
        Mode::Ingest => check_ingest(&spec)?,
    }
    for (names, what) in [(&spec.from, "source"), (&spec.to, "sink")] {
        for (index, name) in names.iter().enumerate() {
            core.topic(name)?;
            if names[..index].contains(name) {
                return Err(invalid(format!(
                    "topic '{name}' is given twice as a {what}: give it once"
                )));
            }
        }
    }
    check_plugins(core, &mut spec, bounded.is_some())?;
    let flows = core.flows();
    if flows.iter().any(|flow| flow.name() == spec.name) {
        let message = format!(
            "flow '{}' exists: choose another name, or delete it first",
            spec.name
        );
        return Err(BrokerError::new(ErrorKind::FlowAlreadyExists, message));
    }
    if flows.len() >= core.limits.flows_max {
        let message = format!(
            "there are {} flows, the most this broker runs (flows_max in its configuration): delete one, or have that raised",
            flows.len()
        );
        return Err(BrokerError::new(ErrorKind::LimitExceeded, message));
    }
    check_guards(&flows, &spec, letters_of)?;
    if spec.mode == Mode::Stream && bounded.is_none() && !spec.allow_cycle {
        check_cycles(&flows, &spec)?;
    }
    Ok(spec)
}

/// No record goes round for ever. A cycle that the new flow closes leads from one of its sources back to that source. Through a flow
/// that comes to an end, nothing does for ever.
fn check_cycles(flows: &[Arc<Flow>], spec: &FlowSpec) -> Result<(), BrokerError> {
    let streams = flows
        .iter()
        .filter(|flow| flow.spec().mode == Mode::Stream && flow.bounded().is_none());
    let flows: Vec<_> = streams
        .map(|flow| (flow.spec().from.clone(), written(flow.spec(), None)))
        .collect();
    let to = written(spec, None);
    for from in &spec.from {
        let edges = flows
            .iter()
            .flat_map(|(sources, to)| sources.iter().map(|source| (source.as_str(), to.as_slice())));
        if let Some(path) = cycle(edges, from, &to) {
            let path = path.join(" -> ");
            return Err(invalid(format!(
                "the flow would close a cycle in which records go round for ever: {path}; if its plugins let them out, ask for it (--allow-cycle)"
            )));
        }
    }
    Ok(())
}

/// Checks a flow that exists and is to be changed to `spec`, and gives every plugin its version.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`], [`ErrorKind::UnknownPlugin`].
pub(crate) fn check_change(core: &Core, mut spec: FlowSpec) -> Result<FlowSpec, BrokerError> {
    check_bounds(core, &spec)?;
    check_schedule(&spec)?;
    check_plugins(core, &mut spec, false)?;
    Ok(spec)
}

/// A flow that `inherits` its grants from another may run plugins that have no use for them.
fn check_plugins(core: &Core, spec: &mut FlowSpec, inherits: bool) -> Result<(), BrokerError> {
    let mut imports = Vec::with_capacity(spec.plugins.len());
    for index in 0..spec.plugins.len() {
        let mut plugin = PluginRef::parse(&spec.plugins[index])?;
        let (version, row) = core.registry.resolve(&plugin)?;
        check_kind(spec, &plugin, row.kind)?;
        plugin.version = Some(version);
        spec.plugins[index] = plugin.to_string();
        imports.push((plugin.to_string(), row.imports));
    }
    if inherits && !imports.iter().any(|(_, imports)| http::imports_http(imports)) {
        spec.allow_http.clear();
    }
    http::check(spec, &imports)?;
    spec.limits.check(&core.limits.flow_ceilings)
}

/// What only flows in front of a topic have to be.
fn check_ingest(spec: &FlowSpec) -> Result<(), BrokerError> {
    let message = if !spec.from.is_empty() {
        "an ingest flow has no source: it takes what producers send; leave out the topic to read from"
    } else if spec.to.len() != 1 {
        "an ingest flow guards one topic: give that one alone to write to"
    } else if spec.start != Start::Earliest {
        "an ingest flow has no start: it takes what comes from now on"
    } else {
        return Ok(());
    };
    Err(invalid(message.to_owned()))
}

/// The topics that a flow between topics writes, and what every flow may write: its dead letters, or those of the flow
/// `letters_of`, and its log.
fn written(spec: &FlowSpec, letters_of: Option<&str>) -> Vec<String> {
    let mut to = match spec.mode {
        Mode::Stream => spec.to.clone(),
        Mode::Ingest => Vec::new(),
    };
    to.extend(own_topics(&spec.name, letters_of));
    to
}

/// The topics that are made for a flow when they are needed.
fn own_topics(flow: &str, letters_of: Option<&str>) -> [String; 2] {
    [
        dead_letter::topic_name(letters_of.unwrap_or(flow)),
        log_topic::topic_name(flow),
    ]
}

/// Every topic has one guard at most, and where there is one, only producers write.
fn check_guards(flows: &[Arc<Flow>], spec: &FlowSpec, letters_of: Option<&str>) -> Result<(), BrokerError> {
    let written_by = written(spec, letters_of);
    let guarded = spec.guarded_topic();
    let is_among = |topics: &[String], topic: &str| topics.iter().any(|name| name == topic);
    for other in flows {
        let others = written(other.spec(), Some(other.letters_of()));
        let (name, other) = (other.name(), other.spec());
        let message = match (guarded, other.guarded_topic()) {
            (Some(topic), Some(same)) if topic == same => format!(
                "topic '{topic}' has an ingest flow already, '{name}': delete that first, or make one flow of both"
            ),
            (_, Some(topic)) if is_among(&written_by, topic) => format!(
                "the flow would write to topic '{topic}', which ingest flow '{name}' guards: only producers write there; \
                 choose another topic"
            ),
            (Some(topic), _) if is_among(&others, topic) => format!(
                "flow '{name}' writes to topic '{topic}': a topic with an ingest flow is written by producers alone; guard \
                 another topic, or delete that flow first"
            ),
            _ => continue,
        };
        return Err(invalid(message));
    }
    // Its own letters are nothing that producers send.
    if let Some(topic) = guarded.filter(|topic| is_among(&written_by, topic)) {
        return Err(invalid(format!(
            "'{topic}' is the flow's own dead-letter topic: choose another name for the flow"
        )));
    }
    Ok(())
}

fn check_bounds(core: &Core, spec: &FlowSpec) -> Result<(), BrokerError> {
    let limits = &core.limits;
    let (plugins, sources, sinks) = (spec.plugins.len(), spec.from.len(), spec.to.len());
    let config_bytes: usize = spec
        .config
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    let message = if plugins == 0 {
        "a flow needs a plugin at least".to_owned()
    } else if plugins > limits.flow_plugins_max {
        format!(
            "a flow can have {} plugins, not {plugins}",
            limits.flow_plugins_max
        )
    } else if sources > limits.flow_sources_max {
        format!(
            "a flow can read {} topics, not {sources}",
            limits.flow_sources_max
        )
    } else if sinks == 0 {
        "a flow needs a topic to write to".to_owned()
    } else if sinks > limits.flow_sinks_max {
        format!(
            "a flow can write to {} topics, not to {sinks}",
            limits.flow_sinks_max
        )
    } else if config_bytes > limits.flow_config_bytes_max {
        format!(
            "the configuration has {config_bytes} bytes and can have {}",
            limits.flow_config_bytes_max
        )
    } else {
        return Ok(());
    };
    Err(invalid(message))
}

fn invalid(message: String) -> BrokerError {
    BrokerError::new(ErrorKind::InvalidFlow, message)
}
