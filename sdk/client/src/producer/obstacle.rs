use std::time::{Duration, Instant};

/// What keeps a producer's records from being acknowledged at the moment. It goes on trying.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Obstacle {
    /// What the broker said, or why it cannot be reached: the last reason, if there was more than one.
    pub reason: String,
    /// For how long nothing has been acknowledged because of that.
    pub lasting: Duration,
    /// How long the oldest record is still tried, by the delivery timeout.
    pub left: Duration,
}

/// An obstacle as it is kept: until something is acknowledged.
#[derive(Debug)]
pub(super) struct Standing {
    reason: String,
    since: Instant,
}

impl Standing {
    /// A reason at `now`, instead of the one `before`, if there was one.
    pub(super) fn renewed(before: Option<Self>, reason: String, now: Instant) -> Self {
        let since = before.map_or(now, |before| before.since);
        Self { reason, since }
    }

    /// What it is at `now` for a record that is given up at `until`.
    pub(super) fn seen(&self, now: Instant, until: Instant) -> Obstacle {
        Obstacle {
            reason: self.reason.clone(),
            lasting: now.saturating_duration_since(self.since),
            left: until.saturating_duration_since(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_reason_does_not_make_it_a_new_obstacle() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let first = Standing::renewed(None, "the flow is paused".to_owned(), at(1));
        let second = Standing::renewed(Some(first), "the broker is gone".to_owned(), at(3));
        assert_eq!(
            second.seen(at(5), at(121)),
            Obstacle {
                reason: "the broker is gone".to_owned(),
                lasting: Duration::from_secs(4),
                left: Duration::from_secs(116),
            }
        );
        assert_eq!(second.seen(at(130), at(121)).left, Duration::ZERO);
    }
}
