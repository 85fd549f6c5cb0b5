//! Who gets in.

use std::sync::Arc;

use quinn::{Connecting, Incoming, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use weir_protocol::CloseCode;

use crate::connection;
use crate::context::Context;

/// Accepts connections until the listener ends, then waits for those that are open.
pub(crate) async fn accept(context: Arc<Context>) {
    let gate = Gate {
        handshakes: Arc::new(Semaphore::new(context.limits.handshakes_max)),
        connections: Arc::new(Semaphore::new(context.limits.connections_max)),
        retry_below: context.limits.handshakes_max.saturating_mul(3) / 4,
    };
    let mut tasks = JoinSet::new();
    let drain = context.drain.clone();
    let mut ending = std::pin::pin!(drain.started());
    loop {
        tokio::select! {
            incoming = context.endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                gate.admit(incoming, &context, &mut tasks);
            }
            Some(ended) = tasks.join_next() => report(ended),
            _ = &mut ending => break,
        }
    }
    context.endpoint.set_server_config(None);
    while let Some(ended) = tasks.join_next().await {
        report(ended);
    }
}

/// A task that panicked is a defect: its connection is lost, the others go on.
pub(crate) fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a task of the QUIC listener failed: {error}");
    }
}

/// Bounds of what may be under way.
struct Gate {
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// With fewer permits for handshakes left, peers must prove their address.
    retry_below: usize,
}

impl Gate {
    fn admit(&self, incoming: Incoming, context: &Arc<Context>, tasks: &mut JoinSet<()>) {
        if self.handshakes.available_permits() < self.retry_below && incoming.may_retry() {
            // Costs nothing here, and a forged address never answers.
            let _ = incoming.retry();
            return;
        }
        let Ok(handshake) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            incoming.refuse();
            return;
        };
        let remote = incoming.remote_address();
        let connecting = match incoming.accept() {
            Ok(connecting) => connecting,
            Err(error) => {
                tracing::debug!(%remote, "no connection: {error}");
                return;
            }
        };
        let connection = Arc::clone(&self.connections).try_acquire_owned().ok();
        tasks.spawn(enter(connecting, handshake, connection, Arc::clone(context)));
    }
}

/// The handshake, then the connection. Without a permit for a connection the peer is told so and sent away.
async fn enter(
    connecting: Connecting,
    handshake: OwnedSemaphorePermit,
    permit: Option<OwnedSemaphorePermit>,
    context: Arc<Context>,
) {
    let remote = connecting.remote_address();
    let connection = match tokio::time::timeout(context.limits.hello_timeout, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%remote, "no handshake: {error}"),
        Err(_) => return tracing::debug!(%remote, "the handshake took too long"),
    };
    let Some(_permit) = permit else {
        let reason = "the broker has as many connections as it takes: try again later";
        connection.close(
            VarInt::from_u32(CloseCode::TooManyConnections.number()),
            reason.as_bytes(),
        );
        // The permit for the handshake is kept until the peer knows.
        connection.closed().await;
        return;
    };
    drop(handshake);
    connection::serve(connection, context).await;
}
