//! Ingest flows: plugins that everything goes through that producers send to a topic, before it is stored.
//!
//! A [`Guard`] stands in front of its topic as long as the flow exists: from the moment the flow is created, over every
//! restart, until it is deleted. While the flow runs, a batch goes from the producer to the [`lane`] of its partition, which
//! has the chain run over what waits ([`turn`]) on the threads for guests, one batch after the other ([`pass`]), and puts what
//! came out into the log without waiting for the disk ([`submit`]). While the flow does not run, whatever the reason, the guard refuses: nothing is ever
//! stored unfiltered.
//!
//! # Repeats
//!
//! What is stored of a batch of a producer with an id is an entry that takes the batch's place in the producer's sequence, with
//! as many numbers as the producer sent records, however many are stored, even none. So the sequence goes on as the producer
//! counts, and a repeat is answered with the place of the first time. What became of each record is not kept: the chain
//! runs over the repeat as it did over the batch, and gives the same answer, unless the flow was changed meanwhile. Records are
//! counted when they are stored, so that a repeat's are not.

mod guard;
mod lane;
mod lanes;
mod letters;
mod made;
mod pass;
mod results;
mod route;
mod rules;
mod run;
mod submit;
mod tally;
mod turn;

use std::sync::Arc;

use crate::core::Core;
use crate::flow::{Flow, FlowStatus};
pub(crate) use guard::Guard;
pub use results::{RecordResults, RecordRun, Rejection};
pub(crate) use run::run;
pub(crate) use submit::Submitted;

/// Puts the guard of an ingest flow in front of its topic, if that exists. From then on nothing gets by.
pub(crate) fn install(core: &Core, flow: &Flow) {
    if let Some(guard) = flow.guard()
        && let Ok(topic) = core.topic(guard.topic())
    {
        topic.set_guard(Some(Arc::clone(guard)));
    }
}

/// Takes it away.
pub(crate) fn remove(core: &Core, flow: &Flow) {
    if let Some(guard) = flow.guard()
        && let Ok(topic) = core.topic(guard.topic())
    {
        topic.set_guard(None);
    }
}

/// Waits until an ingest flow that was started is ready, or has failed at that. Any other flow is left alone.
pub(crate) async fn settled(flow: &Flow) {
    if flow.guard().is_some() {
        // The flow holds the other end.
        let _ = flow
            .watch_status()
            .wait_for(|status| *status != FlowStatus::Starting)
            .await;
    }
}
