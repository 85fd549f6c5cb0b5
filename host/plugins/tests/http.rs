//! Outbound HTTP: what is granted and what is not, hosts that are slow, that stream for ever, that lie, that nobody trusts.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::server::{Answer, Server};
use support::{batch, emitted, options};
use tokio::sync::watch;
use weir_runtime::{
    CallError, Grants, HttpAccess, HttpConfig, HttpGrant, Instance, Limits, Plugin, Runtime, RuntimeConfig,
};

/// Long enough for any machine; what has to be over at once is held against less.
const AGES_MS: u64 = 60_000;

struct Host {
    runtime: Runtime,
    plugin: Plugin,
}

impl Host {
    fn new(http: HttpConfig) -> Self {
        Self::with_limits(
            http,
            Limits {
                deadline_ms: AGES_MS,
                ..Limits::default()
            },
        )
    }

    fn with_limits(http: HttpConfig, limits: Limits) -> Self {
        let runtime = Runtime::new(RuntimeConfig {
            http,
            limits,
            ..RuntimeConfig::default()
        })
        .unwrap();
        let plugin = runtime.load(weir_plugins::HOSTILE_HTTP).unwrap();
        assert!(plugin.imports_http() && !plugin.imports_state());
        Self { runtime, plugin }
    }

    fn access(&self, grants: &[String]) -> HttpAccess {
        let grants: Vec<HttpGrant> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        self.runtime.http(grants).unwrap()
    }

    fn start(&self, grants: &[String], config: &[(&str, &str)]) -> Instance {
        let grants = Grants::none().http(self.access(grants));
        self.plugin.instantiate_with(options(config), grants).unwrap()
    }
}

fn config() -> HttpConfig {
    HttpConfig {
        timeout_ms: AGES_MS,
        call_timeout_ms: AGES_MS,
        ..HttpConfig::default()
    }
}

/// What a plugin with grants for `server` gets for these lines.
fn answers(http: HttpConfig, server: &Server, lines: &[String]) -> Vec<String> {
    let mut instance = Host::new(http).start(&[server.grant()], &[]);
    emitted(&mut instance, &batch(lines), lines.len() as u32).unwrap()
}

fn one(http: HttpConfig, server: &Server, line: String) -> String {
    answers(http, server, &[line]).remove(0)
}

#[test]
fn a_granted_host_is_called_and_its_connection_used_again() {
    let server = Server::start(|request| Answer::ok(format!("{} {}", request.line, request.body.len())));
    let url = server.url("/x?y=1");
    let got = answers(
        config(),
        &server,
        &[format!("GET {url}"), format!("GET {url} x-a:b")],
    );
    assert_eq!(got, ["200 GET /x?y=1 HTTP/1.1 0", "200 GET /x?y=1 HTTP/1.1 0"]);
    let seen = server.requests();
    assert_eq!(seen.len(), 2);
    assert!(seen[1].head.contains("x-a: b"), "{}", seen[1].head);
    assert!(
        seen[1]
            .head
            .to_lowercase()
            .contains(&format!("host: {}", server.place()))
    );
    assert_eq!(server.connections(), 1, "one connection for both");
    let mut instance = Host::new(config()).start(&[server.grant()], &[("body-bytes", "1000")]);
    assert_eq!(
        emitted(&mut instance, &batch([format!("POST {url}")]), 1).unwrap(),
        ["200 POST /x?y=1 HTTP/1.1 1000"]
    );
}

#[test]
fn what_is_not_granted_is_not_called() {
    let server = Server::start(|_| Answer::ok("reached"));
    let place = server.place();
    let port = place.rsplit(':').next().unwrap().to_owned();
    let other_port = Server::start(|_| Answer::ok("reached"));
    let lines = [
        format!("GET http://localhost:{port}/"),
        format!("GET https://{place}/"),
        format!("GET http://{}/", other_port.place()),
        "GET http://127.0.0.1/".to_owned(),
        format!("GET http://[::ffff:127.0.0.1]:{port}/"),
    ];
    for got in answers(config(), &server, &lines) {
        assert!(
            got.starts_with("not-granted:") && got.contains("--allow-http"),
            "{got}"
        );
    }
    for (line, why) in [
        (format!("GET http://{place}@{}/", other_port.place()), "no user"),
        (
            format!("GET http://{place}/ host:evil.example"),
            "set by the broker",
        ),
        (
            format!("GET http://{place}/ transfer-encoding:chunked"),
            "set by the broker",
        ),
        (format!("GET {place}/"), "no URL"),
    ] {
        let got = one(config(), &server, line);
        assert!(got.starts_with("bad-request:") && got.contains(why), "{got}");
    }
    assert_eq!(server.connections() + other_port.connections(), 0);
}

#[test]
fn without_a_grant_there_is_no_instance() {
    let host = Host::new(config());
    let Err(error) = host.plugin.instantiate(options(&[])) else {
        panic!("it imports http")
    };
    assert_eq!(error, CallError::NotGranted { interface: "http" });
    let server = Server::start(|_| Answer::ok("reached"));
    let settings = [("do", "configure"), ("url", &*format!("GET {}", server.url("/")))];
    let grants = Grants::none().http(host.access(&[server.grant()]));
    let Err(CallError::Configure { message }) = host.plugin.instantiate_with(options(&settings), grants)
    else {
        panic!("it calls out in `configure`")
    };
    assert!(
        message.starts_with("not-granted:") && message.contains("not in `configure`"),
        "{message}"
    );
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_slow_host_ends_at_the_timeout() {
    // Never answers; and one that drips its headers, and its body, a byte at a time.
    for answer in [
        Answer::Silence,
        Answer::Drip(&b"HTTP/1.1 200 OK\r\nx: "[..]),
        Answer::Drip(&b"HTTP/1.1 200 OK\r\n\r\n"[..]),
    ] {
        let server = Server::start(move |_| answer.clone());
        let http = HttpConfig {
            timeout_ms: 300,
            ..config()
        };
        let got = one(http, &server, format!("GET {}", server.url("/")));
        assert!(
            got.starts_with("timeout:") && got.contains("within 300 ms"),
            "{got}"
        );
        // What the plugin asks for counts where it is less.
        let mut instance = Host::new(config()).start(&[server.grant()], &[("timeout-ms", "200")]);
        let got = emitted(&mut instance, &batch([format!("GET {}", server.url("/"))]), 1).unwrap();
        assert!(got[0].contains("within 200 ms"), "{got:?}");
    }
}

#[test]
fn the_calls_of_one_batch_are_bounded() {
    let server = Server::start(|_| Answer::Silence);
    let http = HttpConfig {
        timeout_ms: 200,
        call_timeout_ms: 300,
        ..config()
    };
    let line = format!("GET {}", server.url("/"));
    let got = answers(http, &server, &[line.clone(), line.clone(), line.clone()]);
    assert!(got[2].contains("300 ms in one batch"), "{got:?}");
    let quick = Server::start(|_| Answer::ok("hi"));
    let line = format!("GET {}", quick.url("/"));
    let http = HttpConfig {
        exchanges_max_per_call: 2,
        ..config()
    };
    let host = Host::new(http);
    let mut instance = host.start(&[quick.grant()], &[]);
    for _ in 0..2 {
        let got = emitted(&mut instance, &batch([&line, &line, &line]), 3).unwrap();
        assert_eq!(&got[..2], ["200 hi", "200 hi"]);
        assert!(
            got[2].starts_with("other:") && got[2].contains("2 times"),
            "{got:?}"
        );
    }
}

#[test]
fn waiting_is_not_running() {
    // The host takes three times as long as a call may run.
    let server = Server::start(|_| Answer::After(Duration::from_millis(600), "late".to_owned()));
    let limits = Limits {
        deadline_ms: 200,
        ..Limits::default()
    };
    let host = Host::with_limits(config(), limits);
    let line = format!("GET {}", server.url("/"));
    let mut instance = host.start(&[server.grant()], &[]);
    assert_eq!(emitted(&mut instance, &batch([&line]), 1).unwrap(), ["200 late"]);
    // What runs on afterwards is stopped as ever.
    let mut instance = host.start(&[server.grant()], &[("do", "spin")]);
    let error = emitted(&mut instance, &batch([&line]), 1).unwrap_err();
    assert_eq!(error, CallError::Deadline { limit_ms: 200 });
}

#[test]
fn a_flood_ends_at_the_size() {
    let http = HttpConfig {
        response_bytes_max: 100_000,
        ..config()
    };
    // Without a length, with a chunk for ever, and with a length that is too much in itself.
    for answer in [
        Answer::Flood(&b"HTTP/1.1 200 OK\r\n\r\n"[..], &b"xxxxxxxxxxxxxxxx"[..]),
        Answer::Flood(
            &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..],
            &b"4\r\nabcd\r\n"[..],
        ),
        Answer::Flood(
            &b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n"[..],
            &b""[..],
        ),
    ] {
        let server = Server::start(move |_| answer.clone());
        let got = one(http.clone(), &server, format!("GET {}", server.url("/")));
        assert!(
            got.starts_with("too-large:") && got.contains("100000 bytes"),
            "{got}"
        );
    }
    // Headers without end, and many of them.
    let many = "x: y\r\n".repeat(100);
    let many = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
    for answer in [
        Answer::Flood(&b"HTTP/1.1 200 OK\r\nx: "[..], &b"yyyyyyyyyyyyyyyyyyyyyyy"[..]),
        Answer::Raw(many.into_bytes()),
    ] {
        let server = Server::start(move |_| answer.clone());
        let got = one(http.clone(), &server, format!("GET {}", server.url("/")));
        assert!(got.starts_with("too-large:") && got.contains("headers"), "{got}");
    }
    let server = Server::start(|_| Answer::ok("x".repeat(100_000)));
    let got = one(http, &server, format!("GET {}", server.url("/")));
    assert_eq!(got.len(), "200 ".len() + 100_000, "exactly as much is taken");
}

#[test]
fn a_redirect_is_an_answer() {
    let elsewhere = Server::start(|_| Answer::ok("reached"));
    let to = elsewhere.url("/");
    let location = to.clone();
    let server = Server::start(move |_| {
        Answer::Raw(
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").into_bytes(),
        )
    });
    let got = one(config(), &server, format!("GET {}", server.url("/")));
    assert_eq!(got, format!("302 -> {to} "));
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn what_is_no_http_is_an_error() {
    for answer in [
        Answer::Raw(b"\x00\x01\x02garbage\r\n\r\n".to_vec()),
        Answer::Raw(Vec::new()),
        Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec()),
    ] {
        let server = Server::start(move |_| answer.clone());
        let got = one(config(), &server, format!("GET {}", server.url("/")));
        assert!(got.starts_with("other:"), "{got}");
    }
}

#[test]
fn who_is_not_there_cannot_be_reached() {
    let closed = Server::closed();
    let host = Host::new(config());
    let grants = [format!("http://{closed}"), "http://name.invalid".to_owned()];
    let mut instance = host.start(&grants, &[]);
    let lines = [
        format!("GET http://{closed}/"),
        "GET http://name.invalid/".to_owned(),
    ];
    for got in emitted(&mut instance, &batch(lines), 2).unwrap() {
        assert!(
            got.starts_with("connect:") && got.contains("cannot be reached"),
            "{got}"
        );
    }
}

#[test]
fn only_a_trusted_certificate_will_do() {
    let (server, ca) = Server::start_tls(|_| Answer::ok("secret"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, ca).unwrap();
    let port = server.place().rsplit(':').next().unwrap().to_owned();
    let line = format!("GET https://localhost:{port}/");
    let grant = format!("localhost:{port}");
    let untrusting = Host::new(config());
    let mut instance = untrusting.start(std::slice::from_ref(&grant), &[]);
    let got = emitted(&mut instance, &batch([&line]), 1).unwrap();
    assert!(
        got[0].starts_with("connect:") && got[0].contains("certificate"),
        "{got:?}"
    );
    let trusting = Host::new(HttpConfig {
        ca: Some(file.clone()),
        ..config()
    });
    let mut instance = trusting.start(&[grant], &[]);
    assert_eq!(
        emitted(&mut instance, &batch([&line]), 1).unwrap(),
        ["200 secret"]
    );
    // It is trusted under its name alone.
    let mut instance = trusting.start(&[format!("127.0.0.1:{port}")], &[]);
    let got = emitted(
        &mut instance,
        &batch([format!("GET https://127.0.0.1:{port}/")]),
        1,
    )
    .unwrap();
    assert!(
        got[0].starts_with("connect:") && got[0].contains("certificate"),
        "{got:?}"
    );

    std::fs::write(&file, "no certificate").unwrap();
    let broken = Host::new(HttpConfig {
        ca: Some(file),
        ..config()
    });
    let error = broken.runtime.http(Vec::new()).unwrap_err().to_string();
    assert!(
        error.contains("ca.pem") && error.contains("no certificate"),
        "{error}"
    );
}

#[test]
fn a_call_that_is_out_ends_when_its_flow_stops() {
    let server = Server::start(|_| Answer::Silence);
    let host = Host::new(config());
    let (stop, stopped) = watch::channel(false);
    let line = format!("GET {}", server.url("/"));
    let access = host.access(&[server.grant()]).stopped_by(stopped);
    let grants = Grants::none().http(access);
    let mut instance = host.plugin.instantiate_with(options(&[]), grants).unwrap();
    let called = std::thread::spawn(move || emitted(&mut instance, &batch([&line]), 1));
    server.wait_for_requests(1);
    stop.send_replace(true);
    assert_eq!(called.join().unwrap(), Err(CallError::Stopped));
}

#[test]
fn closing_ends_what_is_out_and_what_comes() {
    let server = Arc::new(Server::start(|_| Answer::Silence));
    let host = Host::new(config());
    let line = format!("GET {}", server.url("/"));
    let mut instance = host.start(&[server.grant()], &[]);
    let called = std::thread::spawn(move || {
        let first = emitted(&mut instance, &batch([&line]), 1);
        (first, emitted(&mut instance, &batch([&line]), 1))
    });
    server.wait_for_requests(1);
    host.runtime.close_http();
    assert_eq!(
        called.join().unwrap(),
        (Err(CallError::Stopped), Err(CallError::Stopped))
    );
}

#[test]
fn connections_of_a_flow_are_bounded() {
    // Each waits for the other's connection to end, which it does at the timeout.
    let server = Server::start(|_| Answer::Silence);
    let host = Host::new(HttpConfig {
        connections_max_per_flow: 1,
        timeout_ms: 500,
        ..config()
    });
    let access = host.access(&[server.grant()]);
    let line = format!("GET {}", server.url("/"));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let grants = Grants::none().http(access.clone());
            let mut instance = host.plugin.instantiate_with(options(&[]), grants).unwrap();
            let line = line.clone();
            std::thread::spawn(move || emitted(&mut instance, &batch([&line]), 1).unwrap())
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap()[0].starts_with("timeout:"));
    }
    assert!(server.most_at_once() <= 1, "{}", server.most_at_once());
}
