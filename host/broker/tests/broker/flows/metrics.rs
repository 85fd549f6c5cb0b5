//! What is counted of a flow's calls and plugins, and what its plugins count themselves.

use weir_broker::{
    Broker, FlowCalls, FlowChange, FlowFaults, FlowGuestInfo, FlowInfo, FlowSpec, OnError, Storage,
};

use crate::support::{all_values, batch, config, pairs, populate, produce, timely, wait_for_records, with};

const TOPICS: &[(&str, u32)] = &[("a", 2), ("b", 1)];

/// A flow `f` of one plugin, of which a record that it cannot handle is left out.
fn spec(plugin: &str, config: &[(&str, &str)]) -> FlowSpec {
    FlowSpec {
        config: pairs(config),
        on_error: OnError::Skip,
        ..FlowSpec::new("f", "a", [plugin], ["b"])
    }
}

/// The flow at rest: everything of every pass is accounted for.
async fn at_rest(broker: &Broker) -> FlowInfo {
    broker.pause_flow("f").await.unwrap();
    broker.describe_flow("f").await.unwrap()
}

fn only(info: &FlowInfo) -> &FlowGuestInfo {
    let [guest] = info.guests.as_slice() else {
        panic!("{:?}", info.guests)
    };
    guest
}

fn calls(info: &FlowInfo) -> u64 {
    info.partitions
        .iter()
        .map(|partition| partition.calls.count)
        .sum()
}

#[tokio::test]
async fn what_plugins_count_is_summed_over_instances_partitions_and_versions() {
    let broker = with(2, TOPICS, &["hostile-state"]).await;
    broker
        .create_flow(spec("hostile-state", &[("do", "metrics"), ("n", "3")]))
        .await
        .unwrap();
    for partition in [0, 1, 0] {
        produce(&broker, "a", partition, batch(&["x"])).await;
    }
    wait_for_records(&broker, "b", 3).await;
    let first = at_rest(&broker).await;
    let guest = only(&first);
    let all = calls(&first);
    assert!((2..=3).contains(&all), "{all} calls for three batches");
    assert_eq!(guest.plugin, "hostile-state");
    let counters: Vec<_> = guest
        .counters
        .iter()
        .map(|(name, sum)| (name.as_str(), *sum))
        .collect();
    assert_eq!(counters, [("m0", all), ("m1", all), ("m2", all)]);
    assert_eq!(
        guest.metrics_left_out,
        3 * all,
        "two that are no names, and no number"
    );
    assert!(guest.histograms.is_empty(), "{:?}", guest.histograms);
    assert!(guest.memory_bytes_peak >= 1 << 16 && guest.restarts == 0);

    // The instances are other ones from here on.
    let change = FlowChange {
        set: pairs(&[("n", "1")]),
        ..FlowChange::default()
    };
    broker.resume_flow("f").await.unwrap();
    broker.upgrade_flow("f", change).await.unwrap();
    produce(&broker, "a", 1, batch(&["x"])).await;
    wait_for_records(&broker, "b", 4).await;
    let second = at_rest(&broker).await;
    assert_eq!(calls(&second), all + 1);
    let guest = only(&second);
    assert_eq!((guest.counters["m0"], guest.counters["m1"]), (all + 1, all));
    assert!(
        broker.list_flows().await.unwrap()[0].guests.is_empty(),
        "not in lists"
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn failures_are_counted_by_record_and_by_what_they_were() {
    type Counter = fn(&mut FlowFaults) -> &mut u64;
    let faults: [(&str, Counter, bool); 6] = [
        ("trap", |faults| &mut faults.trap, true),
        ("memory", |faults| &mut faults.memory, true),
        ("loop", |faults| &mut faults.deadline, true),
        ("fail", |faults| &mut faults.refused, false),
        ("dead-letter", |faults| &mut faults.dead_letter, false),
        ("retry", |faults| &mut faults.retry, false),
    ];
    for (misdeed, which, restarts) in faults {
        let mut config = config(Storage::Memory, 1);
        config.limits.flow_retries_max = 2;
        let broker = Broker::open(config).await.unwrap();
        populate(&broker, TOPICS, &["hostile"]).await;
        broker
            .create_flow(spec("hostile", &[("do", misdeed), ("at", "bad")]))
            .await
            .unwrap();
        produce(&broker, "a", 1, batch(&["1", "bad", "2"])).await;
        wait_for_records(&broker, "b", 2).await;
        assert_eq!(all_values(&broker, "b").await, ["1", "2"]);
        let info = at_rest(&broker).await;
        let FlowCalls {
            count,
            p50_ns,
            p99_ns,
            max_ns,
            mut faults,
        } = info.partitions[1].calls;
        let counted = std::mem::take(which(&mut faults));
        // A record that the plugin wants tried again is tried some times.
        assert!(
            if misdeed == "retry" {
                counted > 1
            } else {
                counted == 1
            },
            "{misdeed}: {counted}"
        );
        assert_eq!(faults, FlowFaults::default(), "{misdeed} is nothing else");
        assert_eq!(info.partitions[0].calls, FlowCalls::default());
        assert!(count >= 1 && 0 < p50_ns && p50_ns <= p99_ns && p99_ns <= max_ns);
        assert_eq!(only(&info).restarts > 0, restarts, "{misdeed}");
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn an_ingest_flow_counts_its_calls_and_what_it_refuses() {
    let broker = with(1, TOPICS, &["hostile"]).await;
    let spec = FlowSpec {
        config: pairs(&[("do", "fail"), ("at", "bad")]),
        ..FlowSpec::ingest("f", ["hostile"], "a")
    };
    broker.create_flow(spec).await.unwrap();
    for values in [["1", "bad"], ["2", "3"]] {
        let topic = broker.topic("a").unwrap();
        let ticket = timely(topic.produce(1, batch(&values))).await.unwrap();
        timely(ticket).await.unwrap();
    }
    let info = at_rest(&broker).await;
    let seen = info.partitions[1].calls;
    assert_eq!((seen.count, seen.faults.refused, calls(&info)), (2, 1, 2));
    assert!(only(&info).memory_bytes_peak >= 1 << 16);
    broker.shutdown().await;
}
