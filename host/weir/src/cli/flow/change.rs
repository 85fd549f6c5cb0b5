//! `weir flow upgrade` and `rollback`: what to change, and what was changed.

use weir_client::{FlowChange, FlowInfo, FlowRevision, FlowSpec};

use super::{OnErrorArg, limit, number, on_error, table};
use crate::cli::output::place;

/// What to change about a flow.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Upgrade {
    /// The flow
    pub(super) name: String,
    /// A plugin of the flow: NAME@VERSION, or NAME for its newest version; repeated for several. With nothing to change at all,
    /// every plugin goes to its newest version
    #[arg(long = "plugin", value_name = "NAME[@V]")]
    plugins: Vec<String>,
    /// A setting for the plugins; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = number::key_value)]
    set: Vec<(String, String)>,
    /// A setting to take away; may be repeated
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// A host that the plugins may call over HTTP, in place of all those of before; may be repeated
    #[arg(long, value_name = "HOST", conflicts_with = "no_http")]
    allow_http: Vec<String>,
    /// The plugins may call no host any more
    #[arg(long)]
    no_http: bool,
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit::parse, help = limit::HELP)]
    limits: Vec<limit::Limit>,
    /// A limit to leave to the broker again; may be repeated
    #[arg(long = "unset-limit", value_name = "NAME", value_parser = limit::name)]
    unset_limits: Vec<String>,
    /// What happens to a record that the plugins fail on
    #[arg(long, value_enum)]
    on_error: Option<OnErrorArg>,
}

impl Upgrade {
    pub(super) fn into_change(self) -> FlowChange {
        FlowChange {
            plugins: self.plugins,
            set: self.set.into_iter().collect(),
            unset: self.unset,
            on_error: self.on_error.map(OnErrorArg::policy),
            allow_http: (self.no_http || !self.allow_http.is_empty()).then_some(self.allow_http),
            limits: limit::collect(self.limits),
            unset_limits: self.unset_limits,
        }
    }
}

/// What a change came to.
pub(super) fn changed(flow: &FlowInfo, before: Option<u32>) -> String {
    let name = &flow.spec.name;
    let Some(revision) = flow.revisions.last() else {
        return format!("changed {name}");
    };
    if before == Some(revision.number) {
        return format!("{name} runs exactly that already: revision {}", revision.number);
    }
    format!("{name} is at {}", line(&flow.spec, revision))
}

fn line(spec: &FlowSpec, revision: &FlowRevision) -> String {
    let mut text = format!("revision {}: {}", revision.number, revision.plugins.join(" -> "));
    if let Some(back_to) = revision.back_to {
        text.push_str(&format!(" (back to revision {back_to})"));
    }
    let from = from_places(spec, revision, ", ");
    if !from.is_empty() {
        text.push_str(&format!(", from {from} on"));
    }
    text
}

/// The first record that a revision processes in each partition.
fn from_places(spec: &FlowSpec, revision: &FlowRevision, between: &str) -> String {
    // An ingest flow has no sources: the offsets are those of the topic that it guards.
    let topics = if spec.from.is_empty() {
        &spec.to
    } else {
        &spec.from
    };
    let places = topics.iter().zip(&revision.from).flat_map(|(topic, offsets)| {
        let partitions = (0_u32..).zip(offsets);
        partitions.map(move |(partition, offset)| place(topic, partition, *offset, None))
    });
    places.collect::<Vec<_>>().join(between)
}

/// The revisions, for `describe`; nothing if there was only ever one.
pub(super) fn revisions(flow: &FlowInfo) -> Option<String> {
    if flow.revisions.len() < 2 {
        return None;
    }
    let heading = ["REVISION", "PLUGINS", "SETTINGS", "ON ERROR", "FROM"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(flow.revisions.iter().map(|revision| {
        let number = match revision.back_to {
            Some(back_to) => format!("{} (as {back_to})", revision.number),
            None => revision.number.to_string(),
        };
        let settings: Vec<String> = revision
            .config
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        vec![
            number,
            revision.plugins.join(" -> "),
            settings.join(" "),
            on_error(revision.on_error).to_owned(),
            from_places(&flow.spec, revision, " "),
        ]
    }));
    Some(table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_revision_begins_has_its_partitions() {
        let spec = |from: &[&str]| FlowSpec {
            from: from.iter().map(ToString::to_string).collect(),
            ..FlowSpec::new("f", "web", ["p@1"], ["out"])
        };
        let revision = FlowRevision {
            number: 3,
            plugins: vec!["p@1".to_owned()],
            from: vec![vec![5, 3]],
            back_to: Some(1),
            ..FlowRevision::default()
        };
        assert_eq!(
            line(&spec(&["web"]), &revision),
            "revision 3: p@1 (back to revision 1), from web/0@5, web/1@3 on"
        );
        let several = FlowRevision {
            from: vec![vec![5], vec![0, 7]],
            ..FlowRevision::default()
        };
        assert_eq!(
            from_places(&spec(&["web", "mobile"]), &several, " "),
            "web/0@5 mobile/0@0 mobile/1@7"
        );
        assert_eq!(from_places(&spec(&[]), &revision, " "), "out/0@5 out/1@3");
    }
}
