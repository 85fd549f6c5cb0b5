//! `cargo xtask languages`: the plugins in other languages, built by their own scripts and tried.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cargo;

/// Records of a trial: several batches, so that a plugin is called more than once.
const RECORDS: usize = 10_000;

/// A plugin, and what has to come out of it.
struct Trial {
    /// Its folder in `plugins/languages`.
    language: &'static str,
    /// What its script makes.
    wasm: &'static str,
    /// How it is set up.
    args: &'static [&'static str],
    /// The record at an index, and the line that `weir plugin test` prints of it, if any.
    record: fn(usize) -> (String, Option<String>),
}

const TRIALS: [Trial; 3] = [
    Trial {
        language: "javascript",
        wasm: "build/orders.wasm",
        // Its garbage is collected too late for the default of 64 MiB.
        args: &["--set", "min-total=5", "--key-separator", ":", "--memory", "256M"],
        record: order,
    },
    Trial {
        language: "python",
        wasm: "build/matching.wasm",
        // A digit twice at the end: no expression of an automaton's.
        args: &["--set", r"pattern=(\d)\1$"],
        record: |index| {
            let doubled = index >= 10 && index % 10 == index / 10 % 10;
            (format!("line {index}"), doubled.then(|| format!("line {index}")))
        },
    },
    Trial {
        language: "c",
        wasm: "build/contains.wasm",
        args: &["--set", "text=77"],
        record: |index| {
            let line = format!("line {index}");
            let kept = line.contains("77").then(|| line.clone());
            (line, kept)
        },
    },
];

/// An order: one in fifty is no JSON and goes to the dead-letter topic, one in ten is cancelled.
fn order(index: usize) -> (String, Option<String>) {
    if index % 50 == 49 {
        return (format!(":order {index}"), None);
    }
    let (customer, amount, cancelled) = (index % 7, index % 11, index % 10 == 3);
    let total = amount as f64 * 2.5;
    // The first colon of a line ends its key: an order begins with one, so that the key is empty.
    let line =
        format!(r#":{{"customer":"c{customer}","amount":{amount},"price":2.5,"cancelled":{cancelled}}}"#);
    let kept = !cancelled && total >= 5.0;
    let booked = kept.then(|| format!(r#"c{customer}:{{"customer":"c{customer}","total":{total}}}"#));
    (line, booked)
}

/// Builds and tries the plugins in `languages`, all of them if that is empty.
///
/// # Errors
///
/// A line that says which of them does not build, or gives something else than it should.
pub(crate) fn run(languages: &[String]) -> Result<(), String> {
    for language in languages {
        if TRIALS.iter().all(|trial| trial.language != language) {
            let known: Vec<_> = TRIALS.iter().map(|trial| trial.language).collect();
            return Err(format!(
                "there is no plugin in {language:?}, only in {}",
                known.join(", ")
            ));
        }
    }
    let wanted = |trial: &&Trial| languages.is_empty() || languages.iter().any(|name| name == trial.language);
    for trial in TRIALS.iter().filter(wanted) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../plugins/languages")
            .join(trial.language);
        build(trial, &folder)?;
        test(trial, &folder)?;
    }
    Ok(())
}

fn build(trial: &Trial, folder: &Path) -> Result<(), String> {
    let script = folder.join("build.sh");
    eprintln!("xtask: {}", script.display());
    let status = Command::new("bash")
        .arg(&script)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cannot run bash: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "the plugin in {} does not build: {} ended with {status}",
        trial.language,
        script.display()
    ))
}

fn test(trial: &Trial, folder: &Path) -> Result<(), String> {
    let (input, expected): (Vec<_>, Vec<_>) = (0..RECORDS).map(trial.record).unzip();
    let expected: Vec<String> = expected.into_iter().flatten().collect();
    let path = folder.join("build/input.txt");
    std::fs::write(&path, input.join("\n") + "\n")
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    // Many times each: what a plugin says of a batch must not depend on what came before, and its memory must not grow for ever.
    let mut args = vec![
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "weir",
        "--",
    ];
    args.extend(["plugin", "test", "--repeat", "20", "--input"]);
    let wasm = folder.join(trial.wasm);
    let output = cargo::output(&args, |command| {
        command.arg(&path).args(trial.args).arg(&wasm);
    })?;
    let printed: Vec<&str> = output.lines().collect();
    for (index, line) in expected.iter().enumerate() {
        match printed.get(index) {
            Some(found) if found == line => {}
            found => {
                return Err(format!(
                    "the plugin in {} gives {found:?} as line {index}, and should give {line:?}",
                    trial.language
                ));
            }
        }
    }
    if printed.len() > expected.len() {
        return Err(format!(
            "the plugin in {} gives {} records, and should give {}",
            trial.language,
            printed.len(),
            expected.len()
        ));
    }
    println!(
        "{}: {} of {RECORDS} records came out, as they should",
        trial.language,
        expected.len()
    );
    Ok(())
}
