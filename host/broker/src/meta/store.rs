//! The transactions on `meta.redb`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::meta::{FlowRow, PluginRow, Snapshot, TopicRow};
use crate::{BrokerError, ErrorKind, OpenError};

const BROKER: TableDefinition<'_, &str, &str> = TableDefinition::new("broker");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const TOPICS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("topics");
const PLUGIN_NAMES: TableDefinition<'_, &str, u32> = TableDefinition::new("plugin-names");
const PLUGINS: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("plugins");
const FLOWS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("flows");

const CLUSTER_ID: &str = "cluster-id";
/// The whole store is small; redb's own default is a gigabyte.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The store. All calls block and are one transaction each.
pub(crate) struct MetaStore {
    /// `None`: in memory.
    path: Option<PathBuf>,
    /// `None` after a failed write: redb refuses everything after an I/O error until the file is opened again.
    db: Mutex<Option<Database>>,
}

/// Why a transaction failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetaError {
    #[error(transparent)]
    Redb(redb::Error),
    #[error("{what} in meta.redb cannot be read: {source}")]
    Row { what: String, source: serde_json::Error },
    #[error("all {0} ids are used up")]
    IdsUsedUp(&'static str),
}

impl<E: Into<redb::Error>> From<E> for MetaError {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl From<MetaError> for BrokerError {
    fn from(error: MetaError) -> Self {
        match &error {
            MetaError::Redb(redb::Error::Io(io))
                if matches!(
                    io.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                Self::new(
                    ErrorKind::StorageFull,
                    "the disk is full: nothing was changed, make room and try again",
                )
            }
            MetaError::IdsUsedUp(_) => Self::new(ErrorKind::LimitExceeded, error.to_string()),
            _ => Self::storage(format_args!("the metadata could not be written ({error})")),
        }
    }
}

impl MetaStore {
    /// Opens or makes the store: the file at `path`, or in memory.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, OpenError> {
        let db = open_database(path).map_err(|error| open_error(path, error))?;
        Ok(Self {
            path: path.map(Path::to_owned),
            db: Mutex::new(Some(db)),
        })
    }

    /// Everything that is stored; a new store gets its tables and its cluster id first.
    pub(crate) fn load(&self) -> Result<Snapshot, MetaError> {
        self.write(|transaction| {
            transaction.open_table(COUNTERS)?;
            let mut broker = transaction.open_table(BROKER)?;
            let known = broker.get(CLUSTER_ID)?.map(|id| id.value().to_owned());
            let cluster_id = match known {
                Some(id) => id,
                None => {
                    let id = random_cluster_id();
                    broker.insert(CLUSTER_ID, id.as_str())?;
                    id
                }
            };
            let mut plugin_names = Vec::new();
            for row in transaction.open_table(PLUGIN_NAMES)?.iter()? {
                let (name, next_version) = row?;
                plugin_names.push((name.value().to_owned(), next_version.value()));
            }
            let mut plugins = Vec::new();
            for row in transaction.open_table(PLUGINS)?.iter()? {
                let (key, value) = row?;
                let (name, version) = key.value();
                let what = || format!("plugin {name}@{version}");
                plugins.push((
                    name.to_owned(),
                    version,
                    decode::<PluginRow>(what, value.value())?,
                ));
            }
            Ok(Snapshot {
                cluster_id,
                topics: load_table(transaction, TOPICS, "topic")?,
                plugin_names,
                plugins,
                flows: load_table(transaction, FLOWS, "flow")?,
            })
        })
    }

    /// Adds a topic and gives it its id.
    pub(crate) fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        config: BTreeMap<String, String>,
    ) -> Result<TopicRow, MetaError> {
        self.write(|transaction| {
            let id = take_id(transaction, "topic")?;
            let row = TopicRow {
                id,
                partitions,
                config: config.clone(),
            };
            insert(transaction, TOPICS, name, &row)?;
            Ok(row)
        })
    }

    /// Replaces a topic's row.
    pub(crate) fn put_topic(&self, name: &str, row: &TopicRow) -> Result<(), MetaError> {
        self.write(|transaction| insert(transaction, TOPICS, name, row))
    }

    /// Removes a topic.
    pub(crate) fn delete_topic(&self, name: &str) -> Result<(), MetaError> {
        self.write(|transaction| remove(transaction, TOPICS, name))
    }

    /// Adds a version of the plugin `name` and gives it its number.
    pub(crate) fn add_plugin(&self, name: &str, row: &PluginRow) -> Result<u32, MetaError> {
        self.write(|transaction| {
            let mut names = transaction.open_table(PLUGIN_NAMES)?;
            let version = names.get(name)?.map_or(1, |next| next.value());
            let next = version
                .checked_add(1)
                .ok_or(MetaError::IdsUsedUp("plugin version"))?;
            names.insert(name, next)?;
            transaction
                .open_table(PLUGINS)?
                .insert((name, version), encode(row).as_slice())?;
            Ok(version)
        })
    }

    /// Removes versions of the plugin `name`. Their numbers are not given again.
    pub(crate) fn delete_plugin(&self, name: &str, versions: &[u32]) -> Result<(), MetaError> {
        self.write(|transaction| {
            let mut plugins = transaction.open_table(PLUGINS)?;
            for &version in versions {
                plugins.remove((name, version))?;
            }
            Ok(())
        })
    }

    /// Adds a flow and gives it its id; the one in `row` does not count.
    pub(crate) fn create_flow(&self, row: FlowRow) -> Result<FlowRow, MetaError> {
        self.write(|transaction| {
            let id = take_id(transaction, "flow")?;
            let row = FlowRow { id, ..row.clone() };
            insert(transaction, FLOWS, &row.spec.name, &row)?;
            Ok(row)
        })
    }

    /// Replaces a flow's row.
    pub(crate) fn put_flow(&self, row: &FlowRow) -> Result<(), MetaError> {
        self.write(|transaction| insert(transaction, FLOWS, &row.spec.name, row))
    }

    /// Removes a flow.
    pub(crate) fn delete_flow(&self, name: &str) -> Result<(), MetaError> {
        self.write(|transaction| remove(transaction, FLOWS, name))
    }

    /// Takes `count` producer ids in a row; returns the first. They are never given again, used or not.
    pub(crate) fn take_producer_ids(&self, count: u64) -> Result<u64, MetaError> {
        self.write(|transaction| {
            let mut counters = transaction.open_table(COUNTERS)?;
            let first = counters.get("producer")?.map_or(0, |next| next.value());
            let next = first
                .checked_add(count)
                .filter(|&next| i64::try_from(next).is_ok());
            counters.insert("producer", next.ok_or(MetaError::IdsUsedUp("producer"))?)?;
            Ok(first)
        })
    }

    fn write<T>(&self, change: impl Fn(&WriteTransaction) -> Result<T, MetaError>) -> Result<T, MetaError> {
        let mut guard = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let db = match guard.take() {
            Some(db) => db,
            None => open_database(self.path.as_deref())?,
        };
        let result = (|| {
            let transaction = db.begin_write()?;
            let value = change(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        let broken = matches!(
            &result,
            Err(MetaError::Redb(
                redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::LockPoisoned(_)
            ))
        );
        // What is in memory has no file to be opened again, and no I/O to fail.
        if !broken || self.path.is_none() {
            *guard = Some(db);
        }
        result
    }
}

fn open_database(path: Option<&Path>) -> Result<Database, redb::Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    Ok(match path {
        Some(path) => builder.create(path)?,
        None => builder.create_with_backend(InMemoryBackend::new())?,
    })
}

fn open_error(path: Option<&Path>, error: redb::Error) -> OpenError {
    let path = path.unwrap_or(Path::new("memory")).to_owned();
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::Locked { path },
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            OpenError::Io { path, source }
        }
        error => OpenError::Corrupt {
            path,
            what: error.to_string(),
        },
    }
}

fn load_table<R: DeserializeOwned>(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, &'static str, &'static [u8]>,
    what: &str,
) -> Result<Vec<(String, R)>, MetaError> {
    let mut rows = Vec::new();
    for row in transaction.open_table(table)?.iter()? {
        let (name, value) = row?;
        let name = name.value().to_owned();
        let row = decode(|| format!("{what} '{name}'"), value.value())?;
        rows.push((name, row));
    }
    Ok(rows)
}

fn take_id(transaction: &WriteTransaction, what: &'static str) -> Result<u32, MetaError> {
    let mut counters = transaction.open_table(COUNTERS)?;
    // From 1 on: 0 never names anything.
    let next = counters.get(what)?.map_or(1, |next| next.value());
    let id = u32::try_from(next).map_err(|_| MetaError::IdsUsedUp(what))?;
    counters.insert(what, next + 1)?;
    Ok(id)
}

fn insert<R: Serialize>(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, &'static str, &'static [u8]>,
    name: &str,
    row: &R,
) -> Result<(), MetaError> {
    transaction
        .open_table(table)?
        .insert(name, encode(row).as_slice())?;
    Ok(())
}

fn remove(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, &'static str, &'static [u8]>,
    name: &str,
) -> Result<(), MetaError> {
    transaction.open_table(table)?.remove(name)?;
    Ok(())
}

fn encode<R: Serialize>(row: &R) -> Vec<u8> {
    serde_json::to_vec(row).expect("rows have string keys and no values that JSON lacks")
}

fn decode<R: DeserializeOwned>(what: impl Fn() -> String, bytes: &[u8]) -> Result<R, MetaError> {
    serde_json::from_slice(bytes).map_err(|source| MetaError::Row { what: what(), source })
}

/// 16 random bytes in base64url, as Kafka's cluster ids are.
fn random_cluster_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    let bits = u128::from_be_bytes(bytes);
    // 21 digits of 6 bits and one of the 2 that are left.
    let digit = |index: u32| DIGITS[((bits.rotate_left(6 * (index + 1))) & 63) as usize] as char;
    let mut id: String = (0..21).map(digit).collect();
    id.push(DIGITS[((bits & 3) << 4) as usize] as char);
    id
}

#[cfg(test)]
mod tests;
