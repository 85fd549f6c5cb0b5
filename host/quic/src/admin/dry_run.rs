//! What a dry run found out, in the protocol's words.

use weir_broker as broker;
use weir_protocol as wire;

pub(super) fn dry_run(found: broker::DryRun) -> wire::DryRun {
    wire::DryRun {
        tried: trial(found.tried),
        running: found.running.map(trial),
        same: found.same,
        different: found.different,
        differences: found
            .differences
            .into_iter()
            .map(|difference| wire::Difference {
                topic: difference.topic,
                partition: difference.partition,
                offset: difference.offset,
                running: difference.running,
                tried: difference.tried,
            })
            .collect(),
        cut_short: found.cut_short,
    }
}

fn trial(trial: broker::Trial) -> wire::Trial {
    wire::Trial {
        plugins: trial.plugins,
        records_in: trial.records_in,
        bytes_in: trial.bytes_in,
        records_out: trial.records_out,
        bytes_out: trial.bytes_out,
        dropped: trial.dropped,
        failed: trial.failed,
        dead_lettered: trial.dead_lettered,
        failures: trial
            .failures
            .into_iter()
            .map(|failure| wire::DryRunFailure {
                topic: failure.topic,
                partition: failure.partition,
                offset: failure.offset,
                plugin: failure.plugin,
                reason: failure.reason,
                sample: failure.sample,
                dead_letter: failure.dead_letter,
            })
            .collect(),
        guest_ns: trial.guest_ns,
        memory_bytes_peak: trial.memory_bytes_peak,
    }
}
