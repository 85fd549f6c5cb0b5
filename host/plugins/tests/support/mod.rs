//! What the tests of the runtime share: batches, hostile components as text, a log that remembers.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use weir_batch::frame::{Entry, Reader};
use weir_batch::{BatchBuilder, bitmap};
use weir_runtime::{
    CallError, Grants, Instance, InstanceOptions, Level, Limits, LoadError, LogSink, Plugin, Runtime,
    RuntimeConfig,
};

/// A batch of one record for each value, a millisecond apart from `1_000` on.
pub(crate) fn batch<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for (index, value) in values.into_iter().enumerate() {
        builder
            .push(1_000 + index as i64, None, Some(value.as_ref()), &[])
            .unwrap();
    }
    builder.finish().unwrap()
}

pub(crate) fn runtime() -> Runtime {
    Runtime::new(RuntimeConfig::default()).unwrap()
}

pub(crate) fn runtime_with(limits: Limits) -> Runtime {
    Runtime::new(RuntimeConfig {
        limits,
        ..RuntimeConfig::default()
    })
    .unwrap()
}

pub(crate) fn options(config: &[(&str, &str)]) -> InstanceOptions {
    let config: BTreeMap<_, _> = config
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    InstanceOptions {
        config,
        ..InstanceOptions::default()
    }
}

/// The same with keyed state granted.
pub(crate) fn start_with_state(plugin: &Plugin, config: &[(&str, &str)]) -> Result<Instance, CallError> {
    plugin.instantiate_with(options(config), Grants::none().state())
}

pub(crate) fn start(plugin: &Plugin, config: &[(&str, &str)]) -> Result<Instance, CallError> {
    plugin.instantiate(options(config))
}

/// Which records a filter keeps.
pub(crate) fn kept(instance: &mut Instance, batch: &[u8], records: usize) -> Result<Vec<usize>, CallError> {
    let mut bits = Vec::new();
    instance.filter(batch, &mut bits)?;
    Ok((0..records).filter(|index| bitmap::get(&bits, *index)).collect())
}

/// The values that a transform of one output emits.
pub(crate) fn emitted(instance: &mut Instance, batch: &[u8], records: u32) -> Result<Vec<String>, CallError> {
    let mut frame = Vec::new();
    instance.transform(batch, &mut frame)?;
    let reader = Reader::new(&frame, records, 1).expect("the runtime has checked it");
    Ok(reader
        .entries()
        .map(|entry| match entry {
            Entry::Emit { tail, .. } => {
                String::from_utf8_lossy(tail.value().unwrap_or_default()).into_owned()
            }
            other => format!("{other:?}"),
        })
        .collect())
}

/// Keeps every line.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<(Level, String)>>);

impl Lines {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn taken(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl LogSink for Lines {
    fn log(&self, level: Level, line: &str) {
        self.0.lock().unwrap().push((level, line.to_owned()));
    }
}

/// The parts of a filter written as text. Strings at the end of memory's first page: 61440.
pub(crate) struct FilterText<'a> {
    /// Imports of the component, and what goes with them.
    pub(crate) outer: &'a str,
    /// `with` clauses of the core module's instantiation.
    pub(crate) with: &'a str,
    /// Further definitions in the core module.
    pub(crate) module: &'a str,
    /// The memory.
    pub(crate) memory: &'a str,
    /// What `configure` does before it says yes.
    pub(crate) configure: &'a str,
    /// The body of `filter`: two parameters (pointer, bytes), gives a pointer to (pointer, bytes).
    pub(crate) filter: &'a str,
    /// What realloc gives.
    pub(crate) realloc: &'a str,
}

impl Default for FilterText<'_> {
    fn default() -> Self {
        Self {
            outer: "",
            with: "",
            module: "",
            memory: "(memory (export \"memory\") 1)",
            configure: "",
            // One byte, 1, at 16: keeps the only record of a batch.
            filter: "(i32.store (i32.const 8) (i32.const 16)) (i32.store (i32.const 12) (i32.const 1))
                     (i32.store8 (i32.const 16) (i32.const 1)) (i32.const 8)",
            realloc: "(i32.const 1024)",
        }
    }
}

impl FilterText<'_> {
    pub(crate) fn component(&self) -> Vec<u8> {
        let Self {
            outer,
            with,
            module,
            memory,
            configure,
            filter,
            realloc,
        } = self;
        let text = format!(
            r#"(component
              {outer}
              (core module $m
                {module}
                {memory}
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                (func (export "configure") (param i32 i32) (result i32) {configure} (i32.const 0))
                (func (export "filter") (param i32 i32) (result i32) {filter}))
              (core instance $i (instantiate $m {with}))
              (func $configure (param "config" (list (tuple string string))) (result (result (error string)))
                (canon lift (core func $i "configure") (memory $i "memory") (realloc (func $i "realloc"))))
              (func $filter (param "batch" (list u8)) (result (list u8))
                (canon lift (core func $i "filter") (memory $i "memory") (realloc (func $i "realloc"))))
              (instance $world (export "configure" (func $configure)) (export "filter" (func $filter)))
              (export "weir:plugin/record-filter@0.1.0" (instance $world)))"#
        );
        wat::parse_str(text).unwrap()
    }
}

pub(crate) fn refusal(bytes: &[u8]) -> LoadError {
    runtime().load(bytes).expect_err("it has to be refused")
}
