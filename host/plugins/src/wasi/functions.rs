use wasmtime::component::{ResourceDynamic, Val};
use wasmtime::{Result, StoreContextMut, bail};

use super::names::{INPUT_STREAM, OUTPUT_STREAM, POLLABLE};
use crate::log::Level;
use crate::random::RANDOM_BYTES_MAX;
use crate::state::HostState;

/// Bytes a stream says it takes at once.
const WRITE_BYTES: u64 = 4 << 10;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// One function of WASI, as far as it means something here.
pub(super) struct Function {
    name: String,
    meaning: Meaning,
}

#[derive(Clone, Copy)]
enum Meaning {
    EmptyList,
    None,
    Unit,
    True,
    Exit,
    Stream(u32, u32),
    WallClockNow,
    WallClockResolution,
    MonotonicNow,
    MonotonicResolution,
    Pollable,
    Poll,
    CheckWrite,
    Write,
    Done,
    Closed,
    DebugString,
    RandomBytes,
    RandomU64,
    RandomSeed,
    Absent,
}

/// What the function `name` of `interface` means; every function has a meaning, if only that it is not there.
pub(super) fn find(interface: &str, name: &str) -> Function {
    let (short, _version) = interface.split_once('@').unwrap_or((interface, ""));
    let meaning = match (short, name) {
        ("wasi:cli/environment", "get-environment" | "get-arguments") => Meaning::EmptyList,
        ("wasi:cli/environment", "initial-cwd") => Meaning::None,
        ("wasi:cli/exit", _) => Meaning::Exit,
        ("wasi:cli/stdin", "get-stdin") => Meaning::Stream(INPUT_STREAM, 0),
        ("wasi:cli/stdout", "get-stdout") => Meaning::Stream(OUTPUT_STREAM, STDOUT),
        ("wasi:cli/stderr", "get-stderr") => Meaning::Stream(OUTPUT_STREAM, STDERR),
        ("wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr", _) => {
            Meaning::None
        }
        ("wasi:clocks/wall-clock", "now") => Meaning::WallClockNow,
        ("wasi:clocks/wall-clock", "resolution") => Meaning::WallClockResolution,
        ("wasi:clocks/monotonic-clock", "now") => Meaning::MonotonicNow,
        ("wasi:clocks/monotonic-clock", "resolution") => Meaning::MonotonicResolution,
        ("wasi:clocks/monotonic-clock", "subscribe-instant" | "subscribe-duration") => Meaning::Pollable,
        ("wasi:io/poll", "[method]pollable.ready") => Meaning::True,
        ("wasi:io/poll", "[method]pollable.block") => Meaning::Unit,
        ("wasi:io/poll", "poll") => Meaning::Poll,
        ("wasi:io/error", "[method]error.to-debug-string") => Meaning::DebugString,
        ("wasi:io/streams", "[method]output-stream.check-write") => Meaning::CheckWrite,
        (
            "wasi:io/streams",
            "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush",
        ) => Meaning::Write,
        ("wasi:io/streams", "[method]output-stream.flush" | "[method]output-stream.blocking-flush") => {
            Meaning::Done
        }
        ("wasi:io/streams", "[method]output-stream.subscribe" | "[method]input-stream.subscribe") => {
            Meaning::Pollable
        }
        (
            "wasi:io/streams",
            "[method]input-stream.read"
            | "[method]input-stream.blocking-read"
            | "[method]input-stream.skip"
            | "[method]input-stream.blocking-skip",
        ) => Meaning::Closed,
        ("wasi:random/random", "get-random-bytes")
        | ("wasi:random/insecure", "get-insecure-random-bytes") => Meaning::RandomBytes,
        ("wasi:random/random", "get-random-u64") | ("wasi:random/insecure", "get-insecure-random-u64") => {
            Meaning::RandomU64
        }
        ("wasi:random/insecure-seed", "insecure-seed") => Meaning::RandomSeed,
        ("wasi:filesystem/preopens", "get-directories") => Meaning::EmptyList,
        _ => Meaning::Absent,
    };
    Function {
        name: format!("{short}#{name}"),
        meaning,
    }
}

impl Function {
    pub(super) fn call(
        &self,
        mut store: StoreContextMut<'_, HostState>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let mut resources = Vec::new();
        for param in params {
            take_resources(&mut store, param, &mut resources)?;
        }
        let answer = self.answer(&mut store, params, &resources)?;
        match (results, answer) {
            ([], None) => Ok(()),
            ([result], Some(answer)) => {
                *result = answer;
                Ok(())
            }
            _ => bail!("{} has another type in this component", self.name),
        }
    }

    fn answer(
        &self,
        store: &mut StoreContextMut<'_, HostState>,
        params: &[Val],
        resources: &[u32],
    ) -> Result<Option<Val>> {
        Ok(Some(match self.meaning {
            Meaning::Unit => return Ok(None),
            Meaning::EmptyList => Val::List(Vec::new()),
            Meaning::None => Val::Option(None),
            Meaning::True => Val::Bool(true),
            Meaning::Exit => bail!("the plugin called exit"),
            Meaning::Absent => bail!("{} is not there for plugins", self.name),
            Meaning::Stream(resource, rep) => own(store, rep, resource)?,
            Meaning::Pollable => own(store, 0, POLLABLE)?,
            Meaning::WallClockNow => {
                let now_ms = store.data().now_ms().max(0) as u64;
                datetime(now_ms / 1_000, (now_ms % 1_000) as u32 * 1_000_000)
            }
            Meaning::WallClockResolution => datetime(0, 1_000_000),
            Meaning::MonotonicNow => Val::U64(store.data_mut().wasi.monotonic_ns()),
            Meaning::MonotonicResolution => Val::U64(1_000),
            Meaning::Poll => {
                let [Val::List(pollables)] = params else {
                    bail!("{} has another type in this component", self.name);
                };
                Val::List((0..pollables.len() as u32).map(Val::U32).collect())
            }
            Meaning::CheckWrite => ok(Some(Val::U64(WRITE_BYTES))),
            Meaning::Write => {
                write(store, params, resources)?;
                ok(None)
            }
            Meaning::Done => ok(None),
            Meaning::Closed => Val::Result(Err(Some(Box::new(Val::Variant("closed".to_owned(), None))))),
            Meaning::DebugString => Val::String("not there for plugins".to_owned()),
            Meaning::RandomBytes => {
                let [Val::U64(len)] = params else {
                    bail!("{} has another type in this component", self.name);
                };
                if *len > RANDOM_BYTES_MAX as u64 {
                    bail!(
                        "{} was asked for {len} bytes, the most is {RANDOM_BYTES_MAX}",
                        self.name
                    );
                }
                let bytes = store.data_mut().random.bytes(*len as usize);
                Val::List(bytes.into_iter().map(Val::U8).collect())
            }
            Meaning::RandomU64 => Val::U64(store.data_mut().random.next()),
            Meaning::RandomSeed => {
                let random = &mut store.data_mut().random;
                Val::Tuple(vec![Val::U64(random.next()), Val::U64(random.next())])
            }
        }))
    }
}

fn own(store: &mut StoreContextMut<'_, HostState>, rep: u32, resource: u32) -> Result<Val> {
    Ok(Val::Resource(
        ResourceDynamic::new_own(rep, resource).try_into_resource_any(store)?,
    ))
}

fn ok(value: Option<Val>) -> Val {
    Val::Result(Ok(value.map(Box::new)))
}

fn datetime(seconds: u64, nanoseconds: u32) -> Val {
    Val::Record(vec![
        ("seconds".to_owned(), Val::U64(seconds)),
        ("nanoseconds".to_owned(), Val::U32(nanoseconds)),
    ])
}

/// Ends the host's hold on every handle in a parameter, as the component model wants it of a borrow before the call is over; gives what they
/// stand for.
fn take_resources(
    store: &mut StoreContextMut<'_, HostState>,
    param: &Val,
    resources: &mut Vec<u32>,
) -> Result<()> {
    match param {
        Val::Resource(handle) => {
            resources.push(ResourceDynamic::try_from_resource_any(*handle, store)?.rep());
            Ok(())
        }
        // A list of handles is for `poll`; other lists are of bytes, and have none.
        Val::List(values) if matches!(values.first(), Some(Val::Resource(_))) => values
            .iter()
            .try_for_each(|value| take_resources(store, value, resources)),
        _ => Ok(()),
    }
}

/// Lines of standard output are information, lines of standard error warnings.
fn write(store: &mut StoreContextMut<'_, HostState>, params: &[Val], resources: &[u32]) -> Result<()> {
    let ([_, Val::List(contents)], [stream]) = (params, resources) else {
        bail!("an output stream was written to with another type");
    };
    let bytes: Vec<u8> = contents
        .iter()
        .map(|byte| match byte {
            Val::U8(byte) => *byte,
            _ => b'?',
        })
        .collect();
    let state = store.data_mut();
    let errors = *stream == STDERR;
    // Taken out while lines go to the log, which is part of the same state.
    let mut line = std::mem::take(if errors {
        &mut state.wasi.stderr
    } else {
        &mut state.wasi.stdout
    });
    line.write(&bytes, |text| {
        if errors {
            state.stderr(text);
        } else {
            state.log(Level::Info, text);
        }
    });
    *(if errors {
        &mut state.wasi.stderr
    } else {
        &mut state.wasi.stdout
    }) = line;
    Ok(())
}
