use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Cache;
use crate::epoch::Epoch;
use crate::exports::{exports, schema_exports};
use crate::http::Caller;
use crate::inspect::{Encoding, Interface, encoding};
use crate::link::link;
use crate::plugin::{Inner, Plugin};
use crate::{HttpAccess, HttpConfig, HttpGrant, Limits, LoadError, RuntimeError, componentize};

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Where compiled code is kept, so that a restart need not compile; nowhere if none.
    pub cache_dir: Option<PathBuf>,
    /// What a plugin may use, unless an instance is given limits of its own.
    pub limits: Limits,
    /// Bounds of outbound HTTP.
    pub http: HttpConfig,
    /// Bytes of stack a guest may use; the thread that calls it needs that and 512 KiB more.
    pub stack_bytes_max: usize,
    /// Reserve address space for a pool of instances where the machine has enough; without, each instance is mapped alone.
    pub pooling: bool,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            limits: Limits::default(),
            http: HttpConfig::default(),
            stack_bytes_max: 512 << 10,
            pooling: true,
        }
    }
}

/// The engine with its cache. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) epoch: Epoch,
    pub(crate) limits: Limits,
    http_config: HttpConfig,
    /// Started when it is needed first.
    http: Mutex<Option<Caller>>,
    cache: Option<Cache>,
    loaded: Mutex<HashMap<[u8; 32], Slot>>,
}

/// One component's code as long as somebody holds it, behind a lock of its own: two loads of one component compile once,
/// and no other load waits for them.
type Slot = Arc<Mutex<Weak<Inner>>>;

impl Runtime {
    /// Starts the engine.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Engine`] when this machine cannot run it, [`RuntimeError::Cache`] when the folder cannot be used.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let engine = crate::engine::engine(&config)?;
        let epoch = Epoch::start(&engine).map_err(|error| RuntimeError::Engine {
            reason: format!("no thread for its clock: {error}"),
        })?;
        let cache = config
            .cache_dir
            .as_deref()
            .map(|folder| Cache::open(folder, &engine))
            .transpose()?;
        let shared = Shared {
            engine,
            epoch,
            limits: config.limits,
            http_config: config.http,
            http: Mutex::default(),
            cache,
            loaded: Mutex::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Validates and compiles a plugin, or takes its code from the cache. `wasm` is a component for a world of `weir:plugin`,
    /// or a core module with the bindings of one, which is made a component here.
    ///
    /// May compile for seconds on the calling thread and on a pool of threads beside it.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]; what it says is meant for who uploads.
    pub fn load(&self, wasm: &[u8]) -> Result<Plugin, LoadError> {
        let limit = self.shared.limits.component_bytes_max;
        if wasm.len() > limit {
            return Err(LoadError::TooLarge {
                size: wasm.len(),
                limit,
            });
        }
        let bytes = match encoding(wasm)? {
            Encoding::Component => wasm.to_vec(),
            Encoding::Module => componentize(wasm)?,
        };
        let interface = Interface::read(&bytes)?;
        let (world, export) = interface.world()?;
        interface.check_imports()?;

        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        let slot = self.slot(sha256);
        let mut slot = lock(&slot);
        if let Some(inner) = slot.upgrade() {
            return Ok(Plugin { inner });
        }
        let (component, from_cache) = self.compile(&bytes, &sha256)?;
        let (configure, call) = exports(&component, world, export)?;
        let schema = interface
            .schema()
            .map(|export| schema_exports(&component, export))
            .transpose()?;
        let pre = link(&self.shared.engine, &component)
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(|error| LoadError::Invalid {
                reason: format!("{error:#}"),
            })?;
        let inner = Arc::new(Inner {
            runtime: Arc::clone(&self.shared),
            kind: world.kind,
            form: world.form,
            sha256,
            imports: interface.imports,
            bytes,
            pre,
            configure,
            call,
            schema,
            from_cache,
        });
        *slot = Arc::downgrade(&inner);
        Ok(Plugin { inner })
    }

    /// What a plugin may use unless an instance says otherwise.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Outbound HTTP to `grants` alone, for the instances of one flow: with connections of its own, and within the bounds of
    /// [`RuntimeConfig::http`].
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Http`] when the certificates to trust cannot be read, [`RuntimeError::Engine`] when there is no thread for it.
    pub fn http(&self, grants: Vec<HttpGrant>) -> Result<HttpAccess, RuntimeError> {
        let mut caller = lock(&self.shared.http);
        let caller = match &*caller {
            Some(caller) => caller.clone(),
            None => caller
                .insert(Caller::start(self.shared.http_config.clone())?)
                .clone(),
        };
        HttpAccess::new(caller, grants)
    }

    /// Ends all exchanges that are under way, and every later one, with [`CallError::Stopped`](crate::CallError::Stopped).
    pub fn close_http(&self) {
        if let Some(caller) = &*lock(&self.shared.http) {
            caller.close();
        }
    }

    /// Removes the compiled code of the component with this SHA-256 from the cache: its plugin is deleted.
    pub fn forget(&self, sha256: &[u8; 32]) {
        if let Some(cache) = &self.shared.cache {
            cache.remove(sha256);
        }
    }

    fn slot(&self, sha256: [u8; 32]) -> Slot {
        let mut loaded = lock(&self.shared.loaded);
        // Whoever holds a slot is loading; the others are kept as long as their plugin is.
        loaded.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(slot).strong_count() > 0);
        Arc::clone(loaded.entry(sha256).or_default())
    }

    fn compile(&self, bytes: &[u8], sha256: &[u8; 32]) -> Result<(Component, bool), LoadError> {
        let engine = &self.shared.engine;
        if let Some(component) = self
            .shared
            .cache
            .as_ref()
            .and_then(|cache| cache.get(engine, sha256))
        {
            return Ok((component, true));
        }
        let component = Component::from_binary(engine, bytes).map_err(|error| LoadError::Invalid {
            reason: format!("{error:#}"),
        })?;
        if let Some(cache) = &self.shared.cache {
            cache.put(sha256, &component);
        }
        Ok((component, false))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
