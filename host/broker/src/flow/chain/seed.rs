//! Random numbers that are the same when records are processed again.

use crate::flow::lane::Lane;

/// Names the sequences of random numbers that the plugins of one flow draw in one lane.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(flow: u32, lane: Lane) -> Self {
        let of_partition = u64::from(flow) << 32 | u64::from(lane.partition);
        match lane.source {
            0 => Self(of_partition),
            source => Self(mix(of_partition) ^ u64::from(source)),
        }
    }

    /// The seed for the call of the plugin with index `stage` on the records from `offset` on.
    pub(crate) fn of_call(self, offset: i64, stage: usize) -> u64 {
        [offset as u64, stage as u64]
            .into_iter()
            .fold(mix(self.0), |seed, number| mix(seed ^ number))
    }
}

/// A bijection whose results look unrelated: the finaliser of MurmurHash3, after a step that leaves no fixed point at 0.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_call_has_its_own_seed_and_has_it_again() {
        let mut seeds = BTreeSet::new();
        for flow in 0..5 {
            for (source, partition) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)] {
                let lane = Lane { source, partition };
                for offset in 0..5 {
                    for stage in 0..5 {
                        let seed = Seed::new(flow, lane).of_call(offset, stage);
                        assert_eq!(seed, Seed::new(flow, lane).of_call(offset, stage));
                        assert!(seeds.insert(seed));
                    }
                }
            }
        }
    }
}
