use wasmparser::{Parser, Payload};

use crate::LoadError;
use crate::world::{WORLDS, World};

/// The two things a `.wasm` file can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Module,
    Component,
}

/// What the first bytes say.
pub(crate) fn encoding(bytes: &[u8]) -> Result<Encoding, LoadError> {
    if Parser::is_component(bytes) {
        return Ok(Encoding::Component);
    }
    if Parser::is_core_wasm(bytes) {
        return Ok(Encoding::Module);
    }
    Err(LoadError::NotWasm {
        found: looks_like(bytes).to_owned(),
    })
}

fn looks_like(bytes: &[u8]) -> &'static str {
    let start = bytes.trim_ascii_start();
    match start {
        [] => "it is empty",
        _ if bytes.starts_with(b"\0asm") => "a WebAssembly version that this broker does not know",
        _ if start.starts_with(b"(module") || start.starts_with(b"(component") => {
            "the text format: it has to be assembled first"
        }
        _ if bytes.starts_with(b"\x7fELF") => "a native ELF binary",
        _ if bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) => {
            "compressed: unpack it first"
        }
        _ if bytes.starts_with(b"PK") => "a zip archive",
        _ => "it does not begin with \\0asm",
    }
}

/// The outermost imports and exports of a component.
#[derive(Debug, Default)]
pub(crate) struct Interface {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

impl Interface {
    /// Reads the names only; the engine validates the rest when it compiles.
    pub(crate) fn read(component: &[u8]) -> Result<Self, LoadError> {
        let invalid = |error: wasmparser::BinaryReaderError| LoadError::Invalid {
            reason: error.to_string(),
        };
        let mut interface = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(invalid)? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        interface
                            .imports
                            .push(import.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        interface
                            .exports
                            .push(export.map_err(invalid)?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(interface)
    }

    /// The one world that the exports are of, with the full name of the exported interface.
    pub(crate) fn world(&self) -> Result<(World, &str), LoadError> {
        let mut found = Vec::new();
        for world in WORLDS {
            let named = |name: &&String| {
                PluginName::parse(name)
                    .is_some_and(|name| name.compatible() && name.interface == world.interface)
            };
            found.extend(
                self.exports
                    .iter()
                    .filter(named)
                    .map(|name| (world, name.as_str())),
            );
        }
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(LoadError::WrongWorld {
                exports: self.exports.clone(),
            }),
            several => Err(LoadError::SeveralWorlds {
                exports: several.iter().map(|(_, name)| (*name).to_owned()).collect(),
            }),
        }
    }

    /// The full name of the interface that says what the plugin knows of older state, if it is exported.
    pub(crate) fn schema(&self) -> Option<&str> {
        let named = |name: &&String| {
            PluginName::parse(name).is_some_and(|name| name.compatible() && name.interface == "state-schema")
        };
        self.exports.iter().find(named).map(String::as_str)
    }

    /// Refuses what the linker has nothing for, and what it must have nothing for.
    pub(crate) fn check_imports(&self) -> Result<(), LoadError> {
        for name in &self.imports {
            if let Err(why) = allowed(name) {
                return Err(LoadError::ForbiddenImport {
                    name: name.clone(),
                    why,
                });
            }
        }
        Ok(())
    }
}

/// `weir:plugin/INTERFACE@MAJOR.MINOR.PATCH`
struct PluginName<'a> {
    interface: &'a str,
    version: &'a str,
}

impl<'a> PluginName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (interface, version) = name.strip_prefix("weir:plugin/")?.split_once('@')?;
        Some(Self { interface, version })
    }

    fn compatible(&self) -> bool {
        self.version.starts_with("0.1.")
    }
}

/// The interfaces of `weir:plugin` that a plugin may import.
pub(crate) const GRANTED: [&str; 6] = ["log", "metrics", "clock", "random", "state", "http"];

fn allowed(name: &str) -> Result<(), &'static str> {
    if let Some(plugin) = PluginName::parse(name) {
        return match plugin.interface {
            known if GRANTED.contains(&known) && plugin.compatible() => Ok(()),
            known if GRANTED.contains(&known) => Err("this broker knows version 0.1 of weir:plugin"),
            _ => Err(
                "this broker's weir:plugin has no such interface: it has log, metrics, clock, random, state and http",
            ),
        };
    }
    let Some(wasi) = name.strip_prefix("wasi:") else {
        return Err("plugins get the interfaces of weir:plugin, and WASI with nothing behind it");
    };
    let (interface, version) = wasi.split_once('@').unwrap_or((wasi, ""));
    let package = interface
        .split_once('/')
        .map_or(interface, |(package, _)| package);
    match package {
        "http" => Err(
            "plugins call out over HTTP with weir:plugin/http, to the hosts that their flow is granted; this broker has no wasi:http",
        ),
        "sockets" => Err("a plugin cannot open sockets: bring what it needs as records"),
        "io" | "cli" | "clocks" | "random" | "filesystem" if version.starts_with("0.2.") => Ok(()),
        "io" | "cli" | "clocks" | "random" | "filesystem" => {
            Err("plugins get WASI 0.2 only: build for wasm32-wasip2")
        }
        _ => Err("of WASI, plugins get io, cli, clocks, random and filesystem, with nothing behind them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_granted_by_name() {
        for name in [
            "weir:plugin/log@0.1.0",
            "weir:plugin/log@0.1.7",
            "weir:plugin/metrics@0.1.0",
            "weir:plugin/clock@0.1.0",
            "weir:plugin/random@0.1.0",
            "weir:plugin/state@0.1.0",
            "weir:plugin/http@0.1.0",
            "wasi:io/streams@0.2.6",
            "wasi:filesystem/types@0.2.0",
        ] {
            assert_eq!(allowed(name), Ok(()), "{name}");
        }
        for name in [
            "weir:plugin/log@0.2.0",
            "weir:plugin/log",
            "weir:plugin/state@0.2.0",
            "weir:plugin/http@0.2.0",
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:sockets/tcp@0.2.0",
            "wasi:io/streams@0.3.0",
            "wasi:io/streams",
            "wasi:keyvalue/store@0.2.0",
            "evil:host/shell",
            "",
        ] {
            assert!(allowed(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_not_wasm_is_named() {
        for (bytes, word) in [
            (&b""[..], "empty"),
            (b"  (module)", "text format"),
            (b"\x7fELF\x02", "ELF"),
            (b"\0asm\x07\0\0\0", "version"),
            (b"\x1f\x8b\x08", "compressed"),
            (b"hello", "\\0asm"),
        ] {
            let error = encoding(bytes).expect_err("not WebAssembly").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
