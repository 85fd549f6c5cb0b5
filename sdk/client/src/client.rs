use std::sync::Arc;
use std::time::Duration;

use crate::client::sessions::Sessions;
use crate::{Admin, ConsumerBuilder, Error, ProducerBuilder};

mod builder;
mod connector;
mod probe;
mod session;
mod sessions;
mod silence;

pub use builder::{ClientBuilder, DEFAULT_BROKER};
pub(crate) use session::Session;

/// A client of one broker: the way to producers, consumers and administration.
///
/// All of them share one QUIC connection, which is made again by itself when it is lost. A client is cheap to clone;
/// clones are the same client.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = weir::Broker::builder().in_memory().start().await?;
/// # let (address, folder) = (broker.addr().to_string(), tempfile::tempdir()?);
/// # let ca_file = folder.path().join("ca.pem");
/// # std::fs::write(&ca_file, broker.ca_pem())?;
/// use weir_client::Client;
///
/// let client = Client::builder().broker(address).ca_file(ca_file).connect().await?;
/// println!("connected to {}", client.broker_version().await?);
/// client.close().await;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    sessions: Arc<Sessions>,
}

impl Client {
    /// Settings for a client; nothing is done before [`ClientBuilder::connect`].
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Connects to `broker` (`host:port`) with the trust that the environment offers: the CA that `WEIR_CA` names, or
    /// that of a broker on this machine.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub async fn connect(broker: impl Into<String>) -> Result<Self, Error> {
        Self::builder().broker(broker).connect().await
    }

    fn new(sessions: Sessions) -> Self {
        Self {
            sessions: Arc::new(sessions),
        }
    }

    /// A producer for `topic`, to be configured and built.
    pub fn producer(&self, topic: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), topic.into())
    }

    /// A consumer of `topic`, to be configured and built.
    pub fn consumer(&self, topic: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), topic.into())
    }

    /// Topics, plugins, flows and the broker itself.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// The broker's address as it was given.
    pub fn broker(&self) -> &str {
        self.sessions.broker()
    }

    /// Name and version of the broker.
    ///
    /// # Errors
    /// Those of connecting, if the connection was lost.
    pub async fn broker_version(&self) -> Result<String, Error> {
        Ok(self.session().await?.welcome().broker.clone())
    }

    /// The installation that the broker's data belongs to. It stays the same as long as the data does.
    ///
    /// # Errors
    /// Those of connecting, if the connection was lost.
    pub async fn cluster_id(&self) -> Result<String, Error> {
        Ok(self.session().await?.welcome().cluster_id.clone())
    }

    /// The transport's current estimate of the round-trip time.
    ///
    /// # Errors
    /// Those of connecting, if the connection was lost.
    pub async fn round_trip_time(&self) -> Result<Duration, Error> {
        Ok(self.session().await?.connection().rtt())
    }

    /// Closes the connection, and with it every producer and consumer of this client and its clones. Close producers
    /// first: what they hold is not sent any more.
    pub async fn close(&self) {
        self.sessions.close().await;
    }

    /// The connection, made anew if it was lost.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, Error> {
        self.sessions.get().await
    }
}
