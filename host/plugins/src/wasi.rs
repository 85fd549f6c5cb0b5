//! WASI 0.2 with nothing behind it, so that components of ordinary toolchains load: no arguments, environment, files or
//! input; output goes to the plugin's log; clocks show the time of the records; random numbers come from the call's seed, so that a
//! replay gives what the first run gave. Waiting is over at once: a guest that could sleep in the host would outlive its deadline.
//!
//! Functions are looked up by name, whichever 0.2 version a component was built against; what has no meaning here traps when it
//! is called, with its name.

mod functions;
mod names;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};

use crate::state::HostState;

/// What WASI shows one instance.
#[derive(Debug, Default)]
pub(crate) struct State {
    ticks: u64,
    stdout: Line,
    stderr: Line,
}

impl State {
    /// The clock starts anew with every call.
    pub(crate) fn begin_call(&mut self) {
        self.ticks = 0;
    }

    /// Nanoseconds of a clock that moves by a microsecond each time it is looked at.
    fn monotonic_ns(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks * 1_000
    }
}

/// A stream of bytes, taken apart into lines.
#[derive(Debug, Default)]
struct Line {
    partial: Vec<u8>,
}

/// Bytes of a line kept until its end comes; the log truncates to less.
const LINE_BYTES_MAX: usize = 16 << 10;

impl Line {
    /// Gives each complete line to `each`; keeps the rest.
    fn write(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.flush(&mut each);
            }
        }
    }

    fn flush(&mut self, mut each: impl FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.partial);
        let line = line.trim_end_matches(['\r', '\n']);
        if !line.is_empty() {
            each(line);
        }
        self.partial.clear();
    }
}

/// Defines whatever of WASI `component` imports. Its imports have been checked against the list of what plugins get.
pub(crate) fn link(linker: &mut Linker<HostState>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine().clone();
    for (interface, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            continue;
        };
        if !interface.starts_with("wasi:") {
            continue;
        }
        let mut define = linker.instance(interface)?;
        for (name, export) in instance.exports(&engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    let function = functions::find(interface, name);
                    define.func_new(name, move |store, _, params, results| {
                        function.call(store, params, results)
                    })?;
                }
                ComponentItem::Resource(_) => {
                    define.resource(name, ResourceType::host_dynamic(names::resource(name)), |_, _| {
                        Ok(())
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_into_lines() {
        let mut line = Line::default();
        let mut seen = Vec::new();
        for bytes in [&b"one\ntw"[..], b"o\r\n\n", b"three"] {
            line.write(bytes, |text| seen.push(text.to_owned()));
        }
        assert_eq!(seen, ["one", "two"]);
        line.flush(|text| seen.push(text.to_owned()));
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut line = Line::default();
        for _ in 0..100 {
            line.write(&[b'x'; 4096], |_| panic!("no line ends"));
        }
        assert_eq!(line.partial.len(), LINE_BYTES_MAX);
    }
}
