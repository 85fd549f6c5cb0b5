//! `[plugins]`, as the broker takes it.

use weir_broker::Limits;
use weir_runtime::RuntimeConfig;

use super::PluginsSection;

impl PluginsSection {
    /// Puts what is said here into the broker's settings.
    pub fn apply(&self, runtime: &mut RuntimeConfig, broker: &mut Limits) {
        let limits = &mut runtime.limits;
        set(&mut limits.deadline_ms, self.deadline_ms);
        limits.deadline_us_per_input = self.record_us.or(limits.deadline_us_per_input);
        set(&mut limits.memory_bytes_max, self.memory_bytes_max);
        set(&mut limits.output_bytes_max, self.output_bytes_max);
        set(&mut limits.output_records_max, self.output_records_max);
        set(
            &mut limits.output_records_max_per_input,
            self.output_records_max_per_input,
        );
        set(&mut limits.log_bytes_per_s, self.log_bytes_per_s);
        set(&mut limits.log_lines_per_s, self.log_lines_per_s);
        set(&mut broker.flow_state_bytes_max, self.state_bytes_max);
        set(&mut broker.flow_threads, self.threads);
        set(&mut broker.flow_http_threads, self.http_threads_max);
        set(
            &mut broker.flow_http_threads_per_flow,
            self.http_threads_max_per_flow,
        );
        let http = &mut runtime.http;
        set(&mut http.timeout_ms, self.http_timeout_ms);
        set(&mut http.call_timeout_ms, self.http_batch_timeout_ms);
        set(&mut http.exchanges_max_per_call, self.http_exchanges_max);
        set(&mut http.request_bytes_max, self.http_request_bytes_max);
        set(&mut http.response_bytes_max, self.http_response_bytes_max);
        set(&mut http.headers_max, self.http_headers_max);
        set(&mut http.header_bytes_max, self.http_header_bytes_max);
        set(&mut http.connections_max_per_flow, self.http_connections_max);
        if self.http_ca.is_some() {
            http.ca.clone_from(&self.http_ca);
        }
        let (ceilings, ceiling) = (&mut broker.flow_ceilings, &self.ceiling);
        ceilings.call_ms = ceiling.call_ms.or(ceilings.call_ms);
        ceilings.record_us = ceiling.record_us.or(ceilings.record_us);
        ceilings.memory_bytes = ceiling.memory_bytes.or(ceilings.memory_bytes);
        ceilings.output_bytes = ceiling.output_bytes.or(ceilings.output_bytes);
        ceilings.record_output_bytes = ceiling.record_output_bytes.or(ceilings.record_output_bytes);
        ceilings.output_records = ceiling.output_records.or(ceilings.output_records);
        ceilings.record_output_records = ceiling.record_output_records.or(ceilings.record_output_records);
        ceilings.log_bytes_per_s = ceiling.log_bytes_per_s.or(ceilings.log_bytes_per_s);
        ceilings.log_lines_per_s = ceiling.log_lines_per_s.or(ceilings.log_lines_per_s);
        ceilings.state_bytes = ceiling.state_bytes.or(ceilings.state_bytes);
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
    use crate::config::CeilingSection;

    #[test]
    fn what_is_said_is_applied_and_the_rest_is_as_it_was() {
        let (mut runtime, mut broker) = (RuntimeConfig::default(), Limits::default());
        let section = PluginsSection {
            deadline_ms: Some(7),
            http_timeout_ms: Some(8),
            http_threads_max: Some(9),
            ceiling: CeilingSection {
                memory_bytes: Some(10),
                ..CeilingSection::default()
            },
            ..PluginsSection::default()
        };
        section.apply(&mut runtime, &mut broker);
        assert_eq!((runtime.limits.deadline_ms, runtime.http.timeout_ms), (7, 8));
        assert_eq!(broker.flow_http_threads, 9);
        assert_eq!(broker.flow_ceilings.memory_bytes, Some(10));
        let (defaults, same) = (Limits::default(), RuntimeConfig::default());
        assert_eq!(broker.flow_ceilings.call_ms, defaults.flow_ceilings.call_ms);
        assert_eq!(runtime.limits.memory_bytes_max, same.limits.memory_bytes_max);
    }
}
