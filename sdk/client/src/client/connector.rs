use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use weir_protocol::{Hello, HelloOk};

use crate::Error;
use crate::client::Session;
use crate::client::probe;
use crate::client::silence::SilenceWatch;
use crate::transport;
use crate::wire::{FrameReader, send};

/// First and last of the QUIC error codes that carry a TLS alert (RFC 9001, section 4.8).
const CRYPTO_ERRORS: std::ops::RangeInclusive<u64> = 0x100..=0x1ff;
/// The TLS alert `no_application_protocol`.
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

/// Makes connections to one broker.
#[derive(Debug)]
pub(super) struct Connector {
    /// The address as it was given; for messages.
    pub(super) broker: Arc<str>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) server_name: String,
    pub(super) config: ClientConfig,
    pub(super) trust_origin: String,
    pub(super) connect_timeout: Duration,
    pub(super) silence_timeout: Duration,
    pub(super) client_name: String,
}

impl Connector {
    /// One attempt: resolves the name, tries its addresses in order, shakes hands and exchanges versions.
    pub(super) async fn connect(&self) -> Result<Session, Error> {
        match tokio::time::timeout(self.connect_timeout, self.attempt()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.no_answer()),
        }
    }

    async fn attempt(&self) -> Result<Session, Error> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|error| self.unreachable(format!("the name {} is not resolved: {error}", self.host)))?
            .collect();
        let mut last = self.unreachable(format!("the name {} has no address", self.host));
        for address in addresses {
            match self.attempt_at(address).await {
                Ok(session) => return Ok(session),
                Err(error) => last = error,
            }
            // Another address of the same broker would show the same certificate and speak the same version.
            if !last.retriable() {
                break;
            }
        }
        Err(last)
    }

    async fn attempt_at(&self, address: SocketAddr) -> Result<Session, Error> {
        let endpoint = transport::endpoint(address)
            .map_err(|error| self.unreachable(format!("no UDP socket can be opened here: {error}")))?;
        let connecting = endpoint
            .connect_with(self.config.clone(), address, &self.server_name)
            .map_err(|error| Error::InvalidArgument(format!("cannot connect to {}: {error}", self.broker)))?;
        let connection = tokio::select! {
            outcome = connecting => outcome.map_err(|error| self.explain(&error))?,
            () = probe::refused(address) => {
                return Err(self.unreachable(format!("nothing listens at {address} (UDP)")));
            }
        };
        self.greet(endpoint, connection).await
    }

    /// The first exchange.
    async fn greet(&self, endpoint: Endpoint, connection: Connection) -> Result<Session, Error> {
        let (mut sender, receiver) = connection.open_bi().await.map_err(|error| self.explain(&error))?;
        let mut reader = FrameReader::new(receiver, Arc::clone(&self.broker));
        send(&mut sender, &self.broker, &Hello::new(self.client_name.as_str())).await?;
        let welcome: HelloOk = reader.message().await?;
        tracing::debug!(broker = %self.broker, version = %welcome.broker, "connected");
        Ok(Session {
            _watch: SilenceWatch::start(connection.clone(), self.silence_timeout),
            connection,
            welcome,
            broker: Arc::clone(&self.broker),
            endpoint,
            _first_stream: (sender, reader),
        })
    }

    /// What a failed handshake means to the user.
    fn explain(&self, error: &ConnectionError) -> Error {
        match error {
            ConnectionError::TransportError(error) if CRYPTO_ERRORS.contains(&u64::from(error.code)) => {
                Error::UnknownCertificate {
                    broker: self.broker.to_string(),
                    trust: self.trust_origin.clone(),
                    reason: error.reason.clone(),
                }
            }
            ConnectionError::ConnectionClosed(close)
                if u64::from(close.error_code) == NO_APPLICATION_PROTOCOL =>
            {
                Error::Protocol(format!("the server at {} does not speak weir/1", self.broker))
            }
            ConnectionError::VersionMismatch => Error::Protocol(format!(
                "the server at {} does not speak QUIC version 1",
                self.broker
            )),
            ConnectionError::TimedOut => self.no_answer(),
            other => self.unreachable(other.to_string()),
        }
    }

    fn no_answer(&self) -> Error {
        self.unreachable(format!(
            "no answer within {} ms",
            self.connect_timeout.as_millis()
        ))
    }

    fn unreachable(&self, reason: String) -> Error {
        Error::Unreachable {
            broker: self.broker.to_string(),
            reason,
        }
    }
}
