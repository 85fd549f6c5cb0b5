//! Names of topics, plugins and flows.

use crate::{BrokerError, ErrorKind};

/// Most bytes a name can have (Kafka's `Topic.MAX_NAME_LENGTH`).
pub const NAME_BYTES_MAX: usize = 249;

/// Checks `name` by Kafka's rules for topics: 1 to 249 of `[a-zA-Z0-9._-]`, neither `.` nor `..`; names that begin
/// with `__` are the broker's own.
///
/// # Errors
/// [`ErrorKind::InvalidTopic`] with the rule that is broken.
pub fn check_topic_name(name: &str) -> Result<(), BrokerError> {
    check(name, "topic").map_err(|message| BrokerError::new(ErrorKind::InvalidTopic, message))
}

/// Checks the name of a plugin, by the rules for topics.
///
/// # Errors
/// [`ErrorKind::InvalidRequest`] with the rule that is broken.
pub fn check_plugin_name(name: &str) -> Result<(), BrokerError> {
    check(name, "plugin").map_err(|message| BrokerError::new(ErrorKind::InvalidRequest, message))
}

/// Checks the name of a flow, by the rules for topics.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`] with the rule that is broken.
pub fn check_flow_name(name: &str) -> Result<(), BrokerError> {
    check(name, "flow").map_err(|message| BrokerError::new(ErrorKind::InvalidFlow, message))
}

fn check(name: &str, what: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("a {what} name cannot be empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "the {what} name is {} bytes long: {NAME_BYTES_MAX} is the most",
            name.len()
        ));
    }
    if name == "." || name == ".." {
        return Err(format!("'{name}' cannot be a {what} name"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(bad) = name.chars().find(|&c| !allowed(c)) {
        return Err(format!(
            "{what} name '{}' holds {bad:?}: use letters and digits of ASCII, '.', '_' and '-'",
            name.escape_debug()
        ));
    }
    if name.starts_with("__") {
        return Err(format!(
            "{what} names that begin with '__' are the broker's own: choose another"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        for good in [
            "a",
            "orders.v1",
            "A-b_c.9",
            "...",
            "_x",
            &"n".repeat(NAME_BYTES_MAX),
        ] {
            check_topic_name(good).unwrap();
        }
        for bad in [
            "",
            ".",
            "..",
            "a b",
            "a/b",
            "ä",
            "a\n",
            "a@1",
            "__offsets",
            &"n".repeat(NAME_BYTES_MAX + 1),
        ] {
            let error = check_topic_name(bad).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidTopic, "{bad:?}");
            assert_eq!(
                check_plugin_name(bad).unwrap_err().kind,
                ErrorKind::InvalidRequest
            );
            assert_eq!(check_flow_name(bad).unwrap_err().kind, ErrorKind::InvalidFlow);
        }
    }

    #[test]
    fn a_message_never_carries_raw_control_characters() {
        let error = check_topic_name("a\u{1b}[2J").unwrap_err();
        assert!(!error.message.contains('\u{1b}'), "{}", error.message);
    }
}
