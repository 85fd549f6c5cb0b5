//! `weir flow logs`: what a flow's plugins, and the broker about them, have to say.

use std::pin::pin;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use weir_client::{Client, Error, ErrorCode, Start};

use crate::cli::context::Context;
use crate::cli::output::place;
use crate::cli::{Failure, Output, signals, start};

/// How often it is looked whether a log that is waited for has begun.
const LOOK_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Logs {
    /// The flow
    name: String,
    /// Go on with what comes, until interrupted
    #[arg(short = 'f', long)]
    follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N", default_value = "100")]
    lines: u32,
}

/// One line, as the broker stores it.
#[derive(Debug, Deserialize)]
struct Line {
    time_ms: i64,
    level: String,
    plugin: Option<String>,
    topic: Option<String>,
    partition: Option<u32>,
    offset: Option<i64>,
    last_offset: Option<i64>,
    message: String,
}

impl Line {
    fn plain(&self) -> String {
        let mut text = format!("{} {:8}", start::rfc3339(self.time_ms), self.level);
        if let Some(plugin) = &self.plugin {
            text.push_str(&format!(" {plugin}"));
        }
        if let (Some(topic), Some(partition), Some(offset)) = (&self.topic, self.partition, self.offset) {
            text.push_str(&format!(" {}", place(topic, partition, offset, self.last_offset)));
        }
        // Plugins' words must not pretend to be further lines, nor steer the terminal.
        let message: String = self
            .message
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        format!("{text}  {message}")
    }
}

pub(super) async fn run(client: &Client, context: &Context, args: Logs) -> Result<(), Failure> {
    // Of a flow that does not exist, there is nothing to wait for.
    let known = client.admin().describe_flow(&args.name).await;
    let topic = format!("{}.log", args.name);
    let mut interrupted = pin!(signals::interrupted());
    let from = loop {
        match first_line(client, &topic, args.lines).await {
            Ok(from) => break from,
            Err(Error::Broker(error)) if error.error_code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                if let Err(error) = known {
                    return Err(error.into());
                }
                if !args.follow {
                    return Ok(());
                }
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = &mut interrupted => return Ok(()),
        }
    };
    let mut consumer = client
        .consumer(&topic)
        .start(Start::Offset(from))
        .until_end(!args.follow)
        .build()
        .await?;
    loop {
        let record = tokio::select! {
            record = consumer.next() => record,
            () = &mut interrupted => return Ok(()),
        };
        let Some(record) = record else { return Ok(()) };
        let record = record?;
        if !print(context.output, record.value().unwrap_or_default()) {
            return Ok(());
        }
    }
}

async fn first_line(client: &Client, topic: &str, lines: u32) -> Result<i64, Error> {
    let admin = client.admin();
    let first = admin.list_offsets(topic, 0, Start::Earliest).await?;
    let end = admin.list_offsets(topic, 0, Start::Latest).await?;
    Ok((end - i64::from(lines)).max(first))
}

/// Prints one line; returns whether anybody wants more.
fn print(output: Output, value: &[u8]) -> bool {
    use std::io::Write as _;
    let text = match (output, serde_json::from_slice::<Line>(value)) {
        (Output::Plain, Ok(line)) => line.plain(),
        (Output::Json, Ok(_)) => String::from_utf8_lossy(value).into_owned(),
        // Somebody else wrote to the topic.
        (_, Err(_)) => Value::String(String::from_utf8_lossy(value).into_owned()).to_string(),
    };
    writeln!(std::io::stdout(), "{text}").is_ok()
}
