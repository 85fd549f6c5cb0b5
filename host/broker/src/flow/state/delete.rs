//! Removing the state of flows that are no more.

use weir_log::{Durability, Entry, KvOp, KvRange, Log};

use crate::BrokerError;
use crate::flow::state::keys::{ROWS, SCHEMAS, TOTALS, flow_of_key, flow_rows, flow_schemas, flow_totals};

/// Rows that are removed in one entry, and bytes that are read to do so.
const ROWS_MAX: usize = 1_000;
const BYTES_MAX: usize = 1 << 20;

/// Removes all state of a flow, which must not run. Blocks.
pub(crate) fn delete_state(log: &Log, flow: u32) -> Result<(), BrokerError> {
    for shard in 0..log.shards() {
        for prefix in [flow_rows(flow), flow_totals(flow), flow_schemas(flow)] {
            delete_below(log, shard, &prefix)?;
        }
    }
    Ok(())
}

/// Removes the state of all flows that are to be `forgotten`. Blocks; looks at one row of each flow.
pub(crate) fn sweep_state(log: &Log, forgotten: impl Fn(u32) -> bool) -> Result<(), BrokerError> {
    for shard in 0..log.shards() {
        let of_flows = [
            (ROWS, flow_rows as fn(u32) -> Vec<u8>),
            (TOTALS, flow_totals),
            (SCHEMAS, flow_schemas),
        ];
        for (prefix, of_flow) in of_flows {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let range = KvRange {
                    prefix: prefix.as_bytes(),
                    after: after.as_deref(),
                    rows_max: 1,
                    bytes_max: 1,
                };
                let page = log.kv_page(shard, range).map_err(BrokerError::storage)?;
                let Some((key, _)) = page.pairs.into_iter().next() else {
                    break;
                };
                let Some(flow) = flow_of_key(prefix, &key) else {
                    after = Some(key);
                    continue;
                };
                let below = of_flow(flow);
                if forgotten(flow) {
                    delete_below(log, shard, &below)?;
                }
                after = Some(end_of(below));
            }
        }
    }
    Ok(())
}

/// The first key after all those that begin with `prefix`, which ends with a slash.
fn end_of(mut prefix: Vec<u8>) -> Vec<u8> {
    if let Some(last) = prefix.last_mut() {
        *last += 1;
    }
    prefix
}

fn delete_below(log: &Log, shard: u16, prefix: &[u8]) -> Result<(), BrokerError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let range = KvRange {
            prefix,
            after: after.as_deref(),
            rows_max: ROWS_MAX,
            bytes_max: BYTES_MAX,
        };
        let page = log.kv_page(shard, range).map_err(BrokerError::storage)?;
        let keys: Vec<Vec<u8>> = page.pairs.into_iter().map(|(key, _)| key).collect();
        let Some(last) = keys.last().cloned() else {
            return Ok(());
        };
        let entry = Entry {
            appends: Vec::new(),
            puts: keys.into_iter().map(|key| KvOp::Delete { key }).collect(),
            durability: Durability::Fsync,
        };
        let receipt = log.submit_blocking(shard, entry).map_err(BrokerError::storage)?;
        receipt.wait().map_err(BrokerError::storage)?;
        after = Some(last);
    }
}

#[cfg(test)]
mod tests {
    use weir_log::{LogConfig, Storage};

    use super::*;
    use crate::flow::state::StateKeys;

    #[test]
    fn state_of_forgotten_flows_goes_and_no_other() {
        let config = LogConfig {
            shards: 2,
            ..LogConfig::default()
        };
        let log = Log::open(Storage::Memory, config).unwrap();
        let keys = |flow| StateKeys {
            flow,
            topic: 1,
            partition: 0,
        };
        for flow in [1, 2, 10, 12] {
            let rows = (0..1_500).map(|n| [keys(flow).rows(), format!("p/{n}").into_bytes()].concat());
            let puts = rows
                .chain([keys(flow).totals(), keys(flow).schema("p")])
                .map(|key| KvOp::Put {
                    key,
                    value: Vec::new(),
                });
            let entry = Entry {
                puts: puts.collect(),
                ..Entry::default()
            };
            let shard = (flow % 2) as u16;
            log.submit_blocking(shard, entry).unwrap().wait().unwrap();
        }
        let left = |flow: u32| -> usize {
            let shard = (flow % 2) as u16;
            let rows = log.kv_scan(shard, &flow_rows(flow)).unwrap().len();
            let schemas = log.kv_scan(shard, &flow_schemas(flow)).unwrap().len();
            rows + log.kv_scan(shard, &flow_totals(flow)).unwrap().len() + schemas
        };
        sweep_state(&log, |flow| flow == 1 || flow == 10).unwrap();
        assert_eq!([1, 2, 10, 12].map(left), [0, 1_502, 0, 1_502]);
        delete_state(&log, 2).unwrap();
        assert_eq!([1, 2, 10, 12].map(left), [0, 0, 0, 1_502]);
        log.close();
    }
}
