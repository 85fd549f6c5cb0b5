use crate::CallError;

/// The way in which a call failed: coarser than [`CallError`], for whoever counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallFault {
    /// The plugin trapped.
    Trap,
    /// The call ran into its deadline.
    Deadline,
    /// The plugin wanted more memory than it may have.
    Memory,
    /// The answer is malformed or too large.
    Output,
    /// The plugin said that it cannot, and why; its instance goes on.
    Refused,
    /// The flow was stopped meanwhile. Nothing is wrong with the plugin or its records.
    Stopped,
    /// The plugin did not start, or the host could not do its part.
    Other,
}

impl CallError {
    /// The way in which the call failed.
    pub fn fault(&self) -> CallFault {
        match self {
            Self::Trap { .. } => CallFault::Trap,
            Self::Deadline { .. } | Self::RecordDeadline { .. } => CallFault::Deadline,
            Self::Memory { .. } => CallFault::Memory,
            Self::OutputTooLarge { .. }
            | Self::RecordOutputTooLarge { .. }
            | Self::TooManyRecords { .. }
            | Self::TooManyRecordsInAll { .. }
            | Self::OverBudget { .. }
            | Self::CursorTooLarge { .. }
            | Self::BadOutput { .. } => CallFault::Output,
            Self::Poll { .. } | Self::Migrate { .. } => CallFault::Refused,
            Self::Stopped => CallFault::Stopped,
            Self::Configure { .. }
            | Self::NotGranted { .. }
            | Self::State { .. }
            | Self::Instantiate { .. }
            | Self::BadInput { .. }
            | Self::WrongKind { .. } => CallFault::Other,
        }
    }
}
