//! `weir topic`.

mod uses;

use std::collections::BTreeMap;

use clap::Subcommand;
use weir_client::{NewTopic, PartitionInfo, TopicInfo};

use super::context::Context;
use super::output::{counted, table};
use super::{Failure, human_bytes, number};

const EXAMPLES: &str = "\
Examples:
  weir topic create lines --partitions 4 --config retention.ms=86400000
  weir topic describe lines
  weir topic alter lines --config retention.ms=3600000 --config max.message.bytes=    (an empty value: the default again)
  weir topic delete lines

Keys of --config are Kafka's: retention.ms, retention.bytes, max.message.bytes, compression.type, ...
`weir topic describe` shows every key with the value in effect.";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Command {
    /// Make a topic
    Create(Create),
    /// List the topics
    List,
    /// Show a topic's partitions, offsets, sizes and settings
    Describe {
        /// The topic
        name: String,
    },
    /// Change settings, or add partitions
    Alter(Alter),
    /// Delete a topic and its records; refused while a flow reads or writes it
    Delete {
        /// The topic
        name: String,
        /// Delete it all the same: the flows that need it pause, with that as the reason
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// Its name: letters, digits, `.`, `_` and `-`
    name: String,
    /// How many partitions [default: the broker's, 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    /// A setting; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = number::key_value)]
    config: Vec<(String, String)>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Alter {
    /// The topic
    name: String,
    /// The new number of partitions, more than now
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), required_unless_present = "config")]
    partitions: Option<u32>,
    /// A setting; an empty value resets it; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = number::key_value)]
    config: Vec<(String, String)>,
}

pub(super) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    let admin = client.admin();
    let output = context.output;
    match command {
        Command::Create(Create {
            name,
            partitions,
            config,
        }) => {
            let mut topic = NewTopic::new(name);
            if let Some(partitions) = partitions {
                topic = topic.partitions(partitions);
            }
            for (key, value) in config {
                topic = topic.config(key, value);
            }
            let made = admin.create_topic(topic).await?;
            output.answer(&made, || {
                format!("created {} with {}", made.name, partitions_of(&made))
            })
        }
        Command::List => {
            let topics = admin.list_topics().await?;
            output.answer(&topics, || {
                let mut rows = vec![vec!["TOPIC".to_owned(), "PARTITIONS".to_owned()]];
                rows.extend(
                    topics
                        .iter()
                        .map(|topic| vec![topic.name.clone(), topic.partitions.to_string()]),
                );
                table(&rows)
            })
        }
        Command::Describe { name } => {
            let topic = admin.describe_topic(&name).await?;
            output.answer(&topic, || describe(&topic))
        }
        Command::Alter(Alter {
            name,
            partitions,
            config,
        }) => {
            let config: BTreeMap<_, _> = config.into_iter().collect();
            let topic = admin.alter_topic(&name, config, partitions).await?;
            output.answer(&topic, || describe(&topic))
        }
        Command::Delete { name, force } => {
            if !force {
                uses::check(&name, &admin.list_flows().await?)?;
            }
            admin.delete_topic(&name).await?;
            output.answer(&serde_json::json!({ "deleted": name }), || {
                format!("deleted {name}")
            })
        }
    }
}

fn partitions_of(topic: &TopicInfo) -> String {
    counted(topic.partitions.len() as u64, "partition")
}

/// Records that a partition still has.
fn records(partition: &PartitionInfo) -> i64 {
    let lost = partition.damaged.map_or(0, |lost| lost.offsets);
    partition.high_watermark - partition.log_start_offset - lost
}

fn describe(topic: &TopicInfo) -> String {
    let heading = ["PARTITION", "START", "END", "RECORDS", "SIZE"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = vec![heading];
    rows.extend(topic.partitions.iter().map(|p| {
        vec![
            p.partition.to_string(),
            p.log_start_offset.to_string(),
            p.high_watermark.to_string(),
            records(p).to_string(),
            human_bytes(p.bytes),
        ]
    }));
    let records: i64 = topic.partitions.iter().map(records).sum();
    let bytes = topic.partitions.iter().map(|p| p.bytes).sum();
    let mut text = format!(
        "{}: {}, {}, {}\n\n",
        topic.name,
        partitions_of(topic),
        counted(u64::try_from(records).unwrap_or(0), "record"),
        human_bytes(bytes)
    );
    text.push_str(&table(&rows));
    text.push('\n');
    for p in &topic.partitions {
        if let Some(lost) = p.damaged {
            let stretches = match lost.stretches {
                0 | 1 => String::new(),
                n => format!(", in {n} stretches"),
            };
            text.push_str(&format!(
                "partition {} is damaged: offsets {} to {} are lost{stretches}; read on from {}, or restore the data \
                 folder from a copy\n\n",
                p.partition,
                lost.from,
                lost.to - 1,
                lost.to
            ));
        }
    }
    for (key, value) in &topic.config {
        text.push_str(&format!("{key} = {value}\n"));
    }
    text
}
