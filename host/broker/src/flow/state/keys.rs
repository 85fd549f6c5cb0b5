//! The keys that flows' state has among a shard's key-value pairs.
//!
//! ```text
//! state/FLOW/TOPIC/PARTITION/STAGE/KEY     a row: FLOW and TOPIC are ids, TOPIC and PARTITION the source's, KEY the plugin's bytes
//! state-size/FLOW/TOPIC/PARTITION          what the rows of that partition come to
//! state-schema/FLOW/TOPIC/PARTITION/STAGE  the version of a stage's rows
//! ```
//!
//! The source topic is named by its id, so that a topic made anew under the name of a deleted one begins with no state.

/// The prefix of all rows.
pub(crate) const ROWS: &str = "state/";
/// The prefix of all totals.
pub(crate) const TOTALS: &str = "state-size/";

/// The prefix of all versions.
pub(crate) const SCHEMAS: &str = "state-schema/";

/// The keys of one flow's state in one source partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StateKeys {
    pub(crate) flow: u32,
    /// Id of the source topic.
    pub(crate) topic: u32,
    /// The source partition.
    pub(crate) partition: u32,
}

impl StateKeys {
    /// The prefix of the rows of all stages.
    pub(crate) fn rows(self) -> Vec<u8> {
        let Self {
            flow,
            topic,
            partition,
        } = self;
        format!("{ROWS}{flow}/{topic}/{partition}/").into_bytes()
    }

    /// The key of the totals.
    pub(crate) fn totals(self) -> Vec<u8> {
        let Self {
            flow,
            topic,
            partition,
        } = self;
        format!("{TOTALS}{flow}/{topic}/{partition}").into_bytes()
    }

    /// The key of the version of a stage's rows.
    pub(crate) fn schema(self, label: &str) -> Vec<u8> {
        let Self {
            flow,
            topic,
            partition,
        } = self;
        format!("{SCHEMAS}{flow}/{topic}/{partition}/{label}").into_bytes()
    }
}

/// The prefix of one flow's rows.
pub(crate) fn flow_rows(flow: u32) -> Vec<u8> {
    format!("{ROWS}{flow}/").into_bytes()
}

/// The prefix of one flow's totals.
pub(crate) fn flow_totals(flow: u32) -> Vec<u8> {
    format!("{TOTALS}{flow}/").into_bytes()
}

/// The prefix of the versions of one flow's rows.
pub(crate) fn flow_schemas(flow: u32) -> Vec<u8> {
    format!("{SCHEMAS}{flow}/").into_bytes()
}

/// The flow that a key below `prefix` belongs to.
pub(crate) fn flow_of_key(prefix: &str, key: &[u8]) -> Option<u32> {
    let rest = key.strip_prefix(prefix.as_bytes())?;
    let end = rest.iter().position(|&byte| byte == b'/')?;
    str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

/// What the stages of a chain are called in keys: the plugin's name without its version, so that a new version finds the state
/// of the one before; the second stage of the same plugin is `NAME#2`, and so on.
pub(crate) fn stage_labels(plugins: &[&str]) -> Vec<String> {
    let labels = plugins.iter().enumerate().map(|(index, name)| {
        let before = plugins[..index].iter().filter(|other| *other == name).count();
        match before {
            0 => (*name).to_owned(),
            n => format!("{name}#{}", n + 1),
        }
    });
    labels.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_their_flow_and_no_other() {
        let keys = |flow| StateKeys {
            flow,
            topic: 4,
            partition: 2,
        };
        assert_eq!(keys(12).rows(), b"state/12/4/2/");
        assert_eq!(keys(12).totals(), b"state-size/12/4/2");
        assert_eq!(flow_of_key(ROWS, &keys(12).rows()), Some(12));
        assert_eq!(flow_of_key(TOTALS, &keys(12).totals()), Some(12));
        assert!(keys(12).rows().starts_with(&flow_rows(12)));
        assert!(!keys(12).rows().starts_with(&flow_rows(1)));
        assert!(!keys(12).totals().starts_with(&flow_totals(1)));
        for other in ["state/", "state/x/1", "state-size/1/2/3", "flow/1/2"] {
            assert_eq!(flow_of_key(ROWS, other.as_bytes()), None);
        }
    }

    #[test]
    fn stages_of_one_plugin_are_told_apart() {
        let labels = stage_labels(&["dedup", "count", "dedup", "dedup"]);
        assert_eq!(labels, ["dedup", "count", "dedup#2", "dedup#3"]);
    }
}
