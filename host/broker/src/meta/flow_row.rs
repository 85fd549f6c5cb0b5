//! What is kept of a flow.

use serde::{Deserialize, Serialize};

use crate::flow::Lane;
use crate::{FlowBounded, FlowRevision, FlowSpec, Pause};

/// A flow.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "StoredFlowRow")]
pub(crate) struct FlowRow {
    pub(crate) id: u32,
    /// Every plugin with its version.
    pub(crate) spec: FlowSpec,
    pub(crate) created_ms: i64,
    /// Where it begins and ends, by source in the order of the spec; empty for a flow that reads no topic.
    pub(crate) sources: Vec<SourceRow>,
    /// What it was made for, if it comes to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bounded: Option<FlowBounded>,
    /// Set while the flow stands still.
    pub(crate) pause: Option<Pause>,
    /// What it has run, oldest first; the last one is what it runs.
    pub(crate) revisions: Vec<FlowRevision>,
}

/// Where a flow begins in one of its sources, and where it ends if it does.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct SourceRow {
    /// The topic that the offsets are of.
    pub(crate) topic: u32,
    /// Where each partition begins that existed at creation. Later ones begin at 0.
    pub(crate) start: Vec<i64>,
    /// Where a flow that comes to an end does so in each partition. It has nothing to process in later ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) end: Vec<i64>,
}

/// A flow as this and earlier releases store it.
#[derive(Deserialize)]
struct StoredFlowRow {
    id: u32,
    spec: FlowSpec,
    created_ms: i64,
    #[serde(default)]
    sources: Option<Vec<SourceRow>>,
    #[serde(default)]
    bounded: Option<FlowBounded>,
    /// Of the only source, by releases whose flows had one.
    #[serde(default)]
    source_topic: u32,
    /// The same.
    #[serde(default)]
    start_offsets: Vec<i64>,
    pause: Option<Pause>,
    #[serde(default)]
    revisions: Vec<FlowRevision>,
}

impl From<StoredFlowRow> for FlowRow {
    fn from(stored: StoredFlowRow) -> Self {
        let only = || {
            let only = SourceRow {
                topic: stored.source_topic,
                start: stored.start_offsets,
                end: Vec::new(),
            };
            stored.spec.from.iter().map(|_| only.clone()).take(1).collect()
        };
        Self {
            id: stored.id,
            sources: stored.sources.unwrap_or_else(only),
            bounded: stored.bounded,
            spec: stored.spec,
            created_ms: stored.created_ms,
            pause: stored.pause,
            revisions: stored.revisions,
        }
    }
}

impl FlowRow {
    /// Where a flow without a cursor begins in a lane. `topic` is the source as it is now: one that was deleted and made anew is
    /// read from its first record on.
    pub(crate) fn start_of(&self, lane: Lane, topic: u32) -> i64 {
        let start = self
            .source(lane, topic)
            .and_then(|source| source.start.get(lane.partition as usize));
        start.copied().unwrap_or(0)
    }

    /// Where a flow that comes to an end does so in a lane, as with [`start_of`](Self::start_of); `None` for any other flow.
    pub(crate) fn end_of(&self, lane: Lane, topic: u32) -> Option<i64> {
        self.bounded.as_ref()?;
        let end = self
            .source(lane, topic)
            .and_then(|source| source.end.get(lane.partition as usize));
        Some(end.copied().unwrap_or(0))
    }

    /// Whether there is, or was, anything for the flow to process in a lane.
    pub(crate) fn has_work(&self, lane: Lane, topic: u32) -> bool {
        self.end_of(lane, topic)
            .is_none_or(|end| self.start_of(lane, topic) < end)
    }

    fn source(&self, lane: Lane, topic: u32) -> Option<&SourceRow> {
        self.sources
            .get(lane.source as usize)
            .filter(|source| source.topic == topic)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::BoundedKind;

    fn lane(source: u32, partition: u32) -> Lane {
        Lane { source, partition }
    }

    #[test]
    fn rows_of_flows_with_one_source_are_read() {
        let spec = json!({ "name": "f", "from": "a", "plugins": ["p@1"], "to": ["b"], "config": {}, "start": "earliest",
            "on_error": "pause", "mode": "stream" });
        let revision = json!({ "number": 1, "plugins": ["p@1"], "config": {}, "on_error": "pause", "since_ms": 5, "from": [3, 9],
            "back_to": null });
        let stored = json!({ "id": 4, "spec": spec, "created_ms": 5, "source_topic": 7, "start_offsets": [3, 9], "pause": null,
            "revisions": [revision] });
        let row: FlowRow = serde_json::from_value(stored).unwrap();
        assert_eq!(row.spec.from, ["a"]);
        assert_eq!(row.revisions[0].from, [[3, 9]]);
        assert_eq!((row.start_of(lane(0, 1), 7), row.start_of(lane(0, 2), 7)), (9, 0));
        assert_eq!(row.start_of(lane(0, 1), 8), 0, "another topic of that name");
        let stored_anew = serde_json::to_value(&row).unwrap();
        assert_eq!(serde_json::from_value::<FlowRow>(stored_anew).unwrap(), row);
    }

    #[test]
    fn rows_of_flows_without_a_source_are_read() {
        let spec = json!({ "name": "f", "from": "", "plugins": ["p@1"], "to": ["b"], "config": {}, "start": "earliest",
            "on_error": "pause", "mode": "ingest" });
        let stored = json!({ "id": 4, "spec": spec, "created_ms": 5, "source_topic": 7, "start_offsets": [], "pause": null });
        let row: FlowRow = serde_json::from_value(stored).unwrap();
        assert!(row.spec.from.is_empty() && row.sources.is_empty() && row.revisions.is_empty());
    }

    #[test]
    fn sources_are_told_apart() {
        let source = |topic, start: &[i64]| SourceRow {
            topic,
            start: start.to_vec(),
            end: Vec::new(),
        };
        let row = FlowRow {
            id: 1,
            spec: FlowSpec::of_sources("f", vec!["a".to_owned(), "b".to_owned()], ["p@1"], ["c"]),
            created_ms: 0,
            sources: vec![source(7, &[1, 2]), source(8, &[3])],
            bounded: None,
            pause: None,
            revisions: Vec::new(),
        };
        assert_eq!(row.start_of(lane(0, 0), 7), 1);
        assert_eq!(row.start_of(lane(1, 0), 8), 3);
        assert_eq!(row.start_of(lane(1, 1), 8), 0);
        assert_eq!(row.start_of(lane(1, 0), 7), 0, "that topic is the other source");
        assert_eq!(row.start_of(lane(2, 0), 8), 0);
        let stored = serde_json::to_vec(&row).unwrap();
        assert_eq!(serde_json::from_slice::<FlowRow>(&stored).unwrap(), row);
        assert!(row.end_of(lane(0, 0), 7).is_none() && row.has_work(lane(0, 9), 7));

        let mut bounded = row;
        bounded.bounded = Some(FlowBounded {
            of: "g".to_owned(),
            kind: BoundedKind::Backfill,
        });
        bounded.sources[0].end = vec![1, 5];
        let ends = [(0, 7), (1, 7), (2, 7), (1, 8)].map(|(p, topic)| bounded.end_of(lane(0, p), topic));
        assert_eq!(ends, [Some(1), Some(5), Some(0), Some(0)]);
        let work = [(0, 7), (1, 7), (2, 7), (1, 8)].map(|(p, topic)| bounded.has_work(lane(0, p), topic));
        assert_eq!(work, [false, true, false, false]);
        let stored = serde_json::to_vec(&bounded).unwrap();
        assert_eq!(serde_json::from_slice::<FlowRow>(&stored).unwrap(), bounded);
    }
}
