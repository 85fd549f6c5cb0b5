//! What a flow runs over by itself: one partition of one of its sources.

use std::fmt;

/// One partition of one of a flow's sources. Each has a runner, a cursor, counters and state of its own; nothing is ordered
/// between two of them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Lane {
    /// The source's place among those of the flow, from 0 on. It never changes: a flow keeps its sources for life.
    pub(crate) source: u32,
    /// The partition's index.
    pub(crate) partition: u32,
}

impl Lane {
    /// A partition of the first source, which for most flows is the only one.
    pub(crate) fn of_first_source(partition: u32) -> Self {
        Self { source: 0, partition }
    }

    /// A number that no other lane of the flow has; for the first source, the partition's index.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.source) << 32 | u64::from(self.partition)
    }

    /// The lane of that number.
    pub(crate) fn of_number(number: u64) -> Self {
        Self {
            source: (number >> 32) as u32,
            partition: number as u32,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct_and_those_of_the_first_source_are_its_partitions() {
        assert_eq!(Lane::of_first_source(7).number(), 7);
        let far = Lane {
            source: u32::MAX,
            partition: u32::MAX,
        };
        let lanes = [(0, 0), (0, u32::MAX), (1, 0), (1, 7), (7, 1)];
        let lanes = lanes.map(|(source, partition)| Lane { source, partition });
        for lane in lanes.into_iter().chain([far]) {
            assert_eq!(Lane::of_number(lane.number()), lane);
        }
    }
}
