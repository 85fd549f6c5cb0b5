use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quinn::VarInt;
use tokio::sync::Mutex;
use weir_protocol::CloseCode;

use crate::Error;
use crate::client::Session;
use crate::client::connector::Connector;

/// The one connection that producers, consumers and admin calls share, made again when it is lost.
///
/// However many ask at the same time, there is one attempt: those who waited for it share its outcome. How soon the next
/// attempt comes is up to those who ask; each of them backs off.
#[derive(Debug)]
pub(super) struct Sessions {
    connector: Connector,
    slot: Mutex<Slot>,
    attempts: AtomicU64,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Slot {
    session: Option<Arc<Session>>,
    last_error: Option<Error>,
}

impl Sessions {
    pub(super) fn new(connector: Connector) -> Self {
        Self {
            connector,
            slot: Mutex::new(Slot::default()),
            attempts: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn broker(&self) -> &str {
        &self.connector.broker
    }

    /// The live connection, or a new one.
    pub(super) async fn get(&self) -> Result<Arc<Session>, Error> {
        let attempts_seen = self.attempts.load(Ordering::Acquire);
        let mut slot = self.slot.lock().await;
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if let Some(session) = slot.session.as_ref().filter(|session| session.is_alive()) {
            return Ok(Arc::clone(session));
        }
        if self.attempts.load(Ordering::Acquire) != attempts_seen
            && let Some(error) = &slot.last_error
        {
            return Err(error.clone());
        }
        slot.session = None;
        let outcome = self.connector.connect().await;
        self.attempts.fetch_add(1, Ordering::AcqRel);
        match outcome {
            Ok(session) => {
                let session = Arc::new(session);
                slot.session = Some(Arc::clone(&session));
                slot.last_error = None;
                Ok(session)
            }
            Err(error) => {
                slot.last_error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Closes the connection for good and waits until the broker has had the chance to hear of it.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let session = self.slot.lock().await.session.take();
        if let Some(session) = session {
            session
                .connection
                .close(VarInt::from_u32(CloseCode::Done.number()), b"the client is done");
            session.endpoint.wait_idle().await;
        }
    }
}
