//! The story itself, step by step.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_client::{Client, FlowInfo, FlowSpec, FlowState, NewTopic};

use super::expect::{self, Expected};
use super::outputs::{self, Outputs};
use super::summary::{Summary, grouped};
use super::traffic::{self, Traffic};
use crate::cli::{Failure, Output, Progress, human_bytes, human_count};
use crate::process::BrokerProcess;
use crate::stats::Times;
use crate::{flights, guests, place};

const RAW: &str = "flights.raw";
const LATE: &str = "flights.late";
const FLOW: &str = "late-flights";
const PLUGINS: [&str; 3] = ["lines-to-json", "json-filter", "json-project"];
const PARTITIONS: u32 = 4;

/// The last lines are sent one at a time, to see how long each takes.
const ONE_BY_ONE: usize = 1000;

/// A producer that holds little has the broker busy while the power is cut.
const BUFFER_BYTES: usize = 4 << 20;

/// How often the display and the waiting look again.
const TICK: Duration = Duration::from_millis(40);

/// Tells what happened: a line on standard error, or nothing where the answer is for a program.
struct Teller {
    quiet: bool,
}

impl Teller {
    fn say(&self, step: &str, what: impl std::fmt::Display) {
        if !self.quiet {
            eprintln!("  {step:<9} {what}");
        }
    }
}

pub(super) async fn tell(folder: &Path, output: Output) -> Result<Summary, Failure> {
    let begun = Instant::now();
    let teller = Teller {
        quiet: output.is_json(),
    };
    let expected = Expected::compute()?;
    let bytes_in: u64 = expected.lines.iter().map(|line| line.len() as u64).sum();
    teller.say(
        "data",
        format_args!(
            "{} flights out of New York, January to June 2013 ({})",
            grouped(expected.lines.len() as u64),
            human_bytes(bytes_in)
        ),
    );

    let data = folder.join("data");
    let broker = BrokerProcess::start(&data, "127.0.0.1:0").await?;
    let start_ms = broker.ready_after().as_secs_f64() * 1e3;
    teller.say(
        "broker",
        format_args!(
            "ready in {start_ms:.0} ms on {}, QUIC on {}",
            data.display(),
            broker.addr()
        ),
    );
    let client = broker.client().await?;
    set_up(&client, &teller).await?;

    let wanted = expected.flights.len() as u64;
    let (arrivals, collector) = outputs::collect(client.clone(), LATE, wanted);
    let (broker, bulk) = send_with_a_power_cut(broker, &data, &client, &expected, &arrivals, &teller).await?;
    let (acks, ends) = one_by_one(&client, &expected, &arrivals, &teller).await?;

    let outputs = collector
        .await
        .map_err(|error| Failure::new(format!("the consumer ended: {error}"), "report this as a bug"))??;
    let flow = check(&client, &expected, &outputs).await?;
    client.close().await;
    let disk_bytes = place::disk_bytes(&data);
    broker.stop().await?;

    let guest_ns: u64 = flow.partitions.iter().map(|p| p.guest_ns).sum();
    let guest_records: u64 = flow.partitions.iter().map(|p| p.records_in).sum();
    Ok(Summary {
        records_in: expected.lines.len() as u64,
        bytes_in,
        produce_seconds: bulk.time.as_secs_f64(),
        records_in_per_s: bulk.records as f64 / bulk.time.as_secs_f64(),
        records_out: wanted,
        delay_min: outputs.delay_min,
        acknowledged_at_kill: bulk.acknowledged_at_kill,
        start_ms,
        restart_ms: bulk.restart_ms,
        ack_p50_ms: acks.p50_us() / 1e3,
        ack_p99_ms: acks.quantile_us(0.99) / 1e3,
        output_p50_ms: ends.p50_us() / 1e3,
        output_p99_ms: ends.quantile_us(0.99) / 1e3,
        guest_ns_per_record: guest_ns as f64 / guest_records.max(1) as f64,
        disk_bytes,
        folder_in_memory: place::in_memory(folder),
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Topics, plugins, flow.
async fn set_up(client: &Client, teller: &Teller) -> Result<(), Failure> {
    let admin = client.admin();
    for topic in [RAW, LATE] {
        admin
            .create_topic(NewTopic::new(topic).partitions(PARTITIONS))
            .await?;
    }
    teller.say(
        "topics",
        format_args!("{RAW} and {LATE}, {PARTITIONS} partitions each"),
    );

    let begun = Instant::now();
    let mut sizes = Vec::new();
    for name in PLUGINS {
        let plugin = admin.upload_plugin(name, guests::component(name)?, None).await?;
        sizes.push(format!("{name} ({})", human_bytes(plugin.plugin.size)));
    }
    teller.say(
        "plugins",
        format_args!(
            "{}: uploaded and compiled in {} ms",
            sizes.join(", "),
            begun.elapsed().as_millis()
        ),
    );

    admin.create_flow(flow_spec()).await?;
    teller.say(
        "flow",
        format_args!("{RAW} -> {} -> {LATE}", PLUGINS.join(" -> ")),
    );
    Ok(())
}

fn flow_spec() -> FlowSpec {
    let late_min = expect::LATE_MIN.to_string();
    let config = [
        ("lines-to-json.columns", flights::HEADER),
        ("json-filter.field", "arr_delay"),
        ("json-filter.op", "ge"),
        ("json-filter.value", &late_min),
        ("json-project.keep", expect::KEPT),
        ("json-project.mask", "tailnum"),
    ];
    FlowSpec {
        config: config
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..FlowSpec::new(FLOW, RAW, PLUGINS, [LATE])
    }
}

/// What the lines at full speed gave.
struct Bulk {
    records: u64,
    time: Duration,
    acknowledged_at_kill: u64,
    restart_ms: f64,
}

/// Sends all but the last lines at full speed, and kills the broker in the middle of it.
async fn send_with_a_power_cut(
    broker: BrokerProcess,
    data: &Path,
    client: &Client,
    expected: &Expected,
    arrivals: &watch::Receiver<outputs::Progress>,
    teller: &Teller,
) -> Result<(BrokerProcess, Bulk), Failure> {
    let lines = expected.lines[..expected.lines.len() - ONE_BY_ONE].to_vec();
    let records = lines.len() as u64;
    // More lines come only after the cut, so that it falls into the middle however fast the broker is.
    let gate = lines.len() * 6 / 10;
    let (open, opened) = watch::channel(false);
    let producer = client.producer(RAW).buffer_bytes(BUFFER_BYTES).build().await?;
    let begun = Instant::now();
    let traffic = Traffic::start(producer.clone(), lines, gate, opened);

    let progress = Progress::records(records).prefix("over QUIC, to disk");
    let show = |traffic: &Traffic| {
        let acknowledged = traffic.acknowledged();
        progress.set(acknowledged);
        let rate = human_count(acknowledged as f64 / begun.elapsed().as_secs_f64());
        let out = grouped(arrivals.borrow().records);
        progress.message(format!(
            "{rate}/s, {} sent, {out} late flights out",
            grouped(traffic.sent())
        ));
    };
    let mut acknowledgements = traffic.acknowledgements();
    shown(
        &show,
        &traffic,
        acknowledgements.wait_for(|count| *count >= records * 3 / 10),
    )
    .await;
    let addr = broker.addr().to_owned();
    let acknowledged_at_kill = traffic.acknowledged();
    broker.kill().await?;
    let broker = BrokerProcess::start(data, &addr).await?;
    let restart_ms = broker.ready_after().as_secs_f64() * 1e3;
    // Asked before the rest is sent: what is there now was there before.
    let _ = open.send(true);
    shown(
        &show,
        &traffic,
        acknowledgements.wait_for(|count| *count >= records),
    )
    .await;
    traffic.finish().await?;
    producer.close().await?;
    let time = begun.elapsed();
    drop(progress);

    teller.say(
        "produce",
        format_args!(
            "{} lines acknowledged in {:.2} s ({} records/s), keyed by carrier",
            grouped(records),
            time.as_secs_f64(),
            human_count(records as f64 / time.as_secs_f64())
        ),
    );
    teller.say(
        "cut",
        format_args!(
            "kill -9 after {} acknowledgements; ready again in {restart_ms:.0} ms; producer and consumer went on by themselves",
            grouped(acknowledged_at_kill)
        ),
    );
    Ok((
        broker,
        Bulk {
            records,
            time,
            acknowledged_at_kill,
            restart_ms,
        },
    ))
}

/// Waits for `event` and shows how far the traffic is meanwhile. An event that cannot come any more is one, too: what is
/// wrong is said by the traffic's end.
async fn shown<T>(show: impl Fn(&Traffic), traffic: &Traffic, event: impl Future<Output = T>) {
    tokio::pin!(event);
    loop {
        tokio::select! {
            _ = &mut event => return,
            () = tokio::time::sleep(TICK) => show(traffic),
        }
    }
}

/// Sends the last lines one at a time. Returns how long acknowledgements took, and how long it took until what the flow
/// made of a line was with the consumer.
async fn one_by_one(
    client: &Client,
    expected: &Expected,
    arrivals: &watch::Receiver<outputs::Progress>,
    teller: &Teller,
) -> Result<(Times, Times), Failure> {
    let first = expected.lines.len() - ONE_BY_ONE;
    let before = expected.late[..first].iter().filter(|late| **late).count() as u64;
    let mut arrivals = arrivals.clone();
    // The flow has caught up: now every time is that of one record alone.
    wait_for_arrivals(client, &mut arrivals, before).await?;

    let producer = client.producer(RAW).build().await?;
    let progress = Progress::records(ONE_BY_ONE as u64).prefix("one at a time");
    let (mut acks, mut ends) = (Times::new(), Times::new());
    let mut arrived = before;
    for (at, (line, late)) in expected.lines[first..]
        .iter()
        .zip(&expected.late[first..])
        .enumerate()
    {
        let sent = Instant::now();
        let delivery = producer.send(traffic::record(line)).await?;
        delivery.await?;
        acks.record(sent.elapsed());
        if *late {
            arrived += 1;
            let arrival = wait_for_arrivals(client, &mut arrivals, arrived).await?;
            ends.record(arrival.unwrap_or_else(Instant::now) - sent);
        }
        progress.set(at as u64 + 1);
        progress.message(format!(
            "acknowledged {:.2} ms, through the flow {:.2} ms (p50)",
            acks.p50_us() / 1e3,
            ends.p50_us() / 1e3
        ));
    }
    producer.close().await?;
    drop(progress);
    teller.say(
        "latency",
        format_args!(
            "{} lines one at a time: acknowledged {:.2} ms, out of the flow and consumed {:.2} ms (p50 of {} late ones)",
            ONE_BY_ONE,
            acks.p50_us() / 1e3,
            ends.p50_us() / 1e3,
            ends.len()
        ),
    );
    Ok((acks, ends))
}

/// Waits until `count` records came out; returns when the last one did. A flow that stands still is an error at once.
async fn wait_for_arrivals(
    client: &Client,
    arrivals: &mut watch::Receiver<outputs::Progress>,
    count: u64,
) -> Result<Option<Instant>, Failure> {
    /// So long nothing may come before the flow is looked at.
    const PATIENCE: Duration = Duration::from_secs(2);
    loop {
        let waited =
            tokio::time::timeout(PATIENCE, arrivals.wait_for(|progress| progress.records >= count)).await;
        match waited {
            Ok(Ok(progress)) => return Ok(progress.last),
            // The consumer has ended: with all that is wanted, or with an error that its end tells.
            Ok(Err(_)) => return Ok(None),
            Err(_) => refuse_paused(&client.admin().describe_flow(FLOW).await?)?,
        }
    }
}

fn refuse_paused(flow: &FlowInfo) -> Result<(), Failure> {
    match &flow.state {
        FlowState::Paused { reason } => Err(Failure::new(
            format!("the flow paused: {reason}"),
            "report this as a bug",
        )),
        _ => Ok(()),
    }
}

/// Counts and contents, against the broker's word and against what was computed without it.
async fn check(client: &Client, expected: &Expected, outputs: &Outputs) -> Result<FlowInfo, Failure> {
    let wrong = |what: String| Failure::new(what, "report this as a bug");
    let admin = client.admin();
    // The flow has nothing left to read, so that nothing more can come out.
    let flow = loop {
        let flow = admin.describe_flow(FLOW).await?;
        refuse_paused(&flow)?;
        if flow.partitions.iter().all(|p| p.lag == 0) {
            break flow;
        }
        tokio::time::sleep(TICK).await;
    };
    for (topic, wanted) in [(RAW, expected.lines.len()), (LATE, expected.flights.len())] {
        let info = admin.describe_topic(topic).await?;
        let stored: i64 = info
            .partitions
            .iter()
            .map(|p| p.high_watermark - p.log_start_offset)
            .sum();
        if stored != wanted as i64 {
            return Err(wrong(format!("{topic} has {stored} records instead of {wanted}")));
        }
    }
    if let Some(what) = &outputs.wrong {
        return Err(wrong(what.clone()));
    }
    let mut flights = outputs.flights.clone();
    flights.sort_unstable();
    if let Some((got, wanted)) = flights
        .iter()
        .zip(&expected.flights)
        .find(|(got, wanted)| got != wanted)
    {
        return Err(wrong(format!(
            "a flight came out as {got:?} where {wanted:?} was expected"
        )));
    }
    if flights.len() != expected.flights.len() || outputs.delay_min != expected.delay_min {
        return Err(wrong(format!(
            "{} flights with {} minutes came out instead of {} with {}",
            flights.len(),
            outputs.delay_min,
            expected.flights.len(),
            expected.delay_min
        )));
    }
    Ok(flow)
}
