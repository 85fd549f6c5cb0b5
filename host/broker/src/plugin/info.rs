//! A plugin version as it is shown.

use serde::{Deserialize, Serialize};

/// What a plugin is made for: its world in `weir:plugin`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginKind {
    /// Keeps or drops records.
    Filter,
    /// Makes records out of records.
    Transform,
    /// Makes records out of nothing but time.
    Producer,
}

impl PluginKind {
    /// The world's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Transform => "transform",
            Self::Producer => "producer",
        }
    }
}

/// One version of a plugin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Its version: 1 for the first upload, never given twice under one name.
    pub version: u32,
    /// What it is made for.
    pub kind: PluginKind,
    /// SHA-256 of the stored component, in lower-case hexadecimal. That is the uploaded bytes, unless these were a core
    /// module, of which the broker makes a component.
    pub sha256: String,
    /// Bytes of the stored component.
    pub size: u64,
    /// When it was uploaded, in milliseconds since 1970.
    pub created_ms: i64,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// Names of the flows that run it; those that are finished do not.
    pub used_by: Vec<String>,
    /// Names of the flows that a rollback would have run it again.
    pub kept_for: Vec<String>,
}

impl PluginInfo {
    /// `name@version`, by which flows and requests refer to it.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// The outcome of an upload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UploadedPlugin {
    /// The version that holds the uploaded bytes.
    pub plugin: PluginInfo,
    /// Whether the plugin had a version with exactly these bytes before; then no new version was made.
    pub already_present: bool,
}
