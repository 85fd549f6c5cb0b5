use crate::Config;

/// What becomes of a record for which every window is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Late {
    /// It is left out.
    #[default]
    Drop,
    /// It goes to the output with this index, as it is.
    Output(u32),
    /// It goes to the flow's dead-letter topic, with a reason. At such a record no window fires; what is due does so at the next.
    DeadLetter,
}

impl Late {
    /// What the setting `key` says: `drop`, which is so where it is not set, `dead-letter`, or the name of an output.
    ///
    /// # Errors
    ///
    /// A sentence, when there is no output of that name.
    pub fn from_config(config: &Config, key: &str) -> Result<Self, String> {
        match config.get(key) {
            None | Some("drop") => Ok(Self::Drop),
            Some("dead-letter") => Ok(Self::DeadLetter),
            Some(name) => match config.output(name) {
                Ok(output) => Ok(Self::Output(output)),
                Err(_) => Err(format!(
                    "`{key}` cannot be {name:?}: it is drop, dead-letter or one of the flow's outputs, which are {}",
                    config.outputs().join(", ")
                )),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_from_the_configuration() {
        let late = |value: Option<&str>| {
            let entries = value.map(|value| ("late".to_owned(), value.to_owned()));
            let outputs = vec!["counts".to_owned(), "rest".to_owned()];
            Late::from_config(&Config::new(entries.into_iter().collect(), outputs), "late")
        };
        assert_eq!(late(None), Ok(Late::Drop));
        assert_eq!(late(Some("drop")), Ok(Late::Drop));
        assert_eq!(late(Some("dead-letter")), Ok(Late::DeadLetter));
        assert_eq!(late(Some("rest")), Ok(Late::Output(1)));
        assert!(late(Some("nowhere")).unwrap_err().contains("counts, rest"));
    }
}
