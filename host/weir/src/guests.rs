//! The plugins that come with this program.

use bytes::Bytes;

use crate::cli::Failure;

/// The component of one of the plugins.
pub(crate) fn component(name: &str) -> Result<Bytes, Failure> {
    let component = weir_plugins::component(name).map(Bytes::from_static);
    component.ok_or_else(|| {
        Failure::new(
            format!("no plugin {name} comes with this program"),
            "report this as a bug",
        )
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_plugins_of_demo_and_benchmarks_are_there() {
        for name in ["identity", "lines-to-json", "json-filter", "json-project"] {
            super::component(name).unwrap();
        }
        assert!(super::component("none").is_err());
    }
}
