use std::collections::BTreeMap;

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the topic is made by `Admin::create_topic`"]
pub struct NewTopic {
    pub(super) name: String,
    pub(super) partitions: Option<u32>,
    pub(super) config: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic of this name: 1 to 249 of the characters `a-z A-Z 0-9 . _ -`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            partitions: None,
            config: BTreeMap::new(),
        }
    }

    /// How many partitions it gets. Without, as many as the broker's configuration says.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Sets one of its settings; keys and values are Kafka's, for example `retention.ms`.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }
}
