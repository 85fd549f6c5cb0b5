use wasmtime::component::{ComponentType, Lift, Lower};
use weir_batch::frame::Writer;
use weir_batch::{Batch, BatchError, BatchHeader, bitmap};

use super::Instance;
use crate::{CallError, Kind};

/// A header as it is lowered: its name and, unless it is null, its value.
type Header<'a> = (&'a str, Option<&'a [u8]>);

/// A record as it is lowered.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct TypedRecord<'a> {
    #[component(name = "offset")]
    offset: i64,
    #[component(name = "timestamp")]
    timestamp: i64,
    #[component(name = "key")]
    key: Option<&'a [u8]>,
    #[component(name = "value")]
    value: Option<&'a [u8]>,
    #[component(name = "headers")]
    headers: &'a [Header<'a>],
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct Emitted {
    #[component(name = "output")]
    output: u32,
    #[component(name = "source")]
    source: u32,
    #[component(name = "timestamp")]
    timestamp: Option<i64>,
    #[component(name = "key")]
    key: Option<Vec<u8>>,
    #[component(name = "value")]
    value: Option<Vec<u8>>,
    #[component(name = "headers")]
    headers: Vec<(String, Option<Vec<u8>>)>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
struct Fault {
    #[component(name = "source")]
    source: u32,
    #[component(name = "reason")]
    reason: String,
}

#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
enum Outcome {
    #[component(name = "emit")]
    Emit(Emitted),
    #[component(name = "dead-letter")]
    DeadLetter(Fault),
    #[component(name = "retry")]
    Retry(Fault),
    #[component(name = "fail")]
    Fail(Fault),
}

/// The headers of all records, one record after the other: what the records' lists are slices of.
pub(super) fn headers(batch: &[u8]) -> Result<Vec<Header<'_>>, CallError> {
    let records = open(batch)?.records().map_err(bad_input)?;
    Ok(records.flat_map(|record| record.headers()).collect())
}

/// The records of a batch, with `headers` as [`headers`] gives them.
pub(super) fn records<'a>(
    batch: &'a [u8],
    mut headers: &'a [Header<'a>],
) -> Result<Vec<TypedRecord<'a>>, CallError> {
    let batch = open(batch)?;
    // The count was held against the bytes there are, so that it is safe to reserve.
    let mut records = Vec::with_capacity(batch.len());
    for record in batch.records().map_err(bad_input)? {
        let (own, rest) = headers.split_at(record.headers().count());
        headers = rest;
        records.push(TypedRecord {
            offset: record.offset(),
            timestamp: record.timestamp(),
            key: record.key(),
            value: record.value(),
            headers: own,
        });
    }
    if records.len() != batch.len() {
        return Err(CallError::BadInput {
            reason: format!(
                "it says {} records, and only {} can be read",
                batch.len(),
                records.len()
            ),
        });
    }
    Ok(records)
}

fn open(batch: &[u8]) -> Result<Batch<'_>, CallError> {
    Batch::parse_trusted(batch).map_err(bad_input)
}

fn bad_input(error: BatchError) -> CallError {
    CallError::BadInput {
        reason: error.to_string(),
    }
}

impl Instance {
    /// Calls a guest of a typed world. What it answers is packed as a guest of the packed world would have done it, and remains to be
    /// checked like that.
    pub(super) fn typed_call(
        &mut self,
        kind: Kind,
        batch: &BatchHeader,
        records: &[TypedRecord<'_>],
    ) -> Result<Vec<u8>, CallError> {
        let count = batch.record_count as u32;
        if kind == Kind::Filter {
            let kept = self.guest_call(batch.max_timestamp, Some(count), |call, store| {
                let call = call.typed::<(&[TypedRecord<'_>],), (Vec<bool>,)>(&*store)?;
                Ok(call.call(store, (records,))?.0)
            })?;
            return pack_bitmap(&kept, records.len());
        }
        let outcomes = self.guest_call(batch.max_timestamp, Some(count), |call, store| {
            let call = call.typed::<(&[TypedRecord<'_>],), (Vec<Outcome>,)>(&*store)?;
            Ok(call.call(store, (records,))?.0)
        })?;
        pack_frame(&outcomes, batch, records, self.limits.output_bytes_max)
    }
}

fn pack_bitmap(kept: &[bool], records: usize) -> Result<Vec<u8>, CallError> {
    if kept.len() != records {
        return Err(CallError::BadOutput {
            reason: format!("{} answers for {records} records", kept.len()),
        });
    }
    let mut bits = vec![0; bitmap::byte_len(records)];
    for (index, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
        bitmap::set(&mut bits, index);
    }
    Ok(bits)
}

/// Output and source are checked with the frame.
fn pack_frame(
    outcomes: &[Outcome],
    batch: &BatchHeader,
    records: &[TypedRecord<'_>],
    bytes_max: usize,
) -> Result<Vec<u8>, CallError> {
    let mut writer = Writer::new(Vec::new());
    let mut headers: Vec<Header<'_>> = Vec::new();
    for outcome in outcomes {
        let written = match outcome {
            Outcome::Emit(emitted) => {
                let source = records.get(emitted.source as usize);
                let timestamp = emitted.timestamp.or(source.map(|source| source.timestamp));
                let delta = timestamp.map_or(0, |timestamp| timestamp.wrapping_sub(batch.base_timestamp));
                headers.clear();
                headers.extend(
                    emitted
                        .headers
                        .iter()
                        .map(|(name, value)| (name.as_str(), value.as_deref())),
                );
                writer.emit(
                    emitted.output,
                    emitted.source,
                    delta,
                    emitted.key.as_deref(),
                    emitted.value.as_deref(),
                    &headers,
                )
            }
            Outcome::DeadLetter(fault) => writer.dead_letter(fault.source, &fault.reason),
            Outcome::Retry(fault) => writer.retry(fault.source, &fault.reason),
            Outcome::Fail(fault) => writer.fail(fault.source, &fault.reason),
        };
        written.map_err(|error| CallError::BadOutput {
            reason: error.to_string(),
        })?;
        // The rest would only be copied to be thrown away.
        if writer.encoded_len() > bytes_max {
            return Err(CallError::OutputTooLarge {
                bytes: writer.encoded_len(),
                limit: bytes_max,
            });
        }
    }
    Ok(writer.finish())
}
