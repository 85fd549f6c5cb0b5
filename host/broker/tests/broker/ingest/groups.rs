//! Many batches at once: they are judged several in a turn, and each fares as if it were alone.

use super::*;
use weir_broker::ProduceTicket;

/// Hands over batches for partition 0 without waiting for an answer.
async fn send_all(broker: &Broker, batches: Vec<BytesMut>) -> Vec<ProduceTicket> {
    let topic = broker.topic("a").unwrap();
    let mut tickets = Vec::new();
    for batch in batches {
        tickets.push(timely(topic.produce(0, batch)).await.unwrap());
    }
    tickets
}

async fn answers(tickets: Vec<ProduceTicket>) -> Vec<Result<Produced, BrokerError>> {
    let mut answers = Vec::new();
    for ticket in tickets {
        answers.push(timely(ticket).await);
    }
    answers
}

/// Three records; the middle one of the batches for which `bad` holds is one at which the plugin misbehaves.
fn three(n: usize, bad: impl Fn(usize) -> bool) -> [String; 3] {
    let middle = if bad(n) { "bad" } else { "middle" };
    [format!("{n} first"), format!("{n} {middle}"), format!("{n} last")]
}

fn good(values: impl IntoIterator<Item = String>) -> Vec<String> {
    values
        .into_iter()
        .filter(|value| !value.ends_with("bad"))
        .collect()
}

#[tokio::test]
async fn a_batch_that_fails_among_others_fails_alone_and_their_order_is_kept() {
    const BATCHES: usize = 150;
    let bad = |n: usize| n % 7 == 3;
    for (guest, what) in [
        ("hostile", "trap"),
        ("hostile", "fail"),
        ("hostile-filter", "panic"),
    ] {
        let broker = with(1, &[("a", 1)], &[guest]).await;
        guard(&broker, guest, OnError::Pause, &[("do", what), ("at", "bad")]).await;
        let batches = (0..BATCHES).map(|n| {
            let codec = if n % 5 == 0 { Codec::Lz4 } else { Codec::None };
            let values = three(n, bad);
            batch_with(codec, values.iter().map(|value| (None, value.as_bytes())))
        });
        let tickets = send_all(&broker, batches.collect()).await;
        let mut next = 0;
        for (n, answer) in answers(tickets).await.into_iter().enumerate() {
            let produced = answer.unwrap();
            assert_eq!(produced.base_offset, next, "batch {n}, {guest}, {what}");
            if bad(n) {
                let runs = [stored(1, 0, 1), rejected(1, 0), stored(1, 1, 1)];
                assert_eq!(results(&produced).runs, runs);
                next += 2;
            } else {
                assert_eq!(produced.records, None, "batch {n}, {guest}, {what}");
                next += 3;
            }
        }
        let expected = good((0..BATCHES).flat_map(|n| three(n, bad)));
        assert_eq!(values(&broker, "a", 0).await, expected);
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_batch_that_needs_a_dead_letter_topic_holds_up_nobody_for_good() {
    const BATCHES: usize = 60;
    let bad = |n: usize| n % 20 == 10;
    let broker = with(1, &[("a", 1)], &["hostile"]).await;
    let config = [("do", "panic"), ("at", "bad")];
    guard(&broker, "hostile", OnError::DeadLetter, &config).await;
    for round in 0..2 {
        let batches = (0..BATCHES).map(|n| batch(&three(n, bad))).collect();
        for (n, answer) in answers(send_all(&broker, batches).await)
            .await
            .into_iter()
            .enumerate()
        {
            assert_eq!(
                answer.unwrap().records.is_some(),
                bad(n),
                "batch {n}, round {round}"
            );
        }
        let letters = values(&broker, "f.dead-letter", 0).await;
        assert_eq!(letters, ["10 bad", "30 bad", "50 bad"]);
        // The next round finds none.
        broker.delete_topic("f.dead-letter").await.unwrap();
    }
    let once = good((0..BATCHES).flat_map(|n| three(n, bad)));
    let twice: Vec<_> = once.iter().chain(&once).cloned().collect();
    assert_eq!(values(&broker, "a", 0).await, twice);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_batch_of_which_too_much_is_made_is_refused_alone() {
    // Text that does not get much smaller, so that a few more bytes of it make the batch larger.
    let mut state = 1_u32;
    let mut noise = |len: usize| -> String {
        let letter = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + (state >> 24) as u8 % 26)
        };
        (0..len).map(letter).collect()
    };
    let large = format!("{{\"n\":\"{}\"}}", noise(4_000));
    let large = batch_with(Codec::Zstd, [(None, large.as_bytes())]);
    let name = noise(100);
    let broker = with(1, &[], &["json-project"]).await;
    let limit = pairs(&[("max.message.bytes", &large.len().to_string())]);
    broker.create_topic("a", 1, limit).await.unwrap();
    let config = [("rename", format!("n={name}"))];
    let config: Vec<_> = config.iter().map(|(key, value)| (*key, value.as_str())).collect();
    guard(&broker, "json-project", OnError::Pause, &config).await;
    let batches = (0..20)
        .map(|n| match n {
            7 => large.clone(),
            n => batch(&[number(n)]),
        })
        .collect();
    for (n, answer) in answers(send_all(&broker, batches).await)
        .await
        .into_iter()
        .enumerate()
    {
        match (n, answer) {
            (7, Err(error)) => assert_eq!(error.kind, ErrorKind::MessageTooLarge, "{error}"),
            (7, Ok(produced)) => panic!("{produced:?}"),
            (_, answer) => assert_eq!(answer.unwrap().records, None),
        }
    }
    let expected = (0..20).filter(|n| *n != 7).map(|n| format!("{{\"{name}\":{n}}}"));
    assert_eq!(values(&broker, "a", 0).await, expected.collect::<Vec<_>>());
    broker.shutdown().await;
}

#[tokio::test]
async fn a_stop_amid_many_batches_stores_those_that_are_acknowledged_and_no_other() {
    const BATCHES: usize = 400;
    let broker = with(1, &[("a", 1)], &["hostile"]).await;
    // Long enough for the stop to come before the last of them.
    let config = [("do", "busy"), ("n", "20000000")];
    guard(&broker, "hostile", OnError::Pause, &config).await;
    let topic = broker.topic("a").unwrap();
    let sending = tokio::spawn(async move {
        let mut answers = Vec::new();
        for n in 0..BATCHES {
            answers.push(topic.produce(0, batch(&[n.to_string()])).await);
        }
        answers
    });
    crate::support::wait_for_records(&broker, "a", 1).await;
    timely(broker.pause_flow("f")).await.unwrap();
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for (n, answer) in timely(sending).await.unwrap().into_iter().enumerate() {
        let answer = match answer {
            Ok(ticket) => timely(ticket).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(produced) => {
                assert_eq!(refused, 0, "nothing is stored behind what is refused");
                assert_eq!(produced.base_offset, n as i64);
                acknowledged.push(n.to_string());
            }
            Err(error) => {
                assert_not_running(&error, "is ");
                refused += 1;
            }
        }
    }
    assert!(
        refused > 0 && !acknowledged.is_empty(),
        "{refused} of {BATCHES} are refused"
    );
    assert_eq!(values(&broker, "a", 0).await, acknowledged);
    // What was refused may be sent again.
    broker.resume_flow("f").await.unwrap();
    send(&broker, 0, batch(&["again"])).await.unwrap();
    acknowledged.push("again".to_owned());
    assert_eq!(values(&broker, "a", 0).await, acknowledged);
    broker.shutdown().await;
}
