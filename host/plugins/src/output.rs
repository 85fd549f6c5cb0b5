use weir_batch::{bitmap, frame};

use crate::{CallError, Limits};

/// Checks a filter's answer for a batch of `records`.
pub(crate) fn check_bitmap(bytes: &[u8], records: u32) -> Result<(), CallError> {
    let wanted = bitmap::byte_len(records as usize);
    if bytes.len() != wanted {
        return Err(CallError::BadOutput {
            reason: format!(
                "a bitmap of {} bytes for {records} records, which takes {wanted}",
                bytes.len()
            ),
        });
    }
    if !bitmap::is_valid(bytes, records as usize) {
        return Err(CallError::BadOutput {
            reason: "a bitmap with bits set after the last record".to_owned(),
        });
    }
    Ok(())
}

/// Checks a transform's answer for a batch of `records`, whole: what was found out about it.
pub(crate) fn check_frame(
    bytes: &[u8],
    records: u32,
    outputs: u32,
    limits: &Limits,
) -> Result<frame::Checked, CallError> {
    let reader = frame::Reader::new(bytes, records, outputs).map_err(|error| CallError::BadOutput {
        reason: error.to_string(),
    })?;
    let limit = u64::from(records).saturating_mul(u64::from(limits.output_records_max_per_input));
    let returned = reader.len() as u64;
    if returned > limits.output_records_max {
        return Err(CallError::TooManyRecordsInAll {
            records: returned,
            limit: limits.output_records_max,
        });
    }
    if returned > limit {
        return Err(CallError::TooManyRecords {
            records: returned,
            input: records,
            limit,
        });
    }
    Ok(reader.checked())
}
