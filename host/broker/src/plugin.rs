//! Plugins: uploaded, versioned, compiled.

mod blobs;
mod compiler;
mod info;
mod reference;
mod registry;
mod upload;

pub(crate) use blobs::Blobs;
pub(crate) use compiler::Compiler;
pub use info::{PluginInfo, PluginKind, UploadedPlugin};
pub(crate) use reference::PluginRef;
pub(crate) use registry::Registry;
pub use upload::Upload;
