use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{ResourceLimiter, StoreContextMut};

use crate::keyed_state::{Access, Usage};
use crate::log::{Level, LogRate, LogSink, truncate};
use crate::metrics::{Meter, Sample};
use crate::random::Random;
use crate::refusal::Refusal;
use crate::{HttpAccess, Limits, StateStore, http, wasi};

/// Core instances of one component; one made from Python has some thirty.
const CORE_INSTANCES_MAX: usize = 256;
/// Memories and tables of one component.
const MEMORIES_MAX: usize = 64;
const TABLES_MAX: usize = 256;

/// What outlives a guest: it moves into the store for a call, and back out of it, whatever becomes of the guest.
#[derive(Default)]
pub(crate) struct Carried {
    pub(crate) state: Option<Box<dyn StateStore>>,
    pub(crate) meter: Meter,
}

/// What the host keeps for one instance: its limits, where its lines go, and what its imports show it.
pub(crate) struct HostState {
    limits: Limits,
    memory_bytes: usize,
    table_elements: usize,
    refused_bytes: Option<usize>,
    log: Arc<dyn LogSink>,
    rate: LogRate,
    last_words: Option<String>,
    now_ms: i64,
    in_call: bool,
    time: CallTime,
    state_usage: Usage,
    pub(crate) http: Option<HttpAccess>,
    pub(crate) http_usage: http::Usage,
    pub(crate) random: Random,
    pub(crate) carried: Carried,
    pub(crate) wasi: wasi::State,
}

/// How much of its time a call has left.
#[derive(Clone, Copy, Debug)]
struct CallTime {
    began: Instant,
    limit_ms: u64,
    /// Time in which the guest did not run.
    waited: Duration,
}

impl HostState {
    pub(crate) fn new(limits: Limits, log: Arc<dyn LogSink>, http: Option<HttpAccess>) -> Self {
        let rate = LogRate::new(limits.log_bytes_per_s, limits.log_lines_per_s, Instant::now());
        let time = CallTime {
            began: Instant::now(),
            limit_ms: limits.deadline_ms,
            waited: Duration::ZERO,
        };
        Self {
            limits,
            memory_bytes: 0,
            table_elements: 0,
            refused_bytes: None,
            log,
            rate,
            last_words: None,
            now_ms: 0,
            in_call: false,
            time,
            state_usage: Usage::default(),
            http,
            http_usage: http::Usage::default(),
            random: Random::default(),
            carried: Carried::default(),
            wasi: wasi::State::default(),
        }
    }

    /// Forgets what belongs to the call before: what a call sees depends on its batch and its seed, not on the calls before it.
    /// `now_ms` is the record time that clocks show during the next one.
    pub(crate) fn begin_call(&mut self, now_ms: i64, seed: u64) {
        self.refused_bytes = None;
        self.last_words = None;
        self.now_ms = now_ms;
        self.in_call = false;
        self.state_usage = Usage::default();
        self.http_usage = http::Usage::default();
        self.random = Random::new(seed);
        self.wasi.begin_call();
    }

    /// What begins now is a call with records, or a poll, that may take `limit_ms`.
    pub(crate) fn enter(&mut self, limit_ms: u64) {
        self.in_call = true;
        self.time = CallTime {
            began: Instant::now(),
            limit_ms,
            waited: Duration::ZERO,
        };
    }

    /// Whether the guest is at records, or at a poll, and not at its `configure`.
    pub(crate) fn in_call(&self) -> bool {
        self.in_call
    }

    /// The guest did not run for `waited`: how many milliseconds the call has left.
    pub(crate) fn waited(&mut self, waited: Duration) -> u64 {
        self.time.waited += waited;
        let ran = self.time.began.elapsed().saturating_sub(self.time.waited);
        self.time
            .limit_ms
            .saturating_sub(u64::try_from(ran.as_millis()).unwrap_or(u64::MAX))
    }

    /// Record time of the call: milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Bytes of linear memory the guest has. Memories do not shrink, so this is its high-water mark too.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Bytes the guest would have had in all when it was refused more, in the call under way.
    pub(crate) fn refused_bytes(&self) -> Option<usize> {
        self.refused_bytes
    }

    /// What the guest said of why it traps.
    pub(crate) fn take_last_words(&mut self) -> Option<String> {
        self.last_words.take()
    }

    /// A line that the guest logs.
    pub(crate) fn log(&mut self, level: Level, line: &str) {
        let line = truncate(
            line.trim_end_matches(['\r', '\n']),
            self.limits.log_line_bytes_max,
        );
        if level == Level::Critical {
            self.last_words = Some(line.to_owned());
        }
        let Some(left_out) = self.rate.admit(line.len(), Instant::now()) else {
            return;
        };
        if left_out > 0 {
            self.log.log(
                Level::Warn,
                &format!(
                    "{left_out} log lines left out: over the log rate of the plugin, {} bytes or {} lines a second (limits log-bytes and \
                     log-lines)",
                    self.limits.log_bytes_per_s, self.limits.log_lines_per_s
                ),
            );
        }
        self.log.log(level, line);
    }

    /// A sample that the guest records.
    pub(crate) fn sample(&mut self, name: &str, sample: Sample) {
        if let Some(warning) = self.carried.meter.record(name, sample) {
            self.log(Level::Warn, &warning);
        }
    }

    /// A line that the guest writes to its standard error: what an ordinary toolchain says before it aborts.
    pub(crate) fn stderr(&mut self, line: &str) {
        let line = truncate(line, self.limits.log_line_bytes_max);
        self.last_words = Some(line.to_owned());
        self.log(Level::Warn, line);
    }
}

/// Runs `work` on the keyed state of the call under way; `store` is there to look at the guest's memory.
pub(crate) fn with_state<T>(
    mut store: StoreContextMut<'_, HostState>,
    work: impl FnOnce(&StoreContextMut<'_, HostState>, &mut Access<'_>) -> wasmtime::Result<T>,
) -> wasmtime::Result<T> {
    let Some(mut state) = store.data_mut().carried.state.take() else {
        let reason = "the plugin used its state where there is none: it is there during calls with records, not in `configure`";
        return Err(wasmtime::Error::new(Refusal(reason.to_owned())));
    };
    let mut usage = store.data().state_usage;
    let mut access = Access {
        store: &mut *state,
        usage: &mut usage,
        limits: &store.data().limits,
        now_ms: store.data().now_ms,
    };
    let worked = work(&store, &mut access);
    let data = store.data_mut();
    data.state_usage = usage;
    data.carried.state = Some(state);
    worked
}

impl ResourceLimiter for HostState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory_bytes_max {
            self.refused_bytes = Some(total);
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        if total > self.limits.table_elements_max {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
