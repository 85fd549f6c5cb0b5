//! `weir plugin build`: a guest crate becomes a component.

use std::path::PathBuf;

use serde_json::{Value, json};
use weir_plugin_build::{BuildError, Built, Options};

use crate::cli::{Failure, Output, human_bytes};

const EXAMPLES: &str = "\
Examples:
  weir plugin build                       the crate in this folder
  weir plugin build keep && weir plugin upload keep/keep.wasm --name keep
  weir plugin build keep --output json | jq -r .path

The crate is an ordinary one: `crate-type = [\"cdylib\"]` and the dependency weir-plugin. It is compiled for
wasm32-unknown-unknown, and the component goes into its folder as NAME.wasm.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder of the crate, or of a workspace of such crates
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let options = Options {
        target_dir: std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from),
        ..Options::default()
    };
    let built = weir_plugin_build::build(&args.dir, &options).map_err(|error| failure(&error))?;
    let files = built
        .iter()
        .map(|built| write(args, built))
        .collect::<Result<Vec<_>, _>>()?;
    let plain = || {
        let lines = files
            .iter()
            .map(|(path, bytes)| format!("{} ({})\n", path.display(), human_bytes(*bytes)));
        lines.collect()
    };
    let mut views: Vec<Value> = files
        .iter()
        .map(|(path, bytes)| json!({ "path": path, "bytes": bytes }))
        .collect();
    // One crate is the rule, and then the answer is about one.
    let view = if views.len() == 1 {
        views.remove(0)
    } else {
        Value::Array(views)
    };
    output.answer(&view, plain)
}

fn write(args: &Args, built: &Built) -> Result<(PathBuf, u64), Failure> {
    let path = args.dir.join(&built.name).with_extension("wasm");
    std::fs::write(&path, &built.component).map_err(|error| {
        Failure::new(
            format!("cannot write {}: {error}", path.display()),
            "check the folder's rights",
        )
    })?;
    Ok((path, built.component.len() as u64))
}

fn failure(error: &BuildError) -> Failure {
    Failure::from_message(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_crate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let failure = run(
            &Args {
                dir: dir.path().to_owned(),
            },
            Output::Plain,
        )
        .unwrap_err()
        .to_string();
        assert!(failure.contains(&dir.path().display().to_string()), "{failure}");
        assert_eq!(failure.lines().count(), 2, "{failure}");
    }
}
