use std::path::PathBuf;

use crate::Kind;

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine refuses this machine or these settings.
    #[error("the WebAssembly engine does not start: {reason}")]
    Engine {
        /// In the engine's words.
        reason: String,
    },
    /// Outbound HTTP cannot be set up.
    #[error("plugins cannot call out over HTTP: {reason}")]
    Http {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The folder of compiled plugins cannot be made or read.
    #[error("the folder of compiled plugins {} cannot be used: {source}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// Why an upload is refused. `Display` says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no WebAssembly binary.
    #[error("this is not WebAssembly ({found}): upload the .wasm file that `weir plugin build` makes")]
    NotWasm {
        /// What they look like.
        found: String,
    },
    /// A core module that no `weir:plugin` bindings are compiled into.
    #[error(
        "this is a core WebAssembly module without an interface of weir:plugin ({why}): write the plugin with the weir-plugin \
         crate (or wit-bindgen and the weir:plugin package) and build it for wasm32-unknown-unknown, or upload a component"
    )]
    NotAComponent {
        /// What is missing.
        why: String,
    },
    /// A component for something else.
    #[error(
        "this component is for another world: it exports {}, and a plugin exports weir:plugin/record-filter, \
         weir:plugin/record-transform or weir:plugin/record-producer, or one of the first two as -typed, version 0.1",
        list(exports)
    )]
    WrongWorld {
        /// The names it exports.
        exports: Vec<String>,
    },
    /// A plugin is one thing.
    #[error(
        "this component exports several worlds of weir:plugin ({}): make one plugin of each",
        list(exports)
    )]
    SeveralWorlds {
        /// The worlds' interfaces.
        exports: Vec<String>,
    },
    /// The component asks for something that plugins do not get.
    #[error("this component imports {name}, which plugins do not get: {why}")]
    ForbiddenImport {
        /// The import's name.
        name: String,
        /// Why not, and what there is instead.
        why: &'static str,
    },
    /// Over [`Limits::component_bytes_max`](crate::Limits::component_bytes_max).
    #[error(
        "the plugin is {size} bytes, and this broker takes at most {limit}: build it in release mode, or raise the limit"
    )]
    TooLarge {
        /// Bytes uploaded.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// It is damaged, or uses what this engine does not know.
    #[error("this is no valid plugin: {reason}")]
    Invalid {
        /// In the validator's words.
        reason: String,
    },
}

/// What raises a limit.
const HOW: &str = "raise it with --limit";

/// Names for a message: all of a few, some of many.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names {
        [] => "nothing".to_owned(),
        few if few.len() <= SHOWN => few.join(", "),
        many => format!("{} and {} more", many[..SHOWN].join(", "), many.len() - SHOWN),
    }
}

/// Why a call has no result. But for [`CallError::Poll`] and [`CallError::Migrate`], the instance's memory is gone afterwards; the next call starts from a
/// fresh one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest trapped.
    #[error("the plugin trapped: {reason}{}", frames(backtrace))]
    Trap {
        /// The guest's last words where it had any, otherwise the kind of trap.
        reason: String,
        /// The innermost functions first.
        backtrace: Vec<String>,
    },
    /// The call took longer than [`Limits::deadline_ms`](crate::Limits::deadline_ms).
    #[error("the plugin was stopped: it ran longer than {limit_ms} ms in one call (limit call-time: {HOW} call-time={}ms)", limit_ms.saturating_mul(2))]
    Deadline {
        /// Milliseconds allowed.
        limit_ms: u64,
    },
    /// The call took longer than [`Limits::deadline_us_per_input`](crate::Limits::deadline_us_per_input) allows for its records.
    #[error(
        "the plugin was stopped: it ran longer than {limit_ms} ms in one call over {records} records, {limit_us} us for each (limit \
         record-time: {HOW} record-time={}us)",
        limit_us.saturating_mul(2)
    )]
    RecordDeadline {
        /// Microseconds allowed for a record.
        limit_us: u64,
        /// Records in the batch.
        records: u32,
        /// Milliseconds that came to.
        limit_ms: u64,
    },
    /// The guest gave up after it was refused memory beyond [`Limits::memory_bytes_max`](crate::Limits::memory_bytes_max).
    #[error(
        "the plugin ran out of memory: it asked for {asked_bytes} bytes and may have {limit_bytes} (limit memory: {HOW} memory={}MiB)",
        limit_bytes.saturating_mul(2).div_ceil(1 << 20)
    )]
    Memory {
        /// Bytes that it would have had in all.
        asked_bytes: usize,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// The output is over [`Limits::output_bytes_max`](crate::Limits::output_bytes_max).
    #[error(
        "the plugin returned {bytes} bytes from one call, and may return {limit} (limit output-bytes: {HOW} output-bytes={bytes})"
    )]
    OutputTooLarge {
        /// Bytes returned.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The output is over [`Limits::output_bytes_max_per_input`](crate::Limits::output_bytes_max_per_input) for its records.
    #[error(
        "the plugin returned {bytes} bytes for a batch of {records}, and may return {limit} for each record (limit record-output-bytes: \
         {HOW} record-output-bytes={})",
        limit.saturating_mul(2)
    )]
    RecordOutputTooLarge {
        /// Bytes returned.
        bytes: usize,
        /// Records in the batch.
        records: u32,
        /// Bytes allowed for a record.
        limit: usize,
    },
    /// The frame has more entries than [`Limits::output_records_max`](crate::Limits::output_records_max).
    #[error(
        "the plugin returned {records} records from one call, and may return {limit} (limit output-records: {HOW} output-records={records})"
    )]
    TooManyRecordsInAll {
        /// Entries returned.
        records: u64,
        /// Entries allowed.
        limit: u64,
    },
    /// The frame has more entries than [`Limits::output_records_max_per_input`](crate::Limits::output_records_max_per_input) allows.
    #[error(
        "the plugin returned {records} records for a batch of {input}, and may return {limit} (limit record-output-records: {HOW} \
         record-output-records={})",
        records.div_ceil(u64::from(*input).max(1))
    )]
    TooManyRecords {
        /// Entries returned.
        records: u64,
        /// Records in the batch.
        input: u32,
        /// Entries allowed.
        limit: u64,
    },
    /// A page of a producer is over its [`Budget`](crate::Budget).
    #[error("the plugin returned {returned} {unit} from one poll, and was to return at most {budget}")]
    OverBudget {
        /// `records` or `bytes`.
        unit: &'static str,
        /// How many were returned.
        returned: u64,
        /// How many were asked for.
        budget: u64,
    },
    /// The cursor of a producer is over [`Limits::cursor_bytes_max`](crate::Limits::cursor_bytes_max).
    #[error(
        "the plugin returned a cursor of {bytes} bytes, and may return {limit}: a cursor says where to go on, and is no store"
    )]
    CursorTooLarge {
        /// Bytes returned.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A producer said that it has no page, and why. Its instance goes on.
    #[error("the plugin has no records to give: {message}")]
    Poll {
        /// In the plugin's words.
        message: String,
    },
    /// A plugin refuses state of another version than its own, and says why. Its instance goes on.
    #[error("the plugin refuses the state: {message}")]
    Migrate {
        /// In the plugin's words.
        message: String,
    },
    /// The bitmap, frame or page is not what the world says.
    #[error("the plugin returned a malformed answer: {reason}")]
    BadOutput {
        /// What is wrong with it.
        reason: String,
    },
    /// `configure` refused the configuration.
    #[error("the plugin refuses its configuration: {message}")]
    Configure {
        /// In the plugin's words.
        message: String,
    },
    /// The plugin imports what the caller does not grant.
    #[error("the plugin imports weir:plugin/{interface}, which it is not given here")]
    NotGranted {
        /// The interface, without package and version.
        interface: &'static str,
    },
    /// Keyed state could not be read or written: a fault of the host, not of the plugin.
    #[error("the plugin's state cannot be used: {reason}")]
    State {
        /// What the store of the state says.
        reason: String,
    },
    /// The flow is being stopped while the guest waited for a host. What it had done is forgotten, and nothing is wrong with its records.
    #[error("the call was ended: the flow is being stopped")]
    Stopped,
    /// No instance could be made, and not through the plugin's code.
    #[error("the plugin cannot be started: {reason}")]
    Instantiate {
        /// In the engine's words.
        reason: String,
    },
    /// The caller's batch is none, or is compressed.
    #[error("the batch cannot be given to a plugin: {reason}")]
    BadInput {
        /// What is wrong with it.
        reason: String,
    },
    /// A filter was called as a transform, or the like.
    #[error("the plugin is a {found}, not a {wanted}")]
    WrongKind {
        /// What it is.
        found: Kind,
        /// What it was called as.
        wanted: Kind,
    },
}

fn frames(backtrace: &[String]) -> String {
    match backtrace {
        [] => String::new(),
        frames => format!(" (in {})", frames.join(" < ")),
    }
}
