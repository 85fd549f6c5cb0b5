//! Which CA a client trusts, and how it finds that of a broker on the same machine.
//!
//! A client trusts exactly the CA it is given, never those of the operating system. Where none is given it looks at
//! the environment variable `WEIR_CA` (a PEM file's path), then for the pointer that a broker of the same user on the
//! same machine leaves at [`local_ca_path`].

use std::io;
use std::path::{Path, PathBuf};

mod roots;

pub(crate) use roots::{Trust, TrustSource};

/// Environment variable with the path of the CA's PEM file.
pub const CA_VARIABLE: &str = "WEIR_CA";

/// Where a local broker at `broker` (`host:port`) leaves its CA for clients of the same user:
/// `${XDG_STATE_HOME:-$HOME/.local/state}/weir/trust/<host>_<port>.pem`.
///
/// All names of this machine's loopback, and the unspecified addresses that a broker listens on, count as
/// `localhost`. `None` if there is neither of the two variables or `broker` has no port.
pub fn local_ca_path(broker: &str) -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from);
    let home = || {
        std::env::var_os("HOME")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
    };
    let state = state.or_else(|| home().map(|home| home.join(".local/state")))?;
    Some(state.join("weir/trust").join(file_name(broker)?))
}

/// Leaves `ca_pem` where clients of this user find it for `broker`, and returns the path. The file is replaced in
/// one step, so that nobody reads half of it.
///
/// # Errors
/// Those of the file system; [`io::ErrorKind::NotFound`] if there is no place for it (see [`local_ca_path`]).
pub fn publish_local_ca(broker: &str, ca_pem: &[u8]) -> io::Result<PathBuf> {
    let path = local_ca_path(broker).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "neither XDG_STATE_HOME nor HOME is set, or the address has no port",
        )
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&temporary, ca_pem)?;
    std::fs::rename(&temporary, &path).inspect_err(|_| {
        // The file is ours and of no use to anyone; the error that counts is the rename's.
        let _ = std::fs::remove_file(&temporary);
    })?;
    Ok(path)
}

/// The pointer's file name for a broker's address.
fn file_name(broker: &str) -> Option<String> {
    let (host, port) = split_address(broker)?;
    let address = host.parse::<std::net::IpAddr>();
    let local = host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
    let host = if local {
        "localhost".to_owned()
    } else {
        host.to_ascii_lowercase()
    };
    let safe: String = host
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect();
    Some(format!("{safe}_{port}.pem"))
}

/// Host and port of `host:port` or `[v6]:port`.
pub(crate) fn split_address(broker: &str) -> Option<(&str, u16)> {
    let (host, port) = broker.rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() {
        None
    } else {
        Some((host, port.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_loopback_has_one_pointer() {
        for broker in [
            "127.0.0.1:9094",
            "localhost:9094",
            "[::1]:9094",
            "0.0.0.0:9094",
            "[::]:9094",
            "LOCALHOST:9094",
        ] {
            assert_eq!(
                file_name(broker).as_deref(),
                Some("localhost_9094.pem"),
                "{broker}"
            );
        }
    }

    #[test]
    fn an_address_cannot_name_a_file_elsewhere() {
        assert_eq!(file_name("../../etc/x:1").as_deref(), Some("..-..-etc-x_1.pem"));
        assert_eq!(file_name("[fe80::1]:9094").as_deref(), Some("fe80--1_9094.pem"));
        assert_eq!(
            file_name("broker.example:9094").as_deref(),
            Some("broker.example_9094.pem")
        );
    }

    #[test]
    fn an_address_has_host_and_port() {
        for broker in ["", "host", ":9094", "host:", "host:70000", "host:port"] {
            assert_eq!(split_address(broker), None, "{broker}");
        }
        assert_eq!(split_address("[::1]:1"), Some(("::1", 1)));
        assert_eq!(split_address("a.b:2"), Some(("a.b", 2)));
    }
}
