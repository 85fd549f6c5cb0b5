//! What a producer gives is in its topics once, in pages that are whole, however often the broker is killed meanwhile.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use weir_client::{FlowSchedule, FlowSpec, NewTopic, Start};
use weir_tests::{BrokerCommand, BrokerProcess, Random};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
const KILLS: u64 = 20;
const PARTITIONS: u32 = 5;

/// Longest that anything here may take. It bounds a hang, it measures nothing.
const PATIENCE: Duration = Duration::from_secs(120);

fn spec(settings: &[(&str, &str)]) -> FlowSpec {
    let settings = settings
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    FlowSpec {
        schedule: Some(FlowSchedule::EveryMs(1)),
        config: settings.collect(),
        ..FlowSpec::new("ticks", "", ["ticker"], ["out"])
    }
}

/// Kills the broker again and again, each time after some further records came out, and accounts for every number.
async fn killed_again_and_again(shards: u16, settings: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = |listen: &str| {
        let mut command = BrokerCommand::new(BINARY, &data);
        command.config(&format!("[log]\nshards = {shards}\n"));
        command.listen(listen).start()
    };
    let mut broker = start("127.0.0.1:0");
    let addr = broker.addr().to_owned();
    let client = broker.client().await;
    let admin = client.admin();
    admin
        .create_topic(NewTopic::new("out").partitions(PARTITIONS))
        .await
        .unwrap();
    admin
        .upload_plugin("ticker", weir_plugins::TICKER, None)
        .await
        .unwrap();
    admin.create_flow(spec(settings)).await.unwrap();

    let mut random = Random::new(u64::from(shards));
    let mut outputs = client
        .consumer("out")
        .start(Start::Earliest)
        .build()
        .await
        .unwrap();
    for kill in 0..KILLS {
        let further = 1 + random.next() % 400;
        for seen in 0..further {
            let record = tokio::time::timeout(PATIENCE, outputs.next())
                .await
                .unwrap_or_else(|_| panic!("after kill {kill}, {seen} records came out, then nothing"));
            record.unwrap().unwrap();
        }
        broker.kill();
        broker = start(&addr);
    }

    // From cold, and paused, so that there is an end.
    broker.kill();
    let broker = start(&addr);
    let client = broker.client().await;
    let flow = client.admin().pause_flow("ticks").await.unwrap();
    let producing = flow.producing.expect("a flow with a schedule");
    let mut all = client
        .consumer("out")
        .start(Start::Earliest)
        .until_end(true)
        .build()
        .await
        .unwrap();
    let mut times = BTreeMap::<u64, u32>::new();
    let mut last = BTreeMap::<u32, u64>::new();
    while let Some(record) = tokio::time::timeout(PATIENCE, all.next()).await.unwrap() {
        let record = record.unwrap();
        let value = std::str::from_utf8(record.value().unwrap()).unwrap();
        let digits = value
            .strip_prefix("{\"n\":")
            .and_then(|rest| rest.strip_suffix('}'));
        let n: u64 = digits.expect(value).parse().unwrap();
        *times.entry(n).or_default() += 1;
        if let Some(before) = last.insert(record.partition(), n) {
            assert!(
                before < n,
                "{n} came after {before} in partition {}",
                record.partition()
            );
        }
    }
    assert_eq!(
        last.len(),
        PARTITIONS as usize,
        "every partition, and so every shard, has some"
    );
    let doubled: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "more than once: {doubled:?}");
    let highest = times.keys().next_back().copied().unwrap();
    assert_eq!(times.len() as u64, highest + 1, "none is missing below {highest}");
    assert_eq!(producing.records, highest + 1);
    assert_eq!(producing.cursor, Some((highest + 1).to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_kills_with_one_shard_where_a_page_is_one_entry() {
    killed_again_and_again(1, &[("per-poll", "7")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_kills_with_three_shards_and_pages_that_go_to_all_of_them() {
    killed_again_and_again(3, &[("per-poll", "7"), ("prefix", "k")]).await;
}

fn weir(broker: &BrokerProcess, args: &[&str]) -> Output {
    broker.weir(BINARY, args).output().unwrap()
}

fn done(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(output: Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_command_line_makes_shows_pauses_and_deletes_them() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerCommand::new(BINARY, &folder.path().join("data")).start();
    let file = |name: &str| {
        let path = folder.path().join(name).with_extension("wasm");
        std::fs::write(&path, weir_plugins::component(name).unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    done(weir(
        &broker,
        &["plugin", "upload", &file("ticker"), "--name", "ticker"],
    ));
    done(weir(
        &broker,
        &["plugin", "upload", &file("identity"), "--name", "copy"],
    ));
    for topic in ["in", "out"] {
        done(weir(&broker, &["topic", "create", topic]));
    }
    let create = |more: &[&str]| {
        let args = [&["flow", "create", "ticks", "--to", "out"], more].concat();
        weir(&broker, &args)
    };
    let ticker = ["--plugin", "ticker"];
    for (more, words) in [
        (
            &["--every", "5s", "--plugin", "copy"][..],
            "only a producer runs on a schedule",
        ),
        (&["--from", "in", "--plugin", "ticker"], "reads no topic"),
        (&ticker, "--every or --cron"),
        (&["--every", "0s", "--plugin", "ticker"], "0 ms"),
        (&["--every", "5", "--plugin", "ticker"], "with its unit"),
        (
            &["--every", "5s", "--cron", "* * * * *", "--plugin", "ticker"],
            "--cron",
        ),
        (&["--every", "5s", "--from", "in", "--plugin", "ticker"], "--from"),
        (&["--cron", "* * *", "--plugin", "ticker"], "no cron expression"),
        (&["--cron", "0 0 31 2 *", "--plugin", "ticker"], "never comes"),
        (
            &["--every", "5s", "--plugin", "ticker", "--plugin", "copy"],
            "exactly one plugin",
        ),
    ] {
        let said = refused(create(more));
        assert!(said.contains(words), "{more:?}: {said}");
    }

    let made = done(create(&[
        "--every",
        "20ms",
        "--plugin",
        "ticker",
        "--set",
        "limit=12",
        "--set",
        "per-poll=5",
    ]));
    assert!(
        made.contains("created ticks: every 20ms -> ticker@1 -> out"),
        "{made}"
    );
    let consumed = done(weir(
        &broker,
        &["consume", "out", "--from", "earliest", "-n", "12"],
    ));
    assert_eq!(consumed.lines().next(), Some("{\"n\":0}"));
    assert_eq!(consumed.lines().last(), Some("{\"n\":11}"));
    let paused = done(weir(&broker, &["flow", "pause", "ticks", "--output", "json"]));
    let paused: serde_json::Value = serde_json::from_str(&paused).unwrap();
    assert_eq!(paused["schedule"], serde_json::json!({ "every-ms": 20 }));
    assert_eq!(paused["producing"]["records"], 12);
    assert_eq!(paused["producing"]["pages"], 3);
    assert_eq!(paused["producing"]["next_poll_ms"], serde_json::Value::Null);
    let described = done(weir(&broker, &["flow", "describe", "ticks"]));
    for line in [
        "ticks: paused",
        "schedule: every 20ms",
        "pages: 3",
        "records: 12",
        "cursor: 12",
        "next poll: none",
    ] {
        assert!(described.lines().any(|said| said == line), "{line}: {described}");
    }
    done(weir(&broker, &["flow", "resume", "ticks"]));
    let listed = done(weir(&broker, &["flow", "list"]));
    assert!(listed.contains("every 20ms -> ticker@1 -> out"), "{listed}");
    // Other settings take over at the cursor.
    done(weir(&broker, &["flow", "upgrade", "ticks", "--set", "limit=15"]));
    let more = done(weir(&broker, &["consume", "out", "--from", "12", "-n", "3"]));
    assert_eq!(more.lines().last(), Some("{\"n\":14}"));
    let tried = refused(weir(&broker, &["flow", "dry-run", "ticks"]));
    assert!(tried.contains("weir plugin test"), "{tried}");
    let policy = refused(weir(&broker, &["flow", "upgrade", "ticks", "--on-error", "skip"]));
    assert!(policy.contains("reads no records"), "{policy}");
    done(weir(&broker, &["flow", "delete", "ticks"]));
    refused(weir(&broker, &["flow", "describe", "ticks"]));

    done(create(&["--cron", "0 0 1 1 *", "--plugin", "ticker"]));
    let described = done(weir(&broker, &["flow", "describe", "ticks"]));
    assert!(
        described.contains("schedule: cron 0 0 1 1 * (UTC)"),
        "{described}"
    );
    let next = described
        .lines()
        .find_map(|line| line.strip_prefix("next poll: "));
    assert!(
        next.is_some_and(|next| next.ends_with("-01-01T00:00:00.000Z")),
        "{described}"
    );
}
