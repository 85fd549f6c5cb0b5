use std::sync::Arc;

use quinn::{Connection, Endpoint, RecvStream, SendStream};
use weir_protocol::HelloOk;

use crate::Error;
use crate::client::silence::SilenceWatch;
use crate::wire::{FrameReader, connection_error};

/// One established connection, past its first exchange.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) connection: Connection,
    pub(super) welcome: HelloOk,
    pub(super) broker: Arc<str>,
    /// The socket that the connection lives on.
    pub(super) endpoint: Endpoint,
    /// The first stream stays open as long as the connection does.
    pub(super) _first_stream: (SendStream, FrameReader),
    pub(super) _watch: SilenceWatch,
}

impl Session {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn welcome(&self) -> &HelloOk {
        &self.welcome
    }

    pub(crate) fn broker(&self) -> &Arc<str> {
        &self.broker
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Opens a bidirectional stream; waits while the broker has as many as it takes from one connection.
    pub(crate) async fn open(&self) -> Result<(SendStream, FrameReader), Error> {
        let opened: (SendStream, RecvStream) = self
            .connection
            .open_bi()
            .await
            .map_err(|error| connection_error(&self.broker, &error))?;
        Ok((opened.0, FrameReader::new(opened.1, Arc::clone(&self.broker))))
    }
}
