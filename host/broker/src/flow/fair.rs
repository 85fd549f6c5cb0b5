//! Whose turn it is on the threads that run guests.

use std::collections::{HashMap, VecDeque};

/// Jobs of several flows, handed out so that flows with work get an equal share of *time*, however long their jobs
/// take and however many partitions they have.
///
/// Each flow has a virtual clock that its jobs' running time advances; the flow that is furthest behind goes next. A flow
/// that comes back after having had nothing to do does not catch up on the time it did not want.
#[derive(Debug)]
pub(crate) struct FairQueue<J> {
    flows: HashMap<u32, Turn<J>>,
    /// The clock of the flow that went last: where flows that come back begin.
    now_ns: u64,
}

#[derive(Debug)]
struct Turn<J> {
    clock_ns: u64,
    jobs: VecDeque<J>,
    running: usize,
}

impl<J> Default for Turn<J> {
    fn default() -> Self {
        Self {
            clock_ns: 0,
            jobs: VecDeque::new(),
            running: 0,
        }
    }
}

impl<J> FairQueue<J> {
    /// No jobs.
    pub(crate) fn new() -> Self {
        Self {
            flows: HashMap::new(),
            now_ns: 0,
        }
    }

    /// Adds a job of `flow`, behind the flow's others.
    pub(crate) fn push(&mut self, flow: u32, job: J) {
        let now_ns = self.now_ns;
        let turn = self.flows.entry(flow).or_default();
        if turn.jobs.is_empty() && turn.running == 0 {
            turn.clock_ns = turn.clock_ns.max(now_ns);
        }
        turn.jobs.push_back(job);
    }

    /// The job whose turn it is, and its flow. [`done`](Self::done) is to follow.
    #[cfg(test)]
    pub(crate) fn pop(&mut self) -> Option<(u32, J)> {
        self.pop_if(|_, _| true)
    }

    /// The same among the flows whose next job may run now, by that job and the flow's jobs under way.
    pub(crate) fn pop_if(&mut self, may_run: impl Fn(&J, usize) -> bool) -> Option<(u32, J)> {
        let waiting = self
            .flows
            .iter_mut()
            .filter(|(_, turn)| turn.jobs.front().is_some_and(|job| may_run(job, turn.running)));
        let (&flow, turn) = waiting.min_by_key(|(flow, turn)| (turn.clock_ns, **flow))?;
        let job = turn.jobs.pop_front()?;
        turn.running += 1;
        self.now_ns = self.now_ns.max(turn.clock_ns);
        Some((flow, job))
    }

    /// A job of `flow` has run for `took_ns`, and is over.
    pub(crate) fn done(&mut self, flow: u32, took_ns: u64) {
        self.charge(flow, took_ns);
        if let Some(turn) = self.flows.get_mut(&flow) {
            turn.running = turn.running.saturating_sub(1);
        }
    }

    /// A job of `flow` has run for `took_ns`, and goes on later.
    pub(crate) fn charge(&mut self, flow: u32, took_ns: u64) {
        if let Some(turn) = self.flows.get_mut(&flow) {
            turn.clock_ns = turn.clock_ns.saturating_add(took_ns);
        }
    }

    /// Forgets a flow that is at rest; its waiting jobs, if any, are returned.
    pub(crate) fn remove(&mut self, flow: u32) -> impl Iterator<Item = J> + use<J> {
        let jobs = self.flows.remove(&flow).map(|turn| turn.jobs).unwrap_or_default();
        jobs.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `turns` jobs; each flow always has two waiting, and a job of flow n takes `took[n]`.
    fn shares(took: &[u64], turns: usize) -> Vec<u64> {
        let mut queue = FairQueue::new();
        for flow in 0..took.len() as u32 {
            queue.push(flow, ());
            queue.push(flow, ());
        }
        let mut used = vec![0; took.len()];
        for _ in 0..turns {
            let (flow, ()) = queue.pop().unwrap();
            queue.done(flow, took[flow as usize]);
            used[flow as usize] += took[flow as usize];
            queue.push(flow, ());
        }
        used
    }

    #[test]
    fn time_is_shared_equally_however_long_jobs_take() {
        let used = shares(&[1_000, 10, 100], 20_000);
        for share in &used {
            assert!(share.abs_diff(used[0]) <= 2_000, "{used:?}");
        }
    }

    #[test]
    fn jobs_of_a_flow_keep_their_order() {
        let mut queue = FairQueue::new();
        (0..4).for_each(|job| queue.push(7, job));
        let order: Vec<_> = (0..4).map(|_| queue.pop().unwrap()).collect();
        assert_eq!(order, [(7, 0), (7, 1), (7, 2), (7, 3)]);
        assert!(queue.pop().is_none());
    }

    #[test]
    fn who_comes_late_does_not_starve_the_others() {
        let mut queue = FairQueue::new();
        queue.push(2, ());
        queue.pop().unwrap();
        queue.done(2, 1_000);
        queue.push(1, ());
        for _ in 0..1_000 {
            queue.pop().unwrap();
            queue.done(1, 1_000);
            queue.push(1, ());
        }
        // Flow 2 had a turn long ago, flow 3 none ever.
        queue.push(2, ());
        queue.push(3, ());
        let mut seen = [0; 4];
        for _ in 0..300 {
            let (flow, ()) = queue.pop().unwrap();
            queue.done(flow, 1_000);
            queue.push(flow, ());
            seen[flow as usize] += 1;
        }
        assert!(seen[1] >= 95 && seen[2] >= 95 && seen[3] >= 95, "{seen:?}");
    }

    #[test]
    fn a_removed_flow_leaves_nothing() {
        let mut queue = FairQueue::new();
        queue.push(1, 'a');
        queue.push(1, 'b');
        queue.push(2, 'c');
        assert_eq!(queue.remove(1).collect::<String>(), "ab");
        assert_eq!(queue.pop(), Some((2, 'c')));
        assert_eq!(queue.pop(), None);
    }
}
