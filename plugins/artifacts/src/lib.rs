//! The plugins in this repository as components, built from source when this crate is: for tests, benchmarks and the demo.
//!
//! Each plugin's configuration is described at the top of its `src/lib.rs`.

include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// The component of the plugin `name`.
pub fn component(name: &str) -> Option<&'static [u8]> {
    ALL.iter()
        .find(|(known, _)| *known == name)
        .map(|(_, component)| *component)
}
