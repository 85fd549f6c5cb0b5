//! Plugins.

use serde::{Deserialize, Serialize};

/// One version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Its version: 1, 2, ...
    pub version: u32,
    /// What it does.
    pub kind: PluginKind,
    /// SHA-256 of the stored component, in lower-case hexadecimal: the uploaded file, unless that was a core module.
    #[serde(default)]
    pub sha256: String,
    /// Bytes of the stored component.
    #[serde(default)]
    pub size: u64,
    /// When it was uploaded, in milliseconds since 1970.
    #[serde(default)]
    pub created_ms: u64,
    /// Interfaces that it imports.
    #[serde(default)]
    pub imports: Vec<String>,
    /// Flows that run it.
    #[serde(default)]
    pub used_by: Vec<String>,
    /// Flows that a rollback would have run it again.
    #[serde(default)]
    pub kept_for: Vec<String>,
}

/// The world that a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PluginKind {
    /// Keeps or drops records.
    Filter,
    /// Makes other records out of records.
    Transform,
    /// Makes records.
    Producer,
}
