//! Flows whose plugins call out over HTTP: what they are granted, and that a host that does not answer holds up nobody else.

mod everywhere;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use weir_broker::{Broker, ErrorKind, FlowChange, FlowSpec, FlowStatus, Storage};

use crate::support::{
    all_values, batch, batch_with, config, pairs, populate, produce, running, timely, values,
    wait_for_records,
};

/// A web server. Answers with the path; those below `/slow` only once it is released, those below `/missing` with 404, and those
/// below `/lines/N` with what follows the first N of three lines.
struct Web {
    address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    slow_seen: usize,
}

impl Web {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::new(Gate::default());
        let shared = Arc::clone(&gate);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let gate = Arc::clone(&shared);
                // Who is cut off while it waits is part of the tests.
                std::thread::spawn(move || drop(serve(&stream, &gate)));
            }
        });
        Self { address, gate }
    }

    fn grant(&self) -> Vec<String> {
        vec![format!("http://{}", self.address)]
    }

    fn get(&self, path: &str) -> String {
        format!("GET http://{}{path}", self.address)
    }

    fn release(&self) {
        self.gate.state.lock().unwrap().open = true;
        self.gate.changed.notify_all();
    }

    /// Waits until so many requests have come that are not answered before the release.
    async fn slow_requests(&self, count: usize) {
        let gate = Arc::clone(&self.gate);
        let seen = tokio::task::spawn_blocking(move || {
            let state = gate.state.lock().unwrap();
            drop(
                gate.changed
                    .wait_while(state, |state| state.slow_seen < count)
                    .unwrap(),
            );
        });
        timely(seen).await.unwrap();
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.release();
    }
}

fn serve(stream: &TcpStream, gate: &Gate) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(first) = lines.next().transpose()? {
        for line in lines.by_ref() {
            if line?.is_empty() {
                break;
            }
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        if path.starts_with("/slow") {
            let mut state = gate.state.lock().unwrap();
            state.slow_seen += 1;
            gate.changed.notify_all();
            drop(gate.changed.wait_while(state, |state| !state.open).unwrap());
        }
        let (status, body) = answer(path);
        let mut out = stream;
        write!(
            out,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
    Ok(())
}

fn answer(path: String) -> (&'static str, String) {
    if path.starts_with("/missing") {
        return ("404 Not Found", String::new());
    }
    match path.strip_prefix("/lines/").map(str::parse::<usize>) {
        Some(after) => (
            "200 OK",
            ["one", "two", "three"][after.unwrap().min(3)..].join("\n"),
        ),
        None => ("200 OK", path),
    }
}

async fn broker(topics: &[(&str, u32)]) -> Broker {
    let mut config = config(Storage::Memory, 2);
    config.limits.flow_threads = 1;
    config.runtime.http.timeout_ms = 60_000;
    config.runtime.http.call_timeout_ms = 60_000;
    let broker = Broker::open(config).await.unwrap();
    populate(&broker, topics, &["hostile-http", "enrich-http", "identity"]).await;
    broker
}

fn calling(name: &str, from: &str, to: &str, web: &Web) -> FlowSpec {
    let mut spec = FlowSpec::new(name, from, ["hostile-http"], [to]);
    spec.allow_http = web.grant();
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_is_granted_what_its_plugins_use_and_no_more() {
    let web = Web::start();
    let broker = broker(&[("a", 1), ("b", 1)]).await;
    let refused = async |spec: FlowSpec| {
        let error = broker.create_flow(spec).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidFlow);
        error.message
    };
    let message = refused(FlowSpec::new("f", "a", ["hostile-http"], ["b"])).await;
    assert!(
        message.contains("hostile-http@1") && message.contains("--allow-http"),
        "{message}"
    );
    let mut unused = FlowSpec::new("f", "a", ["identity"], ["b"]);
    unused.allow_http = web.grant();
    assert!(refused(unused).await.contains("leave out --allow-http"));
    let mut everything = calling("f", "a", "b", &web);
    everything.allow_http = vec!["*".to_owned()];
    assert!(refused(everything).await.contains("name the hosts"));

    let made = broker.create_flow(calling("f", "a", "b", &web)).await.unwrap();
    assert_eq!(made.spec.allow_http, web.grant());
    let elsewhere = Web::start();
    let lines = [web.get("/x"), elsewhere.get("/y"), web.get("/z")];
    produce(&broker, "a", 0, batch(&lines)).await;
    wait_for_records(&broker, "b", 3).await;
    let got = values(&broker, "b", 0).await;
    assert_eq!((got[0].as_str(), got[2].as_str()), ("200 /x", "200 /z"));
    assert!(got[1].starts_with("not-granted:"), "{got:?}");

    // A revision carries its grants.
    let change = FlowChange {
        allow_http: Some(elsewhere.grant()),
        ..FlowChange::default()
    };
    let info = broker.upgrade_flow("f", change).await.unwrap();
    assert_eq!(info.spec.allow_http, elsewhere.grant());
    produce(&broker, "a", 0, batch(&lines)).await;
    wait_for_records(&broker, "b", 6).await;
    let got = values(&broker, "b", 0).await;
    assert!(
        got[3].starts_with("not-granted:") && got[4] == "200 /y",
        "{got:?}"
    );
    let info = broker.rollback_flow("f", None).await.unwrap();
    assert_eq!(info.spec.allow_http, web.grant());
    let none = FlowChange {
        allow_http: Some(Vec::new()),
        ..FlowChange::default()
    };
    assert!(
        broker
            .upgrade_flow("f", none)
            .await
            .unwrap_err()
            .message
            .contains("--allow-http")
    );
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_enriched() {
    let web = Web::start();
    let broker = broker(&[("a", 1), ("b", 1)]).await;
    let mut spec = FlowSpec::new("f", "a", ["enrich-http"], ["b"]);
    spec.allow_http = web.grant();
    let url = format!("http://{}/{{key}}", web.address);
    spec.config = pairs(&[("url", url.as_str()), ("header", "seen")]);
    broker.create_flow(spec).await.unwrap();
    let records = [(Some("k 1"), &b"v"[..]), (None, b"w")];
    produce(&broker, "a", 0, batch_with(weir_batch::Codec::None, records)).await;
    wait_for_records(&broker, "b", 2).await;
    let fetched = broker
        .topic("b")
        .unwrap()
        .partition(0)
        .unwrap()
        .fetch(0, 1 << 20)
        .await
        .unwrap();
    let mut seen = Vec::new();
    for item in weir_batch::iter_batches(&fetched.batches) {
        for record in weir_batch::Batch::parse(item.unwrap().1)
            .unwrap()
            .records()
            .unwrap()
        {
            seen.extend(record.headers().map(|(name, value)| {
                (
                    name.to_owned(),
                    String::from_utf8_lossy(value.unwrap()).into_owned(),
                )
            }));
        }
    }
    assert_eq!(seen, [("seen".to_owned(), "/k%201".to_owned())]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_host_holds_up_no_other_flow() {
    let web = Web::start();
    let topics = [
        ("slow", 6),
        ("slow-out", 6),
        ("a", 2),
        ("b", 2),
        ("c", 1),
        ("d", 1),
    ];
    let broker = broker(&topics).await;
    broker
        .create_flow(calling("slow", "slow", "slow-out", &web))
        .await
        .unwrap();
    for partition in 0..6 {
        produce(&broker, "slow", partition, batch(&[web.get("/slow")])).await;
    }
    // As many as one flow may have out at once.
    web.slow_requests(4).await;
    // With the only thread for guests: another flow does all its work, and so does one that calls a quick host.
    broker
        .create_flow(FlowSpec::new("plain", "a", ["identity"], ["b"]))
        .await
        .unwrap();
    broker
        .create_flow(calling("quick", "c", "d", &web))
        .await
        .unwrap();
    for n in 0..20 {
        produce(&broker, "a", n % 2, batch(&["x"; 50])).await;
        produce(&broker, "c", 0, batch(&[web.get("/quick")])).await;
    }
    wait_for_records(&broker, "b", 1_000).await;
    wait_for_records(&broker, "d", 20).await;
    assert_eq!(
        all_values(&broker, "slow-out").await,
        [""; 0],
        "the host has not answered yet"
    );
    web.release();
    wait_for_records(&broker, "slow-out", 6).await;
    assert_eq!(all_values(&broker, "slow-out").await, ["200 /slow"; 6]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_waits_for_a_host_stops_at_once_and_blames_no_record() {
    let web = Web::start();
    let broker = broker(&[("a", 1), ("b", 1)]).await;
    broker.create_flow(calling("f", "a", "b", &web)).await.unwrap();
    let lines = [web.get("/0"), web.get("/slow/1"), web.get("/2")];
    produce(&broker, "a", 0, batch(&lines)).await;
    web.slow_requests(1).await;
    // The host has not answered, and never does before the release.
    let info = timely(broker.pause_flow("f")).await.unwrap();
    let FlowStatus::Paused(pause) = &info.status else {
        panic!("{:?}", info.status)
    };
    assert!(pause.requested && info.partitions[0].cursor == 0, "{pause:?}");
    let faults = info.partitions[0].calls.faults;
    assert_eq!((faults.trap, faults.deadline, faults.other), (0, 0, 0));
    web.release();
    broker.resume_flow("f").await.unwrap();
    wait_for_records(&broker, "b", 3).await;
    assert_eq!(values(&broker, "b", 0).await, ["200 /0", "200 /slow/1", "200 /2"]);
    running(&broker, "f").await;
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_stops_while_calls_are_out() {
    let web = Web::start();
    let broker = broker(&[("a", 2), ("b", 2), ("g", 1)]).await;
    broker.create_flow(calling("f", "a", "b", &web)).await.unwrap();
    let mut guard = FlowSpec::ingest("i", ["hostile-http"], "g");
    guard.allow_http = web.grant();
    broker.create_flow(guard).await.unwrap();
    for partition in 0..2 {
        produce(&broker, "a", partition, batch(&[web.get("/slow")])).await;
    }
    let guarded = broker.topic("g").unwrap();
    let slow = batch(&[web.get("/slow")]);
    let sent = tokio::spawn(async move { guarded.produce(0, slow).await?.await });
    web.slow_requests(3).await;
    timely(broker.shutdown()).await;
    // What came of it is not known to the producer, which may send it again; it was not refused for good.
    match timely(sent).await.unwrap() {
        Ok(produced) => assert!(produced.records.is_some(), "the record was not stored"),
        Err(error) => assert!(error.kind != ErrorKind::InvalidRecord, "{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_to_a_guarded_topic_may_be_looked_up() {
    let web = Web::start();
    let broker = broker(&[("g", 1)]).await;
    let mut guard = FlowSpec::ingest("i", ["hostile-http"], "g");
    guard.allow_http = web.grant();
    broker.create_flow(guard).await.unwrap();
    produce(&broker, "g", 0, batch(&[web.get("/in")])).await;
    assert_eq!(values(&broker, "g", 0).await, ["200 /in"]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_calls_out_only_if_it_is_told_to() {
    let web = Web::start();
    let broker = broker(&[("a", 1), ("b", 1)]).await;
    let mut spec = calling("f", "a", "b", &web);
    spec.start = weir_broker::Start::Latest;
    produce(&broker, "a", 0, batch(&[web.get("/x")])).await;
    broker.create_flow(spec).await.unwrap();
    let error = broker
        .dry_run_flow("f", FlowChange::default(), 10, false)
        .await
        .unwrap_err();
    assert!(error.message.contains("--call-out"), "{error}");
    let found = broker
        .dry_run_flow("f", FlowChange::default(), 10, true)
        .await
        .unwrap();
    assert_eq!((found.tried.records_in, found.tried.failed), (1, 0));
    assert_eq!(found.tried.records_out["b"], 1);
    broker.shutdown().await;
}
