//! A small HTTP server for tests, on threads of its own: it does what it is told, good or bad.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What a request is answered with.
#[derive(Clone)]
pub(crate) enum Answer {
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// 200 with this body.
    Ok(String),
    /// The same, so much later.
    After(Duration, String),
    /// Nothing, until the other side closes.
    Silence,
    /// These bytes, then one byte after the other, slowly, until the other side closes.
    Drip(&'static [u8]),
    /// The first, then the second again and again until the other side closes; an empty one is silence.
    Flood(&'static [u8], &'static [u8]),
}

impl Answer {
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self::Ok(body.into())
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The first line.
    pub(crate) line: String,
    /// All lines before the body.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
struct Log {
    requests: Mutex<Vec<Seen>>,
    more: Condvar,
    connections: AtomicUsize,
    most: AtomicUsize,
}

/// It serves as long as the process lives.
pub(crate) struct Server {
    address: std::net::SocketAddr,
    log: Arc<Log>,
}

type Handler = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

impl Server {
    pub(crate) fn start(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(handler, None)
    }

    /// With a certificate for `localhost`, and the authority that signed it, as PEM.
    pub(crate) fn start_tls(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> (Self, String) {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        (Self::serve(handler, Some(Arc::new(config))), signed.cert.pem())
    }

    fn serve(
        handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let handler: Handler = Arc::new(handler);
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, handler, tls) = (Arc::clone(&shared), Arc::clone(&handler), tls.clone());
                log.connections.fetch_add(1, Ordering::SeqCst);
                log.most
                    .fetch_max(open_connections(address.port()), Ordering::SeqCst);
                std::thread::spawn(move || {
                    // What a peer breaks off is what the tests are about.
                    let _ = match tls {
                        Some(config) => {
                            let session = rustls::ServerConnection::new(config).unwrap();
                            converse(rustls::StreamOwned::new(session, stream), &log, &handler)
                        }
                        None => converse(stream, &log, &handler),
                    };
                });
            }
        });
        Self { address, log }
    }

    /// A place where nobody listens.
    pub(crate) fn closed() -> std::net::SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    pub(crate) fn place(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn grant(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.log.requests.lock().unwrap().clone()
    }

    pub(crate) fn wait_for_requests(&self, count: usize) {
        let requests = self.log.requests.lock().unwrap();
        let few = |requests: &mut Vec<Seen>| requests.len() < count;
        let (_requests, waited) = self
            .log
            .more
            .wait_timeout_while(requests, Duration::from_secs(60), few)
            .unwrap();
        assert!(!waited.timed_out(), "no request came");
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// Connections that were open at once, whenever one was accepted.
    pub(crate) fn most_at_once(&self) -> usize {
        self.log.most.load(Ordering::SeqCst)
    }
}

/// Connections to this port of 127.0.0.1 that neither side has closed, as the kernel has them: the threads of this server may learn
/// of an end long after it.
fn open_connections(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let local = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_open = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(local.as_str()) && fields.nth(1) == Some(ESTABLISHED)
    };
    table.lines().filter(is_open).count()
}

fn converse<S: Read + Write + Hang>(stream: S, log: &Log, handler: &Handler) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(seen) = read(&mut reader)? {
        let answer = handler(&seen);
        log.requests.lock().unwrap().push(seen);
        log.more.notify_all();
        let stream = reader.get_mut();
        match answer {
            Answer::Raw(bytes) => {
                stream.write_all(&bytes)?;
                return stream.hang_up();
            }
            Answer::Ok(body) => ok(stream, &body)?,
            Answer::After(time, body) => {
                // The very point of this answer is the time it takes.
                std::thread::park_timeout(time);
                ok(stream, &body)?;
            }
            Answer::Silence => {
                reader.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
            Answer::Drip(bytes) => {
                stream.write_all(bytes)?;
                loop {
                    stream.write_all(b"x")?;
                    stream.flush()?;
                    std::thread::park_timeout(Duration::from_millis(20));
                }
            }
            Answer::Flood(bytes, again) => {
                stream.write_all(bytes)?;
                stream.flush()?;
                if again.is_empty() {
                    reader.read_to_end(&mut Vec::new())?;
                    return Ok(());
                }
                loop {
                    stream.write_all(&again.repeat(500))?;
                }
            }
        }
    }
    Ok(())
}

fn ok(stream: &mut impl Write, body: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Seen>> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = head.lines().next().unwrap_or_default().to_owned();
    Ok(Some(Seen { line, head, body }))
}

/// Ends the sending side.
pub(crate) trait Hang {
    fn hang_up(&mut self) -> std::io::Result<()>;
}

impl Hang for TcpStream {
    fn hang_up(&mut self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Hang for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn hang_up(&mut self) -> std::io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }
}
