use weir_batch::{BatchBuilder, bitmap};
use weir_plugin::run_filter;

use super::*;

fn configure(pairs: &[(&str, &str)]) -> Result<JsonFilter, String> {
    let entries = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    JsonFilter::configure(&Config::new(entries, Vec::new()))
}

/// Which of the records are kept.
fn kept(pairs: &[(&str, &str)], values: &[&str]) -> Vec<usize> {
    let mut builder = BatchBuilder::new();
    for value in values {
        builder.push(0, None, Some(value.as_bytes()), &[]).unwrap();
    }
    let batch = builder.finish().unwrap();
    let mut filter = configure(pairs).unwrap();
    let bits = run_filter(&mut filter, JsonFilter::keep, &batch);
    (0..values.len())
        .filter(|index| bitmap::get(&bits, *index))
        .collect()
}

const PRICES: [&str; 7] = [
    r#"{"price": 9}"#,
    r#"{"price": 10}"#,
    r#"{"price": 10.5}"#,
    r#"{"price": "10"}"#,
    r#"{"cost": 10}"#,
    r#"no json"#,
    r#"{"price": null}"#,
];

#[test]
fn numbers_compare_as_numbers() {
    let op = |op| kept(&[("field", "price"), ("op", op), ("value", "10")], &PRICES);
    assert_eq!(op("eq"), [1, 3], "the text \"10\" is equal as text");
    assert_eq!(op("ne"), [0, 2, 6]);
    assert_eq!(op("lt"), [0]);
    assert_eq!(op("le"), [0, 1]);
    assert_eq!(
        op("gt"),
        [2],
        "neither null nor a string has an order with a number"
    );
    assert_eq!(op("ge"), [1, 2]);
}

#[test]
fn presence_is_asked_for_without_a_value() {
    assert_eq!(
        kept(&[("field", "price"), ("op", "exists")], &PRICES),
        [0, 1, 2, 3, 6]
    );
    assert_eq!(kept(&[("field", "price"), ("op", "missing")], &PRICES), [4, 5]);
}

#[test]
fn text_compares_as_what_it_means() {
    let values = [
        r#"{"c":{"n":"Z\u00fcrich"}}"#,
        r#"{"c":{"n":"Bern"}}"#,
        r#"{"c":"Bern"}"#,
    ];
    assert_eq!(kept(&[("field", "c.n"), ("value", "Zürich")], &values), [0]);
    assert_eq!(
        kept(&[("field", "c.n"), ("op", "contains"), ("value", "er")], &values),
        [1]
    );
    assert_eq!(kept(&[("field", "c"), ("value", "Bern")], &values), [2]);
}

#[test]
fn arrays_contain_elements() {
    let values = [
        r#"{"t":["a","b"]}"#,
        r#"{"t":["ab"]}"#,
        r#"{"t":[1, 2.0]}"#,
        r#"{"t":[]}"#,
    ];
    assert_eq!(
        kept(&[("field", "t"), ("op", "contains"), ("value", "a")], &values),
        [0]
    );
    assert_eq!(
        kept(&[("field", "t"), ("op", "contains"), ("value", "2")], &values),
        [2]
    );
}

#[test]
fn a_wrong_configuration_is_refused_in_words() {
    for (pairs, word) in [
        (&[("op", "eq")][..], "`field` has to be set"),
        (&[("field", "a")], "`value` has to be set"),
        (
            &[("field", "a"), ("op", "like"), ("value", "b")],
            "`op` cannot be \"like\"",
        ),
        (
            &[("field", "a"), ("op", "exists"), ("value", "b")],
            "means nothing",
        ),
        (
            &[("field", "a"), ("value", "b"), ("valu", "b")],
            "there is no `valu`",
        ),
    ] {
        let error = configure(pairs).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}
