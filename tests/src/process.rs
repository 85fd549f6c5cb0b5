//! A real broker process, to be used over real QUIC, killed for real and looked at from outside.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest a broker may take to say that it listens, or to end after it was told to. Generous: it bounds a hang, it measures nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// The line of `weir serve` that says it is ready; the address follows.
const READY: &str = "listening on ";

/// Lines of standard error kept for a failing test's message.
const LINES_KEPT: usize = 400;

/// One `weir serve` in a process of its own. Dropping it kills it with SIGKILL.
#[derive(Debug)]
pub struct BrokerProcess {
    child: Child,
    addr: String,
    data: PathBuf,
    lines: Receiver<String>,
    seen: Vec<String>,
}

/// How to start a [`BrokerProcess`].
#[derive(Debug)]
pub struct BrokerCommand {
    command: Command,
    data: PathBuf,
    listen: String,
}

impl BrokerCommand {
    /// `weir serve` from `binary`, on the folder `data`, listening on a free port of 127.0.0.1.
    pub fn new(binary: &str, data: &Path) -> Self {
        let mut command = Command::new(binary);
        command
            .args(["serve", "--data"])
            .arg(data)
            // The trust of a test's broker must not be published in the home of who runs the tests.
            .env("XDG_STATE_HOME", data.join("state"))
            .env("WEIR_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Self {
            command,
            data: data.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
        }
    }

    /// Listens on `addr`, for instance where a broker that was killed listened before.
    pub fn listen(mut self, addr: &str) -> Self {
        addr.clone_into(&mut self.listen);
        self
    }

    /// Gives the broker a configuration file.
    pub fn config(&mut self, toml: &str) {
        let path = self.data.with_extension("toml");
        std::fs::write(&path, toml).expect("the test's own folder takes files");
        self.command.arg("--config").arg(path);
    }

    /// No file of the broker may grow over `bytes`: a write that would fails, as on a full disk.
    pub fn file_size_max(&mut self, bytes: u64) {
        // The limit is set by a shell that the broker then replaces; it also has the broker ignore the signal that
        // would otherwise come with the failed write.
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            r#"trap "" XFSZ; ulimit -S -f "$0"; exec "$@""#,
            &(bytes / 512).to_string(),
        ]);
        shell
            .arg(self.command.get_program())
            .args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        shell
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        self.command = shell;
    }

    /// The command line itself, to add arguments or environment.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it ends or falls silent before it listens; the message holds what it said.
    pub fn start(self) -> BrokerProcess {
        self.try_start()
            .unwrap_or_else(|(status, said)| panic!("the broker did not start ({status:?}): {said}"))
    }

    /// Starts it and waits until it listens or ends.
    ///
    /// # Errors
    ///
    /// Its exit status and what it wrote to standard error, when it ended instead.
    pub fn try_start(mut self) -> Result<BrokerProcess, (ExitStatus, String)> {
        let mut child = self
            .command
            .args(["--listen", &self.listen])
            .spawn()
            .expect("the binary was just built by cargo");
        let stderr = child.stderr.take().expect("standard error is piped");
        let (sender, lines) = sync_channel(LINES_KEPT);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // A full channel drops lines: the broker must never block on a test that does not read.
                let _ = sender.try_send(line);
            }
        });
        let mut broker = BrokerProcess {
            child,
            addr: String::new(),
            data: self.data,
            lines,
            seen: Vec::new(),
        };
        match broker.wait_for_line(READY) {
            Some(line) => {
                let at = line.find(READY).expect("the line was chosen for it") + READY.len();
                broker.addr = line[at..]
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                Ok(broker)
            }
            None => {
                let status = broker.child.wait().expect("the child is ours");
                Err((status, broker.seen.join("\n")))
            }
        }
    }
}

impl BrokerProcess {
    /// The UDP address it listens on, `127.0.0.1:PORT`.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The certificate that clients of this broker trust.
    pub fn ca_file(&self) -> PathBuf {
        self.data.join("tls").join("ca.pem")
    }

    /// A client of it.
    ///
    /// # Panics
    ///
    /// When it cannot be reached.
    pub async fn client(&self) -> weir_client::Client {
        weir_client::Client::builder()
            .broker(&self.addr)
            .ca_file(self.ca_file())
            .connect()
            .await
            .expect("the broker said that it listens")
    }

    /// `weir ARGS` as a user beside this broker would type it.
    pub fn weir(&self, binary: &str, args: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command
            .args(args)
            .env("WEIR_BROKER", &self.addr)
            .env("WEIR_CA", self.ca_file())
            .env("XDG_STATE_HOME", self.data.join("state"));
        command
    }

    /// Waits for a line of standard error that contains `text`; `None` when the process closed its standard error first.
    ///
    /// # Panics
    ///
    /// When nothing of the kind came within a minute.
    pub fn wait_for_line(&mut self, text: &str) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return Some(line);
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    panic!("no line with {text:?} within {PATIENCE:?}; seen: {:?}", self.seen)
                }
            }
        }
    }

    /// Kills it as a power cut would: SIGKILL, nothing flushed by it, and waits until it is gone. Returns its data folder.
    pub fn kill(mut self) -> PathBuf {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
        self.data.clone()
    }

    /// Sends `signal` and goes on.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a child has a pid");
        kill_process(pid, signal).expect("the child is ours");
    }

    /// Takes away the limit on the size of its files.
    pub fn raise_file_size_limit(&self) {
        use rustix::process::{Resource, Rlimit, prlimit};
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        prlimit(
            pid,
            Resource::Fsize,
            Rlimit {
                current: None,
                maximum: None,
            },
        )
        .expect("the limit was a soft one");
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end within a minute.
    pub fn wait(mut self) -> (ExitStatus, String) {
        // Its standard error closes when it ends: an event, not a poll.
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        let status = self.child.wait().expect("the child is ours");
        (status, self.seen.join("\n"))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_none()
    }

    /// Memory it holds now (`VmRSS`), in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the child runs");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("Linux says so");
        let kib: u64 = line
            .split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number of kB");
        kib * 1024
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
