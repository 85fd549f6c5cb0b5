//! Which broker, trusted how, answering in which form: the same for every command.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use super::{Failure, Output};

/// Where a broker listens unless told otherwise.
pub(super) const DEFAULT_BROKER: &str = "127.0.0.1:9094";

/// Longest that a command which is done waits for the broker to hear so.
const FAREWELL: Duration = Duration::from_millis(500);

/// Options that every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Connection {
    /// The broker: HOST:PORT, UDP
    #[arg(long, global = true, value_name = "HOST:PORT", env = "WEIR_BROKER", default_value = DEFAULT_BROKER, hide_env_values = true)]
    broker: String,
    /// The certificate authority to trust, a PEM file; beside a local `weir serve` it is found without asking
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "WEIR_CA",
        hide_env_values = true
    )]
    ca: Option<PathBuf>,
    /// How answers are printed
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = Output::Plain)]
    output: Output,
}

#[derive(Debug)]
pub(super) struct Context {
    broker: String,
    ca: Option<PathBuf>,
    client: OnceLock<weir_client::Client>,
    pub(super) output: Output,
}

impl Context {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            broker: connection.broker,
            ca: connection.ca,
            client: OnceLock::new(),
            output: connection.output,
        }
    }

    pub(super) async fn connect(&self) -> Result<weir_client::Client, Failure> {
        let mut builder = weir_client::Client::builder().broker(&self.broker);
        if let Some(ca) = &self.ca {
            builder = builder.ca_file(ca);
        }
        let client = builder.connect().await?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    /// Closes the connection, if there is one: a broker need not find out by itself that its client has gone.
    pub(super) async fn close(&self) {
        if let Some(client) = self.client.get() {
            // A broker that has gone does not hear it, and need not.
            let _ = tokio::time::timeout(FAREWELL, client.close()).await;
        }
    }
}
