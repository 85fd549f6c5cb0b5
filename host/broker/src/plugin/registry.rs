//! Which plugins there are.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::meta::PluginRow;
use crate::plugin::PluginRef;
use crate::{BrokerError, ErrorKind, Limits};

/// The names and versions of all plugins. Kept equal to the metadata by whoever changes that.
#[derive(Default)]
pub(crate) struct Registry {
    names: RwLock<BTreeMap<String, BTreeMap<u32, PluginRow>>>,
}

impl Registry {
    pub(crate) fn new(names: Vec<(String, u32)>, versions: Vec<(String, u32, PluginRow)>) -> Self {
        let mut map: BTreeMap<_, BTreeMap<_, _>> = names
            .into_iter()
            .map(|(name, _)| (name, BTreeMap::new()))
            .collect();
        for (name, version, row) in versions {
            map.entry(name).or_default().insert(version, row);
        }
        Self {
            names: RwLock::new(map),
        }
    }

    /// The version that `reference` names; without a number, the newest.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownPlugin`].
    pub(crate) fn resolve(&self, reference: &PluginRef) -> Result<(u32, PluginRow), BrokerError> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let versions = names.get(&reference.name).filter(|versions| !versions.is_empty());
        let versions = versions.ok_or_else(|| {
            unknown(format!(
                "there is no plugin '{}': upload it first, or see what there is (weir plugin list)",
                reference.name
            ))
        })?;
        let found = match reference.version {
            Some(version) => versions.get_key_value(&version),
            None => versions.last_key_value(),
        };
        found
            .map(|(&version, row)| (version, row.clone()))
            .ok_or_else(|| {
                let known: Vec<_> = versions
                    .keys()
                    .rev()
                    .take(8)
                    .map(|version| format!("@{version}"))
                    .collect();
                unknown(format!(
                    "there is no plugin '{reference}': of '{}' there is {}",
                    reference.name,
                    known.join(", ")
                ))
            })
    }

    /// All versions of all plugins, by name and number.
    pub(crate) fn all(&self) -> Vec<(String, u32, PluginRow)> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let rows = names.iter().flat_map(|(name, versions)| {
            versions
                .iter()
                .map(|(&version, row)| (name.clone(), version, row.clone()))
        });
        rows.collect()
    }

    /// The versions of one plugin that `reference` names: one, or without a number all.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownPlugin`].
    pub(crate) fn matching(&self, reference: &PluginRef) -> Result<Vec<(u32, PluginRow)>, BrokerError> {
        match reference.version {
            Some(_) => self.resolve(reference).map(|found| vec![found]),
            None => {
                self.resolve(reference)?;
                let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
                let versions = names.get(&reference.name).into_iter().flatten();
                Ok(versions.map(|(&version, row)| (version, row.clone())).collect())
            }
        }
    }

    /// The version of `name` that holds the component `sha256`.
    pub(crate) fn version_of(&self, name: &str, sha256: &str) -> Option<(u32, PluginRow)> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let mut versions = names.get(name)?.iter();
        versions
            .find(|(_, row)| row.sha256 == sha256)
            .map(|(&version, row)| (version, row.clone()))
    }

    /// Whether any version of any plugin holds the component `sha256`.
    pub(crate) fn holds(&self, sha256: &str) -> bool {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names
            .values()
            .flat_map(BTreeMap::values)
            .any(|row| row.sha256 == sha256)
    }

    /// Whether there is room for another version of `name`.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`].
    pub(crate) fn check_room(&self, name: &str, limits: &Limits) -> Result<(), BrokerError> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let message = match names.get(name) {
            None if names.len() >= limits.plugins_max => {
                format!(
                    "there are {} plugin names, the most this broker keeps",
                    names.len()
                )
            }
            Some(versions) if versions.len() >= limits.plugin_versions_max => {
                format!(
                    "plugin '{name}' has {} versions: delete some of them first",
                    versions.len()
                )
            }
            _ => return Ok(()),
        };
        Err(BrokerError::new(ErrorKind::LimitExceeded, message))
    }

    pub(crate) fn insert(&self, name: &str, version: u32, row: PluginRow) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        names.entry(name.to_owned()).or_default().insert(version, row);
    }

    pub(crate) fn remove(&self, name: &str, version: u32) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(versions) = names.get_mut(name) {
            versions.remove(&version);
        }
    }
}

fn unknown(message: String) -> BrokerError {
    BrokerError::new(ErrorKind::UnknownPlugin, message)
}
