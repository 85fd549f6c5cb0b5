//! `weir plugin new`: a crate to begin a plugin with.

mod files;
mod name;
mod sdk;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::{Failure, Output};
use sdk::Sdk;

const EXAMPLES: &str = "\
Examples:
  weir plugin new errors --kind filter
  weir plugin new keyed --kind transform --sdk ~/src/weir/sdk/plugin
  weir plugin new hello --kind producer
  weir plugin new errors --kind filter && weir plugin build errors && cargo test --manifest-path errors/Cargo.toml

The crate builds as it is, and does something small with a configuration key; its README.md has the way from there to a flow.
The guest SDK is looked for in a checkout of Weir's repository: around or beside the new folder, then where this program was built.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder to make; its last part is the crate's name
    #[arg(value_name = "NAME")]
    path: PathBuf,
    /// What it is to be
    #[arg(long, value_enum)]
    kind: Kind,
    /// The folder of the guest SDK: sdk/plugin of a checkout of Weir's repository
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

/// What there is a beginning for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Says of each record whether it goes on
    Filter,
    /// Makes records from records
    Transform,
    /// Brings records in, on a schedule
    Producer,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Transform => "transform",
            Self::Producer => "producer",
        }
    }
}

pub(crate) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let name = name::of(&args.path)?;
    refuse_occupied(&args.path)?;
    let sdk = match &args.sdk {
        Some(folder) => Some(Sdk::at(folder)?),
        None => Sdk::find(&args.path),
    };
    for (file, text) in files::render(args.kind, name, sdk.as_ref()) {
        write(&args.path.join(file), &text)?;
    }
    if sdk.is_none() {
        // Standard error may be closed: then nobody wants to know.
        let _ = writeln!(
            std::io::stderr(),
            "note: no checkout of Weir's repository found: fill in the paths in {}, or use --sdk PATH",
            args.path.join("Cargo.toml").display()
        );
    }
    let next = format!("weir plugin build {}", shown(&args.path));
    let answer = json!({
        "path": args.path,
        "name": name,
        "kind": args.kind.name(),
        "sdk": sdk.as_ref().map(Sdk::folder),
        "next": next,
    });
    output.answer(&answer, || {
        format!(
            "made {}, a {}: Cargo.toml, src/lib.rs, README.md\nnext: {next}\n",
            args.path.display(),
            args.kind.name()
        )
    })
}

/// The path as a shell takes it for one word.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-~+@%,:".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn refuse_occupied(folder: &Path) -> Result<(), Failure> {
    let occupied = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            return Err(Failure::new(
                format!("cannot make {}: {error}", folder.display()),
                "choose a name that no file has",
            ));
        }
    };
    if occupied {
        return Err(Failure::new(
            format!("{} is there already, and not empty", folder.display()),
            "choose another name, or remove it first",
        ));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let made = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, text));
    made.map_err(|error| {
        Failure::new(
            format!("cannot write {}: {error}", path.display()),
            "look at the disk and at the folder's rights",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(path: &Path, sdk: Option<PathBuf>) -> Result<(), Failure> {
        let args = Args {
            path: path.to_owned(),
            kind: Kind::Filter,
            sdk,
        };
        run(&args, Output::Json)
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (full, file) = (folder.path().join("full"), folder.path().join("file"));
        std::fs::create_dir(&full).unwrap();
        std::fs::write(full.join("kept"), "").unwrap();
        std::fs::write(&file, "").unwrap();
        for path in [&full, &file] {
            let refusal = new(path, None).unwrap_err().to_string();
            assert!(refusal.contains(path.to_str().unwrap()), "{refusal}");
            assert_eq!(refusal.lines().count(), 2, "{refusal}");
        }
        assert_eq!(std::fs::read_dir(&full).unwrap().count(), 1);

        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        new(&empty, None).unwrap();
        assert!(empty.join("src/lib.rs").is_file());
    }

    #[test]
    fn a_folder_that_is_no_sdk_is_refused_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keep");
        let refusal = new(&path, Some(folder.path().join("sdk")))
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("--sdk"), "{refusal}");
        assert!(!path.exists());
    }

    #[test]
    fn the_next_command_can_be_pasted() {
        assert_eq!(shown(Path::new("a/b-c")), "a/b-c");
        assert_eq!(shown(Path::new("it's mine")), r"'it'\''s mine'");
    }
}
