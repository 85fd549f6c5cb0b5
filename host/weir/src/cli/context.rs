//! Which broker, trusted how, answering in which form: the same for every command.

use std::path::PathBuf;

use super::{Failure, Output};

/// Where a broker listens unless told otherwise.
pub(super) const DEFAULT_BROKER: &str = "127.0.0.1:9094";

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
    pub(super) output: Output,
}

impl Context {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            broker: connection.broker,
            ca: connection.ca,
            output: connection.output,
        }
    }

    pub(super) async fn connect(&self) -> Result<weir_client::Client, Failure> {
        let mut builder = weir_client::Client::builder().broker(&self.broker);
        if let Some(ca) = &self.ca {
            builder = builder.ca_file(ca);
        }
        Ok(builder.connect().await?)
    }
}
