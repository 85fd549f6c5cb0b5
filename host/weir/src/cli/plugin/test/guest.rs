//! The plugin under test, called as a flow calls it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_runtime::{CallError, Grants, HttpAccess, Instance, InstanceOptions, Kind, Plugin, Stats};

use super::log::CallLog;
use super::metrics::{CallMetrics, Metrics};
use super::schema;
use super::state::TestState;
use crate::cli::Failure;

/// One instance, and what its calls took.
pub(super) struct Guest {
    instance: Instance,
    kind: Kind,
    outputs: Vec<String>,
    log: Arc<CallLog>,
    metrics: Arc<CallMetrics>,
    state: TestState,
    repeat: u32,
    answer: Vec<u8>,
    again: Vec<u8>,
    timed: Timed,
}

/// The calls that succeeded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timed {
    pub(super) calls: u64,
    pub(super) records: u64,
    pub(super) time: Duration,
}

impl Guest {
    /// Starts and configures it. Each batch is given to it `repeat` times.
    ///
    /// # Errors
    ///
    /// When it refuses its configuration, or fails before the first batch.
    pub(super) fn start(
        plugin: &Plugin,
        config: BTreeMap<String, String>,
        outputs: Vec<String>,
        repeat: u32,
        state: TestState,
        http: Option<HttpAccess>,
    ) -> Result<Self, Failure> {
        let log = Arc::new(CallLog::default());
        let mut options = InstanceOptions::new(Arc::clone(&log) as _);
        options.config = config;
        options.outputs.clone_from(&outputs);
        let metrics = Arc::new(CallMetrics::default());
        let mut grants = Grants::none().state().metrics(Arc::clone(&metrics) as _);
        if let Some(http) = http {
            grants = grants.http(http);
        }
        let started = plugin.instantiate_with(options, grants);
        log.show();
        let mut instance = started.map_err(|error| start_failure(&error))?;
        metrics.keep();
        instance.set_state(Box::new(state.clone()));
        let migrated = schema::migrate(&mut instance, &state);
        // What is logged and counted meanwhile is no record's.
        log.show();
        metrics.forget();
        migrated?;
        Ok(Self {
            instance,
            kind: plugin.kind(),
            outputs,
            log,
            metrics,
            state,
            repeat,
            answer: Vec::new(),
            again: Vec::new(),
            timed: Timed::default(),
        })
    }

    /// Calls it for a batch of `records`. The answer is then there to be [taken](Self::take_answer); a reason is given if the same
    /// batch had another answer later.
    ///
    /// # Errors
    ///
    /// When the first call fails. Its log lines wait to be shown or forgotten.
    pub(super) fn call(&mut self, batch: &[u8], records: usize) -> Result<Option<String>, CallError> {
        let mut answer = std::mem::take(&mut self.answer);
        let called = self.call_once(batch, records, &mut answer);
        self.answer = answer;
        if let Err(error) = called {
            self.metrics.forget();
            self.state.forget();
            return Err(error);
        }
        self.log.show();
        self.metrics.keep();
        for time in 2..=self.repeat {
            // The same batch on the same state.
            self.state.forget();
            let mut again = std::mem::take(&mut self.again);
            let called = self.call_once(batch, records, &mut again);
            self.again = again;
            // What it logs, it has logged.
            self.log.forget();
            self.metrics.forget();
            if let Err(error) = called {
                self.state.forget();
                return Ok(Some(format!(
                    "the first call succeeded, and call {time} did not: {error}"
                )));
            }
            if self.again != self.answer {
                self.state.keep();
                return Ok(Some(format!(
                    "call {time} for the same batch had another answer than the first: a flow that goes on after a crash would \
                     write other records"
                )));
            }
        }
        self.state.keep();
        Ok(None)
    }

    /// The bitmap or frame of the last call that succeeded; give it back with [`Self::give_back`].
    pub(super) fn take_answer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answer)
    }

    /// Takes the memory of an answer for the next one.
    pub(super) fn give_back(&mut self, answer: Vec<u8>) {
        self.answer = answer;
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn outputs(&self) -> &[String] {
        &self.outputs
    }

    pub(super) fn log(&self) -> &CallLog {
        &self.log
    }

    pub(super) fn timed(&self) -> Timed {
        self.timed
    }

    pub(super) fn metrics(&self) -> Metrics {
        self.metrics.kept()
    }

    pub(super) fn state_rows(&self) -> usize {
        self.state.len()
    }

    pub(super) fn stats(&self) -> Stats {
        self.instance.stats()
    }

    fn call_once(&mut self, batch: &[u8], records: usize, answer: &mut Vec<u8>) -> Result<(), CallError> {
        let before = self.instance.guest_time();
        match self.kind {
            Kind::Filter => self.instance.filter(batch, answer),
            _ => self.instance.transform(batch, answer).map(drop),
        }?;
        self.timed.calls += 1;
        self.timed.records += records as u64;
        self.timed.time += self.instance.guest_time() - before;
        Ok(())
    }
}

/// Why a plugin does not start, and what to do.
pub(super) fn start_failure(error: &CallError) -> Failure {
    let todo = match error {
        CallError::Configure { .. } => {
            "set its keys with --set KEY=VALUE; what it takes is said where the plugin comes from"
        }
        CallError::Instantiate { .. } => "give it more with --memory, or free some",
        _ => "this is before the first record: look at the plugin's `configure`",
    };
    Failure::new(error.to_string(), todo)
}
