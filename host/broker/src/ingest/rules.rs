//! What becomes of a record that a plugin cannot handle before it is stored.

use crate::OnError;
use crate::flow::policy::{Outcome, Rules, Verdict};

/// The policy of an ingest flow: nothing stops it, and where a flow between topics would pause, the record is refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct IngestRules {
    pub(super) on_error: OnError,
}

impl Rules for IngestRules {
    fn judge(&self, outcome: Outcome, _offset: i64) -> Verdict {
        match (outcome, self.on_error) {
            // What the plugin asks for itself, it gets, whatever the flow does about other failures.
            (Outcome::DeadLetter, _) => Verdict::DeadLetter,
            (Outcome::Retry, _) | (_, OnError::Retry) => Verdict::Defer,
            (_, OnError::Skip) => Verdict::Skip,
            (_, OnError::DeadLetter) => Verdict::DeadLetter,
            (_, OnError::Pause) => Verdict::Reject,
        }
    }
}
