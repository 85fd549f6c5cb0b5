use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Delays between attempts: doubling from `first` up to `max`, each drawn from the upper half of its step, so that
/// clients that lost the same broker do not come back in step.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
    random: u64,
}

impl Backoff {
    /// Delays from `first` to `max` with jitter from a seed of the system's.
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self::with_seed(first, max, RandomState::new().build_hasher().finish())
    }

    /// The same with a given seed: equal seeds give equal delays.
    pub(crate) fn with_seed(first: Duration, max: Duration, seed: u64) -> Self {
        Self {
            first,
            max,
            attempts: 0,
            random: seed | 1,
        }
    }

    /// The delay before the next attempt.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let step = self
            .first
            .saturating_mul(1 << self.attempts.min(16))
            .min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        // xorshift64: the jitter needs spread, not secrecy.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = step / 2;
        half + half.mul_f64((self.random >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Starts over after a success.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn delays_double_within_their_half_step_and_stop_at_the_maximum() {
        let mut backoff = Backoff::with_seed(FIRST, MAX, 7);
        for attempt in 0..40u32 {
            let step = FIRST.saturating_mul(1 << attempt.min(16)).min(MAX);
            let delay = backoff.next_delay();
            assert!(
                delay >= step / 2 && delay <= step,
                "attempt {attempt}: {delay:?} of {step:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }

    #[test]
    fn two_clients_do_not_keep_step() {
        let delays = |seed| {
            let mut backoff = Backoff::with_seed(FIRST, MAX, seed);
            (0..8).map(|_| backoff.next_delay()).collect::<Vec<_>>()
        };
        assert_ne!(delays(3), delays(12345));
        assert_eq!(delays(3), delays(3));
    }
}
