//! Whether a flow can be as it is described.

use std::sync::Arc;

use crate::core::Core;
use crate::flow::graph::cycle;
use crate::flow::http;
use crate::flow::producing::{check_kind, check_schedule};
use crate::flow::{Flow, FlowSpec, Mode};
use crate::flow::{dead_letter, log_topic};
use crate::name::{check_flow_name, check_topic_name};
use crate::plugin::PluginRef;
use crate::{BrokerError, ErrorKind, Start};

/// Checks everything about `spec` that can be known without running it, and gives every plugin its version.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`], [`ErrorKind::UnknownTopicOrPartition`], [`ErrorKind::UnknownPlugin`],
/// [`ErrorKind::FlowAlreadyExists`], [`ErrorKind::LimitExceeded`].
pub(crate) fn check(core: &Core, mut spec: FlowSpec) -> Result<FlowSpec, BrokerError> {
    check_flow_name(&spec.name)?;
    check_bounds(core, &spec)?;
    check_topic_name(&dead_letter::topic_name(&spec.name)).map_err(|error| {
        invalid(format!(
            "the flow's name leaves no room for its dead-letter topic: {}",
            error.message
        ))
    })?;
    check_schedule(&spec)?;
    match spec.mode {
        Mode::Stream if spec.schedule.is_some() => {}
        Mode::Stream => drop(core.topic(&spec.from)?),
        Mode::Ingest => check_ingest(&spec)?,
    }
    for (index, name) in spec.to.iter().enumerate() {
        core.topic(name)?;
        if spec.to[..index].contains(name) {
            return Err(invalid(format!("topic '{name}' is given twice as a sink")));
        }
    }
    check_plugins(core, &mut spec)?;
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
    check_guards(&flows, &spec)?;
    if spec.mode == Mode::Ingest {
        return Ok(spec);
    }
    let with_letters = |spec: &FlowSpec| (spec.from.clone(), written(spec));
    let streams = flows.iter().filter(|flow| flow.spec().mode == Mode::Stream);
    let edges: Vec<_> = streams.map(|flow| with_letters(flow.spec())).collect();
    let edges = edges.iter().map(|(from, to)| (from.as_str(), to.as_slice()));
    if let Some(path) = cycle(edges, &spec.from, &with_letters(&spec).1) {
        let path = path.join(" -> ");
        return Err(invalid(format!(
            "the flow would close a cycle in which records go round for ever: {path}"
        )));
    }
    Ok(spec)
}

/// Checks a flow that exists and is to be changed to `spec`, and gives every plugin its version.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`], [`ErrorKind::UnknownPlugin`].
pub(crate) fn check_change(core: &Core, mut spec: FlowSpec) -> Result<FlowSpec, BrokerError> {
    check_bounds(core, &spec)?;
    check_schedule(&spec)?;
    check_plugins(core, &mut spec)?;
    Ok(spec)
}

fn check_plugins(core: &Core, spec: &mut FlowSpec) -> Result<(), BrokerError> {
    let mut imports = Vec::with_capacity(spec.plugins.len());
    for index in 0..spec.plugins.len() {
        let mut plugin = PluginRef::parse(&spec.plugins[index])?;
        let (version, row) = core.registry.resolve(&plugin)?;
        check_kind(spec, &plugin, row.kind)?;
        plugin.version = Some(version);
        spec.plugins[index] = plugin.to_string();
        imports.push((plugin.to_string(), row.imports));
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

/// The topics that a flow between topics writes, and what every flow may write: its dead letters.
fn written(spec: &FlowSpec) -> Vec<String> {
    let mut to = match spec.mode {
        Mode::Stream => spec.to.clone(),
        Mode::Ingest => Vec::new(),
    };
    to.push(dead_letter::topic_name(&spec.name));
    to.push(log_topic::topic_name(&spec.name));
    to
}

/// Every topic has one guard at most, and where there is one, only producers write.
fn check_guards(flows: &[Arc<Flow>], spec: &FlowSpec) -> Result<(), BrokerError> {
    let written_by = written(spec);
    for other in flows {
        let (name, other) = (other.name(), other.spec());
        let message = if spec.mode == Mode::Ingest
            && other.mode == Mode::Ingest
            && spec.shown_topic() == other.shown_topic()
        {
            format!(
                "topic '{}' has an ingest flow already, '{name}': delete that first, or make one flow of both",
                spec.shown_topic()
            )
        } else if other.mode == Mode::Ingest && written_by.iter().any(|topic| topic == other.shown_topic()) {
            format!(
                "the flow would write to topic '{}', which ingest flow '{name}' guards: only producers write there; \
                 choose another topic",
                other.shown_topic()
            )
        } else if spec.mode == Mode::Ingest && written(other).iter().any(|topic| topic == spec.shown_topic())
        {
            format!(
                "flow '{name}' writes to topic '{}': a topic with an ingest flow is written by producers alone; guard \
                 another topic, or delete that flow first",
                spec.shown_topic()
            )
        } else {
            continue;
        };
        return Err(invalid(message));
    }
    // Its own letters are nothing that producers send.
    if spec.mode == Mode::Ingest && written_by.iter().any(|topic| topic == spec.shown_topic()) {
        return Err(invalid(format!(
            "'{}' is the flow's own dead-letter topic: choose another name for the flow",
            spec.shown_topic()
        )));
    }
    Ok(())
}

fn check_bounds(core: &Core, spec: &FlowSpec) -> Result<(), BrokerError> {
    let limits = &core.limits;
    let (plugins, sinks) = (spec.plugins.len(), spec.to.len());
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
