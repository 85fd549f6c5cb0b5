//! What no producer flow can be.

use weir_broker::{ErrorKind, FlowSpec, OnError, Schedule, Start};

use super::{producing, reached};
use crate::support::with;

#[tokio::test]
async fn what_is_no_producer_flow_is_refused_in_words() {
    let broker = with(
        1,
        &[("a", 1), ("b", 1)],
        &["ticker", "identity", "identity-filter"],
    )
    .await;
    let good = || producing("ticker", &[]);
    let cron = |expression: &str| Some(Schedule::Cron(expression.to_owned()));
    let plugins = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let cases = [
        (
            FlowSpec {
                plugins: plugins(&["identity-filter"]),
                ..good()
            },
            "is a filter, and only a producer",
        ),
        (
            FlowSpec {
                plugins: plugins(&["identity"]),
                ..good()
            },
            "is a transform, and only a producer",
        ),
        (
            FlowSpec {
                plugins: plugins(&["ticker", "identity"]),
                ..good()
            },
            "exactly one plugin",
        ),
        (
            FlowSpec {
                plugins: vec![],
                ..good()
            },
            "needs a plugin",
        ),
        (
            FlowSpec {
                from: vec!["a".to_owned()],
                ..good()
            },
            "not both",
        ),
        (
            FlowSpec {
                schedule: None,
                ..good()
            },
            "a schedule: give one",
        ),
        (
            FlowSpec {
                schedule: None,
                from: vec!["a".to_owned()],
                ..good()
            },
            "is a producer, which reads no topic",
        ),
        (
            FlowSpec {
                schedule: Some(Schedule::EveryMs(0)),
                ..good()
            },
            "0 ms",
        ),
        (
            FlowSpec {
                schedule: cron("61 * * * *"),
                ..good()
            },
            "no cron expression",
        ),
        (
            FlowSpec {
                schedule: cron("0 0 30 2 *"),
                ..good()
            },
            "never comes",
        ),
        (
            FlowSpec {
                start: Start::Latest,
                ..good()
            },
            "a cursor of its own",
        ),
        (
            FlowSpec {
                on_error: OnError::DeadLetter,
                ..good()
            },
            "no records that could be",
        ),
        (producing("ticker", &[("per-poll", "0")]), "per-poll"),
    ];
    for (spec, words) in cases {
        let error = broker.create_flow(spec.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidFlow, "{spec:?}: {error}");
        assert!(error.message.contains(words), "{words}: {error}");
    }
    assert!(broker.list_flows().await.unwrap().is_empty());
    let yearly = FlowSpec {
        schedule: cron("0 0 1 1 *"),
        ..good()
    };
    broker.create_flow(yearly).await.unwrap();
    let seen = reached(&broker, "p", |info| info.next_poll_ms.is_some()).await;
    assert_eq!((seen.polls, seen.pages, seen.last_poll_ms), (0, 0, None));
    broker.shutdown().await;
}
