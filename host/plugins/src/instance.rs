mod live;
mod options;
mod poll;
mod schema;
mod typed;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::Store;
use wasmtime::component::Func;
use weir_batch::frame::Checked;
use weir_batch::{BatchHeader, Codec};

use crate::metrics::Meter;
use crate::output::{check_bitmap, check_frame};
use crate::state::{Carried, HostState};
use crate::trap::call_error;
use crate::world::Form;
use crate::{CallError, HttpAccess, Kind, Limits, LogSink, Plugin, StateStore};
use live::{Live, Which};
use poll::GuestPage;

pub use options::{Grants, InstanceOptions};
pub use poll::{Budget, Page};

/// Calls before an instance that has grown is given up for a fresh one: a plugin that needs much memory for every batch is not
/// started anew for every batch.
const CALLS_BEFORE_RECYCLING: u64 = 64;

/// What an instance has done and taken since it was made; restarts do not reset it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of `filter`, `transform` or `poll`, failed ones too.
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
    /// Metrics it recorded that were left out: under a name that is none or one too many, or no finite number.
    pub metrics_left_out: u64,
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
    http: Option<HttpAccess>,
    live: Option<Live>,
    stats: Stats,
    carried: Carried,
    seed: Option<u64>,
    poll_time_ms: i64,
}

impl Instance {
    pub(crate) fn start(plugin: Plugin, options: InstanceOptions, grants: Grants) -> Result<Self, CallError> {
        if plugin.imports_state() && !grants.state {
            return Err(CallError::NotGranted { interface: "state" });
        }
        if plugin.imports_http() && grants.http.is_none() {
            return Err(CallError::NotGranted { interface: "http" });
        }
        let limits = options
            .limits
            .unwrap_or_else(|| plugin.inner.runtime.limits.clone());
        let mut instance = Self {
            plugin,
            config: options.config.into_iter().collect(),
            outputs: options.outputs,
            log: options.log,
            limits,
            http: grants.http,
            live: None,
            stats: Stats::default(),
            carried: Carried {
                state: None,
                meter: Meter::new(grants.metrics),
            },
            seed: None,
            poll_time_ms: 0,
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
    /// [`weir_batch::frame::Reader`] finds nothing wrong, and with the answer need not look for it
    /// ([`again`](weir_batch::frame::Reader::again)).
    ///
    /// # Errors
    ///
    /// [`CallError`]; `frame` is empty then.
    pub fn transform(&mut self, batch: &[u8], frame: &mut Vec<u8>) -> Result<Checked, CallError> {
        self.checked_call(Kind::Transform, batch, frame, |frame, records, instance| {
            check_frame(frame, records, instance.outputs.len() as u32, &instance.limits)
        })
    }

    /// Asks a producer for records, from where the page with `cursor` ended (none for its first page) and within `budget`. `page` is
    /// replaced by what it gives, checked whole.
    ///
    /// # Errors
    ///
    /// [`CallError::Poll`] when the plugin says that it has none, and why: its instance goes on, and may be asked again with the same
    /// cursor. Otherwise as with the other calls. `page` is empty then.
    pub fn poll(&mut self, cursor: Option<&[u8]>, budget: Budget, page: &mut Page) -> Result<(), CallError> {
        page.clear();
        self.check_kind(Kind::Producer)?;
        let bytes_max = u32::try_from(self.limits.output_bytes_max).unwrap_or(u32::MAX);
        let budget = Budget {
            bytes: budget.bytes.min(bytes_max),
            ..budget
        };
        let polled = self.guest_call(self.poll_time_ms, None, |call, store| {
            let call = call.typed::<(Option<&[u8]>, Budget), (Result<GuestPage, String>,)>(&*store)?;
            Ok(call.call(store, (cursor, budget))?.0)
        });
        let outputs = self.outputs.len() as u32;
        let checked = polled.and_then(|polled| match polled {
            Ok(polled) => polled.check(outputs, budget, &self.limits),
            Err(message) => Err(CallError::Poll {
                message: live::shorten(&message),
            }),
        });
        *page = self.settle(checked)?;
        Ok(())
    }

    /// Sets the time that a producer's clock shows from the next [`poll`](Self::poll) on: milliseconds since 1970, 0 at first. Filters
    /// and transforms see the time of their batch.
    pub fn set_poll_time(&mut self, now_ms: i64) {
        self.poll_time_ms = now_ms;
    }

    /// Sets the seed of the random numbers that the next call draws. A call without one has a seed made of its time: the same batch
    /// draws the same numbers.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = Some(seed);
    }

    /// Gives the next calls their keyed state; whatever was there is dropped.
    pub fn set_state(&mut self, state: Box<dyn StateStore>) {
        self.carried.state = Some(state);
    }

    /// Takes the keyed state back, whether the calls since [`set_state`](Self::set_state) went well or not.
    pub fn take_state(&mut self) -> Option<Box<dyn StateStore>> {
        self.carried.state.take()
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

    fn checked_call<T>(
        &mut self,
        kind: Kind,
        batch: &[u8],
        out: &mut Vec<u8>,
        check: impl FnOnce(&[u8], u32, &Self) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        out.clear();
        self.check_kind(kind)?;
        let header = input_header(batch)?;
        let batch = &batch[..header.batch_len];
        let called = match self.plugin.inner.form {
            Form::Packed => self.guest_call(
                header.max_timestamp,
                Some(header.record_count as u32),
                |call, store| {
                    let call = call.typed::<(&[u8],), (Vec<u8>,)>(&*store)?;
                    Ok(call.call(store, (batch,))?.0)
                },
            ),
            Form::Typed => {
                let headers = typed::headers(batch)?;
                let records = typed::records(batch, &headers)?;
                self.typed_call(kind, &header, &records)
            }
        };
        let checked = called.and_then(|output| {
            let records = header.record_count as u32;
            // A bitmap is as long as its batch asks for.
            if kind == Kind::Transform || output.len() > self.limits.output_bytes_max {
                self.check_output(output.len(), records)?;
            }
            let found = check(&output, records, self)?;
            Ok((output, found))
        });
        let found;
        (*out, found) = self.settle(checked)?;
        Ok(found)
    }

    fn check_output(&self, bytes: usize, records: u32) -> Result<(), CallError> {
        match self.limits.output_bytes(records) {
            (limit, _) if bytes <= limit => Ok(()),
            (limit, false) => Err(CallError::OutputTooLarge { bytes, limit }),
            (_, true) => Err(CallError::RecordOutputTooLarge {
                bytes,
                records,
                limit: self.limits.output_bytes_max_per_input.unwrap_or_default(),
            }),
        }
    }

    fn check_kind(&self, wanted: Kind) -> Result<(), CallError> {
        let found = self.plugin.kind();
        if found == wanted {
            Ok(())
        } else {
            Err(CallError::WrongKind { found, wanted })
        }
    }

    /// One call of the world's function, over so many records.
    fn guest_call<T>(
        &mut self,
        now_ms: i64,
        records: Option<u32>,
        call: impl FnOnce(&Func, &mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        self.guest_call_of(Which::World, now_ms, records, call)
    }

    /// One call, of a fresh guest where there is none. What outlives a guest is back here afterwards, however it ended.
    fn guest_call_of<T>(
        &mut self,
        which: Which,
        now_ms: i64,
        records: Option<u32>,
        call: impl FnOnce(&Func, &mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        self.stats.calls += 1;
        let seed = self.seed.take().unwrap_or(now_ms as u64);
        let mut live = match self.live.take() {
            Some(live) => live,
            None => {
                self.stats.restarts += 1;
                self.start_live()?
            }
        };
        let host = live.store.data_mut();
        host.begin_call(now_ms, seed);
        let (deadline_ms, by_records) = self.limits.deadline(records);
        if which == Which::World {
            host.enter(deadline_ms);
        }
        mem::swap(&mut host.carried, &mut self.carried);
        let started = Instant::now();
        let called = live.call(which, &self.plugin, deadline_ms, call);
        self.stats.guest_time += started.elapsed();
        mem::swap(&mut live.store.data_mut().carried, &mut self.carried);
        self.stats.metrics_left_out = self.carried.meter.left_out();
        self.stats.memory_bytes = live.store.data().memory_bytes();
        self.stats.memory_bytes_peak = self.stats.memory_bytes_peak.max(self.stats.memory_bytes);
        let answer = called.map_err(|error| match self.explain(&error, &mut live.store) {
            CallError::Deadline { .. } if by_records => CallError::RecordDeadline {
                limit_us: self.limits.deadline_us_per_input.unwrap_or_default(),
                records: records.unwrap_or_default(),
                limit_ms: deadline_ms,
            },
            error => error,
        })?;
        self.live = Some(live);
        Ok(answer)
    }

    /// Keeps account of how a call ended. A guest whose answer was wrong is not trusted with another call.
    fn settle<T>(&mut self, checked: Result<T, CallError>) -> Result<T, CallError> {
        match &checked {
            Ok(_) => self.recycle(),
            Err(CallError::Poll { .. } | CallError::Migrate { .. }) => {
                self.stats.errors += 1;
                self.recycle();
            }
            Err(_) => {
                self.stats.errors += 1;
                self.live = None;
                self.stats.memory_bytes = 0;
            }
        }
        checked
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
