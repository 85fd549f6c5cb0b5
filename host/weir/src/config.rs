//! The configuration file of `weir serve`: TOML, every key optional, flags win over it.

mod plugins;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::tls::{TlsConfig, TlsFiles};

/// A configuration file longer than this is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a configuration file says. A key that is not there takes the default; a key that is not known is an error, because a
/// setting with a typing mistake would otherwise be one that does nothing.
///
/// ```toml
/// data = "/var/lib/weir"
/// listen = "0.0.0.0:9094"
///
/// [tls]
/// names = ["broker.example"]    # in addition to localhost, 127.0.0.1, ::1 and the host's name
/// # cert = "server.pem"         # own certificates instead, paths relative to this file
/// # key = "server.key"
/// # ca = "ca.pem"
///
/// [limits]
/// topics_max = 10000
///
/// [plugins]
/// deadline_ms = 1000            # defaults of flows that set no limit of their own
/// memory_bytes_max = 67108864
/// http_timeout_ms = 5000
///
/// [plugins.ceiling]             # what no flow may go above
/// memory_bytes = 268435456
/// call_ms = 10000
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// The data folder.
    pub data: Option<PathBuf>,
    /// The UDP address to listen on.
    pub listen: Option<SocketAddr>,
    /// Certificates.
    pub tls: TlsSection,
    /// How records are stored.
    pub log: LogSection,
    /// How much of everything there may be.
    pub limits: LimitsSection,
    /// What a plugin's call may take.
    pub plugins: PluginsSection,
}

/// `[tls]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    /// More names and addresses for the broker's own certificate.
    pub names: Vec<String>,
    /// An own certificate chain (PEM), with `key`.
    pub cert: Option<PathBuf>,
    /// The key of `cert` (PEM).
    pub key: Option<PathBuf>,
    /// What clients on this machine are told to trust for `cert`.
    pub ca: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// Writer threads, each with its own files. Fixed when the data folder is made.
    pub shards: Option<u16>,
    /// Bytes after which a segment is closed and a new one begun.
    pub segment_bytes: Option<u64>,
    /// Free bytes of the disk below which appends are refused.
    pub free_space_min_bytes: Option<u64>,
}

/// `[limits]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Topics.
    pub topics_max: Option<usize>,
    /// Partitions of all topics.
    pub partitions_max: Option<usize>,
    /// Flows.
    pub flows_max: Option<usize>,
    /// Bytes of an uploaded plugin.
    pub plugin_bytes_max: Option<usize>,
}

/// `[plugins]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginsSection {
    /// Milliseconds a call may take before its guest is stopped.
    pub deadline_ms: Option<u64>,
    /// Microseconds a call may take for each record of its batch, where that is less.
    pub record_us: Option<u64>,
    /// Bytes of memory an instance may have.
    pub memory_bytes_max: Option<usize>,
    /// Bytes a call may return.
    pub output_bytes_max: Option<usize>,
    /// Records a call may return.
    pub output_records_max: Option<u64>,
    /// Records a call may return for each record of its batch.
    pub output_records_max_per_input: Option<u32>,
    /// Bytes of log lines a second, of each instance.
    pub log_bytes_per_s: Option<u64>,
    /// Log lines a second, of each instance.
    pub log_lines_per_s: Option<u64>,
    /// Bytes of keyed state of one flow, for each partition of its source.
    pub state_bytes_max: Option<u64>,
    /// What no flow may set its limits above: the same names as in `weir flow create --limit`, in bytes, records, `call_ms` and `record_us`.
    pub ceiling: CeilingSection,
    /// Threads for guests; 0 is one per core.
    pub threads: Option<usize>,
    /// Runs of plugins under way, at most, that may wait for a host outside; a thread each.
    pub http_threads_max: Option<usize>,
    /// Of these, how many of one flow.
    pub http_threads_max_per_flow: Option<usize>,
    /// Milliseconds that one HTTP exchange of a plugin may take.
    pub http_timeout_ms: Option<u64>,
    /// Milliseconds that all exchanges of one call may take together.
    pub http_batch_timeout_ms: Option<u64>,
    /// Exchanges of one call.
    pub http_exchanges_max: Option<u32>,
    /// Bytes of a request's body.
    pub http_request_bytes_max: Option<usize>,
    /// Bytes of a response's body.
    pub http_response_bytes_max: Option<usize>,
    /// Headers of a request, and of a response.
    pub http_headers_max: Option<usize>,
    /// Bytes of the headers of a request, and of a response; 8,192 at least.
    pub http_header_bytes_max: Option<usize>,
    /// Connections that one flow may have open.
    pub http_connections_max: Option<usize>,
    /// Certificate authorities (PEM) that plugins' HTTPS trusts beside those of the operating system.
    pub http_ca: Option<PathBuf>,
}

/// `[plugins.ceiling]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CeilingSection {
    /// Milliseconds of a call.
    pub call_ms: Option<u64>,
    /// Microseconds of a call for each record.
    pub record_us: Option<u64>,
    /// Bytes of memory of an instance.
    pub memory_bytes: Option<u64>,
    /// Bytes that a call returns.
    pub output_bytes: Option<u64>,
    /// Bytes that a call returns for each record.
    pub record_output_bytes: Option<u64>,
    /// Records that a call returns.
    pub output_records: Option<u64>,
    /// Records that a call returns for each record.
    pub record_output_records: Option<u64>,
    /// Bytes of log lines a second.
    pub log_bytes_per_s: Option<u64>,
    /// Log lines a second.
    pub log_lines_per_s: Option<u64>,
    /// Bytes of keyed state for each source partition.
    pub state_bytes: Option<u64>,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is not what a configuration file is.
    #[error("{}: {what}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        what: String,
    },
}

impl ConfigFile {
    /// Reads a file. Relative paths in it are taken from the file's own folder.
    ///
    /// # Errors
    /// [`ConfigError`], with the line for what cannot be understood.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
            return Err(ConfigError::Parse {
                path: path.to_owned(),
                what: "longer than 1 MiB".to_owned(),
            });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(""))).map_err(|what| ConfigError::Parse {
            path: path.to_owned(),
            what,
        })
    }

    /// Understands the text of a file in folder `dir`.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn parse(text: &str, dir: &Path) -> Result<Self, String> {
        let mut config: Self = toml::from_str(text).map_err(|error| one_line(&error, text))?;
        let from_dir = |path: &mut Option<PathBuf>| {
            if let Some(path) = path {
                *path = dir.join(&*path);
            }
        };
        from_dir(&mut config.data);
        from_dir(&mut config.tls.cert);
        from_dir(&mut config.tls.key);
        from_dir(&mut config.tls.ca);
        from_dir(&mut config.plugins.http_ca);
        if config.tls.cert.is_some() != config.tls.key.is_some() {
            return Err("[tls] needs both `cert` and `key`, or neither".to_owned());
        }
        if config.tls.ca.is_some() && config.tls.cert.is_none() {
            return Err(
                "[tls] `ca` goes with `cert` and `key`: without them the data folder has its own".to_owned(),
            );
        }
        if config.tls.cert.is_some() && !config.tls.names.is_empty() {
            return Err(
                "[tls] `names` are for the data folder's own certificate: `cert` has the names it has"
                    .to_owned(),
            );
        }
        Ok(config)
    }
}

impl TlsSection {
    /// As the broker takes it.
    #[must_use]
    pub fn to_tls(&self) -> TlsConfig {
        let files = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                ca: self.ca.clone(),
            }),
            _ => None,
        };
        TlsConfig {
            names: self.names.clone(),
            files,
        }
    }
}

/// `line 3: unknown field ...`: the parser's own report is a picture over several lines.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let what = error.message().replace('\n', " ");
    match error.span() {
        Some(span) => {
            let line = text.as_bytes()[..span.start.min(text.len())]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            format!("line {line}: {what}")
        }
        None => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, String> {
        ConfigFile::parse(text, Path::new("/etc/weir"))
    }

    #[test]
    fn nothing_is_required() {
        let config = parse("").unwrap();
        assert!(config.data.is_none() && config.listen.is_none() && config.tls.to_tls().files.is_none());
    }

    #[test]
    fn every_key_is_understood_and_paths_start_at_the_file() {
        let config = parse(
            "data = 'data'\nlisten = '[::]:9094'\n[tls]\ncert = 'a.pem'\nkey = '/keys/a.key'\n\
             [log]\nshards = 2\nsegment_bytes = 1\nfree_space_min_bytes = 2\n\
             [limits]\ntopics_max = 1\npartitions_max = 2\nflows_max = 3\nplugin_bytes_max = 4\n\
             [plugins]\ndeadline_ms = 5\nmemory_bytes_max = 6\nhttp_timeout_ms = 7\nhttp_ca = 'ca.pem'\n\
             [plugins.ceiling]\nmemory_bytes = 8\n",
        )
        .unwrap();
        assert_eq!(config.data.unwrap(), Path::new("/etc/weir/data"));
        assert_eq!(config.listen.unwrap().port(), 9094);
        let files = config.tls.to_tls().files.unwrap();
        assert_eq!(files.cert, Path::new("/etc/weir/a.pem"));
        assert_eq!(files.key, Path::new("/keys/a.key"));
        assert_eq!(config.log.shards, Some(2));
        assert_eq!(config.limits.flows_max, Some(3));
        assert_eq!(config.plugins.deadline_ms, Some(5));
        assert_eq!(config.plugins.http_ca.unwrap(), Path::new("/etc/weir/ca.pem"));
        assert_eq!(config.plugins.ceiling.memory_bytes, Some(8));
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let error = parse("data = 'x'\nlistn = 'y'\n").unwrap_err();
        assert!(
            error.starts_with("line 2:") && error.contains("listn") && !error.contains('\n'),
            "{error}"
        );
        let error = parse("\n\nlisten = 'nowhere'\n").unwrap_err();
        assert!(error.starts_with("line 3:"), "{error}");
        assert!(parse("[tls]\ncert = 'a'\n").unwrap_err().contains("both"));
        assert!(parse("[tls]\nca = 'a'\n").unwrap_err().contains("goes with"));
        assert!(
            parse("[tls]\ncert='a'\nkey='b'\nnames=['c']\n")
                .unwrap_err()
                .contains("names")
        );
    }

    #[test]
    fn the_example_in_the_documentation_is_a_configuration() {
        let source = include_str!("config.rs");
        let example: String = source
            .lines()
            .skip_while(|line| *line != "/// ```toml")
            .skip(1)
            .take_while(|line| *line != "/// ```")
            .map(|line| line.trim_start_matches("///").trim_start().to_owned() + "\n")
            .collect();
        parse(&example).unwrap();
    }
}
