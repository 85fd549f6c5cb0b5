use std::fmt::Display;
use std::str::FromStr;

/// What the flow that a plugin runs in has set, and the outputs it has.
///
/// Errors are sentences for the person who deploys: pass them on with `?` from `configure`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    entries: Vec<(String, String)>,
    outputs: Vec<String>,
}

impl Config {
    /// `entries` are keys and values, `outputs` the names of the flow's outputs in order of their indices. The host makes it;
    /// tests may.
    pub fn new(entries: Vec<(String, String)>, outputs: Vec<String>) -> Self {
        Self { entries, outputs }
    }

    /// The value of `key`, if it is set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// When it is not set.
    pub fn required(&self, key: &str) -> Result<&str, String> {
        self.get(key).ok_or_else(|| format!("`{key}` has to be set"))
    }

    /// The value of `key` as another type, if it is set.
    ///
    /// # Errors
    ///
    /// When it is set to something that the type does not take.
    pub fn parse<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Option<T>, String> {
        self.get(key)
            .map(|value| {
                value
                    .parse()
                    .map_err(|error| format!("`{key}` cannot be {value:?}: {error}"))
            })
            .transpose()
    }

    /// The value of `key` as milliseconds, if it is set: a whole number of `ms`, `s`, `m`, `h` or `d`, as in `90s`; without a unit it is of
    /// milliseconds.
    ///
    /// # Errors
    ///
    /// When it is set to something else.
    pub fn duration_ms(&self, key: &str) -> Result<Option<u64>, String> {
        self.get(key)
            .map(|value| {
                duration_ms(value).ok_or_else(|| {
                    format!(
                        "`{key}` cannot be {value:?}: it is a whole number of ms, s, m, h or d, as in 90s"
                    )
                })
            })
            .transpose()
    }

    /// The parts of a comma-separated value, without spaces around them and without empty ones; none if `key` is not set.
    pub fn list(&self, key: &str) -> impl Iterator<Item = &str> {
        self.get(key)
            .unwrap_or("")
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
    }

    /// Refuses keys that the plugin does not know, so that a misspelt one is seen at once.
    ///
    /// # Errors
    ///
    /// When a key is set that is not in `known`.
    pub fn only(&self, known: &[&str]) -> Result<(), String> {
        match self
            .entries
            .iter()
            .find(|(key, _)| !known.contains(&key.as_str()))
        {
            None => Ok(()),
            Some((key, _)) if known.is_empty() => {
                Err(format!("`{key}` is set, and this plugin takes no configuration"))
            }
            Some((key, _)) => Err(format!(
                "there is no `{key}`: this plugin takes {}",
                known.join(", ")
            )),
        }
    }

    /// All keys and values, sorted by key.
    pub fn entries(&self) -> &[(String, String)] {
        &self.entries
    }

    /// Names of the flow's outputs, in order of their indices.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// The index of the output called `name`.
    ///
    /// # Errors
    ///
    /// When the flow has no such output.
    pub fn output(&self, name: &str) -> Result<u32, String> {
        find_output(&self.outputs, name).ok_or_else(|| {
            format!(
                "there is no output {name:?}: the flow has {}",
                self.outputs.join(", ")
            )
        })
    }
}

fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit_ms = match &text[digits.len()..] {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit_ms)
}

pub(crate) fn find_output(outputs: &[String], name: &str) -> Option<u32> {
    outputs
        .iter()
        .position(|output| output == name)
        .map(|index| index as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let entries = [("a", "1"), ("b", "x, y,,z")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        Config::new(entries.to_vec(), vec!["good".to_owned(), "bad".to_owned()])
    }

    #[test]
    fn values_are_found_and_parsed() {
        let config = config();
        assert_eq!(config.get("a"), Some("1"));
        assert_eq!(config.required("a"), Ok("1"));
        assert_eq!(config.parse::<u32>("a"), Ok(Some(1)));
        assert_eq!(config.parse::<u32>("c"), Ok(None));
        assert_eq!(config.list("b").collect::<Vec<_>>(), ["x", "y", "z"]);
        assert_eq!(config.list("c").count(), 0);
        assert_eq!(config.output("bad"), Ok(1));
    }

    #[test]
    fn durations_have_units() {
        for (text, ms) in [
            ("250", 250),
            ("250ms", 250),
            ("90s", 90_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for text in ["", "s", "1.5s", "-1s", "1 s", "1w", "99999999999999999d"] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
        let config = Config::new(vec![("window".to_owned(), "soon".to_owned())], Vec::new());
        assert!(config.duration_ms("window").unwrap_err().contains("as in 90s"));
        assert_eq!(config.duration_ms("other"), Ok(None));
    }

    #[test]
    fn errors_are_sentences() {
        let config = config();
        assert_eq!(config.required("c").unwrap_err(), "`c` has to be set");
        assert!(
            config
                .parse::<u32>("b")
                .unwrap_err()
                .starts_with("`b` cannot be \"x, y,,z\": ")
        );
        assert_eq!(
            config.only(&["a"]).unwrap_err(),
            "there is no `b`: this plugin takes a"
        );
        assert_eq!(config.only(&["a", "b"]), Ok(()));
        assert_eq!(
            config.output("ugly").unwrap_err(),
            "there is no output \"ugly\": the flow has good, bad"
        );
    }
}
