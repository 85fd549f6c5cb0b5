/// Resources by name: `wasi:cli/stdout` hands out what `wasi:io/streams` defines, so one name is one type everywhere.
pub(super) const POLLABLE: u32 = 1;
pub(super) const INPUT_STREAM: u32 = 2;
pub(super) const OUTPUT_STREAM: u32 = 3;

pub(super) fn resource(name: &str) -> u32 {
    match name {
        "pollable" => POLLABLE,
        "input-stream" => INPUT_STREAM,
        "output-stream" => OUTPUT_STREAM,
        "error" => 4,
        "descriptor" => 5,
        "directory-entry-stream" => 6,
        "terminal-input" => 7,
        "terminal-output" => 8,
        // No other resource of these interfaces ever comes into being here; they need no telling apart.
        _ => 0,
    }
}
