//! Where and why a flow cannot go on.

use crate::flow::policy::Verdict;

/// A record, or a batch, that a flow does not get past by itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    /// The offset of the record, or of the first record of the batch.
    pub(crate) offset: i64,
    /// The last offset of the batch, where no single record is to blame.
    pub(crate) last_offset: Option<i64>,
    /// The plugin that failed, `name@version`.
    pub(crate) plugin: Option<String>,
    /// Why, in words.
    pub(crate) reason: String,
    /// The beginning of the record's value.
    pub(crate) sample: Option<String>,
    /// What the flow is to do: [`Verdict::DeadLetter`] if that topic has to be made first.
    pub(crate) verdict: Verdict,
}

impl Failure {
    /// A batch that cannot be read, or whose outputs cannot be made: somebody has to look at it.
    pub(crate) fn of_batch(offset: i64, last_offset: Option<i64>, reason: String) -> Self {
        Self {
            offset,
            last_offset,
            plugin: None,
            reason,
            sample: None,
            verdict: Verdict::Pause,
        }
    }
}

/// The beginning of a value as text, for people.
pub(crate) fn sample(value: &[u8]) -> String {
    const BYTES_MAX: usize = 256;
    let text = String::from_utf8_lossy(&value[..value.len().min(BYTES_MAX)]);
    let mut text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if value.len() > BYTES_MAX {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_short_and_has_no_control_characters() {
        assert_eq!(sample(b"a\x1b[2Jb\n"), "a [2Jb ");
        assert_eq!(sample(&[b'x'; 1000]).chars().count(), 257);
        assert_eq!(sample(&[0xff, b'a']), "\u{fffd}a");
    }
}
