//! What a flow with a schedule can be.

use crate::flow::producing::timetable::Timetable;
use crate::flow::{FlowSpec, Mode, OnError};
use crate::{BrokerError, ErrorKind, PluginKind, Start};

/// Checks what of `spec` tells a flow that reads a topic from one with a schedule.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`].
pub(crate) fn check_schedule(spec: &FlowSpec) -> Result<(), BrokerError> {
    let Some(schedule) = &spec.schedule else {
        if spec.from.is_empty() && spec.mode == Mode::Stream {
            return Err(invalid(
                "a flow needs a topic to read, or, for a producer, a schedule: give one of them",
            ));
        }
        return Ok(());
    };
    let wrong = if spec.mode == Mode::Ingest {
        Some("an ingest flow takes what producers send and has no schedule: leave out one of the two")
    } else if !spec.from.is_empty() {
        Some("a flow reads a topic or has a schedule for its producer, not both: give one of them")
    } else if spec.plugins.len() > 1 {
        Some(
            "a flow with a schedule has exactly one plugin, a producer: filter or transform its topic with another flow",
        )
    } else if spec.start != Start::Earliest {
        Some(
            "a flow with a schedule reads no topic in which it could start: its producer has a cursor of its own",
        )
    } else if spec.on_error != OnError::Pause {
        Some(
            "a flow with a schedule reads no records that could be skipped, set aside or tried again: a producer that fails is \
             polled again, and paused when it goes on failing",
        )
    } else {
        None
    };
    if let Some(wrong) = wrong {
        return Err(invalid(wrong));
    }
    Timetable::new(schedule).map_err(invalid)?;
    Ok(())
}

/// Checks that a plugin is of the kind that the flow takes.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`].
pub(crate) fn check_kind(
    spec: &FlowSpec,
    plugin: &dyn std::fmt::Display,
    kind: PluginKind,
) -> Result<(), BrokerError> {
    let has_schedule = spec.schedule.is_some();
    let kind = match kind {
        PluginKind::Producer if has_schedule => return Ok(()),
        PluginKind::Producer => {
            return Err(invalid(format!(
                "plugin {plugin} is a producer, which reads no topic: give the flow a schedule instead"
            )));
        }
        _ if !has_schedule => return Ok(()),
        PluginKind::Filter => "filter",
        PluginKind::Transform => "transform",
    };
    Err(invalid(format!(
        "plugin {plugin} is a {kind}, and only a producer runs on a schedule: give the flow a topic to read instead"
    )))
}

fn invalid(message: impl Into<String>) -> BrokerError {
    BrokerError::new(ErrorKind::InvalidFlow, message.into())
}
