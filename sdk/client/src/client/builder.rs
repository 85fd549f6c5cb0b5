use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::connector::Connector;
use crate::client::probe;
use crate::client::sessions::Sessions;
use crate::trust::{Trust, TrustSource, split_address};
use crate::{Client, Error, transport};

/// The address of a broker where none is given.
pub const DEFAULT_BROKER: &str = "127.0.0.1:9094";
/// Time for name resolution, handshake and first exchange.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to find out that nothing listens at an address for which no CA is known.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of a [`Client`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `connect`"]
pub struct ClientBuilder {
    broker: String,
    server_name: Option<String>,
    trust: Vec<TrustSource>,
    connect_timeout: Duration,
    silence_timeout: Duration,
    client_name: String,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            broker: DEFAULT_BROKER.to_owned(),
            server_name: None,
            trust: Vec::new(),
            connect_timeout: CONNECT_TIMEOUT,
            silence_timeout: SILENCE_TIMEOUT,
            client_name: concat!("weir-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// The broker's address as `host:port` or `[v6]:port`; UDP. Without it [`DEFAULT_BROKER`].
    pub fn broker(mut self, broker: impl Into<String>) -> Self {
        self.broker = broker.into();
        self
    }

    /// Trusts the CAs in this PEM file. May be called more than once; then any of them may vouch for the broker.
    ///
    /// Without any CA the file that the environment variable `WEIR_CA` names is taken, or else the CA that a broker on
    /// this machine has left for its user's clients.
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.trust.push(TrustSource::File(PathBuf::from(path.as_ref())));
        self
    }

    /// Trusts the CAs in this PEM text. May be called more than once.
    pub fn ca_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.trust.push(TrustSource::Pem(pem.as_ref().to_vec()));
        self
    }

    /// The name that the broker's certificate must be valid for, if it is not the host of the address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Most time that one attempt to connect may take. 5 s unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the broker may be silent, although it has something to acknowledge, before the connection counts as lost
    /// and is made again. 5 s unless set. A connection on which nothing is said is looked after in the same rhythm.
    pub fn silence_timeout(mut self, timeout: Duration) -> Self {
        self.silence_timeout = timeout;
        self
    }

    /// How the client introduces itself, for the broker's log.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = name.into();
        self
    }

    /// Connects once, so that what is wrong is known now. Later the connection is made again by itself.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an address without host or port; [`Error::InvalidCa`] and [`Error::NoTrust`]
    /// before anything is sent; [`Error::Unreachable`], [`Error::UnknownCertificate`], [`Error::Protocol`] and
    /// [`Error::Broker`] from the attempt.
    pub async fn connect(self) -> Result<Client, Error> {
        let Some((host, port)) = split_address(&self.broker) else {
            return Err(Error::InvalidArgument(format!(
                "the broker's address {:?} is not of the form host:port",
                self.broker
            )));
        };
        let trust = match Trust::find(&self.trust, &self.broker) {
            // Where there is no broker, a CA for it is nobody's first question.
            Err(Error::NoTrust { broker }) if probe::nothing_listens(host, port, PROBE_TIMEOUT).await => {
                return Err(Error::Unreachable {
                    broker,
                    reason: "nothing listens there".to_owned(),
                });
            }
            found => found?,
        };
        let connector = Connector {
            host: host.to_owned(),
            port,
            server_name: self.server_name.unwrap_or_else(|| host.to_owned()),
            config: transport::client_config(&trust, self.silence_timeout)?,
            trust_origin: trust.origin,
            connect_timeout: self.connect_timeout,
            silence_timeout: self.silence_timeout,
            client_name: self.client_name,
            broker: self.broker.into(),
        };
        let sessions = Sessions::new(connector);
        sessions.get().await?;
        Ok(Client::new(sessions))
    }
}
