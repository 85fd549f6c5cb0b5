//! What becomes of records that a plugin cannot handle.

use weir_batch::iter_batches;
use weir_broker::{Broker, FlowPartitionInfo, FlowSpec, OnError, Storage};

use crate::support::{
    batch, config, on_folder, pairs, paused, populate, produce, running, timely, values, wait_for_records,
    with,
};

const TOPICS: &[(&str, u32)] = &[("a", 1), ("b", 1)];

/// A flow `f` of the guest that does `misdeed` at every record whose value contains `bad`.
fn spec(misdeed: &str, on_error: OnError) -> FlowSpec {
    let mut spec = FlowSpec::new("f", "a", ["hostile"], ["b"]);
    spec.config = pairs(&[("do", misdeed), ("at", "bad")]);
    spec.on_error = on_error;
    spec
}

/// Values, every tenth of which is a bad one.
fn mixed(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| {
            if n % 10 == 3 {
                format!("bad{n}")
            } else {
                format!("{n}")
            }
        })
        .collect()
}

fn good(values: &[String]) -> Vec<&String> {
    values.iter().filter(|value| !value.starts_with("bad")).collect()
}

async fn counted(broker: &Broker) -> FlowPartitionInfo {
    broker.pause_flow("f").await.unwrap();
    broker.describe_flow("f").await.unwrap().partitions[0]
}

/// Headers of all records of a partition, as text, with the values.
async fn letters(broker: &Broker, topic: &str) -> Vec<(String, Vec<(String, String)>)> {
    let partition = broker.topic(topic).unwrap().partition(0).unwrap();
    let fetched = partition.fetch(0, 1 << 20).await.unwrap();
    let mut letters = Vec::new();
    for item in iter_batches(&fetched.batches) {
        let batch = weir_batch::Batch::parse(item.unwrap().1).unwrap();
        for record in batch.records().unwrap() {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers = record
                .headers()
                .map(|(key, value)| (key.to_owned(), text(value.unwrap())));
            letters.push((text(record.value().unwrap()), headers.collect()));
        }
    }
    letters
}

/// Waits for the topic, which nothing announces, and then for its records.
async fn letters_arrive(broker: &Broker, count: i64) {
    timely(async {
        while broker.topic("f.dead-letter").is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    wait_for_records(broker, "f.dead-letter", count).await;
}

#[tokio::test]
async fn skip_leaves_out_the_guilty_records_and_no_other() {
    for misdeed in ["trap", "fail"] {
        let broker = with(2, TOPICS, &["hostile"]).await;
        broker.create_flow(spec(misdeed, OnError::Skip)).await.unwrap();
        let (first, second) = (mixed(200), mixed(50));
        produce(&broker, "a", 0, batch(&first)).await;
        produce(&broker, "a", 0, batch(&second)).await;
        wait_for_records(&broker, "b", 225).await;
        let expected = [good(&first), good(&second)].concat();
        assert_eq!(values(&broker, "b", 0).await.iter().collect::<Vec<_>>(), expected);
        let counted = counted(&broker).await;
        assert_eq!(
            (
                counted.records_in,
                counted.records_out,
                counted.skipped,
                counted.dropped
            ),
            (250, 225, 25, 0),
            "{misdeed}"
        );
        assert_eq!(
            (counted.cursor, counted.errors, counted.dead_lettered),
            (250, 0, 0)
        );
        assert!(broker.topic("f.dead-letter").is_err());
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn dead_letters_go_to_a_topic_of_their_own_and_say_why() {
    for (misdeed, on_error) in [
        ("trap", OnError::DeadLetter),
        ("fail", OnError::DeadLetter),
        // What the plugin asks for, it gets.
        ("dead-letter", OnError::Pause),
    ] {
        let broker = with(2, TOPICS, &["hostile"]).await;
        broker.create_flow(spec(misdeed, on_error)).await.unwrap();
        assert_eq!(broker.describe_flow("f").await.unwrap().dead_letter, None);
        let sent = mixed(40);
        produce(&broker, "a", 0, batch(&sent)).await;
        wait_for_records(&broker, "b", 36).await;
        letters_arrive(&broker, 4).await;
        assert_eq!(
            values(&broker, "b", 0).await.iter().collect::<Vec<_>>(),
            good(&sent)
        );
        let letters = letters(&broker, "f.dead-letter").await;
        assert_eq!(letters.len(), 4);
        for (index, (value, headers)) in letters.iter().enumerate() {
            let offset = 3 + 10 * index;
            assert_eq!(value, &format!("bad{offset}"));
            let header = |key: &str| &headers.iter().find(|(found, _)| found == key).unwrap().1;
            assert_eq!(header("weir-flow"), "f");
            assert_eq!(header("weir-plugin"), "hostile@1");
            assert_eq!(
                (header("weir-topic").as_str(), header("weir-partition").as_str()),
                ("a", "0")
            );
            assert_eq!(header("weir-offset"), &offset.to_string());
            assert!(!header("weir-reason").is_empty());
        }
        let info = broker.describe_flow("f").await.unwrap();
        assert_eq!(info.dead_letter.as_deref(), Some("f.dead-letter"));
        let counted = counted(&broker).await;
        assert_eq!(
            (counted.dead_lettered, counted.skipped, counted.errors),
            (4, 0, 0)
        );
        assert_eq!(counted.records_out, 36, "a dead letter is none");
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_dead_letter_topic_that_is_deleted_is_made_again() {
    let broker = with(1, TOPICS, &["hostile"]).await;
    broker
        .create_flow(spec("fail", OnError::DeadLetter))
        .await
        .unwrap();
    for round in 0..3 {
        produce(&broker, "a", 0, batch(&["good", "bad"])).await;
        wait_for_records(&broker, "b", round + 1).await;
        letters_arrive(&broker, 1).await;
        broker.delete_topic("f.dead-letter").await.unwrap();
    }
    running(&broker, "f").await;
    broker.shutdown().await;
}

#[tokio::test]
async fn retry_tries_so_often_and_then_pauses_in_front_of_the_record() {
    let mut config = config(Storage::Memory, 1);
    config.limits.flow_retries_max = 2;
    let broker = Broker::open(config).await.unwrap();
    populate(&broker, TOPICS, &["hostile"]).await;
    broker.create_flow(spec("trap", OnError::Retry)).await.unwrap();
    produce(&broker, "a", 0, batch(&["0", "1", "bad2", "3"])).await;
    let pause = paused(&broker, "f").await;
    let place = pause.place.unwrap();
    assert_eq!(
        (place.offset, place.last_offset, place.sample.as_deref()),
        (2, None, Some("bad2"))
    );
    assert_eq!(values(&broker, "b", 0).await, ["0", "1"]);
    let counted = counted(&broker).await;
    // Two retries and the attempt before them.
    assert_eq!((counted.retried, counted.cursor, counted.skipped), (3, 2, 0));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_record_to_be_retried_is_given_up_as_the_flow_says() {
    let mut config = config(Storage::Memory, 1);
    config.limits.flow_retries_max = 1;
    let broker = Broker::open(config).await.unwrap();
    populate(&broker, TOPICS, &["hostile"]).await;
    broker.create_flow(spec("retry", OnError::Skip)).await.unwrap();
    produce(&broker, "a", 0, batch(&["0", "bad1", "2", "bad3", "4"])).await;
    wait_for_records(&broker, "b", 3).await;
    assert_eq!(values(&broker, "b", 0).await, ["0", "2", "4"]);
    let counted = counted(&broker).await;
    assert_eq!((counted.retried, counted.skipped), (4, 2));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_plugin_that_does_nothing_but_fail_pauses_its_flow() {
    let broker = with(1, TOPICS, &["hostile"]).await;
    broker.create_flow(spec("trap", OnError::Skip)).await.unwrap();
    produce(&broker, "a", 0, batch(&["good"])).await;
    produce(&broker, "a", 0, batch(&vec!["bad"; 300])).await;
    let pause = paused(&broker, "f").await;
    assert!(
        pause.reason.contains("too many records failed"),
        "{}",
        pause.reason
    );
    assert!((50..=150).contains(&pause.place.unwrap().offset));
    assert_eq!(values(&broker, "b", 0).await, ["good"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_flow_cannot_feed_on_its_own_dead_letters() {
    let broker = with(1, &[("b", 1), ("f.dead-letter", 1)], &["hostile"]).await;
    let mut spec = spec("fail", OnError::DeadLetter);
    spec.from = vec!["f.dead-letter".to_owned()];
    let error = broker.create_flow(spec).await.unwrap_err();
    assert!(error.message.contains("cycle"), "{error}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_restarts_every_record_comes_out_once_or_is_a_dead_letter_once() {
    let folder = tempfile::tempdir().unwrap();
    let sent: Vec<Vec<String>> = (0..30)
        .map(|round| {
            let values = (0..20).map(|n| {
                let bad = if (n + round) % 7 == 0 { "bad" } else { "good" };
                format!("{bad}-{round:02}-{n:02}")
            });
            values.collect()
        })
        .collect();
    for (restart, rounds) in sent.chunks(5).enumerate() {
        let broker = on_folder(folder.path(), 3).await;
        if restart == 0 {
            populate(&broker, &[("a", 1), ("b", 4)], &["hostile"]).await;
            broker
                .create_flow(spec("trap", OnError::DeadLetter))
                .await
                .unwrap();
        }
        for values in rounds {
            produce(&broker, "a", 0, batch(values)).await;
        }
        // In the midst of it, not at its end.
        broker.shutdown().await;
    }
    let broker = on_folder(folder.path(), 3).await;
    let all: Vec<String> = sent.concat();
    let (bad, good): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|value| value.starts_with("bad"));
    wait_for_records(&broker, "b", good.len() as i64).await;
    letters_arrive(&broker, bad.len() as i64).await;
    broker.pause_flow("f").await.unwrap();
    assert_eq!(values(&broker, "b", 0).await, good);
    assert_eq!(values(&broker, "f.dead-letter", 0).await, bad);
    broker.shutdown().await;
}
