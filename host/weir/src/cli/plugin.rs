//! `weir plugin`.

mod build;
mod new;
mod test;

use std::path::PathBuf;

use clap::Subcommand;
use weir_client::{PluginInfo, PluginKind};

use super::context::Context;
use super::output::table;
use super::{Failure, human_bytes, start};

/// What a plugin file may have here; the broker's own limit (32 MiB unless configured) is usually lower.
const FILE_BYTES_MAX: u64 = 1 << 30;

const EXAMPLES: &str = "\
Examples:
  weir plugin new keep --kind filter        a crate that builds, with an example, tests and the next steps
  weir plugin build keep                    cargo build for wasm32-unknown-unknown, then make a component of it
  weir plugin test keep/keep.wasm --set contains=ERROR --input access.log
  weir plugin upload keep/keep.wasm --name keep
  weir plugin describe keep@1
  weir plugin delete keep@1                 one version; without @V all of them";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Command {
    /// Make a crate to begin a plugin with
    New(new::Args),
    /// Build a guest crate into a component
    Build(build::Args),
    /// Run a plugin over lines, without a broker
    Test(Box<test::Args>),
    /// Upload a component, or a core module made with the guest SDK; it becomes the name's next version
    Upload(Upload),
    /// List the plugins with their versions
    List,
    /// Show a plugin's kind, size, hash and imports
    Describe {
        /// The plugin: NAME for the newest version, or NAME@V
        name: String,
    },
    /// Delete a version, or all of them; refused while a flow runs it, or would after a rollback
    Delete {
        /// The plugin: NAME for all versions, or NAME@V
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Upload {
    /// The WebAssembly file
    file: PathBuf,
    /// The plugin's name [default: the file's, without its ending]
    #[arg(long)]
    name: Option<String>,
}

impl Upload {
    /// The name that was given, or that of the file. The broker says what is wrong with it, if anything is.
    fn name(&self) -> String {
        let of_file = || {
            self.file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        self.name.clone().unwrap_or_else(of_file)
    }
}

pub(super) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let output = context.output;
    let command = match command {
        Command::New(args) => return new::run(&args, output),
        Command::Build(args) => return build::run(&args, output),
        Command::Test(args) => return test::run(*args, output).await,
        command => command,
    };
    let client = context.connect().await?;
    let admin = client.admin();
    match command {
        Command::New(_) | Command::Build(_) | Command::Test(_) => Ok(()),
        Command::Upload(upload) => {
            let wasm = read(&upload.file)?;
            let uploaded = admin.upload_plugin(&upload.name(), wasm, None).await?;
            let plugin = uploaded.plugin;
            let verb = if uploaded.already_present {
                "is there already:"
            } else {
                "uploaded"
            };
            output.answer(&plugin, || {
                format!(
                    "{verb} {}@{}: {}, {}",
                    plugin.name,
                    plugin.version,
                    kind(plugin.kind),
                    human_bytes(plugin.size)
                )
            })
        }
        Command::List => {
            let plugins = admin.list_plugins().await?;
            output.answer(&plugins, || {
                let mut rows = vec![
                    ["PLUGIN", "KIND", "SIZE", "UPLOADED", "USES"]
                        .map(str::to_owned)
                        .to_vec(),
                ];
                rows.extend(plugins.iter().map(|plugin| {
                    vec![
                        format!("{}@{}", plugin.name, plugin.version),
                        kind(plugin.kind).to_owned(),
                        human_bytes(plugin.size),
                        uploaded(plugin),
                        uses(plugin),
                    ]
                }));
                table(&rows)
            })
        }
        Command::Describe { name } => {
            let plugin = admin.describe_plugin(&name).await?;
            output.answer(&plugin, || describe(&plugin))
        }
        Command::Delete { name } => {
            admin.delete_plugin(&name).await?;
            output.answer(&serde_json::json!({ "deleted": name }), || {
                format!("deleted {name}")
            })
        }
    }
}

fn read(file: &std::path::Path) -> Result<Vec<u8>, Failure> {
    let failure = |error: std::io::Error| {
        Failure::new(
            format!("cannot read {}: {error}", file.display()),
            "name the .wasm file that `weir plugin build` printed",
        )
    };
    let size = std::fs::metadata(file).map_err(failure)?.len();
    if size > FILE_BYTES_MAX {
        return Err(Failure::new(
            format!(
                "{} has {}: no broker takes a plugin of more than 1 GiB",
                file.display(),
                human_bytes(size)
            ),
            "build it in release mode and without debug information",
        ));
    }
    std::fs::read(file).map_err(failure)
}

fn kind(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Filter => "filter",
        PluginKind::Transform => "transform",
        PluginKind::Producer => "producer",
        _ => "unknown",
    }
}

fn uploaded(plugin: &PluginInfo) -> String {
    start::rfc3339(i64::try_from(plugin.created_ms).unwrap_or(i64::MAX))
}

/// What it imports of the broker's own interfaces, by their short names.
fn uses(plugin: &PluginInfo) -> String {
    let imports = plugin.imports.iter().filter_map(|name| {
        let (interface, _) = name.strip_prefix("weir:plugin/")?.split_once('@')?;
        Some(interface)
    });
    imports.collect::<Vec<_>>().join(" ")
}

fn describe(plugin: &PluginInfo) -> String {
    let listed = |names: &[String]| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let (imports, used_by) = (listed(&plugin.imports), listed(&plugin.used_by));
    let mut text = format!(
        "{}@{}: {}\nsize: {}\nsha256: {}\nuploaded: {}\nimports: {imports}\nused by: {used_by}\n",
        plugin.name,
        plugin.version,
        kind(plugin.kind),
        human_bytes(plugin.size),
        plugin.sha256,
        uploaded(plugin),
    );
    if !plugin.kept_for.is_empty() {
        text.push_str(&format!(
            "kept for a rollback of: {}\n",
            plugin.kept_for.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_named_like_its_file_unless_told_otherwise() {
        let mut upload = Upload {
            file: PathBuf::from("late/late-flights.wasm"),
            name: None,
        };
        assert_eq!(upload.name(), "late-flights");
        upload.name = Some("late".to_owned());
        assert_eq!(upload.name(), "late");
    }
}
