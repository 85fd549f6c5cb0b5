//! Where and why a flow cannot go on.

/// A batch, or one record of it, that a flow cannot get past.
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
}
