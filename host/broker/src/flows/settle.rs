//! Whether a flow that was resumed gets on.

use std::time::Duration;

use tokio::sync::watch;

use super::info;
use crate::flow::{Flow, Lane};
use crate::{Broker, BrokerError, FlowInfo, FlowStatus, Place};

impl Broker {
    /// Waits until a flow that was just resumed has shown whether it gets on: it runs and is past the record that it `stood_at`, it
    /// waits for something, or it is paused again. What it is then, or after `most`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFlow`](crate::ErrorKind::UnknownFlow); [`ErrorKind::Storage`](crate::ErrorKind::Storage) when the cursor of a
    /// paused flow cannot be read.
    pub async fn settled_flow(
        &self,
        name: &str,
        stood_at: Option<&Place>,
        most: Duration,
    ) -> Result<FlowInfo, BrokerError> {
        let flow = self.core.flow(name)?;
        // What it is then is to be said either way.
        let _ = tokio::time::timeout(most, settled(&flow, stood_at)).await;
        info(&self.core, &self.core.flow(name)?, true).await
    }
}

async fn settled(flow: &Flow, stood_at: Option<&Place>) {
    let mut status = flow.watch_status();
    let mut cursor = stood_at.and_then(|place| cursor_at(flow, place));
    loop {
        let runs = match *status.borrow_and_update() {
            FlowStatus::Starting => false,
            FlowStatus::Running => true,
            FlowStatus::Waiting { .. } | FlowStatus::Paused(_) => return,
        };
        let is_past = match (&mut cursor, stood_at) {
            (Some(cursor), Some(place)) => *cursor.borrow_and_update() > place.offset,
            _ => true,
        };
        if runs && is_past {
            return;
        }
        let changed = tokio::select! {
            changed = status.changed() => changed,
            changed = next_change(&mut cursor) => changed,
        };
        // Another revision took its place, and tells no more.
        if changed.is_err() {
            return;
        }
    }
}

async fn next_change(cursor: &mut Option<watch::Receiver<i64>>) -> Result<(), watch::error::RecvError> {
    match cursor {
        Some(cursor) => cursor.changed().await,
        None => std::future::pending().await,
    }
}

/// The cursor of the lane that the place is in.
fn cursor_at(flow: &Flow, place: &Place) -> Option<watch::Receiver<i64>> {
    let source = flow.spec().from.iter().position(|topic| *topic == place.topic)?;
    let lane = Lane {
        source: u32::try_from(source).ok()?,
        partition: place.partition,
    };
    Some(flow.counters(lane).watch_cursor())
}
