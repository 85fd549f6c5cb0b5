//! Limits of one flow: what is over one is dealt with as the flow says, with a reason that names limit, value and what to do.

use weir_broker::{Broker, ErrorKind, FlowChange, FlowLimits, FlowSpec, OnError, Storage};

use crate::support::{batch, config, pairs, paused, populate, produce, values, wait_for_records};

const TOPICS: &[(&str, u32)] = &[("a", 1), ("b", 1)];

fn none() -> FlowLimits {
    FlowLimits::default()
}

/// Settings of the guest, limits of its flow, and what the reason says.
type Case<'a> = (&'a [(&'a str, &'a str)], FlowLimits, &'a [&'a str]);

async fn broker() -> Broker {
    let broker = Broker::open(config(Storage::Memory, 1)).await.unwrap();
    populate(&broker, TOPICS, &["hostile", "count-by-key"]).await;
    broker
}

fn hostile(settings: &[(&str, &str)], limits: FlowLimits) -> FlowSpec {
    let mut spec = FlowSpec::new("f", "a", ["hostile"], ["b"]);
    spec.config = pairs(settings);
    spec.limits = limits;
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_a_limit_pauses_its_flow_and_says_how_to_raise_it() {
    let floods = &[("do", "flood-records"), ("n", "10"), ("at", "bad")][..];
    let cases: [Case<'_>; 7] = [
        (
            &[("do", "loop"), ("at", "bad")],
            FlowLimits {
                call_ms: Some(50),
                ..none()
            },
            &["50 ms", "--limit call-time="],
        ),
        (
            &[("do", "loop"), ("at", "bad")],
            FlowLimits {
                record_us: Some(20_000),
                ..none()
            },
            &["20000 us for each", "--limit record-time="],
        ),
        (
            &[("do", "memory"), ("at", "bad")],
            FlowLimits {
                memory_bytes: Some(4 << 20),
                ..none()
            },
            &["4194304", "--limit memory="],
        ),
        (
            floods,
            FlowLimits {
                output_bytes: Some(60),
                ..none()
            },
            &["60", "--limit output-bytes="],
        ),
        (
            floods,
            FlowLimits {
                record_output_bytes: Some(20),
                ..none()
            },
            &["20 for each", "--limit record-output-bytes="],
        ),
        (
            floods,
            FlowLimits {
                output_records: Some(5),
                ..none()
            },
            &["5", "--limit output-records="],
        ),
        (
            floods,
            FlowLimits {
                record_output_records: Some(2),
                ..none()
            },
            &["may return 2 ", "--limit record-output-records="],
        ),
    ];
    for (settings, limits, words) in cases {
        let broker = broker().await;
        broker.create_flow(hostile(settings, limits)).await.unwrap();
        produce(&broker, "a", 0, batch(&["0", "1", "bad", "3"])).await;
        let pause = paused(&broker, "f").await;
        for word in words {
            assert!(pause.reason.contains(word), "{word}: {}", pause.reason);
        }
        assert_eq!(pause.place.unwrap().offset, 2);
        assert_eq!(values(&broker, "b", 0).await, ["0", "1"]);
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_is_applied_to_what_is_over_a_limit() {
    let broker = broker().await;
    let limits = FlowLimits {
        call_ms: Some(30),
        ..none()
    };
    let mut spec = hostile(&[("do", "loop"), ("at", "bad")], limits);
    spec.on_error = OnError::Skip;
    broker.create_flow(spec).await.unwrap();
    produce(&broker, "a", 0, batch(&["0", "bad", "2"])).await;
    wait_for_records(&broker, "b", 2).await;
    assert_eq!(values(&broker, "b", 0).await, ["0", "2"]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_may_have_more_than_the_default() {
    let broker = broker().await;
    // Keeps 80 MiB after its first batch: more than the 64 MiB that a plugin has by default.
    let settings = [("do", "grow"), ("n", "83886080")];
    broker.create_flow(hostile(&settings, none())).await.unwrap();
    produce(&broker, "a", 0, batch(&["0"])).await;
    let pause = paused(&broker, "f").await;
    assert!(
        pause.reason.contains("67108864") && pause.reason.contains("--limit memory="),
        "{}",
        pause.reason
    );
    let change = FlowChange {
        limits: FlowLimits {
            memory_bytes: Some(256 << 20),
            ..none()
        },
        ..FlowChange::default()
    };
    let info = broker.upgrade_flow("f", change).await.unwrap();
    assert_eq!(info.spec.limits.memory_bytes, Some(256 << 20));
    assert_eq!(
        info.revisions.last().unwrap().limits.memory_bytes,
        Some(256 << 20)
    );
    wait_for_records(&broker, "b", 1).await;
    // And back to the default, by name and by going back.
    let change = FlowChange {
        unset_limits: vec!["memory".to_owned()],
        ..FlowChange::default()
    };
    let info = broker.upgrade_flow("f", change).await.unwrap();
    assert_eq!(info.spec.limits, none());
    let info = broker.rollback_flow("f", Some(2)).await.unwrap();
    assert_eq!(info.spec.limits.memory_bytes, Some(256 << 20));
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_of_a_flow_has_a_limit_of_its_own() {
    let broker = broker().await;
    let mut spec = FlowSpec::new("f", "a", ["count-by-key"], ["b"]);
    spec.limits.state_bytes = Some(20);
    broker.create_flow(spec).await.unwrap();
    produce(&broker, "a", 0, batch(&["no key"])).await;
    let pause = paused(&broker, "f").await;
    assert!(
        pause.reason.contains("may have 20 (limit state)"),
        "{}",
        pause.reason
    );
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_lines_over_the_rate_are_left_out_and_counted() {
    for limits in [
        FlowLimits {
            log_lines_per_s: Some(5),
            ..none()
        },
        FlowLimits {
            log_bytes_per_s: Some(100),
            ..none()
        },
    ] {
        let broker = broker().await;
        let settings = [("do", "flood-log"), ("n", "10000")];
        broker.create_flow(hostile(&settings, limits)).await.unwrap();
        produce(&broker, "a", 0, batch(&["0"])).await;
        wait_for_records(&broker, "b", 1).await;
        let lines = broker.describe_flow("f").await.unwrap().log;
        let of_the_flood = lines.iter().filter(|line| line.contains("of a flood")).count();
        // A burst, and what the time of the call adds to it; without a limit of its own all 256 lines kept would be of the flood.
        assert!((1..100).contains(&of_the_flood), "{of_the_flood}");
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flow_goes_above_the_ceiling() {
    let mut config = config(Storage::Memory, 1);
    config.limits.flow_ceilings.memory_bytes = Some(100 << 20);
    config.limits.flows_max = 1;
    let broker = Broker::open(config).await.unwrap();
    populate(&broker, TOPICS, &["hostile"]).await;
    let high = FlowLimits {
        memory_bytes: Some(128 << 20),
        ..none()
    };
    let error = broker.create_flow(hostile(&[], high.clone())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidFlow);
    for word in ["134217728", "104857600", "[plugins.ceiling]"] {
        assert!(error.message.contains(word), "{error}");
    }
    let fits = FlowLimits {
        memory_bytes: Some(100 << 20),
        ..none()
    };
    broker.create_flow(hostile(&[], fits)).await.unwrap();
    let change = FlowChange {
        limits: high,
        ..FlowChange::default()
    };
    let error = broker.upgrade_flow("f", change).await.unwrap_err();
    assert!(error.message.contains("134217728"), "{error}");
    let mut another = hostile(&[], none());
    another.name = "g".to_owned();
    let error = broker.create_flow(another).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::LimitExceeded);
    assert!(error.message.contains("flows_max"), "{error}");
    broker.shutdown().await;
}
