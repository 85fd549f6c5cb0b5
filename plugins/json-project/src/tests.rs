use weir_batch::frame::{Entry, Reader};
use weir_batch::{Batch, BatchBuilder};
use weir_plugin::run_transform;

use super::*;

fn configure(pairs: &[(&str, &str)]) -> Result<JsonProject, String> {
    let entries = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    JsonProject::configure(&Config::new(entries, vec!["out".to_owned()]))
}

/// What becomes of one record: its value, or the kind of outcome.
fn project(pairs: &[(&str, &str)], json: &str) -> String {
    let mut builder = BatchBuilder::new();
    builder
        .push(
            1000,
            Some(b"key"),
            Some(json.as_bytes()),
            &[("h", Some(b"1".as_slice()))],
        )
        .unwrap();
    let batch = builder.finish().unwrap();
    let mut project = configure(pairs).unwrap();
    let mut out = Output::new(vec!["out".to_owned()]);
    let frame = run_transform(&mut project, &mut out, JsonProject::project, &batch);
    let reader = Reader::new(&frame, 1, 1).unwrap();
    match reader.entries().next() {
        None => "dropped".to_owned(),
        Some(Entry::Emit { tail, .. }) => {
            assert_eq!(tail.key(), Some(b"key".as_slice()));
            assert_eq!(tail.headers().count(), 1);
            String::from_utf8(tail.value().unwrap().to_vec()).unwrap()
        }
        Some(Entry::Fail { reason, .. }) => format!("fail: {reason}"),
        Some(Entry::DeadLetter { reason, .. }) => format!("dead letter: {reason}"),
        Some(other) => format!("{other:?}"),
    }
}

const PERSON: &str = r#"{ "id": 7, "name" : "Ada \"L\"", "home": {"city": "London", "zip": [1, 2], "geo": {"lat": 1.50}}, "mail": null }"#;

#[test]
fn fields_are_kept() {
    assert_eq!(
        project(&[("keep", "id, mail,nothing")], PERSON),
        r#"{"id": 7,"mail": null}"#
    );
    assert_eq!(
        project(&[("keep", "home.city,home.geo.lat")], PERSON),
        r#"{"home": {"city": "London","geo": {"lat": 1.50}}}"#
    );
    assert_eq!(project(&[("keep", "nothing")], PERSON), "{}");
}

#[test]
fn fields_are_dropped() {
    assert_eq!(
        project(&[("drop", "home,mail")], PERSON),
        r#"{"id": 7, "name" : "Ada \"L\""}"#,
        "what stays is as it was written"
    );
    assert_eq!(
        project(&[("drop", "home.zip,home.geo,name")], PERSON),
        r#"{"id": 7,"home": {"city": "London"},"mail": null}"#
    );
    assert_eq!(
        project(&[("drop", "id.deeper,name,home,mail")], PERSON),
        r#"{"id": 7}"#,
        "there is nothing in a number"
    );
}

#[test]
fn fields_are_masked_and_renamed() {
    assert_eq!(
        project(&[("mask", "name,home.geo"), ("drop", "mail")], PERSON),
        r#"{"id": 7,"name" : "***","home": {"city": "London", "zip": [1, 2],"geo": "***"}}"#
    );
    assert_eq!(
        project(
            &[
                ("keep", "id,home.city"),
                ("rename", "id=user \"id\", home.city = town"),
                ("mask", "home.city"),
                ("mask-with", "?")
            ],
            PERSON
        ),
        r#"{"user \"id\"":7,"home": {"town":"?"}}"#
    );
    assert_eq!(
        project(&[("keep", "id"), ("rename", "mail=post")], PERSON),
        r#"{"id": 7}"#,
        "renaming does not keep"
    );
}

#[test]
fn names_match_by_meaning() {
    assert_eq!(
        project(&[("keep", "größe")], r#"{"gr\u00f6\u00dfe": 1, "b": 2}"#),
        r#"{"gr\u00f6\u00dfe": 1}"#
    );
}

#[test]
fn what_is_no_object_is_settled_as_configured() {
    for json in ["no json", "[1]", "7", "", "{\"a\":1", "{\"a\":1} x", "{\"a\" 1}"] {
        let drop = ("drop", "b");
        assert!(
            project(&[drop], json).starts_with("fail: the value is no JSON object"),
            "{json}"
        );
        assert!(
            project(&[drop, ("invalid", "dead-letter")], json).starts_with("dead letter: "),
            "{json}"
        );
        assert_eq!(project(&[drop, ("invalid", "drop")], json), "dropped", "{json}");
        assert_eq!(project(&[drop, ("invalid", "forward")], json), json);
    }
}

#[test]
fn a_wrong_configuration_is_refused_in_words() {
    for (pairs, word) in [
        (&[][..], "nothing to do"),
        (&[("rename", "a")], "old=new"),
        (&[("keep", "a..b")], "a name is empty"),
        (&[("drop", "a"), ("invalid", "ignore")], "`invalid` cannot be"),
        (&[("drops", "a")], "there is no `drops`"),
    ] {
        let error = configure(pairs).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn every_record_of_a_batch_is_projected_with_its_own_timestamp() {
    let mut builder = BatchBuilder::new();
    for index in 0..100_i64 {
        builder
            .push(
                1_000 + index,
                None,
                Some(format!("{{\"n\":{index},\"x\":\"{index}\"}}").as_bytes()),
                &[],
            )
            .unwrap();
    }
    let batch = builder.finish().unwrap();
    let mut project = configure(&[("drop", "x")]).unwrap();
    let frame = run_transform(
        &mut project,
        &mut Output::new(vec!["out".to_owned()]),
        JsonProject::project,
        &batch,
    );
    let reader = Reader::new(&frame, 100, 1).unwrap();
    let base = Batch::parse(&batch).unwrap().base_timestamp();
    for (index, entry) in reader.entries().enumerate() {
        let Entry::Emit {
            source,
            timestamp_delta,
            tail,
            ..
        } = entry
        else {
            panic!("{entry:?}")
        };
        assert_eq!(source as usize, index);
        assert_eq!(base + timestamp_delta, 1_000 + index as i64);
        assert_eq!(tail.value(), Some(format!("{{\"n\":{index}}}").as_bytes()));
    }
    assert_eq!(reader.len(), 100);
}
