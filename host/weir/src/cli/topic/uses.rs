//! Which flows need a topic.

use weir_client::{FlowInfo, FlowMode, FlowState};

use crate::cli::Failure;

/// Flows that are named one by one.
const NAMED_MAX: usize = 8;

/// An error if one of the flows reads or writes the topic; what is finished needs nothing any more.
pub(super) fn check(topic: &str, flows: &[FlowInfo]) -> Result<(), Failure> {
    let uses: Vec<String> = flows
        .iter()
        .filter(|flow| !matches!(flow.state, FlowState::Finished { .. }))
        .filter_map(|flow| Some(format!("flow {} {} it", flow.spec.name, how(topic, flow)?)))
        .collect();
    if uses.is_empty() {
        return Ok(());
    }
    let mut text = uses[..uses.len().min(NAMED_MAX)].join(", ");
    if uses.len() > NAMED_MAX {
        text.push_str(&format!(", and {} further flows need it", uses.len() - NAMED_MAX));
    }
    Err(Failure::new(
        format!("topic '{topic}' is in use: {text}"),
        format!(
            "delete the flows first, or let them pause for want of it: weir topic delete {topic} --force"
        ),
    ))
}

/// What a flow does with the topic.
fn how(topic: &str, flow: &FlowInfo) -> Option<&'static str> {
    let is = |name: &String| name == topic;
    let spec = &flow.spec;
    if spec.from.iter().any(is) {
        Some("reads")
    } else if spec.to.iter().any(is) && spec.mode == FlowMode::Ingest {
        Some("guards")
    } else if spec.to.iter().any(is) {
        Some("writes")
    } else if flow.dead_letter.as_ref().is_some_and(is) {
        Some("keeps its dead letters in")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_client::FlowSpec;

    use super::*;

    fn flow(name: &str, from: &str, to: &str, state: FlowState) -> FlowInfo {
        let spec = FlowSpec::new(name, from, ["p@1"], [to]);
        serde_json::from_value(json!({ "spec": spec, "state": state })).unwrap()
    }

    #[test]
    fn every_use_is_named() {
        let mut guard = flow("guard", "", "b", FlowState::Running);
        guard.spec.from.clear();
        guard.spec.mode = FlowMode::Ingest;
        let mut other = flow("other", "x", "y", FlowState::Running);
        other.dead_letter = Some("other.dead-letter".to_owned());
        let done = flow(
            "done",
            "a",
            "b",
            FlowState::Finished {
                reason: String::new(),
            },
        );
        let flows = [flow("f", "a", "b", FlowState::Running), guard, other, done];
        let said = |topic: &str| check(topic, &flows).map_err(|failure| failure.to_string());
        assert_eq!(said("c"), Ok(()));
        assert!(said("a").unwrap_err().contains("in use: flow f reads it\n"));
        assert!(
            said("b")
                .unwrap_err()
                .contains("in use: flow f writes it, flow guard guards it\n")
        );
        let letters = said("other.dead-letter").unwrap_err();
        assert!(
            letters.contains("flow other keeps its dead letters in it"),
            "{letters}"
        );
        assert!(letters.contains("--force"), "{letters}");
    }

    #[test]
    fn many_flows_are_cut_short() {
        let flows: Vec<FlowInfo> = (0..20)
            .map(|n| flow(&format!("f{n}"), "a", "b", FlowState::Running))
            .collect();
        let said = check("a", &flows).unwrap_err().to_string();
        assert!(
            said.contains("flow f7 reads it, and 12 further flows need it"),
            "{said}"
        );
    }
}
