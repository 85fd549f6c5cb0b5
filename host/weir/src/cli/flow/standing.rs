//! `weir flow pause`, `resume` and `delete`: what was, and what is now.

use weir_client::{FlowInfo, FlowState, TopicSummary};

use super::state;
use crate::cli::Failure;
use crate::cli::output::indented;

/// What a pause came to, of a flow as it was `before`.
pub(super) fn paused(before: &FlowInfo) -> String {
    let name = &before.spec.name;
    match &before.state {
        FlowState::Paused { reason } => format!("{name} is paused already: {}", indented(reason, 2)),
        FlowState::Finished { reason } => format!("{name} does not run any more: {reason}"),
        _ => format!("paused {name}"),
    }
}

/// What it came to that a flow was resumed.
pub(super) fn resumed(before: &FlowInfo, now: &FlowInfo) -> String {
    let name = &now.spec.name;
    let did = match before.state {
        FlowState::Paused { .. } => format!("resumed {name}"),
        _ => format!("{name} is running already"),
    };
    match &now.state {
        FlowState::Paused { .. } => format!("{did}; it stopped again at once"),
        FlowState::Starting => format!("{did}; it is starting: see weir flow describe {name}"),
        _ => match state(now) {
            (word, Some(reason)) => format!("{did}; {word}: {}", indented(reason, 2)),
            (_, None) => did,
        },
    }
}

/// An error if a flow that was resumed is paused again.
pub(super) fn gets_on(now: &FlowInfo) -> Result<(), Failure> {
    let FlowState::Paused { reason } = &now.state else {
        return Ok(());
    };
    let name = &now.spec.name;
    Err(Failure::new(
        format!("{name} is paused again: {reason}"),
        format!(
            "weir flow describe {name} shows where; mend the plugin or the record, or upgrade it with --on-error dead-letter"
        ),
    ))
}

/// The flow's own topics, which stay when it is deleted.
pub(super) fn topics_left(flow: &str, topics: &[TopicSummary]) -> Vec<String> {
    let own = [format!("{flow}.log"), format!("{flow}.dead-letter")];
    own.into_iter()
        .filter(|name| topics.iter().any(|topic| topic.name == *name))
        .collect()
}

/// What a deletion came to.
pub(super) fn deleted(flow: &str, left: &[String]) -> String {
    let mut text = format!("deleted {flow}\n");
    for topic in left {
        text.push_str(&format!(
            "its topic {topic} stays; to delete it too: weir topic delete {topic}\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_client::FlowSpec;

    use super::*;

    fn flow(state: FlowState) -> FlowInfo {
        let spec = FlowSpec::new("f", "a", ["p@1"], ["b"]);
        serde_json::from_value(json!({ "spec": spec, "state": state })).unwrap()
    }

    fn stopped(reason: &str) -> FlowInfo {
        let reason = reason.to_owned();
        flow(FlowState::Paused { reason })
    }

    #[test]
    fn what_was_so_already_is_said() {
        let running = flow(FlowState::Running);
        assert_eq!(paused(&running), "paused f");
        assert_eq!(paused(&stopped("why")), "f is paused already: why");
        assert_eq!(resumed(&running, &running), "f is running already");
        assert_eq!(resumed(&stopped("why"), &running), "resumed f");
    }

    #[test]
    fn a_flow_that_stops_again_at_once_is_no_success() {
        let (before, now) = (stopped("why"), stopped("the same again"));
        assert_eq!(resumed(&before, &now), "resumed f; it stopped again at once");
        let failure = gets_on(&now).unwrap_err().to_string();
        assert!(
            failure.contains("f is paused again: the same again\n"),
            "{failure}"
        );
        assert!(gets_on(&flow(FlowState::Running)).is_ok());
        let waiting = flow(FlowState::Waiting {
            reason: "retry 1 of 10".to_owned(),
        });
        assert_eq!(resumed(&before, &waiting), "resumed f; waiting: retry 1 of 10");
    }

    #[test]
    fn topics_that_stay_are_named() {
        let topic = |name: &str| TopicSummary {
            name: name.to_owned(),
            id: 1,
            partitions: 1,
        };
        let topics = [topic("f.log"), topic("f.logs"), topic("g.dead-letter")];
        let left = topics_left("f", &topics);
        assert_eq!(left, ["f.log"]);
        assert!(deleted("f", &left).contains("weir topic delete f.log\n"));
    }
}
