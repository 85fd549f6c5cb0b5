//! A broker in a process of its own: what the demo and the benchmarks start, measure, kill and start again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cli::Failure;
use crate::serve::READY;

/// Longest a broker may take to listen, or to end; it bounds a hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lines kept of what a broker says, for the message when it does not start.
const LINES_KEPT: usize = 20;

/// A running `weir serve`. Dropping it kills it.
pub(crate) struct BrokerProcess {
    child: Child,
    addr: String,
    data: PathBuf,
    ready_after: Duration,
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident now (`VmRSS`).
    pub(crate) resident: u64,
    /// Most that was ever resident (`VmHWM`).
    pub(crate) resident_max: u64,
}

impl BrokerProcess {
    /// Starts this very program as `weir serve` on `data` and waits until it listens. `listen` may name port 0.
    pub(crate) async fn start(data: &Path, listen: &str) -> Result<Self, Failure> {
        let binary = std::env::current_exe().map_err(|error| {
            Failure::new(
                format!("cannot find this program's own file: {error}"),
                "run it by its path",
            )
        })?;
        let begun = Instant::now();
        let mut child = Command::new(binary)
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--listen", listen])
            // Its trust is for this process alone, and must not stay in the user's home.
            .env("XDG_STATE_HOME", data.join("state"))
            .env_remove("WEIR_BROKER")
            .env_remove("WEIR_CA")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // An interrupt from the terminal is for us: we stop the broker.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                Failure::new(
                    format!("cannot start a broker: {error}"),
                    "check that processes can be made",
                )
            })?;
        let Some(stderr) = child.stderr.take() else {
            return Err(Failure::new(
                "the broker has no standard error",
                "report this as a bug",
            ));
        };
        let mut lines = BufReader::new(stderr).lines();
        let mut said = Vec::new();
        let addr = tokio::time::timeout(PATIENCE, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, addr)) = line.split_once(READY) {
                    return addr.split_whitespace().next().map(str::to_owned);
                }
                if said.len() < LINES_KEPT {
                    said.push(line);
                }
            }
            None
        })
        .await;
        let ready_after = begun.elapsed();
        let Ok(Some(addr)) = addr else {
            return Err(Failure::new(
                format!("the broker did not start: {}", said.join(" / ")),
                "WEIR_LOG=debug tells more",
            ));
        };
        // Its pipe must not fill up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            child,
            addr,
            data: data.to_owned(),
            ready_after,
        })
    }

    /// The UDP address it listens on.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// From before the process was made until it listened.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// A client with a connection of its own.
    pub(crate) async fn client(&self) -> Result<weir_client::Client, Failure> {
        let ca = self.data.join("tls/ca.pem");
        Ok(weir_client::Client::builder()
            .broker(&self.addr)
            .ca_file(ca)
            .connect()
            .await?)
    }

    /// What memory it takes. Zero where the system does not say.
    pub(crate) fn memory(&self) -> Memory {
        let status = self
            .child
            .id()
            .and_then(|id| std::fs::read_to_string(format!("/proc/{id}/status")).ok());
        memory_in(&status.unwrap_or_default())
    }

    /// Kills it as a power cut would: nothing is flushed, nothing is said.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(Failure::from)
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        let pid = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(std::io::Error::from)?;
        }
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .map_err(|_| Failure::new("the broker did not stop when asked", "report this as a bug"))??;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(
                format!("the broker stopped with {status}"),
                "WEIR_LOG=debug tells more",
            ))
        }
    }
}

fn memory_in(status: &str) -> Memory {
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    };
    Memory {
        resident: field("VmRSS:").unwrap_or(0),
        resident_max: field("VmHWM:").unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_system_says_it() {
        let status = "Name:\tweir\nVmPeak:\t  99 kB\nVmHWM:\t  2048 kB\nVmRSS:\t    1024 kB\n";
        let memory = memory_in(status);
        assert_eq!((memory.resident, memory.resident_max), (1 << 20, 2 << 20));
        assert_eq!(memory_in("").resident, 0);
    }
}
