//! What went wrong and what to do about it: one line each.

/// A command that did not do what it should.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    todo: String,
}

impl Failure {
    /// `what` went wrong, and `todo` says how to get on. Both become one line.
    pub(crate) fn new(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            what: one_line(&what.into()),
            todo: one_line(&todo.into()),
        }
    }

    /// For messages that end with what to do: after `; `, `: ` or `. `, whichever comes last.
    pub(crate) fn from_message(message: &str) -> Self {
        let split = ["; ", ". ", ": "]
            .iter()
            .filter_map(|separator| message.rsplit_once(separator))
            // What the operating system says is no advice.
            .filter(|(_, todo)| !todo.contains("(os error"))
            .max_by_key(|(what, _)| what.len());
        match split {
            Some((what, todo)) => Self::new(what, todo),
            None => Self::new(message, "WEIR_LOG=debug tells more"),
        }
    }

    /// The same with what was being done in front.
    pub(crate) fn context(mut self, doing: impl std::fmt::Display) -> Self {
        self.what = format!("{doing}: {}", self.what);
        self
    }

    pub(crate) fn print(&self) {
        use std::io::Write as _;
        // Standard error may be closed: then nobody wants to know.
        let _ = write!(std::io::stderr(), "{self}");
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        writeln!(f, "  help: {}", self.todo)
    }
}

impl From<weir_client::Error> for Failure {
    fn from(error: weir_client::Error) -> Self {
        match error {
            weir_client::Error::Broker(error) => error.into(),
            weir_client::Error::Produce(error) => error.into(),
            error => Self::from_message(&error.to_string()),
        }
    }
}

impl From<weir_client::ProduceError> for Failure {
    fn from(error: weir_client::ProduceError) -> Self {
        match error {
            weir_client::ProduceError::Broker(error) => error.into(),
            error => Self::from_message(&error.to_string()),
        }
    }
}

impl From<weir_client::WireError> for Failure {
    fn from(error: weir_client::WireError) -> Self {
        let mut failure = Self::from_message(&error.message);
        // The stable name, for whoever looks it up.
        failure.what = format!("{} ({})", failure.what, error.name);
        failure
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(
            error.to_string(),
            "look at the disk and at the rights of the files named",
        )
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_two_lines() {
        let failure =
            Failure::from_message("no answer from a; b at 1.2.3.4:\n  timed out; check that it runs");
        assert_eq!(
            failure.context("topic list").to_string(),
            "error: topic list: no answer from a; b at 1.2.3.4: timed out\n  help: check that it runs\n"
        );
        for message in ["boom", "cannot read x: No such file or directory (os error 2)"] {
            let text = Failure::from_message(message).to_string();
            assert!(
                text.starts_with(&format!("error: {message}\n  help: WEIR_LOG")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_refusal_has_its_stable_name() {
        let message = "there is no topic 'x': create it first, or check its name".to_owned();
        let refused = weir_client::WireError::new(weir_client::ErrorCode::UnknownTopicOrPartition, message);
        assert_eq!(
            Failure::from(refused).to_string(),
            "error: there is no topic 'x' (UNKNOWN_TOPIC_OR_PARTITION)\n  help: create it first, or check its name\n"
        );
    }
}
