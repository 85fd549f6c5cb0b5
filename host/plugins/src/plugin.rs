use std::fmt;
use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, InstancePre};

use crate::runtime::Shared;
use crate::state::HostState;
use crate::world::Form;
use crate::{CallError, Grants, Instance, InstanceOptions};

/// What a plugin is, by the world of `weir:plugin` that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One bit for each record.
    Filter,
    /// Records from records.
    Transform,
    /// Records from outside.
    Producer,
}

impl Kind {
    /// As it is written in messages and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Transform => "transform",
            Self::Producer => "producer",
        }
    }

    /// The function that its interface exports besides `configure`.
    pub(crate) fn function(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Transform => "transform",
            Self::Producer => "poll",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A validated, compiled component. Cheap to clone; all clones share the code.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) runtime: Arc<Shared>,
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    pub(crate) sha256: [u8; 32],
    pub(crate) imports: Vec<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) pre: InstancePre<HostState>,
    pub(crate) configure: ComponentExportIndex,
    pub(crate) call: ComponentExportIndex,
    /// `version` and `migrate`, of a plugin that knows of older state.
    pub(crate) schema: Option<(ComponentExportIndex, ComponentExportIndex)>,
    pub(crate) from_cache: bool,
}

impl Plugin {
    /// The world it is for.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// SHA-256 of [`Plugin::component_bytes`]: the component's name in a store.
    pub fn sha256(&self) -> [u8; 32] {
        self.inner.sha256
    }

    /// The names of the interfaces it imports.
    pub fn imports(&self) -> &[String] {
        &self.inner.imports
    }

    /// Whether it imports `weir:plugin/state`: it has to be [granted](crate::Grants::state) then, and
    /// [given](Instance::set_state) for each call.
    pub fn imports_state(&self) -> bool {
        self.imports_interface("state")
    }

    /// Whether it exports `weir:plugin/state-schema`: then it has a [version of its state](Instance::state_version), and can
    /// [migrate](Instance::migrate) others.
    pub fn has_state_schema(&self) -> bool {
        self.inner.schema.is_some()
    }

    /// Whether it imports `weir:plugin/metrics`.
    pub fn imports_metrics(&self) -> bool {
        self.imports_interface("metrics")
    }

    /// Whether it imports `weir:plugin/clock`.
    pub fn imports_clock(&self) -> bool {
        self.imports_interface("clock")
    }

    /// Whether it imports `weir:plugin/random`.
    pub fn imports_random(&self) -> bool {
        self.imports_interface("random")
    }

    /// Whether it imports `weir:plugin/http`: it has to be [granted](crate::Grants::http) then.
    pub fn imports_http(&self) -> bool {
        self.imports_interface("http")
    }

    fn imports_interface(&self, interface: &str) -> bool {
        let mut names = self.inner.imports.iter();
        names.any(|name| {
            name.strip_prefix("weir:plugin/")
                .and_then(|name| name.split_once('@'))
                .is_some_and(|(name, _)| name == interface)
        })
    }

    /// The component: what was uploaded, or what was made of an uploaded core module. This is what is worth storing.
    pub fn component_bytes(&self) -> &[u8] {
        &self.inner.bytes
    }

    /// Whether its code came from the cache instead of the compiler.
    pub fn from_cache(&self) -> bool {
        self.inner.from_cache
    }

    /// An instance of its own memory, started and configured, that is granted nothing: see
    /// [`instantiate_with`](Self::instantiate_with).
    ///
    /// # Errors
    ///
    /// See [`instantiate_with`](Self::instantiate_with).
    pub fn instantiate(&self, options: InstanceOptions) -> Result<Instance, CallError> {
        self.instantiate_with(options, Grants::none())
    }

    /// An instance of its own memory, started and configured. What it may use beyond log, clock and random numbers is in `grants`.
    ///
    /// # Errors
    ///
    /// [`CallError::NotGranted`] when it imports keyed state or HTTP and `grants` has none; [`CallError::Configure`] when the plugin refuses
    /// the configuration; [`CallError::Instantiate`] when there is no room for another instance; [`CallError::Trap`],
    /// [`CallError::Deadline`] or [`CallError::Memory`] from its start.
    pub fn instantiate_with(&self, options: InstanceOptions, grants: Grants) -> Result<Instance, CallError> {
        Instance::start(self.clone(), options, grants)
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("kind", &self.inner.kind)
            .field("imports", &self.inner.imports)
            .field("bytes", &self.inner.bytes.len())
            .finish_non_exhaustive()
    }
}
