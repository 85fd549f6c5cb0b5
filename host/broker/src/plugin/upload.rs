//! A plugin on its way in.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::now_ms;
use crate::core::Core;
use crate::meta::PluginRow;
use crate::plugin::blobs::hex;
use crate::plugin::{PluginKind, UploadedPlugin};
use crate::{BrokerError, ErrorKind};

/// An upload under way: its size is known and allowed, its bytes come in piece by piece. Dropping it forgets it.
///
/// While it exists it occupies one of the broker's few slots for uploads.
pub struct Upload {
    core: Arc<Core>,
    _slot: OwnedSemaphorePermit,
    name: String,
    size: usize,
    sha256: Option<String>,
    bytes: Vec<u8>,
}

impl Upload {
    pub(crate) fn new(
        core: Arc<Core>,
        slot: OwnedSemaphorePermit,
        name: String,
        size: usize,
        sha256: Option<String>,
    ) -> Self {
        Self {
            core,
            _slot: slot,
            name,
            size,
            sha256,
            bytes: Vec::new(),
        }
    }

    /// The next piece.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] when it goes beyond the size that was announced.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), BrokerError> {
        if piece.len() > self.size - self.bytes.len() {
            let message = format!(
                "the upload was announced with {} bytes and goes on after them",
                self.size
            );
            return Err(BrokerError::new(ErrorKind::InvalidRequest, message));
        }
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(self.size);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Everything is there: checks and compiles the plugin, stores it, and gives it a version. A plugin whose newest or
    /// any other version has exactly these bytes gets no further one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPlugin`] with what is wrong with it in words; [`ErrorKind::InvalidRequest`] when bytes are
    /// missing or the SHA-256 is another one; [`ErrorKind::LimitExceeded`]; [`ErrorKind::StorageFull`],
    /// [`ErrorKind::Storage`], [`ErrorKind::ShuttingDown`].
    pub async fn finish(self) -> Result<UploadedPlugin, BrokerError> {
        let Self {
            core,
            name,
            size,
            sha256,
            bytes,
            _slot: slot,
        } = self;
        // Freed when all is done: compiling is what the slots bound.
        let _slot = slot;
        if bytes.len() != size {
            let message = format!(
                "the upload was announced with {size} bytes and ended after {}",
                bytes.len()
            );
            return Err(BrokerError::new(ErrorKind::InvalidRequest, message));
        }
        let runtime = core.runtime.clone();
        let loaded = core.compiler.run(move || {
            let found = hex(&Sha256::digest(&bytes));
            if let Some(expected) = sha256.filter(|expected| !expected.eq_ignore_ascii_case(&found)) {
                let message = format!(
                    "the upload has the SHA-256 {found}, announced was {}: send it again",
                    expected.escape_debug()
                );
                return Err(BrokerError::new(ErrorKind::InvalidRequest, message));
            }
            runtime.load(&bytes).map_err(load_error)
        });
        let plugin = loaded.await??;

        let change = move |core: Arc<Core>| async move { register(&core, name, plugin).await };
        core.change(change).await
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("name", &self.name)
            .field("size", &self.size)
            .field("received", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

async fn register(
    core: &Arc<Core>,
    name: String,
    plugin: weir_runtime::Plugin,
) -> Result<UploadedPlugin, BrokerError> {
    let sha256 = hex(&plugin.sha256());
    if let Some((version, row)) = core.registry.version_of(&name, &sha256) {
        // Its file may have been lost or damaged: then this is how it is repaired.
        let repair = move |core: &Arc<Core>| match core.blobs.read(&sha256) {
            Ok(_) => Ok(()),
            Err(_) => core
                .blobs
                .put(&sha256, plugin.component_bytes())
                .map_err(write_error),
        };
        core.blocking(repair).await?;
        let plugin = core.plugin_info(&name, version, &row);
        return Ok(UploadedPlugin {
            plugin,
            already_present: true,
        });
    }
    core.registry.check_room(&name, &core.limits)?;
    let row = PluginRow {
        sha256,
        kind: kind(plugin.kind()),
        size: plugin.component_bytes().len() as u64,
        created_ms: now_ms(),
        imports: plugin.imports().to_vec(),
    };
    let (stored_name, stored_row) = (name.clone(), row.clone());
    let store = move |core: &Arc<Core>| {
        // The file first: a row whose component is missing would be worse than a file that nobody knows.
        core.blobs
            .put(&stored_row.sha256, plugin.component_bytes())
            .map_err(write_error)?;
        Ok(core.meta.add_plugin(&stored_name, &stored_row)?)
    };
    let version = core.blocking(store).await?;
    core.registry.insert(&name, version, row.clone());
    tracing::info!(plugin = %format_args!("{name}@{version}"), "plugin uploaded");
    Ok(UploadedPlugin {
        plugin: core.plugin_info(&name, version, &row),
        already_present: false,
    })
}

fn kind(kind: weir_runtime::Kind) -> PluginKind {
    match kind {
        weir_runtime::Kind::Filter => PluginKind::Filter,
        weir_runtime::Kind::Transform => PluginKind::Transform,
        weir_runtime::Kind::Producer => PluginKind::Producer,
    }
}

fn load_error(error: weir_runtime::LoadError) -> BrokerError {
    let kind = match error {
        weir_runtime::LoadError::TooLarge { .. } => ErrorKind::PluginTooLarge,
        _ => ErrorKind::InvalidPlugin,
    };
    BrokerError::new(kind, error.to_string())
}

fn write_error(error: std::io::Error) -> BrokerError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => BrokerError::new(
            ErrorKind::StorageFull,
            "the disk is full: the plugin was not stored, make room and try again",
        ),
        _ => BrokerError::storage(format_args!("the plugin could not be stored ({error})")),
    }
}
