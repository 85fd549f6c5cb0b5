//! Plugins as functions of this program: the crates they are compiled from, without WebAssembly.

use std::collections::BTreeMap;

use json_filter::JsonFilter;
use json_project::JsonProject;
use key_filter::KeyFilter;
use lines_to_json::LinesToJson;
use weir_plugin::{Config, Output, run_filter, run_transform};

/// A batch in, a bitmap or frame out.
type Call = dyn FnMut(&[u8]) -> Vec<u8>;

/// A plugin, configured.
pub(super) struct Native {
    call: Box<Call>,
}

impl Native {
    /// The plugin called `name`.
    ///
    /// # Errors
    ///
    /// When there is none, or it refuses the configuration.
    pub(super) fn new(name: &str, config: &BTreeMap<String, String>) -> Result<Self, String> {
        let outputs = vec!["out".to_owned()];
        let entries = config
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let config = Config::new(entries, outputs.clone());
        let mut out = Output::new(outputs);
        // The functions are named, as the macros of the SDK name them: so they are inlined here, too.
        let call: Box<Call> = match name {
            "identity" => Box::new(move |batch| {
                run_transform(
                    &mut (),
                    &mut out,
                    |(), record, out| identity::forward(record, out),
                    batch,
                )
            }),
            "identity-filter" => {
                Box::new(|batch| run_filter(&mut (), |(), record| identity_filter::keep_all(record), batch))
            }
            "key-filter" => {
                let mut state = KeyFilter::configure(&config)?;
                Box::new(move |batch| run_filter(&mut state, KeyFilter::keep, batch))
            }
            "json-filter" => {
                let mut state = JsonFilter::configure(&config)?;
                Box::new(move |batch| run_filter(&mut state, JsonFilter::keep, batch))
            }
            "json-project" => {
                let mut state = JsonProject::configure(&config)?;
                Box::new(move |batch| run_transform(&mut state, &mut out, JsonProject::project, batch))
            }
            "lines-to-json" => {
                let mut state = LinesToJson::configure(&config)?;
                Box::new(move |batch| run_transform(&mut state, &mut out, LinesToJson::line, batch))
            }
            other => return Err(format!("{other} has no native twin")),
        };
        Ok(Self { call })
    }

    /// The bitmap or frame for `batch`.
    pub(super) fn call(&mut self, batch: &[u8]) -> Vec<u8> {
        (self.call)(batch)
    }
}
