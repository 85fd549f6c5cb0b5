//! The passes of one flow and source partition that are on their way to the disk.

use std::collections::VecDeque;

/// A pass takes source records up to an offset and has one entry in each shard that gets something of it. Several
/// passes are under way at once; the cursor moves in their order.
///
/// Entries of one shard are committed in the order they are submitted, and none after one that failed.
#[derive(Debug)]
pub(crate) struct Window {
    passes_max: usize,
    /// Everything below is committed in all shards.
    position: i64,
    /// What a committed or submitted cursor row says of that, at most.
    claimed: i64,
    passes: VecDeque<Pass>,
}

#[derive(Debug)]
struct Pass {
    end: i64,
    /// Shards whose entry is not yet committed.
    pending: Vec<u16>,
}

impl Window {
    /// Nothing under way, everything below `position` done. At most `passes_max` passes at once.
    pub(crate) fn new(position: i64, passes_max: usize) -> Self {
        Self {
            passes_max: passes_max.max(1),
            position,
            claimed: position,
            passes: VecDeque::new(),
        }
    }

    /// Whether another pass can be pushed.
    pub(crate) fn has_room(&self) -> bool {
        self.passes.len() < self.passes_max
    }

    /// How many passes are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.passes.len()
    }

    /// The first offset that is not in all shards yet.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// The end of the last pass pushed: where the next one begins.
    pub(crate) fn next_start(&self) -> i64 {
        self.passes.back().map_or(self.position, |pass| pass.end)
    }

    /// Takes up a pass that ends before `end` and has an entry in each of `shards`. Returns for each of them what the
    /// cursor row in its entry can say to be complete: once that entry is committed, it is.
    ///
    /// # Panics
    /// Without room, without shards, or if `end` does not move on.
    pub(crate) fn push(&mut self, end: i64, shards: &[u16]) -> Vec<i64> {
        assert!(self.has_room() && !shards.is_empty() && end > self.next_start());
        let claims = shards
            .iter()
            .map(|&shard| self.complete_with(shard, end, shards))
            .collect::<Vec<_>>();
        self.claimed = claims.iter().copied().fold(self.claimed, i64::max);
        self.passes.push_back(Pass {
            end,
            pending: shards.to_vec(),
        });
        claims
    }

    /// The entry in `shard` of the oldest pass that waits for it is committed.
    ///
    /// # Panics
    /// If no pass waits for that shard.
    pub(crate) fn committed(&mut self, shard: u16) {
        let waiting = self.passes.iter_mut().find_map(|pass| {
            let at = pass.pending.iter().position(|&pending| pending == shard)?;
            Some((pass, at))
        });
        let (pass, at) = waiting.expect("an entry was submitted for this shard");
        pass.pending.swap_remove(at);
        while self.passes.front().is_some_and(|pass| pass.pending.is_empty()) {
            self.position = self.passes.pop_front().map_or(self.position, |pass| pass.end);
        }
    }

    /// What is complete without any cursor row saying so; `None` while passes are under way.
    pub(crate) fn unclaimed(&self) -> Option<i64> {
        (self.passes.is_empty() && self.claimed < self.position).then_some(self.position)
    }

    /// A cursor row that says so was submitted.
    pub(crate) fn claim(&mut self) {
        self.claimed = self.claimed.max(self.position);
    }

    /// What is complete once everything that is submitted to `shard`, with a pass up to `end` in `shards`, is
    /// committed, and everything that is committed already.
    fn complete_with(&self, shard: u16, end: i64, shards: &[u16]) -> i64 {
        let mut complete = self.position;
        let new = (end, shards);
        for (end, pending) in self
            .passes
            .iter()
            .map(|pass| (pass.end, pass.pending.as_slice()))
            .chain([new])
        {
            if pending.iter().any(|&pending| pending != shard) {
                break;
            }
            complete = end;
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_one_shard_every_entry_says_it_is_complete() {
        let mut window = Window::new(0, 3);
        assert_eq!(window.push(10, &[0]), [10]);
        assert_eq!(window.push(20, &[0]), [20]);
        assert_eq!(window.push(30, &[0]), [30]);
        assert!(!window.has_room());
        assert_eq!(window.position(), 0);
        window.committed(0);
        assert_eq!(window.position(), 10);
        assert!(window.has_room());
        window.committed(0);
        window.committed(0);
        assert_eq!(window.position(), 30);
        assert_eq!(window.unclaimed(), None);
    }

    #[test]
    fn across_shards_nobody_says_more_than_it_knows() {
        let mut window = Window::new(0, 4);
        assert_eq!(window.push(10, &[0, 1]), [0, 0]);
        assert_eq!(
            window.push(20, &[0]),
            [0],
            "shard 1 still has to commit the first pass"
        );
        window.committed(1);
        assert_eq!(window.position(), 0);
        assert_eq!(
            window.push(30, &[0]),
            [30],
            "all that is missing is ahead of it in the same shard"
        );
        assert_eq!(window.push(40, &[1]), [0]);
        window.committed(0);
        assert_eq!(window.position(), 10);
        window.committed(1);
        assert_eq!(
            window.position(),
            10,
            "the fourth pass is committed, the second is not"
        );
        window.committed(0);
        window.committed(0);
        assert_eq!(window.position(), 40);
        assert_eq!(
            window.unclaimed(),
            Some(40),
            "the row of the last pass knew nothing of it"
        );
        window.claim();
        assert_eq!(window.unclaimed(), None);
    }

    /// Every prefix of commits, in any interleaving of shards, recovers to a state that completes exactly once.
    #[test]
    fn any_crash_leaves_rows_that_recover_exactly_once() {
        use crate::flow::cursor::CursorRow;
        use crate::flow::recovery::Recovery;
        const SHARDS: u16 = 3;
        const PASSES: i64 = 5;
        // Which shards pass n writes to, as bits; all combinations of a few interesting ones.
        for seed in 0..2_000_u32 {
            let mut random = Random(seed);
            let mut window = Window::new(0, 3);
            let mut queues: Vec<VecDeque<CursorRow>> = vec![VecDeque::new(); usize::from(SHARDS)];
            let mut rows: Vec<Option<CursorRow>> = vec![None; usize::from(SHARDS)];
            // outputs[shard]: the passes whose output is in the shard.
            let mut outputs: Vec<Vec<i64>> = vec![Vec::new(); usize::from(SHARDS)];
            let shards_of = |pass: i64| -> Vec<u16> {
                let bits = Random(seed ^ (pass as u32).wrapping_mul(0x9e37)).next() % 7 + 1;
                (0..SHARDS).filter(|shard| bits >> shard & 1 == 1).collect()
            };
            let mut next = 0;
            for _ in 0..random.next() % 25 {
                if random.next().is_multiple_of(2) && window.has_room() && next < PASSES {
                    let shards = shards_of(next);
                    let claims = window.push(next + 1, &shards);
                    for (&shard, complete) in shards.iter().zip(claims) {
                        let row = CursorRow {
                            source_topic: 1,
                            applied: next + 1,
                            complete,
                            sinks: Vec::new(),
                        };
                        queues[usize::from(shard)].push_back(row);
                    }
                    next += 1;
                } else {
                    let shard = (random.next() % u32::from(SHARDS)) as usize;
                    if let Some(row) = queues[shard].pop_front() {
                        outputs[shard].push(row.applied - 1);
                        rows[shard] = Some(row);
                        window.committed(shard as u16);
                    }
                }
            }
            // The crash: what is queued is lost.
            let recovery = Recovery::of(&rows, 1, 0);
            assert!(
                recovery.position <= window.position(),
                "nothing is said complete that is not"
            );
            for pass in recovery.position..PASSES {
                for shard in shards_of(pass).into_iter().map(usize::from) {
                    if pass >= recovery.applied[shard] {
                        outputs[shard].push(pass);
                    }
                }
            }
            for (shard, outputs) in outputs.iter().enumerate() {
                let expected: Vec<_> = (0..PASSES)
                    .filter(|&pass| shards_of(pass).contains(&(shard as u16)))
                    .collect();
                assert_eq!(outputs, &expected, "seed {seed}, shard {shard}");
            }
        }
    }

    struct Random(u32);

    impl Random {
        fn next(&mut self) -> u32 {
            self.0 = self.0.wrapping_add(0x9e37_79b9);
            let mut x = self.0;
            x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
            x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
            x ^ (x >> 16)
        }
    }
}
