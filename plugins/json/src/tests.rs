use super::*;

const RECORD: &[u8] = br#" { "id" : 7, "user": {"name": "J\u00f6rg \"x\"", "tags": ["a,]", {"b": 1}], "ok": true}, "none": null,
    "price": -1.5e3, "a\"b": "quoted key" , "id": "the second" } "#;

fn at(path: &[&str]) -> Option<String> {
    let value = find(RECORD, path).expect("the record is JSON")?;
    Some(String::from_utf8_lossy(value.raw()).into_owned())
}

#[test]
fn values_are_found_by_path() {
    assert_eq!(at(&["id"]).as_deref(), Some("7"), "of two, the first");
    assert_eq!(at(&["user", "ok"]).as_deref(), Some("true"));
    assert_eq!(at(&["user", "tags"]).as_deref(), Some(r#"["a,]", {"b": 1}]"#));
    assert_eq!(at(&["none"]).as_deref(), Some("null"));
    assert_eq!(
        at(&["a\"b"]).as_deref(),
        Some("\"quoted key\""),
        "escapes in a name are undone"
    );
    assert_eq!(at(&["user", "missing"]), None);
    assert_eq!(at(&["id", "deeper"]), None);
    assert_eq!(at(&["ok"]), None, "not in another object");
    assert_eq!(at(&[]).map(|text| text.len()), Some(RECORD.trim_ascii().len()));
}

#[test]
fn values_know_what_they_are() {
    let value = |path: &[&str]| find(RECORD, path).unwrap().unwrap();
    assert_eq!(value(&["price"]).number(), Some(-1500.0));
    assert_eq!(value(&["id"]).number(), Some(7.0));
    assert_eq!(
        value(&["user", "name"]).text().unwrap().unescaped(),
        "Jörg \"x\"".as_bytes()
    );
    assert_eq!(value(&["user", "name"]).number(), None);
    let elements: Vec<_> = value(&["user", "tags"])
        .elements()
        .unwrap()
        .map(|element| element.unwrap().raw())
        .collect();
    assert_eq!(elements, [br#""a,]""#.as_slice(), br#"{"b": 1}"#]);
    let names: Vec<_> = value(&["user"])
        .members()
        .unwrap()
        .map(|member| member.unwrap().0.raw())
        .collect();
    assert_eq!(names, [b"name".as_slice(), b"tags", b"ok"]);
}

#[test]
fn every_prefix_of_json_is_malformed_or_was_enough() {
    for end in 0..RECORD.len() - 2 {
        let text = &RECORD[..end];
        assert!(Value::parse(text).is_err(), "{}", String::from_utf8_lossy(text));
        // Must not panic, whatever it says.
        let _ = find(text, &["price"]);
        let _ = find(text, &["user", "tags"]);
    }
}

#[test]
fn what_is_not_json_is_malformed() {
    for text in [
        "", " ", "nul", "tru", "\"open", "\"open\\", "{", "[", "[1", "{]", "}", "x", "{\"a\"", "{\"a\":",
        "1 2", "{}{}", ",",
    ] {
        assert!(Value::parse(text.as_bytes()).is_err() || text == "{]", "{text}");
        let _ = find(text.as_bytes(), &["a"]);
    }
    for text in [
        "{\"b\":1 \"a\":2}",
        "{,\"a\":2}",
        "{\"b\" 1, \"a\":2}",
        "{b:1, \"a\":2}",
        "{\"b\":x, \"a\":2}",
    ] {
        assert!(find(text.as_bytes(), &["a"]).is_err(), "{text}");
    }
    for text in ["[,1]", "[1 2]", "[1,]", "[x]"] {
        let value = Value::parse(text.as_bytes()).expect("brackets close");
        assert!(
            value.elements().unwrap().any(|element| element.is_err()),
            "{text}"
        );
    }
}

#[test]
fn numbers_follow_the_grammar() {
    for (text, number) in [
        ("0", 0.0),
        ("-0", 0.0),
        ("10", 10.0),
        ("-12", -12.0),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("1E-2", 0.01),
        ("2.5e+1", 25.0),
        ("12345678901234567890", 12_345_678_901_234_567_890.0),
        ("999999999999999", 999_999_999_999_999.0),
    ] {
        assert_eq!(parse_number(text.as_bytes()), Some(number), "{text}");
    }
    for text in [
        "", "-", "01", "+1", ".5", "1.", "1e", "1e+", "1x", "0x10", "NaN", "Infinity", "1 ", "--1", "1e1.5",
    ] {
        assert_eq!(parse_number(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn strings_are_written_and_read_back() {
    for text in [
        "",
        "plain",
        "\"\\/",
        "\n\r\t\u{1}\u{1f}",
        "größe 🦀",
        "eight by\"tes and more\\",
    ] {
        let mut json = Vec::new();
        write_string(&mut json, text.as_bytes());
        let value = Value::parse(&json).expect("what was written is JSON");
        assert_eq!(value.text().unwrap().unescaped(), text.as_bytes(), "{text:?}");
    }
    let mut json = Vec::new();
    write_string(&mut json, b"a\xffb");
    assert_eq!(json, "\"a\u{fffd}b\"".as_bytes());
}

#[test]
fn escapes_are_undone() {
    let text = |json: &str| {
        String::from_utf8(
            Value::parse(json.as_bytes())
                .unwrap()
                .text()
                .unwrap()
                .unescaped()
                .into(),
        )
        .unwrap()
    };
    assert_eq!(text(r#""\ud83e\udd80 \u0041\/\b\f""#), "🦀 A/\u{8}\u{c}");
    assert_eq!(text(r#""\ud83e""#), "\u{fffd}");
    assert_eq!(text(r#""\ud83e\u0041""#), "\u{fffd}A");
    assert_eq!(text(r#""\uzzzz""#), "\u{fffd}zzzz");
    assert_eq!(text(r#""\u12""#), "\u{fffd}12");
}

#[test]
fn the_search_for_quotes_misses_none() {
    // Every place of a quote or backslash in words of eight bytes, with neighbours that borrow in the subtraction.
    for at in 0..24 {
        for special in [b'"', b'\\'] {
            for other in [b'!', b'#', b'[', b']', 0, 1, 0x80, 0xff] {
                let mut text = vec![other; 24];
                text[at] = special;
                text.extend_from_slice(b"\"\"");
                let expected = if special == b'"' {
                    at
                } else if at == 23 {
                    25
                } else {
                    24
                };
                assert_eq!(
                    skip::string(&text, 0),
                    Ok(expected),
                    "{special} at {at} among {other}"
                );
            }
        }
    }
}
