//! Compiles the plugins beside this crate and writes their components, and a list of them, for `include!`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Whatever a component depends on, seen from the folder of plugins.
const SOURCES: [&str; 8] = [
    ".",
    "../sdk/plugin",
    "../sdk/batch/src",
    "../sdk/batch/Cargo.toml",
    "../wit",
    "../Cargo.toml",
    "build/src",
    "artifacts/build.rs",
];

fn main() {
    // Asked for at run time: a build script that is still there from a checkout elsewhere must not look there.
    let here = PathBuf::from(
        std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR for build scripts"),
    );
    let plugins = here.join("..");
    watch(&plugins);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    // A target folder of its own: the outer cargo holds the lock of the other.
    let options = weir_plugin_build::Options {
        target_dir: Some(out.join("guests")),
        locked: true,
        quiet: true,
    };
    let built = match weir_plugin_build::build(&plugins, &options) {
        Ok(built) => built,
        Err(error) => {
            eprintln!("{error}");
            println!("cargo::error=the plugins cannot be built: {error}");
            std::process::exit(1);
        }
    };
    let mut list = String::new();
    for plugin in &built {
        let path = out.join(format!("{}.component", plugin.name));
        write_if_changed(&path, &plugin.component);
        let _ = writeln!(list, "    ({:?}, include_bytes!({:?})),", plugin.name, path);
    }
    let constants: String = built
        .iter()
        .map(|plugin| {
            let path = out.join(format!("{}.component", plugin.name));
            let name = plugin.name.to_uppercase().replace('-', "_");
            format!(
                "/// The component of the plugin `{}`.\npub const {name}: &[u8] = include_bytes!({path:?});\n",
                plugin.name
            )
        })
        .collect();
    let code = format!(
        "{constants}\n/// All components by the plugins' names, sorted.\npub const ALL: &[(&str, &[u8])] = &[\n{list}];\n"
    );
    write_if_changed(&out.join("components.rs"), code.as_bytes());
}

fn watch(plugins: &Path) {
    for source in SOURCES {
        let path = plugins.join(source);
        if source != "." {
            println!("cargo::rerun-if-changed={}", path.display());
            continue;
        }
        // Each plugin on its own: the folder as a whole holds a target folder when somebody builds there by hand, and what the examples
        // in other languages install.
        for entry in std::fs::read_dir(&path)
            .expect("the folder of plugins is this crate's parent")
            .filter_map(Result::ok)
        {
            let ours = ["artifacts", "build", "languages", "target"]
                .iter()
                .any(|name| entry.file_name() == *name);
            if !ours {
                println!("cargo::rerun-if-changed={}", entry.path().display());
            }
        }
    }
}

/// Leaves a file that is right as it is, so that nothing is compiled again for nothing.
fn write_if_changed(path: &Path, bytes: &[u8]) {
    if std::fs::read(path).is_ok_and(|found| found == bytes) {
        return;
    }
    if let Err(error) = std::fs::write(path, bytes) {
        panic!("cannot write {}: {error}", path.display());
    }
}
