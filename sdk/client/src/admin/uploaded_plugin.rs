use weir_protocol::PluginInfo;

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadedPlugin {
    /// The version that has the uploaded bytes.
    pub plugin: PluginInfo,
    /// The plugin had these bytes before: no new version was made.
    pub already_present: bool,
}
