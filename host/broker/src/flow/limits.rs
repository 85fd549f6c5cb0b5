//! What a flow may take of the machine, where that is not the broker's default.

use serde::{Deserialize, Serialize};

use crate::{BrokerError, ErrorKind};

/// Limits of one flow's plugins. What is not there is as the broker has it by default; nothing is above the broker's ceilings.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct FlowLimits {
    /// Milliseconds that one call of a plugin, over a whole batch, may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_ms: Option<u64>,
    /// Microseconds that a call may take for each record of its batch, if that is less; never less than 5 milliseconds a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_us: Option<u64>,
    /// Bytes of memory of one instance of a plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Bytes that one call may return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Bytes that one call may return for each record of its batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_output_bytes: Option<u64>,
    /// Records that one call may return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_records: Option<u64>,
    /// Records that one call may return for each record of its batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_output_records: Option<u64>,
    /// Bytes of log lines a second, of each instance; what is more is left out and counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_bytes_per_s: Option<u64>,
    /// Log lines a second, of each instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_lines_per_s: Option<u64>,
    /// Bytes of keyed state for each source partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_bytes: Option<u64>,
}

/// One page of WebAssembly: no plugin has less.
const MEMORY_BYTES_MIN: u64 = 64 << 10;

impl FlowLimits {
    /// Above this no flow may go unless the broker's configuration says so.
    pub fn ceilings() -> Self {
        Self {
            call_ms: Some(60_000),
            record_us: Some(60_000_000),
            memory_bytes: Some(1 << 30),
            output_bytes: Some(128 << 20),
            record_output_bytes: Some(128 << 20),
            output_records: Some(10_000_000),
            record_output_records: Some(1_000_000),
            log_bytes_per_s: Some(1 << 20),
            log_lines_per_s: Some(10_000),
            state_bytes: Some(16 << 30),
        }
    }

    /// Each limit with its name, as it is given and shown.
    pub fn named(&self) -> [(&'static str, Option<u64>); 10] {
        [
            ("call-time", self.call_ms),
            ("record-time", self.record_us),
            ("memory", self.memory_bytes),
            ("output-bytes", self.output_bytes),
            ("record-output-bytes", self.record_output_bytes),
            ("output-records", self.output_records),
            ("record-output-records", self.record_output_records),
            ("log-bytes", self.log_bytes_per_s),
            ("log-lines", self.log_lines_per_s),
            ("state", self.state_bytes),
        ]
    }

    fn slots(&mut self) -> [&mut Option<u64>; 10] {
        [
            &mut self.call_ms,
            &mut self.record_us,
            &mut self.memory_bytes,
            &mut self.output_bytes,
            &mut self.record_output_bytes,
            &mut self.output_records,
            &mut self.record_output_records,
            &mut self.log_bytes_per_s,
            &mut self.log_lines_per_s,
            &mut self.state_bytes,
        ]
    }

    /// With what `changes` sets, and without what `unset` names.
    ///
    /// # Errors
    /// A name that no limit has, or a limit that is not set.
    pub(crate) fn changed(&self, changes: &Self, unset: &[String]) -> Result<Self, String> {
        let mut changed = self.clone();
        for name in unset {
            let index = changed
                .named()
                .iter()
                .position(|(known, value)| known == name && value.is_some());
            let Some(index) = index else {
                return Err(format!("the flow has no limit '{name}' of its own to take away"));
            };
            *changed.slots()[index] = None;
        }
        for (slot, (_, value)) in changed.slots().into_iter().zip(changes.named()) {
            if value.is_some() {
                *slot = value;
            }
        }
        Ok(changed)
    }

    /// Whether all of it can be, below `ceilings`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFlow`] with the limit, its value and what it may be.
    pub(crate) fn check(&self, ceilings: &Self) -> Result<(), BrokerError> {
        for ((name, value), (_, ceiling)) in self.named().into_iter().zip(ceilings.named()) {
            let Some(value) = value else { continue };
            let message = if let Some(ceiling) = ceiling.filter(|ceiling| value > *ceiling) {
                format!(
                    "the limit {name} of {value} is above this broker's ceiling of {ceiling}: ask for less, or have the ceiling raised, \
                     under [plugins.ceiling] in the broker's configuration"
                )
            } else if value == 0 {
                format!("the limit {name} is 0, and nothing could run: leave it out for the broker's default")
            } else if name == "memory" && value < MEMORY_BYTES_MIN {
                format!(
                    "the limit memory of {value} bytes is less than the {MEMORY_BYTES_MIN} of one page of WebAssembly"
                )
            } else {
                continue;
            };
            return Err(BrokerError::new(ErrorKind::InvalidFlow, message));
        }
        Ok(())
    }

    /// `defaults` with what is set here.
    pub(crate) fn over(&self, defaults: &weir_runtime::Limits) -> weir_runtime::Limits {
        let size = |value: Option<u64>| value.map(|value| usize::try_from(value).unwrap_or(usize::MAX));
        let mut limits = defaults.clone();
        set(&mut limits.deadline_ms, self.call_ms);
        set(&mut limits.memory_bytes_max, size(self.memory_bytes));
        set(&mut limits.output_bytes_max, size(self.output_bytes));
        set(&mut limits.output_records_max, self.output_records);
        set(
            &mut limits.output_records_max_per_input,
            self.record_output_records
                .map(|records| u32::try_from(records).unwrap_or(u32::MAX)),
        );
        set(&mut limits.log_bytes_per_s, self.log_bytes_per_s);
        set(&mut limits.log_lines_per_s, self.log_lines_per_s);
        limits.deadline_us_per_input = self.record_us.or(limits.deadline_us_per_input);
        limits.output_bytes_max_per_input =
            size(self.record_output_bytes).or(limits.output_bytes_max_per_input);
        limits
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_slots_are_in_the_same_order() {
        let mut limits = FlowLimits::default();
        for (index, slot) in limits.slots().into_iter().enumerate() {
            *slot = Some(index as u64);
        }
        let values = limits.named().map(|(_, value)| value);
        assert_eq!(values, std::array::from_fn(|index| Some(index as u64)));
    }

    #[test]
    fn what_is_above_the_ceiling_is_refused_with_both_numbers() {
        let limits = FlowLimits {
            memory_bytes: Some(2 << 30),
            ..FlowLimits::default()
        };
        let error = limits.check(&FlowLimits::ceilings()).unwrap_err().message;
        assert!(
            error.contains("memory") && error.contains("2147483648") && error.contains("1073741824"),
            "{error}"
        );
        assert_eq!(
            limits.check(&FlowLimits::default()),
            Ok(()),
            "no ceiling, no bound"
        );
        assert_eq!(FlowLimits::ceilings().check(&FlowLimits::ceilings()), Ok(()));
        for (limits, word) in [
            (
                FlowLimits {
                    call_ms: Some(0),
                    ..FlowLimits::default()
                },
                "call-time is 0",
            ),
            (
                FlowLimits {
                    memory_bytes: Some(1),
                    ..FlowLimits::default()
                },
                "65536",
            ),
        ] {
            let error = limits.check(&FlowLimits::ceilings()).unwrap_err().message;
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_change_sets_and_takes_away() {
        let before = FlowLimits {
            call_ms: Some(1),
            state_bytes: Some(2),
            ..FlowLimits::default()
        };
        let change = FlowLimits {
            call_ms: Some(3),
            ..FlowLimits::default()
        };
        let after = before.changed(&change, &["state".to_owned()]).unwrap();
        assert_eq!(after, change);
        assert!(
            after
                .changed(&change, &["state".to_owned()])
                .unwrap_err()
                .contains("'state'")
        );
        assert!(after.changed(&change, &["nonsense".to_owned()]).is_err());
    }

    #[test]
    fn what_is_not_set_is_as_the_broker_has_it() {
        let defaults = weir_runtime::Limits::default();
        assert_eq!(FlowLimits::default().over(&defaults), defaults);
        let limits = FlowLimits {
            memory_bytes: Some(256 << 20),
            record_us: Some(7),
            ..FlowLimits::default()
        };
        let over = limits.over(&defaults);
        assert_eq!(over.memory_bytes_max, 256 << 20);
        assert_eq!(over.deadline_us_per_input, Some(7));
        assert_eq!(over.deadline_ms, defaults.deadline_ms);
    }
}
