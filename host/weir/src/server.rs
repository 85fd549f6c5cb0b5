//! A whole broker in this process: storage, plugins, the listener, and the TLS material between them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_broker::{BrokerConfig, DataFolder, OpenError, Storage};

use crate::tls::{self, TlsConfig, TlsError, TlsMaterial};

/// What a broker is started with.
#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    /// The data folder, or nothing: everything stays in memory.
    pub(crate) data: Option<PathBuf>,
    pub(crate) listen: SocketAddr,
    pub(crate) tls: TlsConfig,
    pub(crate) log: weir_log::LogConfig,
    pub(crate) runtime: weir_runtime::RuntimeConfig,
    pub(crate) limits: weir_broker::Limits,
}

impl ServerConfig {
    pub(crate) fn new(data: Option<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            data,
            listen,
            tls: TlsConfig::default(),
            log: weir_log::LogConfig::default(),
            runtime: weir_runtime::RuntimeConfig::default(),
            limits: weir_broker::Limits::default(),
        }
    }
}

/// Why a broker does not start. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There are no certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] weir_quic::ListenError),
}

/// A broker that listens. Dropping it stops it at once; [`stop`](Self::stop) lets it finish.
#[derive(Debug)]
pub(crate) struct Server {
    // Dropped first: nobody may call a broker that is closed.
    listener: weir_quic::Listener,
    broker: weir_broker::Broker,
    tls: TlsMaterial,
}

impl Server {
    pub(crate) async fn start(config: ServerConfig) -> Result<Self, StartError> {
        let ServerConfig {
            data,
            listen,
            tls,
            log,
            runtime,
            limits,
        } = config;
        // The folder comes first: nothing may be written into one that is somebody else's, TLS files included.
        let (storage, tls_dir) = match data {
            Some(path) => (Storage::Folder(DataFolder::open(&path)?), Some(path.join("tls"))),
            None => (Storage::Memory, None),
        };
        let reset_key = tls_dir.as_deref().map(tls::reset_key).transpose()?;
        let tls = match (&tls.files, tls_dir) {
            (Some(files), _) => TlsMaterial::of_files(files)?,
            (None, Some(dir)) => TlsMaterial::of_folder(&dir, &tls.names)?,
            (None, None) => TlsMaterial::in_memory(&tls.names)?,
        };
        let mut config = BrokerConfig::new(storage);
        (config.log, config.runtime, config.limits) = (log, runtime, limits);
        let broker = weir_broker::Broker::open(config).await?;
        let mut config = weir_quic::ListenerConfig::new(listen, tls.chain().to_vec(), tls.key().clone_key());
        config.reset_key = reset_key;
        let listener = weir_quic::Listener::bind(config, broker.clone())?;
        Ok(Self {
            listener,
            broker,
            tls,
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    pub(crate) fn tls(&self) -> &TlsMaterial {
        &self.tls
    }

    /// Accepts nothing more, lets what is in flight finish within `grace`, and closes the storage.
    pub(crate) async fn stop(self, grace: Duration) {
        self.listener.shutdown(grace).await;
        self.broker.shutdown().await;
    }
}
