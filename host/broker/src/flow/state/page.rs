//! The state of a flow as it is shown.

use weir_log::{KvRange, Log};

use crate::BrokerError;
use crate::flow::state::SchemaRow;
use crate::flow::state::StateKeys;
use crate::flow::state::row::Row;
use crate::flow::state::totals::Totals;

/// Most rows of one page.
const ROWS_MAX: usize = 1_000;
/// Bytes of keys and values after which a page ends.
const PAGE_BYTES: usize = 256 << 10;
/// Bytes of a value that are shown.
const VALUE_BYTES_SHOWN: usize = 64 << 10;

/// Which rows of a flow's state are wanted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FlowStateQuery {
    /// The source whose partitions are meant; none for the only one that the flow has.
    pub topic: Option<String>,
    /// Those of this source partition only.
    pub partition: Option<u32>,
    /// Those of this plugin only: its name without a version, and `NAME#2` for the second one of that name in the chain.
    pub plugin: Option<String>,
    /// Those whose keys begin with this.
    pub prefix: Vec<u8>,
    /// Those after this row: how to go on after a page.
    pub after: Option<FlowStatePlace>,
    /// At most so many; a page has no more than 1,000 in any case.
    pub rows_max: usize,
}

/// A row's place in a flow's state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FlowStatePlace {
    /// The source partition.
    pub partition: u32,
    /// The plugin, as in [`FlowStateQuery::plugin`].
    pub plugin: String,
    /// The key that the plugin gave it.
    pub key: Vec<u8>,
}

/// A row of a flow's state, as far as it is committed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FlowStateRow {
    /// Where it is.
    pub place: FlowStatePlace,
    /// The value, or the first 64 KiB of it.
    pub value: Vec<u8>,
    /// Bytes of the whole value.
    pub value_bytes: u64,
    /// Record time, in milliseconds since 1970, from which on the plugin does not see it any more.
    pub expires_ms: Option<i64>,
}

/// What the state of one source partition comes to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowStateTotals {
    /// The source partition.
    pub partition: u32,
    /// Rows, those whose time is over and that are not swept yet among them.
    pub rows: u64,
    /// Bytes of their values and of their keys, with the plugin's name before them.
    pub bytes: u64,
}

/// Which version the rows of a plugin are of in one source partition. A plugin that does not say has version 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FlowStateSchema {
    /// The source partition.
    pub partition: u32,
    /// The plugin, as in [`FlowStateQuery::plugin`].
    pub plugin: String,
    /// The version; that before, while they are migrated.
    pub version: u32,
    /// The version to which they are migrated.
    pub migrating_to: Option<u32>,
}

/// Some rows of a flow's state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FlowStatePage {
    /// By partition, by the plugin's place in the chain, by key.
    pub rows: Vec<FlowStateRow>,
    /// Whether there may be more after the last of them.
    pub more: bool,
    /// Of every source partition that was asked for.
    pub totals: Vec<FlowStateTotals>,
    /// The versions that are stored: none of a plugin's that has none, or no rows.
    pub schemas: Vec<FlowStateSchema>,
}

/// Whose state it is.
pub(crate) struct StateOwner {
    pub(crate) flow: u32,
    /// Id of the source topic.
    pub(crate) topic: u32,
    /// The source partitions to look at, with their shards.
    pub(crate) partitions: Vec<(u32, u16)>,
    /// The stages to look at, by their place in the chain.
    pub(crate) labels: Vec<String>,
}

impl StateOwner {
    /// The rows that are asked for. Blocks.
    pub(crate) fn page(&self, log: &Log, query: &FlowStateQuery) -> Result<FlowStatePage, BrokerError> {
        let mut page = FlowStatePage::default();
        let rows_max = query.rows_max.clamp(1, ROWS_MAX);
        let mut bytes_left = PAGE_BYTES;
        // Partitions and stages before that of the place were shown.
        let begin = query.after.as_ref().map(|after| {
            let stage = self.labels.iter().position(|label| *label == after.plugin);
            (after.partition, stage.unwrap_or(0))
        });
        for &(partition, shard) in &self.partitions {
            let keys = StateKeys {
                flow: self.flow,
                topic: self.topic,
                partition,
            };
            let totals = log.kv_read(shard, &keys.totals()).map_err(BrokerError::storage)?;
            let totals = totals.map_or(Some(Totals::default()), |bytes| Totals::decode(&bytes));
            let totals = totals.ok_or_else(|| unreadable("the totals"))?;
            page.totals.push(FlowStateTotals {
                partition,
                rows: totals.rows,
                bytes: totals.bytes,
            });
            for (stage, label) in self.labels.iter().enumerate() {
                page.schemas.extend(schema(log, shard, keys, label)?);
                let place = (partition, stage);
                if page.more || begin.is_some_and(|begin| place < begin) {
                    continue;
                }
                let stored = [keys.rows(), format!("{label}/").into_bytes()].concat();
                let after = query.after.as_ref().filter(|_| begin == Some(place));
                let after = after.map(|after| [stored.as_slice(), &after.key].concat());
                let prefix = [stored.as_slice(), &query.prefix].concat();
                let range = KvRange {
                    prefix: &prefix,
                    after: after.as_deref(),
                    rows_max: rows_max - page.rows.len(),
                    bytes_max: bytes_left,
                };
                let found = log.kv_page(shard, range).map_err(BrokerError::storage)?;
                for (key, value) in found.pairs {
                    bytes_left = bytes_left.saturating_sub(key.len() + value.len());
                    let row = Row::decode(&value).ok_or_else(|| unreadable("a row"))?;
                    let value_bytes = row.value.len() as u64;
                    let mut value = row.value;
                    value.truncate(VALUE_BYTES_SHOWN);
                    page.rows.push(FlowStateRow {
                        place: FlowStatePlace {
                            partition,
                            plugin: label.clone(),
                            key: key[stored.len()..].to_vec(),
                        },
                        value,
                        value_bytes,
                        expires_ms: Some(row.expires_ms).filter(|&ms| ms != i64::MAX),
                    });
                }
                // Whether what comes next has any rows is not looked at.
                page.more = found.more || page.rows.len() >= rows_max || bytes_left == 0;
            }
        }
        Ok(page)
    }
}

/// The version of a stage's rows, if one is stored.
fn schema(
    log: &Log,
    shard: u16,
    keys: StateKeys,
    label: &str,
) -> Result<Option<FlowStateSchema>, BrokerError> {
    let stored = log
        .kv_read(shard, &keys.schema(label))
        .map_err(BrokerError::storage)?;
    let Some(stored) = stored else {
        return Ok(None);
    };
    let (version, migrating_to) = match SchemaRow::decode(&stored) {
        Some(SchemaRow::At(version)) => (version, None),
        Some(SchemaRow::Migrating { from, to, .. }) => (from, Some(to)),
        None => return Err(unreadable("the version of the rows")),
    };
    Ok(Some(FlowStateSchema {
        partition: keys.partition,
        plugin: label.to_owned(),
        version,
        migrating_to,
    }))
}

fn unreadable(what: &str) -> BrokerError {
    BrokerError::storage(format_args!(
        "{what} of the flow's state has a format that this version does not know"
    ))
}
