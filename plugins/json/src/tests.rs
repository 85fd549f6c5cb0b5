use super::*;
use crate::tokens::Tokens;

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
        assert!(
            members(text.as_bytes()).unwrap().any(|member| member.is_err()),
            "{text}"
        );
        // Members that are not asked for are read as far as finding their end takes.
        assert_eq!(
            find(text.as_bytes(), &["a"]).unwrap().map(|value| value.raw()),
            Some(b"2".as_slice()),
            "{text}"
        );
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

/// What [`Tokens`] finds, one byte after the other.
fn tokens_one_by_one(text: &[u8], from: usize) -> Vec<usize> {
    let (mut in_string, mut escaped) = (false, false);
    let mut tokens = Vec::new();
    for (at, byte) in text.iter().enumerate().skip(from) {
        let is_quote = *byte == b'"' && !escaped;
        if is_quote || (!in_string && b"{}[]:,".contains(byte)) {
            tokens.push(at);
        }
        in_string ^= is_quote;
        escaped = *byte == b'\\' && !escaped;
    }
    tokens
}

fn tokens(text: &[u8], from: usize) -> Vec<usize> {
    let mut tokens = Tokens::new(text, from);
    std::iter::from_fn(|| tokens.next().ok()).collect()
}

#[test]
fn tokens_are_found_in_blocks_as_one_by_one() {
    // Much of what matters (quotes, backslashes in runs), some of what differs from it in one bit, and bytes that are no text.
    const BYTES: &[u8] = b"\"\"\"\\\\\\\\{}[]:,  a1\x02\x0c\x1b\x1d\x1a\xa2\xfb\xff\0#!";
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..4_000 {
        let text: Vec<u8> = (0..round % 300)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                BYTES[(seed >> 32) as usize % BYTES.len()]
            })
            .collect();
        let from = text.len() / 3 * (round % 2);
        assert_eq!(
            tokens(&text, from),
            tokens_one_by_one(&text, from),
            "{:?} from {from}",
            String::from_utf8_lossy(&text)
        );
    }
}

/// What [`find`] finds, by all members in turn.
fn find_in_turn<'a>(text: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    let mut value = Value::parse(text).ok()?;
    for name in path {
        let mut members = value.members()?.map(|member| member.expect("the text is JSON"));
        value = members.find(|(key, _)| key.is(name.as_bytes()))?.1;
    }
    Some(value.raw())
}

#[test]
fn members_are_found_by_colons_as_in_turn() {
    // Names that end like others, have escapes, stand in values, have spaces around them.
    const NAMES: [&str; 8] = ["a", "ba", "\\\"a", "\\u0061", "a:", "", "x\\\\", "{a"];
    const VALUES: [&str; 8] = [
        "1",
        "\"a\"",
        "\"\\\"a\\\":2\"",
        "{}",
        "[{\"a\":3},\":\"]",
        "null",
        "\"\\\\\"",
        "-2.5e1",
    ];
    let mut seed = 7_u64;
    let mut below = |end: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % end
    };
    fn object(below: &mut impl FnMut(usize) -> usize, depth: usize) -> String {
        let members: Vec<String> = (0..below(6))
            .map(|_| {
                let value = match below(3) {
                    0 if depth < 3 => object(below, depth + 1),
                    _ => VALUES[below(8)].to_owned(),
                };
                let [before, after, name] = [
                    " ".repeat(below(9) / 7),
                    " ".repeat(below(9) / 7),
                    NAMES[below(8)].to_owned(),
                ];
                format!("{after}\"{name}\"{before}:{after}{value}{before}")
            })
            .collect();
        format!("{{{}}}", members.join(","))
    }
    for _ in 0..3_000 {
        let text = object(&mut below, 0);
        for path in [
            ["a"].as_slice(),
            &["ba"],
            &[""],
            &["\"a"],
            &["a:"],
            &["x\\"],
            &["a", "a"],
            &["ba", "{a", "a"],
        ] {
            let found = find(text.as_bytes(), path).expect("the text is JSON");
            assert_eq!(
                found.map(|value| value.raw()),
                find_in_turn(text.as_bytes(), path),
                "{path:?} in {text}"
            );
        }
    }
}

#[test]
fn escapes_cross_blocks() {
    // Runs of backslashes of every length up to every place around the borders of blocks.
    for end in 60..140 {
        for run in 0..70.min(end) {
            let mut text = vec![b'x'; 200];
            text[end - run..end].fill(b'\\');
            text[0] = b'"';
            text[end] = b'"';
            text[end + 2] = b'"';
            assert_eq!(tokens(&text, 0), tokens_one_by_one(&text, 0), "{run} up to {end}");
        }
    }
}

#[test]
fn long_records_are_read_across_blocks() {
    for filler in 0..200 {
        let text = format!(
            r#"{{"a":"{}","b\\":{{"c":[{}1],"d":"\"}}"}},"e" : -2.5 }}"#,
            "x".repeat(filler),
            "[],".repeat(filler % 50)
        );
        let found = |path: &[&str]| {
            let value = find(text.as_bytes(), path).expect("the record is JSON")?;
            Some(String::from_utf8_lossy(value.raw()).into_owned())
        };
        assert_eq!(found(&["b\\", "d"]).as_deref(), Some(r#""\"}""#), "{text}");
        assert_eq!(found(&["e"]).as_deref(), Some("-2.5"), "{text}");
        assert_eq!(
            found(&["b\\", "c"]).map(|array| array.len()),
            Some(3 + "[],".len() * (filler % 50))
        );
        assert_eq!(found(&["a"]).map(|text| text.len()), Some(filler + 2));
        assert!(Value::parse(text.as_bytes()).is_ok());
        for end in 0..text.len() {
            assert!(Value::parse(&text.as_bytes()[..end]).is_err(), "{end} of {text}");
        }
    }
}

/// Looks into a value as deep as it goes; whatever is wrong with it ends that.
fn walk(value: Value<'_>, depth: usize) {
    let _ = (value.number(), value.text().map(|text| text.unescaped().len()));
    if depth < 50 {
        let members = value.members().into_iter().flatten().flatten();
        members.for_each(|(_, value)| walk(value, depth + 1));
        let elements = value.elements().into_iter().flatten().flatten();
        elements.for_each(|value| walk(value, depth + 1));
    }
}

#[test]
fn whatever_bytes_there_are_nothing_panics() {
    const PIECES: [&str; 16] = [
        "{", "}", "[", "]", ":", ",", "\"", "\\", "\"a\":", "\"a\" :", " ", "1", "-", "null", "\"b\"",
        "\u{fffd}",
    ];
    let mut seed = 11_u64;
    for round in 0..20_000 {
        let mut text = if round % 2 == 0 {
            "{\"a\":".to_owned()
        } else {
            String::new()
        };
        for _ in 0..round % 60 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(PIECES[(seed >> 33) as usize % PIECES.len()]);
        }
        let bytes = text.as_bytes();
        let _ = Value::parse(bytes).map(|value| walk(value, 0));
        for path in [["a"].as_slice(), &[""], &["a", "a"], &["missing"]] {
            let _ = find(bytes, path).map(|value| value.map(|value| walk(value, 0)));
        }
        if let Some(mut colons) = colons(bytes, Endings::default()) {
            while let Ok(Some(colon)) = colons.next_colon() {
                let _ = (
                    colon.start_of(b"a"),
                    colon.value().map(|(value, _)| walk(value, 0)),
                );
            }
        }
    }
}
