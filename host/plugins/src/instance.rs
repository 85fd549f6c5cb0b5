use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::Store;
use wasmtime::component::Func;
use weir_batch::{BatchHeader, Codec};

use crate::epoch::Epoch;
use crate::output::{check_bitmap, check_frame};
use crate::state::HostState;
use crate::trap::call_error;
use crate::{CallError, Kind, Limits, LogSink, NoLog, Plugin};

/// Calls before an instance that has grown is given up for a fresh one: a plugin that needs much memory for every batch is not
/// started anew for every batch.
const CALLS_BEFORE_RECYCLING: u64 = 64;

/// Bytes of `configure`'s refusal that are passed on.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// What an instance is made with.
#[derive(Clone)]
pub struct InstanceOptions {
    /// What the plugin's `configure` is given.
    pub config: BTreeMap<String, String>,
    /// Names of the outputs, in the order of a frame's output indices; of no meaning to a filter. A transform has at least one.
    pub outputs: Vec<String>,
    /// Where its log lines go.
    pub log: Arc<dyn LogSink>,
    /// What it may use; the runtime's limits if none.
    pub limits: Option<Limits>,
}

impl InstanceOptions {
    /// No configuration, one output called `out`, the runtime's limits.
    pub fn new(log: Arc<dyn LogSink>) -> Self {
        Self {
            config: BTreeMap::new(),
            outputs: vec!["out".to_owned()],
            log,
            limits: None,
        }
    }
}

impl Default for InstanceOptions {
    fn default() -> Self {
        Self::new(Arc::new(NoLog))
    }
}

/// What an instance has done and taken since it was made; restarts do not reset it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of `filter` or `transform`, failed ones too.
    pub calls: u64,
    /// Calls that gave an error.
    pub errors: u64,
    /// Time spent in calls: copying in, the guest's own, copying out. Without the check of the output.
    pub guest_time: Duration,
    /// Bytes of linear memory now.
    pub memory_bytes: usize,
    /// The most it ever had.
    pub memory_bytes_peak: usize,
    /// Times it was started anew, after an error or because it had grown.
    pub restarts: u64,
}

/// One running plugin: a memory of its own, used by one thread at a time.
///
/// What the guest keeps between calls lasts until the next restart: after an error, or when its memory has grown well beyond what
/// it began with. Results must not depend on it.
pub struct Instance {
    plugin: Plugin,
    config: Vec<(String, String)>,
    outputs: Vec<String>,
    log: Arc<dyn LogSink>,
    limits: Limits,
    live: Option<Live>,
    stats: Stats,
}

struct Live {
    store: Store<HostState>,
    call: Func,
    calls: u64,
    recycle_above_bytes: usize,
}

impl Instance {
    pub(crate) fn start(plugin: Plugin, options: InstanceOptions) -> Result<Self, CallError> {
        let limits = options
            .limits
            .unwrap_or_else(|| plugin.inner.runtime.limits.clone());
        let mut instance = Self {
            plugin,
            config: options.config.into_iter().collect(),
            outputs: options.outputs,
            log: options.log,
            limits,
            live: None,
            stats: Stats::default(),
        };
        instance.live = Some(instance.start_live()?);
        Ok(instance)
    }

    /// Runs a filter over one uncompressed batch. `bitmap` is replaced by one bit a record, lowest first, 1 = keep: of the right
    /// length, spare bits zero.
    ///
    /// # Errors
    ///
    /// [`CallError`]; `bitmap` is empty then.
    pub fn filter(&mut self, batch: &[u8], bitmap: &mut Vec<u8>) -> Result<(), CallError> {
        self.checked_call(Kind::Filter, batch, bitmap, |bitmap, records, _| {
            check_bitmap(bitmap, records)
        })
    }

    /// Runs a transform over one uncompressed batch. `frame` is replaced by its output frame, checked whole: whoever reads it with
    /// [`weir_batch::frame::Reader`] finds nothing wrong.
    ///
    /// # Errors
    ///
    /// [`CallError`]; `frame` is empty then.
    pub fn transform(&mut self, batch: &[u8], frame: &mut Vec<u8>) -> Result<(), CallError> {
        self.checked_call(Kind::Transform, batch, frame, |frame, records, instance| {
            check_frame(frame, records, instance.outputs.len() as u32, &instance.limits)
        })
    }

    /// The plugin it is of.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// What it has done and taken.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Time spent in calls so far, see [`Stats::guest_time`].
    pub fn guest_time(&self) -> Duration {
        self.stats.guest_time
    }

    /// Bytes of linear memory now.
    pub fn memory_bytes(&self) -> usize {
        self.stats.memory_bytes
    }

    fn checked_call(
        &mut self,
        kind: Kind,
        batch: &[u8],
        out: &mut Vec<u8>,
        check: impl FnOnce(&[u8], u32, &Self) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        out.clear();
        if self.plugin.kind() != kind {
            return Err(CallError::WrongKind {
                found: self.plugin.kind(),
                wanted: kind,
            });
        }
        let header = input_header(batch)?;
        self.stats.calls += 1;
        let called = self
            .call(&batch[..header.batch_len], header.max_timestamp)
            .and_then(|output| check(&output, header.record_count as u32, self).map(|()| output));
        match called {
            Ok(output) => {
                *out = output;
                self.recycle();
                Ok(())
            }
            Err(error) => {
                self.stats.errors += 1;
                self.live = None;
                self.stats.memory_bytes = 0;
                Err(error)
            }
        }
    }

    fn call(&mut self, batch: &[u8], now_ms: i64) -> Result<Vec<u8>, CallError> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => {
                self.stats.restarts += 1;
                self.start_live()?
            }
        };
        let started = Instant::now();
        let called = live.call(&self.plugin, batch, now_ms, self.limits.deadline_ms);
        self.stats.guest_time += started.elapsed();
        self.stats.memory_bytes = live.store.data().memory_bytes();
        self.stats.memory_bytes_peak = self.stats.memory_bytes_peak.max(self.stats.memory_bytes);
        let output = called.map_err(|error| self.explain(&error, &mut live.store))?;
        if output.len() > self.limits.output_bytes_max {
            return Err(CallError::OutputTooLarge {
                bytes: output.len(),
                limit: self.limits.output_bytes_max,
            });
        }
        self.live = Some(live);
        Ok(output)
    }

    /// A fresh store with a started and configured guest.
    fn start_live(&mut self) -> Result<Live, CallError> {
        let runtime = Arc::clone(&self.plugin.inner.runtime);
        let mut store = Store::new(
            &runtime.engine,
            HostState::new(self.limits.clone(), Arc::clone(&self.log)),
        );
        store.limiter(|state| state);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(Epoch::ticks(self.limits.deadline_ms));
        store.data_mut().begin_call(0);
        let started = {
            let _running = runtime.epoch.run();
            self.configure(&mut store)
        };
        let call = match started {
            Ok(Ok(call)) => call,
            Ok(Err(message)) => {
                let message = crate::log::truncate(&message, MESSAGE_BYTES_MAX).to_owned();
                return Err(CallError::Configure { message });
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
            call,
            calls: 0,
            recycle_above_bytes: memory_bytes + headroom / 2,
        })
    }

    fn configure(&self, store: &mut Store<HostState>) -> wasmtime::Result<Result<Func, String>> {
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
            Ok(()) => Ok(Ok(instance.get_func(&mut *store, inner.call).ok_or_else(gone)?)),
            Err(message) => Ok(Err(message)),
        }
    }

    /// Gives up a guest that has grown well beyond its beginnings.
    fn recycle(&mut self) {
        let grown = |live: &Live| {
            live.calls >= CALLS_BEFORE_RECYCLING
                && live.store.data().memory_bytes() > live.recycle_above_bytes
        };
        if self.live.as_ref().is_some_and(grown) {
            self.live = None;
            self.stats.memory_bytes = 0;
        }
    }

    fn explain(&self, error: &wasmtime::Error, store: &mut Store<HostState>) -> CallError {
        call_error(
            error,
            store,
            self.limits.deadline_ms,
            self.limits.memory_bytes_max,
        )
    }
}

impl Live {
    fn call(
        &mut self,
        plugin: &Plugin,
        batch: &[u8],
        now_ms: i64,
        deadline_ms: u64,
    ) -> wasmtime::Result<Vec<u8>> {
        self.calls += 1;
        self.store.data_mut().begin_call(now_ms);
        self.store.set_epoch_deadline(Epoch::ticks(deadline_ms));
        let _running = plugin.inner.runtime.epoch.run();
        let call = self.call.typed::<(&[u8],), (Vec<u8>,)>(&self.store)?;
        let (output,) = call.call(&mut self.store, (batch,))?;
        Ok(output)
    }
}

fn input_header(batch: &[u8]) -> Result<BatchHeader, CallError> {
    let bad = |reason: String| CallError::BadInput { reason };
    let header = BatchHeader::parse(batch).map_err(|error| bad(error.to_string()))?;
    if header.batch_len > batch.len() {
        return Err(bad(format!(
            "it says {} bytes and is {}",
            header.batch_len,
            batch.len()
        )));
    }
    if header.record_count < 0 {
        return Err(bad(format!("it says {} records", header.record_count)));
    }
    match header.codec() {
        Ok(Codec::None) => Ok(header),
        Ok(codec) => Err(bad(format!("it is compressed ({codec:?})"))),
        Err(error) => Err(bad(error.to_string())),
    }
}
