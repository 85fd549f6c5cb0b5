use std::panic::{AssertUnwindSafe, catch_unwind};

use wit_component::ComponentEncoder;

use crate::LoadError;
use crate::inspect::{Encoding, encoding};

/// Makes a component of a core module that wit-bindgen's bindings for a world of `weir:plugin` are compiled into, as
/// `cargo build --target wasm32-unknown-unknown` leaves it.
///
/// # Errors
///
/// [`LoadError::NotWasm`], [`LoadError::NotAComponent`] when the module says nothing of a world, [`LoadError::Invalid`] when it does not
/// fit the world it names.
pub fn componentize(core_module: &[u8]) -> Result<Vec<u8>, LoadError> {
    match encoding(core_module)? {
        Encoding::Module => {}
        Encoding::Component => {
            return Err(LoadError::Invalid {
                reason: "it is a component already".to_owned(),
            });
        }
    }
    let described = wasmparser::Parser::new(0)
        .parse_all(core_module)
        .filter_map(Result::ok)
        .any(|payload| {
            matches!(payload, wasmparser::Payload::CustomSection(section) if section.name().starts_with("component-type"))
        });
    if !described {
        return Err(LoadError::NotAComponent {
            why: missing(core_module),
        });
    }
    // The encoder reads metadata that a stranger may have written by hand: what it trips over is a reason to refuse.
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        ComponentEncoder::default()
            .validate(true)
            .module(core_module)?
            .encode()
    }));
    match encoded {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(error)) => Err(LoadError::Invalid {
            reason: format!("{error:#}"),
        }),
        Err(_) => Err(LoadError::Invalid {
            reason: "its description of a world is malformed".to_owned(),
        }),
    }
}

/// Why a module without description is likely to be without it.
fn missing(core_module: &[u8]) -> String {
    let wasi = wasmparser::Parser::new(0)
        .parse_all(core_module)
        .filter_map(Result::ok)
        .any(|payload| match payload {
            wasmparser::Payload::ImportSection(imports) => imports
                .into_imports()
                .filter_map(Result::ok)
                .any(|import| import.module.starts_with("wasi_")),
            _ => false,
        });
    if wasi {
        "it is made for WASI preview 1, as wasm32-wasip1 does".to_owned()
    } else {
        "it has no component-type section".to_owned()
    }
}
