//! Flows that read several topics, and flows that come to an end, write exactly the function of what they read, however often the
//! broker is killed while they run.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use weir_client::{
    Client, Consumer, Error, FlowBackfill, FlowChange, FlowInfo, FlowReplay, FlowSpec, FlowState, NewTopic,
    OnError, Record, Start,
};
use weir_tests::{BrokerCommand, BrokerProcess, Random};

const BINARY: &str = env!("CARGO_BIN_EXE_weir-under-test");
const PATIENCE: Duration = Duration::from_secs(120);

/// A broker that is killed and started again at its address.
struct Victim {
    broker: Option<BrokerProcess>,
    addr: String,
    data: PathBuf,
    random: Random,
    _folder: tempfile::TempDir,
}

impl Victim {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let broker = start(&data, "127.0.0.1:0");
        Self {
            addr: broker.addr().to_owned(),
            broker: Some(broker),
            data,
            random: Random::new(seed),
            _folder: folder,
        }
    }

    async fn client(&self) -> Client {
        self.broker.as_ref().unwrap().client().await
    }

    fn kill(&mut self) {
        self.broker.take().unwrap().kill();
        self.broker = Some(start(&self.data, &self.addr));
    }

    /// Kills it at any moment up to so many milliseconds from now.
    async fn kill_within(&mut self, ms: u64) {
        tokio::time::sleep(Duration::from_micros(self.random.next() % (ms * 1000))).await;
        self.kill();
    }

    /// Kills it a little after the first output arrives, and once more soon after it is there again.
    async fn kill_amid(&mut self, mut outputs: Consumer) {
        let first = tokio::time::timeout(PATIENCE, outputs.next()).await;
        first.expect("something comes out").unwrap().unwrap();
        self.kill_within(40).await;
        self.kill_within(40).await;
    }
}

fn start(data: &Path, listen: &str) -> BrokerProcess {
    let mut command = BrokerCommand::new(BINARY, data);
    // More than one, so that outputs cross them.
    command.config("[log]\nshards = 3\n");
    command.listen(listen).start()
}

async fn topics(client: &Client, topics: &[(&str, u32)]) {
    for (name, partitions) in topics {
        let topic = NewTopic::new(*name).partitions(*partitions);
        client.admin().create_topic(topic).await.unwrap();
    }
}

fn spec(name: &str, from: &[&str], plugin: &str, to: &str) -> FlowSpec {
    FlowSpec {
        from: from.iter().map(|&topic| topic.to_owned()).collect(),
        ..FlowSpec::new(name, "", [plugin], [to])
    }
}

/// Sends `TOPIC-PARTITION-N` for each `n`, with itself as the key and a kilobyte beside it, to each partition in its turn.
fn send(
    client: &Client,
    topic: &'static str,
    partitions: u32,
    numbers: std::ops::Range<u32>,
) -> JoinHandle<()> {
    let client = client.clone();
    tokio::spawn(async move {
        let producer = client
            .producer(topic)
            .batch_bytes(16 * 1024)
            .delivery_timeout(PATIENCE)
            .build()
            .await
            .unwrap();
        for n in numbers {
            for partition in 0..partitions {
                let text = format!("{topic}-{partition}-{n:06}").into_bytes();
                let record = Record::value(text.clone())
                    .key(text)
                    .header("padding", vec![b'.'; 1024])
                    .partition(partition);
                let _delivery = producer.send(record).await.unwrap();
            }
        }
        producer.close().await.unwrap();
    })
}

/// Waits until a topic has so many records, and has the broker killed every now and then.
async fn outputs(client: &Client, topic: &str, count: u64, mut victim: Option<(&mut Victim, u64)>) {
    let mut consumer = client
        .consumer(topic)
        .start(Start::Earliest)
        .build()
        .await
        .unwrap();
    let mut next_kill = 100;
    for seen in 0..count {
        let record = tokio::time::timeout(PATIENCE, consumer.next())
            .await
            .unwrap_or_else(|_| panic!("{seen} of {count} came out of {topic}, then nothing"));
        record.unwrap().unwrap();
        if let Some((victim, kills)) = victim.as_mut()
            && seen == next_kill
        {
            victim.kill();
            next_kill = seen + 1 + victim.random.next() % (2 * count / *kills);
        }
    }
}

/// All values of a topic by partition, in their order.
async fn read(client: &Client, topic: &str) -> BTreeMap<u32, Vec<String>> {
    let mut all = client
        .consumer(topic)
        .start(Start::Earliest)
        .until_end(true)
        .build()
        .await
        .unwrap();
    let mut values: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    while let Some(record) = all.next().await {
        let record = record.unwrap();
        let value = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
        values.entry(record.partition()).or_default().push(value);
    }
    values
}

/// What came of each source partition is in its order in each partition, and all of it is `expected`.
fn assert_exactly(found: BTreeMap<u32, Vec<String>>, mut expected: Vec<String>) {
    for values in found.values() {
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        for value in values {
            let (lane, number) = value.rsplit_once('-').unwrap();
            if let Some(before) = last.insert(lane, number) {
                assert!(before < number, "{value} came after {before}");
            }
        }
    }
    let mut found: Vec<String> = found.into_values().flatten().collect();
    found.sort();
    expected.sort();
    if let Some(at) = (0..found.len().max(expected.len())).find(|&at| found.get(at) != expected.get(at)) {
        panic!(
            "{} came out instead of {}; the first difference: {:?} instead of {:?}",
            found.len(),
            expected.len(),
            found.get(at),
            expected.get(at)
        );
    }
}

fn values(topic: &str, partition: u32, numbers: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    numbers.map(move |n| format!("{topic}-{partition}-{n:06}"))
}

/// Asks until a broker answers; what it says if it refuses.
async fn insist<T>(ask: impl AsyncFn() -> Result<T, Error>) -> Result<T, String> {
    let answered = async {
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(Error::Broker(error)) => return Err(error.to_string()),
                // The connection went with the broker that was killed.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered)
        .await
        .expect("the broker is there again")
}

/// Waits until a flow is finished.
async fn finished(client: &Client, flow: &str) -> FlowInfo {
    let done = async {
        loop {
            // The broker may just be away.
            if let Ok(flow) = client.admin().describe_flow(flow).await {
                match flow.state {
                    FlowState::Finished { .. } => return flow,
                    FlowState::Paused { reason } => panic!("it paused: {reason}"),
                    _ => {}
                }
            }
            // Nothing announces it to clients.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done)
        .await
        .unwrap_or_else(|_| panic!("flow {flow} does not come to its end"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sources_are_never_mixed_up() {
    const RECORDS: u32 = 1_500;
    let mut victim = Victim::new(1);
    let client = victim.client().await;
    topics(&client, &[("web", 3), ("mobile", 2), ("out", 4)]).await;
    let admin = client.admin();
    admin
        .upload_plugin("identity", weir_plugins::IDENTITY, None)
        .await
        .unwrap();
    admin
        .create_flow(spec("f", &["web", "mobile"], "identity", "out"))
        .await
        .unwrap();
    let sending = [
        send(&client, "web", 3, 0..RECORDS),
        send(&client, "mobile", 2, 0..RECORDS),
    ];
    outputs(&client, "out", u64::from(RECORDS) * 5, Some((&mut victim, 15))).await;
    for sending in sending {
        sending.await.unwrap();
    }
    // From cold.
    victim.kill();
    let client = victim.client().await;
    let of =
        |topic: &'static str, partitions| (0..partitions).flat_map(move |p| values(topic, p, 0..RECORDS));
    let expected = of("web", 3).chain(of("mobile", 2)).collect();
    assert_exactly(read(&client, "out").await, expected);
    let flow = client.admin().describe_flow("f").await.unwrap();
    let lanes: Vec<_> = flow
        .partitions
        .iter()
        .map(|p| (p.source, p.partition, p.lag))
        .collect();
    assert_eq!(lanes, [(0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 0, 0), (1, 1, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_beside_its_running_flow_ends_where_it_is_to() {
    const PARTITIONS: u32 = 3;
    const RECORDS: u32 = 6_000;
    const ROUNDS: u32 = 6;
    let mut victim = Victim::new(2);
    let client = victim.client().await;
    topics(&client, &[("in", PARTITIONS), ("out", 4)]).await;
    let admin = client.admin();
    admin
        .upload_plugin("identity", weir_plugins::IDENTITY, None)
        .await
        .unwrap();
    admin
        .create_flow(spec("f", &["in"], "identity", "out"))
        .await
        .unwrap();
    // Something to begin with, and more while the backfills run.
    send(&client, "in", PARTITIONS, 0..RECORDS / 2).await.unwrap();
    let sending = send(&client, "in", PARTITIONS, RECORDS / 2..RECORDS);
    for round in 0..ROUNDS {
        let name = format!("again-{round}");
        topics(&client, &[(&name, 4)]).await;
        let request = FlowBackfill {
            name: Some(name.clone()),
            to: vec![name.clone()],
            ..FlowBackfill::default()
        };
        let outputs = client
            .consumer(&name)
            .start(Start::Earliest)
            .build()
            .await
            .unwrap();
        let (asking, asked) = (client.clone(), request.clone());
        let asking = tokio::spawn(async move { asking.admin().backfill_flow("f", asked).await });
        victim.kill_amid(outputs).await;
        // It was made, whether the answer came through or not.
        let _ = asking.await.unwrap();
        let again = insist(async || admin.backfill_flow("f", request.clone()).await).await;
        assert!(again.unwrap_err().contains("exists"));
        let flow = finished(&client, &name).await;
        let ends = flow.partitions.iter().map(|p| (p.partition, p.until.unwrap()));
        let expected = ends.flat_map(|(p, end)| values("in", p, 0..u32::try_from(end).unwrap()));
        let expected: Vec<String> = expected.collect();
        assert!(expected.len() as u32 >= RECORDS / 2 * PARTITIONS);
        assert_exactly(read(&client, &name).await, expected);
    }
    sending.await.unwrap();
    outputs(&client, "out", u64::from(RECORDS * PARTITIONS), None).await;
    victim.kill();
    let client = victim.client().await;
    let expected = (0..PARTITIONS)
        .flat_map(|p| values("in", p, 0..RECORDS))
        .collect();
    assert_exactly(read(&client, "out").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_replayed_once_each() {
    const PARTITIONS: u32 = 2;
    const ROUNDS: u32 = 5;
    const RECORDS: u32 = 3_000;
    let mut victim = Victim::new(3);
    let client = victim.client().await;
    topics(
        &client,
        &[("in", PARTITIONS), ("out", 3), ("f.dead-letter", PARTITIONS)],
    )
    .await;
    let admin = client.admin();
    admin
        .upload_plugin("hostile", weir_plugins::HOSTILE, None)
        .await
        .unwrap();
    let fails_at =
        |at: &str| BTreeMap::from([("do", "fail"), ("at", at)].map(|(k, v)| (k.to_owned(), v.to_owned())));
    admin
        .create_flow(FlowSpec {
            config: fails_at("in-"),
            on_error: OnError::DeadLetter,
            ..spec("f", &["in"], "hostile", "out")
        })
        .await
        .unwrap();
    let change = |at: &str| FlowChange {
        set: fails_at(at),
        ..FlowChange::default()
    };
    for round in 0..ROUNDS {
        let numbers = round * RECORDS..(round + 1) * RECORDS;
        send(&client, "in", PARTITIONS, numbers.clone()).await.unwrap();
        // All of them fail, and then none.
        outputs(
            &client,
            "f.dead-letter",
            u64::from(numbers.end * PARTITIONS),
            None,
        )
        .await;
        admin.upgrade_flow("f", change("nothing")).await.unwrap();

        let replayed = client.consumer("out").start(Start::Latest).build().await.unwrap();
        let replay = FlowReplay::Letters { start: None };
        let (asking, asked) = (client.clone(), replay.clone());
        let asking = tokio::spawn(async move { asking.admin().replay_flow("f", asked).await });
        victim.kill_amid(replayed).await;
        let _ = asking.await.unwrap();
        // Asked for once more, no letter is sent once more. What is there in part is completed first.
        while let Err(error) = insist(async || admin.replay_flow("f", replay.clone()).await).await {
            assert!(error.contains("stored in part"), "{error}");
        }
        finished(&client, "f.replay").await;
        insist(async || admin.upgrade_flow("f", change("in-")).await)
            .await
            .unwrap();
    }
    victim.kill();
    let client = victim.client().await;
    let all: Vec<String> = (0..PARTITIONS)
        .flat_map(|partition| values("in", partition, 0..ROUNDS * RECORDS))
        .collect();
    assert_exactly(read(&client, "out").await, all.clone());
    assert_exactly(read(&client, "f.dead-letter").await, all);
}
