//! Uploading, showing and deleting plugins.

use std::sync::Arc;

use crate::core::Core;
use crate::name::check_plugin_name;
use crate::plugin::{PluginRef, Upload};
use crate::{Broker, BrokerError, ErrorKind, PluginInfo, UploadedPlugin};

impl Broker {
    /// Begins the upload of a plugin of `size` bytes. Waits for one of the broker's slots for uploads; nothing is buffered
    /// before the size is found to be allowed. `sha256`, in hexadecimal, is compared in the end.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for the name or an empty upload, [`ErrorKind::PluginTooLarge`],
    /// [`ErrorKind::LimitExceeded`].
    pub async fn begin_upload(
        &self,
        name: &str,
        size: u64,
        sha256: Option<String>,
    ) -> Result<Upload, BrokerError> {
        check_plugin_name(name)?;
        let max = self.core.limits.plugin_bytes_max;
        if size == 0 {
            return Err(BrokerError::new(
                ErrorKind::InvalidRequest,
                "an empty file is no plugin",
            ));
        }
        let size = usize::try_from(size).ok().filter(|&size| size <= max).ok_or_else(|| {
            let message = format!(
                "the plugin has {size} bytes and this broker takes {max}: build it in release mode, or raise the limit"
            );
            BrokerError::new(ErrorKind::PluginTooLarge, message)
        })?;
        self.core.registry.check_room(name, &self.core.limits)?;
        let slot = Arc::clone(&self.core.uploads).acquire_owned().await;
        let slot = slot.map_err(|_| BrokerError::shutting_down())?;
        Ok(Upload::new(
            Arc::clone(&self.core),
            slot,
            name.to_owned(),
            size,
            sha256,
        ))
    }

    /// Uploads a plugin that is in memory already; see [`begin_upload`](Self::begin_upload) and [`Upload::finish`].
    ///
    /// # Errors
    /// As those.
    pub async fn upload_plugin(&self, name: &str, bytes: &[u8]) -> Result<UploadedPlugin, BrokerError> {
        let mut upload = self.begin_upload(name, bytes.len() as u64, None).await?;
        upload.push(bytes)?;
        upload.finish().await
    }

    /// All versions of all plugins, by name and version.
    pub fn list_plugins(&self) -> Vec<PluginInfo> {
        let rows = self.core.registry.all();
        rows.iter()
            .map(|(name, version, row)| self.core.plugin_info(name, *version, row))
            .collect()
    }

    /// One version of a plugin: `name@version`, or `name` for the newest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a malformed reference, [`ErrorKind::UnknownPlugin`].
    pub fn describe_plugin(&self, reference: &str) -> Result<PluginInfo, BrokerError> {
        let reference = PluginRef::parse(reference)?;
        let (version, row) = self.core.registry.resolve(&reference)?;
        Ok(self.core.plugin_info(&reference.name, version, &row))
    }

    /// Deletes one version of a plugin (`name@version`) or all of them (`name`); returns what was deleted. Version numbers
    /// are not given again.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a malformed reference, [`ErrorKind::UnknownPlugin`],
    /// [`ErrorKind::PluginInUse`] with the flows that run it or would after a rollback, and then nothing is deleted.
    pub async fn delete_plugin(&self, reference: &str) -> Result<Vec<PluginInfo>, BrokerError> {
        let reference = PluginRef::parse(reference)?;
        self.core
            .change(move |core| async move { delete(&core, reference).await })
            .await
    }
}

async fn delete(core: &Arc<Core>, reference: PluginRef) -> Result<Vec<PluginInfo>, BrokerError> {
    let rows = core.registry.matching(&reference)?;
    let name = reference.name;
    let infos: Vec<_> = rows
        .iter()
        .map(|(version, row)| core.plugin_info(&name, *version, row))
        .collect();
    for info in &infos {
        if let Some(message) = in_use(info) {
            return Err(BrokerError::new(ErrorKind::PluginInUse, message));
        }
    }
    let versions: Vec<u32> = rows.iter().map(|(version, _)| *version).collect();
    let stored_name = name.clone();
    core.blocking(move |core| Ok(core.meta.delete_plugin(&stored_name, &versions)?))
        .await?;
    for (version, _) in &rows {
        core.registry.remove(&name, *version);
    }
    let unused: Vec<String> = rows
        .into_iter()
        .map(|(_, row)| row.sha256)
        .filter(|sha256| !core.registry.holds(sha256))
        .collect();
    core.blocking(move |core| {
        for sha256 in unused {
            if let Err(error) = core.blobs.remove(&sha256) {
                tracing::warn!("the file of a deleted plugin is removed at the next start: {error}");
            }
            if let Some(sha256) = unhex(&sha256) {
                core.runtime.forget(&sha256);
            }
        }
        Ok(())
    })
    .await?;
    Ok(infos)
}

/// Which flows need a version, and how they let go of it; `None` if none does.
fn in_use(info: &PluginInfo) -> Option<String> {
    const NAMED_MAX: usize = 8;
    let named = |flows: &[String]| {
        let first: Vec<&str> = flows.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = if flows.len() > NAMED_MAX { ", ..." } else { "" };
        let word = if flows.len() == 1 { "flow" } else { "flows" };
        format!("{word} {}{more}", first.join(", "))
    };
    let reference = info.reference();
    if let Some(flow) = info.used_by.first() {
        return Some(format!(
            "plugin {reference} is run by {}: upgrade to another version first (weir flow upgrade {flow}), or delete the flow",
            named(&info.used_by)
        ));
    }
    let flow = info.kept_for.first()?;
    Some(format!(
        "plugin {reference} is what a rollback of {} goes back to: change the flow once more (weir flow upgrade {flow}), so that a \
         rollback goes elsewhere, or delete it",
        named(&info.kept_for)
    ))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
