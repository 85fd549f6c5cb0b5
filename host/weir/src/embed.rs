//! A broker inside another program.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Handle;
use weir_client::Client;

use crate::server::{Server, ServerConfig, StartError};
use crate::tls::TlsConfig;

/// How long [`Broker::stop`] lets requests finish.
const GRACE: Duration = Duration::from_secs(3);

/// A whole broker in this process: durable on a folder, or in memory, on a free port of 127.0.0.1 unless told otherwise.
///
/// It is the same broker as `weir serve`, reached in the same way: over QUIC, with TLS, by a [`Client`]. Dropping it stops
/// it in the background: connections end at once, and what was acknowledged is on disk. A new broker on its folder waits
/// for that.
///
/// ```
/// # #[tokio::main(flavor = "multi_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use weir_client::{NewTopic, Record, Start};
///
/// let broker = weir::Broker::builder().in_memory().start().await?;
/// let client = broker.client().await?;
///
/// client.admin().create_topic(NewTopic::new("greetings")).await?;
/// let producer = client.producer("greetings").build().await?;
/// producer.send(Record::value("hello")).await?.await?;
///
/// let mut consumer = client.consumer("greetings").start(Start::Earliest).build().await?;
/// let record = consumer.next().await.expect("the topic has a record")?;
/// assert_eq!(record.value(), Some(b"hello".as_slice()));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Broker {
    /// There until it is stopped or dropped.
    server: Option<Server>,
    addr: SocketAddr,
    ca_pem: String,
    data: Option<PathBuf>,
}

/// Settings of a [`Broker`].
#[derive(Clone, Debug)]
#[must_use = "nothing is started before `start`"]
pub struct Builder {
    config: ServerConfig,
}

impl Broker {
    /// Settings for a broker: in memory, on a free port of 127.0.0.1.
    pub fn builder() -> Builder {
        Builder {
            config: ServerConfig::new(None, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        }
    }

    /// The UDP address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The certificate authority that its clients trust, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A client that is connected to it and trusts it.
    ///
    /// # Errors
    /// Those of [`weir_client::ClientBuilder::connect`].
    pub async fn client(&self) -> Result<Client, weir_client::Error> {
        let mut addr = self.addr();
        if addr.ip().is_unspecified() {
            addr.set_ip(if addr.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        Client::builder()
            .broker(addr.to_string())
            .ca_pem(self.ca_pem())
            .connect()
            .await
    }

    /// Stops it: accepts nothing more, lets requests finish for up to 3 seconds, then closes the storage.
    pub async fn stop(mut self) {
        if let Some(server) = self.server.take() {
            server.stop(GRACE).await;
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let Some(server) = self.server.take() else { return };
        // Without a runtime nothing of the broker runs any more, and there is nothing to wait for.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let stopped = runtime.spawn(server.stop(Duration::ZERO));
        if let Some(data) = &self.data {
            closing::put(data, stopped);
        }
    }
}

impl Builder {
    /// Keeps everything in memory: it is gone with the broker. The default.
    pub fn in_memory(mut self) -> Self {
        self.config.data = None;
        self
    }

    /// Keeps everything in this folder, which is made where it is missing. Acknowledged means fsynced.
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.data = Some(path.into());
        self
    }

    /// Listens on this UDP address. Port 0 takes a free one.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.config.listen = addr;
        self
    }

    /// Certificates: more names for the broker's own, or other ones.
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.config.tls = tls;
        self
    }

    /// How records are stored.
    pub fn log(mut self, log: weir_log::LogConfig) -> Self {
        self.config.log = log;
        self
    }

    /// How plugins are compiled and limited.
    pub fn runtime(mut self, runtime: weir_runtime::RuntimeConfig) -> Self {
        self.config.runtime = runtime;
        self
    }

    /// How much of everything there may be.
    pub fn limits(mut self, limits: weir_broker::Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Starts it. Needs a tokio runtime with time and I/O enabled.
    ///
    /// # Errors
    /// [`StartError`]: the folder is in use, of a newer format or damaged; the address is taken; a certificate cannot be
    /// used.
    pub async fn start(self) -> Result<Broker, StartError> {
        if let Some(data) = &self.config.data {
            closing::wait(data).await;
        }
        let data = self.config.data.clone();
        let server = Server::start(self.config).await?;
        Ok(Broker {
            addr: server.addr(),
            ca_pem: server.tls().ca_pem().to_owned(),
            server: Some(server),
            data,
        })
    }
}

/// Folders of dropped brokers that are being closed in the background.
mod closing {
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    use tokio::task::JoinHandle;

    static CLOSING: Mutex<Vec<(PathBuf, JoinHandle<()>)>> = Mutex::new(Vec::new());

    fn name(data: &Path) -> PathBuf {
        data.canonicalize().unwrap_or_else(|_| data.to_owned())
    }

    pub(super) fn put(data: &Path, stopped: JoinHandle<()>) {
        let mut closing = CLOSING.lock().unwrap_or_else(PoisonError::into_inner);
        closing.retain(|(_, stopped)| !stopped.is_finished());
        closing.push((name(data), stopped));
    }

    /// Waits until no dropped broker of this process holds the folder.
    pub(super) async fn wait(data: &Path) {
        loop {
            let stopped = {
                let mut closing = CLOSING.lock().unwrap_or_else(PoisonError::into_inner);
                let wanted = name(data);
                closing
                    .iter()
                    .position(|(path, _)| *path == wanted)
                    .map(|at| closing.swap_remove(at).1)
            };
            match stopped {
                // Cancelled along with its runtime, or panicked: it is over all the same.
                Some(stopped) => drop(stopped.await),
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_client::{NewTopic, Record, Start};

    use super::*;

    async fn produce(client: &Client, values: std::ops::Range<u32>) {
        let producer = client.producer("numbers").build().await.unwrap();
        producer
            .send_all(values.map(|n| Record::value(n.to_string())))
            .await
            .unwrap()
            .await
            .unwrap();
        producer.close().await.unwrap();
    }

    async fn consume(client: &Client) -> Vec<u32> {
        let mut consumer = client
            .consumer("numbers")
            .start(Start::Earliest)
            .until_end(true)
            .build()
            .await
            .unwrap();
        let mut numbers = Vec::new();
        while let Some(record) = consumer.next().await {
            let record = record.unwrap();
            numbers.push(
                std::str::from_utf8(record.value().unwrap())
                    .unwrap()
                    .parse()
                    .unwrap(),
            );
        }
        numbers
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn in_memory_from_end_to_end() {
        let broker = Broker::builder().in_memory().start().await.unwrap();
        let client = broker.client().await.unwrap();
        client
            .admin()
            .create_topic(NewTopic::new("numbers"))
            .await
            .unwrap();
        produce(&client, 0..1000).await;
        assert_eq!(consume(&client).await, (0..1000).collect::<Vec<_>>());
        broker.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_holds_what_a_dropped_broker_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let broker = Broker::builder().folder(&data).start().await.unwrap();
        let client = broker.client().await.unwrap();
        client
            .admin()
            .create_topic(NewTopic::new("numbers"))
            .await
            .unwrap();
        produce(&client, 0..100).await;
        let ca = broker.ca_pem().to_owned();
        // The client is still connected: the folder has to be free all the same.
        drop(broker);

        let broker = Broker::builder().folder(&data).start().await.unwrap();
        assert_eq!(broker.ca_pem(), ca, "clients go on trusting the folder");
        let client = broker.client().await.unwrap();
        produce(&client, 100..200).await;
        assert_eq!(consume(&client).await, (0..200).collect::<Vec<_>>());
        broker.stop().await;
        Broker::builder()
            .folder(&data)
            .start()
            .await
            .unwrap()
            .stop()
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_in_use_and_an_address_in_use_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::builder().folder(folder.path()).start().await.unwrap();
        let second = Broker::builder().folder(folder.path()).start().await.unwrap_err();
        assert!(
            matches!(second, StartError::Open(OpenError::Locked { .. })),
            "{second}"
        );
        let taken = Broker::builder().listen(broker.addr()).start().await.unwrap_err();
        assert!(matches!(taken, StartError::Listen(_)), "{taken}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refused_folder_gets_no_certificates() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("format.json"),
            r#"{"format":"weir","version":99}"#,
        )
        .unwrap();
        let refused = Broker::builder().folder(folder.path()).start().await.unwrap_err();
        assert!(
            matches!(refused, StartError::Open(OpenError::NewerFormat { .. })),
            "{refused}"
        );
        assert!(!folder.path().join("tls").exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn brokers_do_not_trust_each_other() {
        let (one, other) = (
            Broker::builder().start().await.unwrap(),
            Broker::builder().start().await.unwrap(),
        );
        let wrong = Client::builder()
            .broker(one.addr().to_string())
            .ca_pem(other.ca_pem())
            .connect()
            .await;
        let error = wrong.unwrap_err();
        assert!(
            matches!(error, weir_client::Error::UnknownCertificate { .. }),
            "{error}"
        );
    }

    use weir_broker::OpenError;
}
