use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::AppendError;
use crate::block_on::block_on;

/// A submitted entry's answer to come: resolves once the entry is committed or refused.
///
/// Dropping it changes nothing about the entry.
#[derive(Debug)]
pub struct Receipt(pub(crate) oneshot::Receiver<Result<Committed, AppendError>>);

impl Receipt {
    /// Waits on this thread. Not for threads that run tasks: await the receipt there.
    ///
    /// # Errors
    ///
    /// Why nothing of the entry was written.
    pub fn wait(self) -> Result<Committed, AppendError> {
        block_on(self)
    }
}

impl Future for Receipt {
    type Output = Result<Committed, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender is only ever dropped unanswered when the writer goes away.
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(AppendError::Closed)))
    }
}

/// A committed entry.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Committed {
    /// Where each batch is, in the order of [`Entry::appends`](crate::Entry::appends).
    pub appends: Vec<Appended>,
    /// For an entry that was [submitted in a sequence](crate::Log::submit_in_sequence): where what it stores begins, which
    /// is the partition's end if that is nothing. If it was there already, nothing of it was written, and this is where it
    /// was the first time; then the last offset is not known, and one less than the first.
    pub sequence: Option<Appended>,
}

/// Where a batch is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The batch was there already: a producer with an id sent it again.
    pub duplicate: bool,
    /// First offset of the partition at that moment.
    pub log_start_offset: i64,
}
