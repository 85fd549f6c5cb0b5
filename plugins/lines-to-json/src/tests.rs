use weir_batch::BatchBuilder;
use weir_batch::frame::{Entry, Reader};
use weir_plugin::run_transform;

use super::*;

fn configure(pairs: &[(&str, &str)]) -> Result<LinesToJson, String> {
    let entries = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    LinesToJson::configure(&Config::new(entries, vec!["out".to_owned()]))
}

/// What becomes of one line: key and value, or the kind of outcome.
fn convert(pairs: &[(&str, &str)], line: &str) -> (Option<String>, String) {
    let mut builder = BatchBuilder::new();
    builder
        .push(1000, Some(b"line key"), Some(line.as_bytes()), &[])
        .unwrap();
    let batch = builder.finish().unwrap();
    let mut lines = configure(pairs).unwrap();
    let mut out = Output::new(vec!["out".to_owned()]);
    let frame = run_transform(&mut lines, &mut out, LinesToJson::line, &batch);
    match Reader::new(&frame, 1, 1).unwrap().entries().next() {
        None => (None, "dropped".to_owned()),
        Some(Entry::Emit { tail, .. }) => {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (tail.key().map(text), text(tail.value().unwrap()))
        }
        Some(Entry::Fail { reason, .. }) => (None, format!("fail: {reason}")),
        Some(Entry::DeadLetter { reason, .. }) => (None, format!("dead letter: {reason}")),
        Some(other) => (None, format!("{other:?}")),
    }
}

const COLUMNS: (&str, &str) = ("columns", "id,name, delay,ok");

#[test]
fn csv_is_typed() {
    let value = |line| convert(&[COLUMNS], line).1;
    assert_eq!(
        value("7,UA 12,-3.50,true"),
        r#"{"id":7,"name":"UA 12","delay":-3.50,"ok":true}"#
    );
    assert_eq!(
        value("007,N1e,NA,\r\n"),
        r#"{"id":"007","name":"N1e","delay":null,"ok":null}"#
    );
    assert_eq!(
        value(r#""7","a, ""b"" c","",false"#),
        r#"{"id":"7","name":"a, \"b\" c","delay":"","ok":false}"#
    );
    assert_eq!(
        value("größe,\\,\",\",1"),
        r#"{"id":"größe","name":"\\","delay":",","ok":1}"#
    );
}

#[test]
fn a_header_line_is_dropped() {
    assert_eq!(convert(&[COLUMNS], "id,name,delay,ok").1, "dropped");
    assert_eq!(
        convert(&[COLUMNS], "\"id\",\"name\",\"delay\",\"ok\"\r").1,
        "dropped"
    );
    assert_ne!(convert(&[COLUMNS], "id,name,delay,OK").1, "dropped");
}

#[test]
fn a_column_becomes_the_key() {
    assert_eq!(convert(&[COLUMNS], "1,b,2,true").0.as_deref(), Some("line key"));
    assert_eq!(
        convert(&[COLUMNS, ("key", "name")], "1,\"b \"\"c\"\"\",2,true")
            .0
            .as_deref(),
        Some("b \"c\"")
    );
    let pair = convert(&[("format", "key-value"), ("key", "b")], "a=1 b=x");
    assert_eq!(pair.0.as_deref(), Some("x"));
}

#[test]
fn types_can_be_refused() {
    let value = |pairs: &[(&str, &str)]| convert(&[&[COLUMNS], pairs].concat(), "7,-,NA,true").1;
    assert_eq!(
        value(&[("text", "id,ok")]),
        r#"{"id":"7","name":"-","delay":null,"ok":"true"}"#
    );
    assert_eq!(
        value(&[("null", "-")]),
        r#"{"id":7,"name":null,"delay":"NA","ok":true}"#
    );
}

#[test]
fn other_delimiters() {
    let two = ("columns", "a,b");
    assert_eq!(
        convert(&[two, ("format", "tsv")], "1,2\tx").1,
        r#"{"a":"1,2","b":"x"}"#
    );
    assert_eq!(convert(&[two, ("delimiter", ";")], "1;x").1, r#"{"a":1,"b":"x"}"#);
}

#[test]
fn pairs_name_their_own_columns() {
    let value = |line| convert(&[("format", "key-value")], line).1;
    assert_eq!(
        value("level=info took=12.5  msg=\"two words\" x="),
        r#"{"level":"info","took":12.5,"msg":"two words","x":null}"#
    );
    assert_eq!(value(""), "{}");
    assert!(value("oops").starts_with("fail: a word without `=`"));
    assert!(value("=x").starts_with("fail: "));
}

#[test]
fn misfits_are_settled_as_configured() {
    for (line, count) in [("1,2,3", 3), ("", 1), ("1,2,3,4,5", 5), ("1,\"2,3,4", 2)] {
        let fail = convert(&[COLUMNS], line).1;
        assert!(
            fail.starts_with(&format!("fail: {count} columns instead of 4 in the line ")),
            "{fail}"
        );
        assert!(
            convert(&[COLUMNS, ("invalid", "dead-letter")], line)
                .1
                .starts_with("dead letter: ")
        );
        assert_eq!(convert(&[COLUMNS, ("invalid", "drop")], line).1, "dropped");
    }
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let mut builder = BatchBuilder::new();
    builder.push(0, None, Some(b"\xff\xfe,\"\xff"), &[]).unwrap();
    builder.push(0, None, None, &[]).unwrap();
    let batch = builder.finish().unwrap();
    let mut lines = configure(&[("columns", "a,b")]).unwrap();
    let frame = run_transform(
        &mut lines,
        &mut Output::new(vec!["out".to_owned()]),
        LinesToJson::line,
        &batch,
    );
    let reader = Reader::new(&frame, 2, 1).unwrap();
    let Some(Entry::Emit { tail, .. }) = reader.entries().next() else {
        panic!("the first is two columns")
    };
    assert_eq!(
        tail.value(),
        Some("{\"a\":\"\u{fffd}\u{fffd}\",\"b\":\"\u{fffd}\"}".as_bytes())
    );
    assert_eq!(reader.len(), 2, "the second has too few columns");
}

#[test]
fn a_wrong_configuration_is_refused_in_words() {
    for (pairs, word) in [
        (&[][..], "`columns` has to be set"),
        (&[("columns", " ")], "names none"),
        (&[COLUMNS, ("format", "xml")], "`format` cannot be"),
        (&[COLUMNS, ("delimiter", "||")], "`delimiter` cannot be"),
        (&[COLUMNS, ("key", "nmae")], "there is no column \"nmae\""),
        (&[COLUMNS, ("format", "key-value")], "`columns` means nothing"),
        (&[COLUMNS, ("invalid", "skip")], "`invalid` cannot be"),
    ] {
        let error = configure(pairs).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn plain_lines_become_what_all_lines_become() {
    const FIELDS: [&str; 24] = [
        "",
        "0",
        "7",
        "10",
        "007",
        "-1",
        "-",
        "1.5",
        "1e9",
        "12345678",
        "123456789",
        "12345678901234567890",
        "12:45",
        "1a",
        "true",
        "false",
        "truely",
        "f",
        "NA",
        "N",
        "null",
        "x y",
        "a word that is longer than two words",
        "2013-01-01T10:00:00Z",
    ];
    let mut seed = 3_u64;
    let mut below = |end: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % end
    };
    let mut went_the_short_way = 0;
    for count in (1..25).cycle().take(2_000) {
        let names: Vec<String> = (0..count)
            .map(|index| format!("column{}", index * index))
            .collect();
        let mut pairs = vec![("columns".to_owned(), names.join(","))];
        if below(2) == 0 {
            pairs.push(("text".to_owned(), names[below(count)].clone()));
        }
        if below(2) == 0 {
            pairs.push(("key".to_owned(), names[below(count)].clone()));
        }
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let lines = configure(&pairs).unwrap();
        // One too few or too many now and then.
        let fields: Vec<&str> = (0..count + below(20) / 18 - (below(20) / 18).min(count - 1))
            .map(|_| FIELDS[below(24)])
            .collect();
        let line = fields.join(",");
        let (mut long, mut key, mut short) = (Vec::new(), Vec::new(), vec![b'?'; below(300)]);
        let expected = lines.object(line.as_bytes(), &mut long, &mut key);
        match lines.plain(line.as_bytes(), &mut short) {
            Some((len, place)) => {
                assert!(matches!(expected, Line::Object), "{line}");
                assert_eq!(
                    String::from_utf8_lossy(&short[..len]),
                    String::from_utf8_lossy(&long),
                    "{line}"
                );
                assert_eq!(
                    place.map(|place| &line.as_bytes()[place]),
                    lines.key.is_some().then_some(&key[..]),
                    "{line}"
                );
                went_the_short_way += 1;
            }
            None => assert!(!matches!(expected, Line::Object), "{line}"),
        }
    }
    assert!(went_the_short_way > 1_000);
}
