//! Plugins: uploaded, versioned, compiled.

mod info;

pub use info::{PluginInfo, PluginKind, UploadedPlugin};
