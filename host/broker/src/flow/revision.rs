//! What a flow has run, and from which offsets on.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::flow::{FlowLimits, FlowSpec, OnError};

/// Revisions that a flow remembers; older ones are forgotten.
pub(crate) const REVISIONS_MAX: usize = 16;

/// One state of what can be changed about a flow: its plugins' versions, their configuration and its policy.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FlowRevision {
    /// 1 for what the flow was created with, and one more for each change.
    pub number: u32,
    /// The plugins, `name@version`.
    pub plugins: Vec<String>,
    /// What they are set up with.
    pub config: BTreeMap<String, String>,
    /// What happens to a record that they cannot handle.
    pub on_error: OnError,
    /// The hosts that they may call over HTTP.
    #[serde(default)]
    pub allow_http: Vec<String>,
    /// What they may take.
    #[serde(default)]
    pub limits: FlowLimits,
    /// When it took over, in milliseconds since 1970.
    pub since_ms: i64,
    /// By source, in the order of [`FlowSpec::from`], then by partition: the first offset that it processes. Later partitions
    /// are its own from the beginning. Of an ingest flow, for the topic that it guards.
    #[serde(deserialize_with = "by_source")]
    pub from: Vec<Vec<i64>>,
    /// The revision that it repeats, if it came about by going back.
    pub back_to: Option<u32>,
}

impl FlowRevision {
    /// What `spec` has at `number`, from these offsets on.
    pub(crate) fn of(spec: &FlowSpec, number: u32, since_ms: i64, from: Vec<Vec<i64>>) -> Self {
        Self {
            number,
            plugins: spec.plugins.clone(),
            config: spec.config.clone(),
            on_error: spec.on_error,
            allow_http: spec.allow_http.clone(),
            limits: spec.limits.clone(),
            since_ms,
            from,
            back_to: None,
        }
    }

    /// `spec` with what this revision has.
    pub(crate) fn applied_to(&self, spec: &FlowSpec) -> FlowSpec {
        FlowSpec {
            plugins: self.plugins.clone(),
            config: self.config.clone(),
            on_error: self.on_error,
            allow_http: self.allow_http.clone(),
            limits: self.limits.clone(),
            ..spec.clone()
        }
    }
}

/// Of what a flow has run, oldest first, the revision in front of the one that it runs now: what a rollback goes back to. One that came
/// about by going back counts as the revision that it repeats, so that another rollback goes further back and not forward again.
pub(crate) fn before_running(revisions: &[FlowRevision]) -> Option<&FlowRevision> {
    let running = repeated(revisions, revisions.last()?.number);
    revisions.iter().rev().find(|revision| revision.number < running)
}

/// The revision that `number` repeats in the end; itself if it came about otherwise.
fn repeated(revisions: &[FlowRevision], mut number: u32) -> u32 {
    let back_to = |number| {
        let revision = revisions.iter().find(|revision| revision.number == number)?;
        // What is stored is not to lead round in circles.
        revision.back_to.filter(|&back_to| back_to < number)
    };
    while let Some(earlier) = back_to(number) {
        number = earlier;
    }
    number
}

/// The offsets as they are stored: by source, or, by earlier releases, of the only one.
fn by_source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<i64>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Offsets {
        BySource(Vec<Vec<i64>>),
        OfOne(Vec<i64>),
    }
    Ok(match Offsets::deserialize(deserializer)? {
        Offsets::BySource(offsets) => offsets,
        Offsets::OfOne(offsets) => vec![offsets],
    })
}

/// What to change about a flow; what is left empty stays as it is. With nothing to change, every plugin goes to its newest
/// version.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FlowChange {
    /// Plugins of the flow, `name@version`, or `name` for its newest version.
    pub plugins: Vec<String>,
    /// Settings to make.
    pub set: BTreeMap<String, String>,
    /// Settings to take away.
    pub unset: Vec<String>,
    /// The policy.
    pub on_error: Option<OnError>,
    /// All hosts that the plugins may call over HTTP from now on.
    pub allow_http: Option<Vec<String>>,
    /// Limits to set.
    pub limits: FlowLimits,
    /// Limits to leave to the broker again, by name.
    pub unset_limits: Vec<String>,
}

impl FlowChange {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `spec` with the change made; plugins without a version are to be given their newest.
    ///
    /// # Errors
    /// What the flow does not have, in words.
    pub(crate) fn applied_to(&self, spec: &FlowSpec) -> Result<FlowSpec, String> {
        let name = |reference: &str| reference.split('@').next().unwrap_or(reference).to_owned();
        let mut changed = spec.clone();
        if self.is_empty() {
            changed.plugins = spec.plugins.iter().map(|plugin| name(plugin)).collect();
        }
        for plugin in &self.plugins {
            let of_that_name = changed.plugins.iter_mut().filter(|own| name(own) == name(plugin));
            let mut replaced = 0;
            for own in of_that_name {
                own.clone_from(plugin);
                replaced += 1;
            }
            if replaced == 0 {
                return Err(format!(
                    "the flow runs no plugin '{}', but {}: its plugins can change their versions; for other plugins make another flow",
                    name(plugin),
                    spec.plugins.join(", ")
                ));
            }
        }
        for key in &self.unset {
            if changed.config.remove(key).is_none() {
                return Err(format!("the flow has no setting '{key}' to take away"));
            }
        }
        changed.config.extend(self.set.clone());
        if let Some(on_error) = self.on_error {
            changed.on_error = on_error;
        }
        if let Some(hosts) = &self.allow_http {
            changed.allow_http.clone_from(hosts);
        }
        changed.limits = changed.limits.changed(&self.limits, &self.unset_limits)?;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> FlowSpec {
        let mut spec = FlowSpec::new("f", "a", ["keep@1", "cut@4"], ["b"]);
        spec.config = BTreeMap::from([("x".to_owned(), "1".to_owned()), ("y".to_owned(), "2".to_owned())]);
        spec
    }

    #[test]
    fn nothing_to_change_means_the_newest_of_everything() {
        let changed = FlowChange::default().applied_to(&spec()).unwrap();
        assert_eq!(changed.plugins, ["keep", "cut"]);
        assert_eq!(changed.config, spec().config);
    }

    #[test]
    fn what_is_not_named_stays() {
        let change = FlowChange {
            plugins: vec!["cut@5".to_owned()],
            set: BTreeMap::from([("x".to_owned(), "3".to_owned())]),
            unset: vec!["y".to_owned()],
            on_error: Some(OnError::Skip),
            allow_http: Some(vec!["a.example".to_owned()]),
            ..FlowChange::default()
        };
        let changed = change.applied_to(&spec()).unwrap();
        assert_eq!(changed.plugins, ["keep@1", "cut@5"]);
        assert_eq!(changed.config, BTreeMap::from([("x".to_owned(), "3".to_owned())]));
        assert_eq!(changed.on_error, OnError::Skip);
        assert_eq!(changed.allow_http, ["a.example"]);
    }

    #[test]
    fn what_the_flow_does_not_have_cannot_change() {
        let plugin = FlowChange {
            plugins: vec!["other@1".to_owned()],
            ..FlowChange::default()
        };
        assert!(
            plugin
                .applied_to(&spec())
                .unwrap_err()
                .contains("no plugin 'other'")
        );
        let unset = FlowChange {
            unset: vec!["z".to_owned()],
            ..FlowChange::default()
        };
        assert!(unset.applied_to(&spec()).unwrap_err().contains("no setting 'z'"));
    }

    #[test]
    fn what_is_in_front_of_the_running_revision_goes_further_back_each_time() {
        let revisions = |back_to: &[Option<u32>]| -> Vec<FlowRevision> {
            let numbered = (1..).zip(back_to).map(|(number, &back_to)| FlowRevision {
                back_to,
                ..FlowRevision::of(&spec(), number, 0, Vec::new())
            });
            numbered.collect()
        };
        let before = |revisions: &[FlowRevision]| before_running(revisions).map(|revision| revision.number);
        assert_eq!(before(&revisions(&[None])), None);
        assert_eq!(before(&revisions(&[None, None, None])), Some(2));
        assert_eq!(before(&revisions(&[None, None, None, Some(2)])), Some(1));
        assert_eq!(before(&revisions(&[None, None, None, Some(2), Some(1)])), None);
        assert_eq!(
            before(&revisions(&[None, None, Some(1), None])),
            Some(3),
            "changed since"
        );
        assert_eq!(
            before(&revisions(&[None, None, Some(1), None, Some(3)])),
            None,
            "which repeats the first"
        );
        let mut few = revisions(&[None, None, None, Some(2)]);
        few.drain(..2);
        assert_eq!(before(&few), None, "what was before is forgotten");
        assert_eq!(
            before(&revisions(&[None, Some(2)])),
            Some(1),
            "nothing repeats itself"
        );
    }

    #[test]
    fn a_revision_is_what_it_was_made_of() {
        let revision = FlowRevision::of(&spec(), 3, 7, vec![vec![1, 2]]);
        let mut other = spec();
        other.plugins = vec!["keep@9".to_owned()];
        other.config.clear();
        assert_eq!(revision.applied_to(&other), spec());
    }
}
