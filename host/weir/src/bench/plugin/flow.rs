//! Flows as the benchmarks use them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_batch::BatchBuilder;
use weir_client::{Client, FlowInfo, FlowPartitionInfo, FlowSpec, FlowState, Record};

use crate::bench::load;
use crate::cli::Failure;
use crate::guests;

/// Bytes of a record's value.
pub(super) const RECORD_BYTES: usize = 100;

/// How often the broker is asked how far a flow is. It cannot be waited for, and consumers would take the flow's time.
const POLL: Duration = Duration::from_millis(10);

/// Longest that anything may take; it bounds a hang.
const PATIENCE: Duration = Duration::from_secs(300);

/// A flow from one topic to another that stops at the first error.
pub(super) fn spec(name: &str, from: &str, plugins: &[&str], to: &str, config: &[(&str, &str)]) -> FlowSpec {
    FlowSpec {
        config: config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..FlowSpec::new(name, from, plugins.iter().copied(), [to])
    }
}

/// Uploads plugins that come with this program.
pub(super) async fn upload(client: &Client, plugins: &[&str]) -> Result<(), Failure> {
    for plugin in plugins {
        client
            .admin()
            .upload_plugin(*plugin, guests::component(plugin)?, None)
            .await?;
    }
    Ok(())
}

/// Sends `records` and waits until the last one is durable.
pub(super) async fn feed<'a>(
    client: &Client,
    topic: &str,
    records: impl Iterator<Item = Record<'a>>,
) -> Result<(), Failure> {
    let producer = client.producer(topic).build().await?;
    producer.send_all(records).await?.await?;
    producer.close().await?;
    Ok(())
}

/// A batch of these values. Its records are of now: those of 1970 would be deleted for their age.
pub(super) fn batch(values: impl Iterator<Item = String>) -> Result<BatchBuilder, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let mut batch = BatchBuilder::new();
    for value in values {
        batch
            .push(now_ms, None, Some(value.as_bytes()), &[])
            .map_err(|error| {
                Failure::new(format!("cannot build a batch: {error}"), "report this as a bug")
            })?;
    }
    Ok(batch)
}

/// Makes the flow of `spec`, and its sink, and waits until it has read `records` and as many outputs are durable. Returns
/// records a second, from before the flow was made. Both are deleted again.
pub(super) async fn rate(client: &Client, spec: FlowSpec, records: u64) -> Result<f64, Failure> {
    let (name, to) = (spec.name.clone(), spec.to[0].clone());
    let admin = client.admin();
    load::create(client, &to, 1).await?;
    let begun = Instant::now();
    admin.create_flow(spec).await?;
    until_stored(client, &name, &to, records).await?;
    let time = begun.elapsed();
    let flow = until(client, &name, |flow| total(flow, |p| p.records_in) >= records).await?;
    let (read, stored) = (
        total(&flow, |p| p.records_in),
        load::records_in(client, &to).await?,
    );
    if (read, stored) != (records, records) {
        return Err(Failure::new(
            format!("of {records} records the flow {name} read {read} and wrote {stored}"),
            "report this as a bug: no figure counts with it",
        ));
    }
    admin.delete_flow(&name).await?;
    admin.delete_topic(&to).await?;
    Ok(records as f64 / time.as_secs_f64())
}

/// Waits until `topic` has `records`, which the flow called `name` writes.
pub(super) async fn until_stored(
    client: &Client,
    name: &str,
    topic: &str,
    records: u64,
) -> Result<(), Failure> {
    within(&format!("outputs of the flow {name}"), async {
        while load::records_in(client, topic).await? < records {
            refuse_paused(&client.admin().describe_flow(name).await?)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    })
    .await
}

/// Waits until the flow called `name` is as `wanted`; one that stands still is an error.
pub(super) async fn until(
    client: &Client,
    name: &str,
    wanted: impl Fn(&FlowInfo) -> bool,
) -> Result<FlowInfo, Failure> {
    within(&format!("the flow {name}"), async {
        loop {
            let flow = client.admin().describe_flow(name).await?;
            refuse_paused(&flow)?;
            if wanted(&flow) {
                return Ok(flow);
            }
            tokio::time::sleep(POLL).await;
        }
    })
    .await
}

/// A flow that stands still is an error that says why.
pub(super) fn refuse_paused(flow: &FlowInfo) -> Result<(), Failure> {
    match &flow.state {
        FlowState::Paused { reason } => Err(Failure::new(
            format!("the flow {} paused: {reason}", flow.spec.name),
            "report this as a bug",
        )),
        _ => Ok(()),
    }
}

/// The sum over the flow's partitions.
pub(super) fn total(flow: &FlowInfo, count: impl Fn(&FlowPartitionInfo) -> u64) -> u64 {
    flow.partitions.iter().map(count).sum()
}

/// What does not end within [`PATIENCE`] is an error.
pub(super) async fn within<T>(
    what: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(Failure::new(
            format!("waited {} s in vain for {what}", PATIENCE.as_secs()),
            "WEIR_LOG=debug tells more",
        ))
    })
}

/// A broker in this process, for tests.
#[cfg(test)]
pub(super) async fn broker() -> (crate::Broker, Client) {
    let broker = crate::Broker::builder().in_memory().start().await.unwrap();
    let client = broker.client().await.unwrap();
    (broker, client)
}
