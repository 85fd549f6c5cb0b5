//! `cargo xtask`: what cargo alone cannot do.
//!
//! It has no dependencies on purpose: it is the first thing a fresh clone compiles, and it must be there in a second.

mod cargo;
mod guests;
mod languages;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND [ARG...]

  demo [ARG...]     build the release binary and run `weir demo`
  test [ARG...]     every test of the workspace: unit, property, end to end, crash, documentation
  bench [ARG...]    build the release binary and run `weir bench` (default: all)
  languages [NAME...]
                    build the plugins in other languages (javascript, python, c; default: all) and try them
  setup             only make sure that the guests' compilation target is there
  check             what CI checks besides the tests: formatting and clippy

ARGs are passed on: to `weir demo`, to the test runner, to `weir bench`.
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match command.as_str() {
        "demo" => demo(&rest),
        "test" => test(&rest),
        "bench" => bench(&rest),
        "languages" => guests::ensure_target().and_then(|()| languages::run(&rest)),
        "setup" => guests::ensure_target(),
        "check" => check(),
        "" | "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no command {other:?}\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn demo(args: &[String]) -> Result<(), String> {
    guests::ensure_target()?;
    cargo::run(
        &["run", "--release", "--locked", "--package", "weir", "--", "demo"],
        args,
    )
}

fn bench(args: &[String]) -> Result<(), String> {
    guests::ensure_target()?;
    let all = ["all".to_owned()];
    let args = if args.is_empty() { &all } else { args };
    cargo::run(
        &["run", "--release", "--locked", "--package", "weir", "--", "bench"],
        args,
    )
}

/// With nextest where it is installed (a process per test, so that a crash test that goes wrong takes nothing with it),
/// otherwise with cargo's own runner: a machine with only the Rust toolchain passes the same tests.
fn test(args: &[String]) -> Result<(), String> {
    guests::ensure_target()?;
    if cargo::has("nextest") {
        cargo::run(&["nextest", "run", "--workspace", "--locked"], args)?;
        if args.is_empty() {
            cargo::run(&["test", "--workspace", "--locked", "--doc"], &[])?;
        }
    } else {
        cargo::run(&["test", "--workspace", "--locked"], args)?;
    }
    if args.is_empty() {
        cargo::run(&[&["test", "--workspace", "--locked"], GUESTS].concat(), &[])?;
    }
    Ok(())
}

fn check() -> Result<(), String> {
    guests::ensure_target()?;
    cargo::run(&["fmt", "--all", "--check"], &[])?;
    cargo::run(
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    )?;
    cargo::run(
        &["fmt", "--all", "--check", "--manifest-path", "plugins/Cargo.toml"],
        &[],
    )?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked"];
    cargo::run(&[&clippy, GUESTS, &["--", "-D", "warnings"]].concat(), &[])
}

/// The guest crates are a workspace of their own, since they are built for another target; their unit tests run here.
const GUESTS: &[&str] = &[
    "--manifest-path",
    "plugins/Cargo.toml",
    "--target-dir",
    "target/guests",
];
