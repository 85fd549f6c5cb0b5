//! How the tasks of a listener learn that it ends.

use std::time::Duration;

use tokio::sync::watch;

/// Tells everybody to finish what is in flight.
#[derive(Debug)]
pub(crate) struct DrainStart(watch::Sender<Option<Duration>>);

/// Learns of it.
#[derive(Clone, Debug)]
pub(crate) struct Drain(watch::Receiver<Option<Duration>>);

pub(crate) fn drain() -> (DrainStart, Drain) {
    let (sender, receiver) = watch::channel(None);
    (DrainStart(sender), Drain(receiver))
}

impl DrainStart {
    /// From now on there is so much time.
    pub(crate) fn start(&self, within: Duration) {
        self.0.send_replace(Some(within));
    }
}

impl Drain {
    /// Resolves when the listener begins to end, with the time that it gave.
    pub(crate) async fn started(&self) -> Duration {
        let mut receiver = self.0.clone();
        // A listener that is dropped gives no time at all.
        receiver
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|within| *within)
            .unwrap_or_default()
    }

    pub(crate) fn is_started(&self) -> bool {
        self.0.borrow().is_some()
    }
}
