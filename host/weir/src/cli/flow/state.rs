//! `weir flow state`.

use serde::Serialize;
use weir_client::{Admin, FlowStateQuery, FlowStateRow, FlowStateSchema, FlowStateTotals};

use crate::cli::Failure;
use crate::cli::consume::form::{Key, Value};
use crate::cli::output::{Output, counted, human_bytes, table};

/// Characters of a key or value that are shown to people.
const SHOWN_MAX: usize = 60;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The flow
    name: String,
    /// The source whose partitions are meant, of a flow that reads several
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only what it keeps for this partition of its source
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Only rows whose key begins with P
    #[arg(long, value_name = "P", default_value = "")]
    prefix: String,
    /// Only what this plugin keeps: its name, without a version; NAME#2 for the second one of that name
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Show no more than N rows
    #[arg(short = 'n', long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

/// What is known of a flow's state.
#[derive(Debug, Default)]
struct State {
    rows: Vec<FlowStateRow>,
    more: bool,
    totals: Vec<FlowStateTotals>,
    schemas: Vec<FlowStateSchema>,
}

pub(super) async fn run(args: Args, admin: &Admin, output: Output) -> Result<(), Failure> {
    let mut query = FlowStateQuery {
        topic: args.topic,
        partition: args.partition,
        plugin: args.plugin,
        prefix: args.prefix.into_bytes(),
        after: None,
        rows_max: args.limit,
    };
    let mut state = State::default();
    loop {
        let page = admin.flow_state(&args.name, query.clone()).await?;
        query.rows_max = query.rows_max.saturating_sub(page.rows.len() as u32);
        query.after = page.rows.last().map(|row| row.place.clone());
        state.rows.extend(page.rows);
        state.more = page.more;
        state.totals = page.totals;
        state.schemas = page.schemas;
        if !page.more || query.rows_max == 0 || query.after.is_none() {
            break;
        }
    }
    output.answer(&view(&args.name, &state), || plain(&state))
}

#[derive(Serialize)]
struct View<'a> {
    flow: &'a str,
    rows: Vec<RowView<'a>>,
    /// Whether there may be further rows.
    more: bool,
    partitions: &'a [FlowStateTotals],
    /// The versions of the rows; of a plugin that is not there it is 0.
    versions: &'a [FlowStateSchema],
}

#[derive(Serialize)]
struct RowView<'a> {
    partition: u32,
    plugin: &'a str,
    #[serde(flatten)]
    key: Key<'a>,
    #[serde(flatten)]
    value: Value<'a>,
    /// Of the whole value, which may be longer than what is here.
    value_bytes: u64,
    expires_ms: Option<i64>,
}

fn view<'a>(flow: &'a str, state: &'a State) -> View<'a> {
    let rows = state.rows.iter().map(|row| RowView {
        partition: row.place.partition,
        plugin: &row.place.plugin,
        key: Some(row.place.key.as_slice()).into(),
        value: Some(row.value.as_slice()).into(),
        value_bytes: row.value_bytes,
        expires_ms: row.expires_ms,
    });
    View {
        flow,
        rows: rows.collect(),
        more: state.more,
        partitions: &state.totals,
        versions: &state.schemas,
    }
}

fn plain(state: &State) -> String {
    let mut text = String::new();
    if !state.rows.is_empty() {
        let heading = ["PARTITION", "PLUGIN", "KEY", "VALUE", "BYTES", "EXPIRES"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(state.rows.iter().map(|row| {
            vec![
                row.place.partition.to_string(),
                row.place.plugin.clone(),
                shown(&row.place.key),
                shown(&row.value),
                row.value_bytes.to_string(),
                row.expires_ms
                    .map_or_else(|| "never".to_owned(), |ms| ms.to_string()),
            ]
        }));
        text = table(&rows);
        text.push('\n');
    }
    let (rows, bytes) = state
        .totals
        .iter()
        .fold((0, 0), |(rows, bytes), of| (rows + of.rows, bytes + of.bytes));
    let left_out = if state.more {
        ": there may be more rows, --limit N shows up to N"
    } else {
        ""
    };
    text.push_str(&format!(
        "{}, {} in {}{left_out}\n",
        counted(rows, "row"),
        human_bytes(bytes),
        counted(state.totals.len() as u64, "partition")
    ));
    text.push_str(&versions(&state.schemas));
    text
}

/// A line for each version of a plugin's rows, with the partitions in which they are of it.
fn versions(schemas: &[FlowStateSchema]) -> String {
    let mut lines = String::new();
    for (index, of) in schemas.iter().enumerate() {
        let same = |other: &FlowStateSchema| {
            other.plugin == of.plugin && (other.version, other.migrating_to) == (of.version, of.migrating_to)
        };
        if schemas[..index].iter().any(same) {
            continue;
        }
        let places: Vec<String> = schemas[index..]
            .iter()
            .filter(|other| same(other))
            .map(|other| other.partition.to_string())
            .collect();
        let (plugin, version) = (&of.plugin, of.version);
        let to = of
            .migrating_to
            .map_or_else(String::new, |to| format!(", on the way to {to}"));
        lines.push_str(&format!(
            "{plugin}: state of version {version}{to} in partition {}\n",
            places.join(", ")
        ));
    }
    lines
}

/// Text without control characters, anything else in hexadecimal; the beginning of it.
fn shown(bytes: &[u8]) -> String {
    let text = str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains(char::is_control));
    let text = text.map_or_else(
        || {
            let digits = bytes.iter().take(SHOWN_MAX).map(|byte| format!("{byte:02x}"));
            format!("0x{}", digits.collect::<String>())
        },
        str::to_owned,
    );
    if text.chars().count() <= SHOWN_MAX {
        return text;
    }
    let mut cut: String = text.chars().take(SHOWN_MAX - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use weir_client::FlowStatePlace;

    use super::*;

    fn row(key: &[u8], value: &[u8], expires_ms: Option<i64>) -> FlowStateRow {
        FlowStateRow {
            place: FlowStatePlace {
                partition: 1,
                plugin: "count".to_owned(),
                key: key.to_vec(),
            },
            value: value.to_vec(),
            value_bytes: value.len() as u64,
            expires_ms,
        }
    }

    #[test]
    fn what_is_no_text_is_shown_as_bytes() {
        assert_eq!(shown(b"text"), "text");
        assert_eq!(shown(b""), "");
        assert_eq!(shown(b"a\x1b[2J"), "0x611b5b324a");
        assert_eq!(shown(&[0xff, 0]), "0xff00");
        assert_eq!(shown(&[b'x'; 100]).chars().count(), SHOWN_MAX);
        assert_eq!(shown(&[0; 100]).chars().count(), SHOWN_MAX);
    }

    #[test]
    fn rows_and_totals_are_shown() {
        let state = State {
            rows: vec![row(b"home", b"17", None), row(b"cart", &[0], Some(5))],
            more: true,
            totals: vec![FlowStateTotals {
                partition: 1,
                rows: 3,
                bytes: 1_500,
            }],
            schemas: [(0, None), (1, Some(2)), (2, None)]
                .map(|(partition, migrating_to)| FlowStateSchema {
                    partition,
                    plugin: "count".to_owned(),
                    version: 1,
                    migrating_to,
                })
                .to_vec(),
        };
        let text = plain(&state);
        assert!(text.contains("home"), "{text}");
        assert!(text.contains("0x00"), "{text}");
        assert!(
            text.contains("3 rows, 1.50 kB in 1 partition: there may be more"),
            "{text}"
        );
        let versions = "count: state of version 1 in partition 0, 2\n\
                        count: state of version 1, on the way to 2 in partition 1\n";
        assert!(text.ends_with(versions), "{text}");
        let json = serde_json::to_value(view("f", &state)).unwrap();
        assert_eq!(json["versions"][1]["migrating_to"], 2);
        assert_eq!(json["rows"][0]["key"], "home");
        assert_eq!(json["rows"][0]["value"], "17");
        assert_eq!(json["rows"][0]["expires_ms"], serde_json::Value::Null);
        assert_eq!(json["rows"][1]["expires_ms"], 5);
        assert_eq!(json["partitions"][0]["bytes"], 1_500);
        assert_eq!(json["more"], true);
    }
}
