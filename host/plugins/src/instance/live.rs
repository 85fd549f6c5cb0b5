use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::Func;

use super::Instance;
use crate::epoch::Epoch;
use crate::state::HostState;
use crate::world::Form;
use crate::{CallError, Kind, Plugin};

/// Bytes of `configure`'s refusal that are passed on.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Bytes that the host sets aside for a typed answer, for each byte that its frame may have: an outcome without a word takes three in a
/// frame, and a hundred before.
const LIFTED_BYTES_FACTOR: usize = 8;

/// A guest that is started and configured.
pub(super) struct Live {
    pub(super) store: Store<HostState>,
    pub(super) calls: u64,
    pub(super) recycle_above_bytes: usize,
    call: Func,
    /// `version` and `migrate`, of a plugin that knows of older state.
    schema: Option<(Func, Func)>,
}

/// Which function of a guest is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// That of its world.
    World,
    /// `version` of its state.
    Version,
    /// `migrate`.
    Migrate,
}

/// The functions of a guest that is configured.
struct Functions {
    call: Func,
    schema: Option<(Func, Func)>,
}

impl Live {
    /// Runs one of its functions.
    pub(super) fn call<T>(
        &mut self,
        which: Which,
        plugin: &Plugin,
        deadline_ms: u64,
        call: impl FnOnce(&Func, &mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> wasmtime::Result<T> {
        self.calls += 1;
        self.store.set_epoch_deadline(Epoch::ticks(deadline_ms));
        let _running = plugin.inner.runtime.epoch.run();
        let function = match (which, self.schema) {
            (Which::World, _) => self.call,
            (Which::Version, Some((version, _))) => version,
            (Which::Migrate, Some((_, migrate))) => migrate,
            (Which::Version | Which::Migrate, None) => {
                return Err(wasmtime::Error::msg("the plugin has no versions of its state"));
            }
        };
        call(&function, &mut self.store)
    }
}

impl Instance {
    /// A fresh store with a started and configured guest.
    pub(super) fn start_live(&mut self) -> Result<Live, CallError> {
        let runtime = Arc::clone(&self.plugin.inner.runtime);
        let mut store = Store::new(
            &runtime.engine,
            HostState::new(self.limits.clone(), Arc::clone(&self.log), self.http.clone()),
        );
        store.limiter(|state| state);
        if self.plugin.inner.form == Form::Typed {
            // Lists may overlap in a guest's memory: what they come to on this side has a bound of its own.
            store.set_hostcall_fuel(self.limits.output_bytes_max.saturating_mul(LIFTED_BYTES_FACTOR));
        }
        store.epoch_deadline_trap();
        store.set_epoch_deadline(Epoch::ticks(self.limits.deadline_ms));
        store.data_mut().begin_call(0, 0);
        // Names of metrics are counted over all guests of an instance. State is for calls.
        store.data_mut().carried.meter = std::mem::take(&mut self.carried.meter);
        let started = {
            let _running = runtime.epoch.run();
            self.configure(&mut store)
        };
        self.carried.meter = std::mem::take(&mut store.data_mut().carried.meter);
        let call = match started {
            Ok(Ok(call)) => call,
            Ok(Err(message)) => {
                return Err(CallError::Configure {
                    message: shorten(&message),
                });
            }
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
                return Err(CallError::Instantiate {
                    reason: format!("too many plugins run at once: {error}"),
                });
            }
            Err(error) => return Err(self.explain(&error, &mut store)),
        };
        let memory_bytes = store.data().memory_bytes();
        self.stats.memory_bytes = memory_bytes;
        self.stats.memory_bytes_peak = self.stats.memory_bytes_peak.max(memory_bytes);
        let headroom = self.limits.memory_bytes_max.saturating_sub(memory_bytes);
        Ok(Live {
            store,
            call: call.call,
            schema: call.schema,
            calls: 0,
            recycle_above_bytes: memory_bytes + headroom / 2,
        })
    }

    fn configure(&self, store: &mut Store<HostState>) -> wasmtime::Result<Result<Functions, String>> {
        let inner = &self.plugin.inner;
        let instance = inner.pre.instantiate(&mut *store)?;
        let gone = || wasmtime::Error::msg("an export of the component is gone");
        let configure = instance.get_func(&mut *store, inner.configure).ok_or_else(gone)?;
        let config = self.config.as_slice();
        let (configured,) = match inner.kind {
            Kind::Filter => configure
                .typed::<(&[(String, String)],), (Result<(), String>,)>(&mut *store)?
                .call(&mut *store, (config,))?,
            Kind::Transform | Kind::Producer => configure
                .typed::<(&[(String, String)], &[String]), (Result<(), String>,)>(&mut *store)?
                .call(&mut *store, (config, &self.outputs))?,
        };
        match configured {
            Ok(()) => {}
            Err(message) => return Ok(Err(message)),
        }
        let mut find = |index| instance.get_func(&mut *store, index).ok_or_else(gone);
        let schema = match &inner.schema {
            Some((version, migrate)) => Some((find(version)?, find(migrate)?)),
            None => None,
        };
        Ok(Ok(Functions {
            call: find(&inner.call)?,
            schema,
        }))
    }
}

/// As much of a guest's sentence as people want to read.
pub(super) fn shorten(message: &str) -> String {
    crate::log::truncate(message, MESSAGE_BYTES_MAX).to_owned()
}
