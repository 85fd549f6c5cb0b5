use weir_protocol::Start;

/// What a consumer tells its driver.
#[derive(Debug, Clone, Copy)]
pub(super) enum Command {
    /// Go on with a partition from elsewhere, and let it flow if it was paused. What belongs to earlier generations is
    /// of no interest any more.
    Seek {
        partition: u32,
        start: Start,
        generation: u64,
    },
    /// Bring nothing more from a partition.
    Pause { partition: u32 },
}
