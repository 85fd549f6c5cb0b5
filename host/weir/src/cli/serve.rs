//! `weir serve`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use super::{Failure, signals};
use crate::config::{ConfigError, ConfigFile};
use crate::server::{ServerConfig, StartError};

const DEFAULT_DATA: &str = "./weir-data";
const DEFAULT_PORT: u16 = 9094;

const EXAMPLES: &str = "\
Examples:
  weir serve
  weir serve --data /var/lib/weir --listen 0.0.0.0:9094
  weir serve --config /etc/weir.toml

The first start makes a certificate authority and a server certificate in DIR/tls. Clients of the same user on this machine
find it by themselves; others take --ca with a copy of DIR/tls/ca.pem.

A configuration file may say, among others:
  data = \"/var/lib/weir\"
  listen = \"0.0.0.0:9094\"
  [tls]
  names = [\"broker.example\"]     # in addition to localhost and the host's name; or cert, key and ca: own PEM files

  [plugins]
  http_timeout_ms = 5000            # of one exchange of a plugin; also http_response_bytes_max, http_threads_max, http_ca, ...
  [plugins.ceiling]
  memory_bytes = 268435456          # what a flow's --limit memory may be at most; also call_ms, output_bytes, state_bytes, ...

WEIR_LOG chooses what is logged to standard error, for example WEIR_LOG=debug or WEIR_LOG=warn,weir_quic=debug.
SIGTERM and SIGINT stop it: what is in flight is finished, within 5 seconds. A second signal ends it at once.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The data folder, made where it is missing [default: ./weir-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The UDP address to listen on; port 0 takes a free one [default: 127.0.0.1:9094]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// A configuration file (TOML); what is said here wins over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Args {
    fn into_config(self) -> Result<ServerConfig, ConfigError> {
        let file = self
            .config
            .as_deref()
            .map(ConfigFile::read)
            .transpose()?
            .unwrap_or_default();
        let data = self.data.or(file.data).unwrap_or_else(|| DEFAULT_DATA.into());
        let listen = self
            .listen
            .or(file.listen)
            .unwrap_or((Ipv4Addr::LOCALHOST, DEFAULT_PORT).into());
        let mut config = ServerConfig::new(Some(data), listen);
        config.tls = file.tls.to_tls();
        set(&mut config.log.shards, file.log.shards);
        set(&mut config.log.segment_bytes, file.log.segment_bytes);
        set(
            &mut config.log.free_space_min_bytes,
            file.log.free_space_min_bytes,
        );
        set(&mut config.limits.topics_max, file.limits.topics_max);
        set(&mut config.limits.partitions_max, file.limits.partitions_max);
        set(&mut config.limits.flows_max, file.limits.flows_max);
        set(&mut config.limits.plugin_bytes_max, file.limits.plugin_bytes_max);
        set(
            &mut config.runtime.limits.component_bytes_max,
            file.limits.plugin_bytes_max,
        );
        file.plugins.apply(&mut config.runtime, &mut config.limits);
        Ok(config)
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let begun = Instant::now();
    super::init_log("info");
    let config = args.into_config().map_err(|error| {
        Failure::new(
            error.to_string(),
            "`weir serve --help` shows what a configuration file may say",
        )
    })?;
    let runtime = super::runtime()?;
    let served = runtime.block_on(async {
        // From here on a signal stops the broker properly, even one that comes while it starts.
        let stop = signals::interrupted();
        crate::serve::serve(config, begun, stop).await
    });
    // A thread that is stuck in a system call must not hold up the exit.
    runtime.shutdown_background();
    served.map_err(failure)
}

fn failure(error: StartError) -> Failure {
    match error {
        StartError::Tls(error) => Failure::new(
            error.to_string(),
            "mend or remove the file: without the tls folder a new one is made",
        ),
        StartError::Listen(error) => Failure::new(
            error.to_string(),
            "choose another address with --listen, or stop who uses it",
        ),
        error => Failure::from_message(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("weir.toml");
        std::fs::write(
            &file,
            "data = 'data'\nlisten = '127.0.0.1:1'\n[plugins]\ndeadline_ms = 7\n",
        )
        .unwrap();
        let args = |data: Option<&str>, listen: Option<&str>| Args {
            data: data.map(PathBuf::from),
            listen: listen.map(|addr| addr.parse().unwrap()),
            config: Some(file.clone()),
        };
        let config = args(None, None).into_config().unwrap();
        assert_eq!(config.data.as_deref(), Some(dir.path().join("data").as_path()));
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.runtime.limits.deadline_ms, 7);
        let config = args(Some("here"), Some("127.0.0.1:2")).into_config().unwrap();
        assert_eq!(config.data.as_deref(), Some(Path::new("here")));
        assert_eq!(config.listen.port(), 2);

        let config = Args {
            data: None,
            listen: None,
            config: None,
        }
        .into_config()
        .unwrap();
        assert_eq!(config.data.as_deref(), Some(Path::new(DEFAULT_DATA)));
        assert_eq!(config.listen.to_string(), super::super::context::DEFAULT_BROKER);
    }
}
