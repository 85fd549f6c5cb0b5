//! Producers with an id, and batches that come again.

use super::*;
use crate::support::on_folder;

#[tokio::test]
async fn a_repeat_is_not_stored_again_and_is_answered_as_the_first_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = on_folder(folder.path(), 1).await;
    crate::support::populate(&broker, &[("a", 1)], &["json-filter"]).await;
    // Two before the guard is there.
    send(&broker, 0, sequenced(0, &[number(1), number(100)]))
        .await
        .unwrap();
    below_ten(&broker).await;
    let batches = [
        // Kept whole, kept in part, not kept at all, kept whole.
        (2, vec![number(2), number(3)], 2, vec![]),
        (
            4,
            vec![number(4), number(200), number(5)],
            4,
            vec![stored(1, 0, 1), dropped(1), stored(1, 1, 1)],
        ),
        (7, vec![number(300), number(400)], 6, vec![dropped(2)]),
        (9, vec![number(6)], 6, vec![]),
    ];
    for round in 0..4 {
        for (sequence, numbers, base_offset, runs) in &batches {
            let produced = send(&broker, 0, sequenced(*sequence, numbers)).await.unwrap();
            assert_eq!(
                (produced.base_offset, produced.duplicate),
                (*base_offset, round > 0)
            );
            assert_eq!(produced.records.map_or(Vec::new(), |results| results.runs), *runs);
        }
        // What was stored before the guard came is known, too.
        let produced = send(&broker, 0, sequenced(0, &[number(1), number(100)]))
            .await
            .unwrap();
        assert!(produced.duplicate);
        assert_eq!(produced.base_offset, 0);
        if round == 1 {
            broker.shutdown().await;
            drop(broker);
            broker = on_folder(folder.path(), 1).await;
        }
    }
    let gap = refusal(&broker, sequenced(12, &[number(7)])).await;
    assert_eq!(gap.kind, ErrorKind::OutOfOrderSequence);
    // Without the guard the sequence goes on as the producer counts.
    broker.delete_flow("f").await.unwrap();
    let produced = send(&broker, 0, sequenced(10, &[number(900)])).await.unwrap();
    assert_eq!((produced.base_offset, produced.duplicate), (7, false));
    let expected = [1, 100, 2, 3, 4, 5, 6, 900].map(number);
    assert_eq!(values(&broker, "a", 0).await, expected);
    broker.shutdown().await;
}

#[tokio::test]
async fn refused_records_keep_their_numbers_and_old_repeats_their_answers() {
    let broker = with(1, &[("a", 1)], &["hostile"]).await;
    guard(
        &broker,
        "hostile",
        OnError::Pause,
        &[("do", "fail"), ("at", "bad")],
    )
    .await;
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let first = texts(&["good", "bad"]);
    let runs = [stored(1, 0, 1), rejected(1, 0)];
    let produced = send(&broker, 0, sequenced(0, &first)).await.unwrap();
    assert_eq!(results(&produced).runs, runs);
    // All refused, one hundred times: more than the log remembers.
    for n in 1..=100 {
        let produced = send(&broker, 0, sequenced(2 * n, &texts(&["bad", "bad"])))
            .await
            .unwrap();
        assert_eq!(results(&produced).runs, [rejected(2, 0)]);
        assert!(!produced.duplicate);
    }
    let produced = send(&broker, 0, sequenced(0, &first)).await.unwrap();
    assert_eq!((produced.base_offset, produced.duplicate), (-1, true));
    assert_eq!(results(&produced).runs, runs);
    assert_eq!(values(&broker, "a", 0).await, ["good"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn pipelined_repeats_are_recognised_before_the_first_is_on_disk() {
    let broker = with(1, &[("a", 1)], &["json-filter"]).await;
    below_ten(&broker).await;
    let topic = broker.topic("a").unwrap();
    let mut tickets = Vec::new();
    for n in 0..100 {
        let sent = sequenced(n / 2 * 2, &[number(1), number(100)]);
        tickets.push(timely(topic.produce(0, sent)).await.unwrap());
    }
    for (n, ticket) in tickets.into_iter().enumerate() {
        let produced = timely(ticket).await.unwrap();
        assert_eq!(
            (produced.base_offset, produced.duplicate),
            (n as i64 / 2, n % 2 == 1)
        );
    }
    assert_eq!(values(&broker, "a", 0).await.len(), 50);
    broker.shutdown().await;
}

#[tokio::test]
async fn what_comes_again_is_counted_once() {
    let broker = with(1, &[("a", 1)], &["json-filter"]).await;
    below_ten(&broker).await;
    let count = async || {
        let partition = broker.describe_flow("f").await.unwrap().partitions[0];
        (partition.records_in, partition.records_out, partition.dropped)
    };
    let batches = [
        (0, vec![number(1), number(2)]),
        (2, vec![number(3), number(30)]),
        (4, vec![number(40), number(50)]),
    ];
    for _ in 0..3 {
        for (sequence, numbers) in &batches {
            send(&broker, 0, sequenced(*sequence, numbers)).await.unwrap();
        }
        assert_eq!(count().await, (6, 3, 3));
    }
    // Neither is what the log refuses.
    let gap = refusal(&broker, sequenced(60, &[number(1)])).await;
    assert_eq!(gap.kind, ErrorKind::OutOfOrderSequence);
    assert_eq!(count().await, (6, 3, 3));
    // What nobody waits for is stored all the same; so is what has no number that would tell a repeat.
    let topic = broker.topic("a").unwrap();
    drop(topic.produce(0, batch(&[number(4), number(60)])).await.unwrap());
    send(&broker, 0, batch(&[number(5), number(70)])).await.unwrap();
    send(&broker, 0, batch(&[number(80)])).await.unwrap();
    assert_eq!(count().await, (11, 5, 6));
    broker.shutdown().await;
}
