/// A partition: the topic's id, which is never used again after the topic is deleted, and the index within the topic.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PartitionId {
    /// Id of the topic.
    pub topic: u32,
    /// Index of the partition within its topic, from 0.
    pub index: u32,
}

impl PartitionId {
    /// Big-endian, so that keys sort by topic and index.
    pub(crate) fn to_key(self) -> [u8; 8] {
        (u64::from(self.topic) << 32 | u64::from(self.index)).to_be_bytes()
    }

    pub(crate) fn from_key(key: [u8; 8]) -> Self {
        let key = u64::from_be_bytes(key);
        Self {
            topic: (key >> 32) as u32,
            index: key as u32,
        }
    }
}

impl std::fmt::Display for PartitionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.index)
    }
}
