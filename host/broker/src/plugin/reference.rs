//! How requests refer to plugins: `name` or `name@version`.

use std::fmt;

use crate::name::check_plugin_name;
use crate::{BrokerError, ErrorKind};

/// A plugin's name, and which version of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PluginRef {
    pub(crate) name: String,
    /// `None` where none is given: the newest, or all.
    pub(crate) version: Option<u32>,
}

impl PluginRef {
    pub(crate) fn parse(reference: &str) -> Result<Self, BrokerError> {
        let (name, version) = match reference.split_once('@') {
            None => (reference, None),
            Some((name, version)) => {
                let number = version.parse::<u32>().ok().filter(|&number| number > 0);
                let number = number.ok_or_else(|| {
                    let version = version.escape_debug();
                    let message = format!("'{version}' is no plugin version: write name@1, name@2, ...");
                    BrokerError::new(ErrorKind::InvalidRequest, message)
                })?;
                (name, Some(number))
            }
        };
        check_plugin_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            version,
        })
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_version() {
        let parsed = PluginRef::parse("redact@3").unwrap();
        assert_eq!((parsed.name.as_str(), parsed.version), ("redact", Some(3)));
        assert_eq!(parsed.to_string(), "redact@3");
        assert_eq!(PluginRef::parse("redact").unwrap().version, None);
        for bad in [
            "",
            "@1",
            "a@",
            "a@0",
            "a@-1",
            "a@x",
            "a@1@2",
            "a b@1",
            "a@99999999999",
        ] {
            assert_eq!(
                PluginRef::parse(bad).unwrap_err().kind,
                ErrorKind::InvalidRequest,
                "{bad}"
            );
        }
    }
}
