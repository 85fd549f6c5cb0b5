//! Producers at full speed, through the SDK as a user would write them.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use weir_client::{Client, NewTopic};

use super::Failure;
use super::source::Source;
use crate::cli::number;
use crate::process::BrokerProcess;

/// Records handed to the producer in one call.
const RECORDS_AT_ONCE: usize = 64;

/// What is sent.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct LoadArgs {
    /// Bytes of a record's value
    #[arg(long, value_name = "SIZE", default_value = "1024", value_parser = number::bytes)]
    pub(super) record_bytes: u64,
    /// Bytes at which the producer sends a batch
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = number::bytes)]
    pub(super) batch_bytes: u64,
    /// Partitions of the topic
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) partitions: u32,
    /// Producers, each with a connection of its own
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) producers: u32,
}

/// When a producer has sent enough.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// All of them together have sent so many bytes of values.
    Bytes(u64),
    /// So much time has passed.
    Elapsed(Duration),
}

/// What was sent, and acknowledged to the last record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

impl Sent {
    pub(super) fn mb_per_s(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.time.as_secs_f64()
    }

    pub(super) fn records_per_s(&self) -> f64 {
        self.records as f64 / self.time.as_secs_f64()
    }
}

/// Makes `topic`, fills it, and checks that the broker has as many records as were acknowledged.
pub(super) async fn fill(
    broker: &BrokerProcess,
    topic: &str,
    load: &LoadArgs,
    until: Until,
) -> Result<Sent, Failure> {
    let client = broker.client().await?;
    create(&client, topic, load.partitions).await?;
    let sent = send(broker, topic, load, until).await?;
    let stored = records_in(&client, topic).await?;
    client.close().await;
    if stored != sent.records {
        return Err(Failure::new(
            format!(
                "{} records were acknowledged, the broker has {stored}",
                sent.records
            ),
            "report this as a bug: no figure counts with it",
        ));
    }
    Ok(sent)
}

pub(super) async fn create(client: &Client, topic: &str, partitions: u32) -> Result<(), Failure> {
    client
        .admin()
        .create_topic(NewTopic::new(topic).partitions(partitions))
        .await?;
    Ok(())
}

/// Records that a topic has, in all partitions.
pub(super) async fn records_in(client: &Client, topic: &str) -> Result<u64, Failure> {
    let topic = client.admin().describe_topic(topic).await?;
    let records: i64 = topic
        .partitions
        .iter()
        .map(|p| p.high_watermark - p.log_start_offset)
        .sum();
    Ok(records.cast_unsigned())
}

/// Sends at full speed until it is enough and every record is acknowledged.
pub(super) async fn send(
    broker: &BrokerProcess,
    topic: &str,
    load: &LoadArgs,
    until: Until,
) -> Result<Sent, Failure> {
    let record_bytes = usize::try_from(load.record_bytes).unwrap_or(usize::MAX);
    let source = Source::new(record_bytes)?;
    let mut producers = Vec::new();
    for _ in 0..load.producers {
        let client = broker.client().await?;
        let batch_bytes = usize::try_from(load.batch_bytes).unwrap_or(usize::MAX);
        producers.push((
            client.producer(topic).batch_bytes(batch_bytes).build().await?,
            client,
        ));
    }
    let until = match until {
        Until::Bytes(bytes) => Until::Bytes(bytes.div_ceil(u64::from(load.producers))),
        elapsed @ Until::Elapsed(_) => elapsed,
    };
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (producer, client) in producers {
        let mut source = source.clone();
        tasks.spawn(async move {
            let mut records = 0_u64;
            loop {
                let left = match until {
                    Until::Bytes(bytes) => bytes.div_ceil(record_bytes as u64).saturating_sub(records),
                    Until::Elapsed(time) if begun.elapsed() < time => u64::MAX,
                    Until::Elapsed(_) => 0,
                };
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(RECORDS_AT_ONCE);
                if count == 0 {
                    break;
                }
                // What became of them is said by `close`.
                let deliveries = producer.send_all((0..count).map(|_| source.next())).await?;
                records += deliveries.records();
            }
            producer.close().await?;
            let end = Instant::now();
            client.close().await;
            Ok::<_, weir_client::Error>((records, end))
        });
    }
    let (mut records, mut end) = (0, begun);
    while let Some(task) = tasks.join_next().await {
        let task =
            task.map_err(|error| Failure::new(format!("a producer ended: {error}"), "report this as a bug"))?;
        let (sent, ended) = task?;
        records += sent;
        end = end.max(ended);
    }
    Ok(Sent {
        records,
        bytes: records * load.record_bytes,
        time: end - begun,
    })
}
