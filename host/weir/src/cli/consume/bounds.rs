//! Whether an offset to begin at is in any partition.

use weir_client::{Client, PartitionInfo};

use crate::cli::Failure;

/// Partitions that are named one by one.
const NAMED_MAX: usize = 8;

/// An error if `offset` is beyond the end of every partition that is to be read: there would be nothing, now or soon. Where it is in some
/// of them, those are read. No `partitions` are all of them.
pub(super) async fn check(
    client: &Client,
    topic: &str,
    partitions: &[u32],
    offset: i64,
) -> Result<(), Failure> {
    let found = client.admin().describe_topic(topic).await?;
    let read =
        |partition: &&PartitionInfo| partitions.is_empty() || partitions.contains(&partition.partition);
    let read: Vec<_> = found.partitions.iter().filter(read).collect();
    within(topic, &read, offset)
}

fn within(topic: &str, read: &[&PartitionInfo], offset: i64) -> Result<(), Failure> {
    // A partition that is not there is for the broker to refuse.
    if read.is_empty() || read.iter().any(|partition| offset <= partition.high_watermark) {
        return Ok(());
    }
    let ranges: Vec<String> = read
        .iter()
        .take(NAMED_MAX)
        .map(|partition| {
            let (start, end) = (partition.log_start_offset, partition.high_watermark);
            let partition = partition.partition;
            match end - start {
                0 => format!("{topic}/{partition} has none, and {end} comes next"),
                _ => format!("{topic}/{partition} has {start} to {}", end - 1),
            }
        })
        .collect();
    let more = match read.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(", and {more} further partitions end before it"),
    };
    Err(Failure::new(
        format!(
            "offset {offset} is beyond the end: {}{more} (OFFSET_OUT_OF_RANGE)",
            ranges.join(", ")
        ),
        "begin at an offset that is there, or with --from earliest, latest or @TIME",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(partition: u32, log_start_offset: i64, high_watermark: i64) -> PartitionInfo {
        PartitionInfo {
            partition,
            log_start_offset,
            high_watermark,
            bytes: 0,
            damaged: None,
        }
    }

    #[test]
    fn an_offset_beyond_every_end_is_refused_with_what_there_is() {
        let all = [partition(0, 3, 42), partition(1, 7, 7)];
        let read: Vec<_> = all.iter().collect();
        for offset in [0, 3, 41, 42] {
            assert!(within("t", &read, offset).is_ok(), "{offset}");
        }
        let said = within("t", &read, 43).unwrap_err().to_string();
        assert!(
            said.contains("offset 43 is beyond the end: t/0 has 3 to 41, t/1 has none, and 7 comes next (OFFSET_OUT_OF_RANGE)"),
            "{said}"
        );
        assert!(within("t", &read[1..], 8).is_err() && within("t", &[], 8).is_ok());
    }
}
