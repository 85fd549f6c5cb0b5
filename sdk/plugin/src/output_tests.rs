use weir_batch::BatchBuilder;
use weir_batch::frame::{Entry, Reader};

use super::*;
use crate::run_transform;

/// Runs `transform` over a batch of two records; gives each entry in words.
fn run<R: crate::Outcome>(transform: impl Fn(&Record<'_>, &mut Output) -> R) -> Vec<String> {
    let mut builder = BatchBuilder::new();
    builder
        .push(
            1_000,
            Some(b"k1"),
            Some(b"one"),
            &[("h", Some(b"1".as_slice())), ("n", None)],
        )
        .unwrap();
    builder.push(900, None, Some(b"two"), &[]).unwrap();
    let batch = builder.finish().unwrap();
    let base = Batch::parse(&batch).unwrap().base_timestamp();
    let mut out = Output::new(vec!["good".to_owned(), "bad".to_owned()]);
    let frame = run_transform(
        &mut (),
        &mut out,
        |(), record, out| transform(record, out),
        &batch,
    );
    let reader = Reader::new(&frame, 2, 2).expect("the frame is well formed");
    reader.entries().map(|entry| in_words(entry, base)).collect()
}

fn in_words(entry: Entry<'_>, base: i64) -> String {
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or("-".to_owned(), |bytes| {
            String::from_utf8_lossy(bytes).into_owned()
        })
    };
    match entry {
        Entry::Emit {
            output,
            source,
            partition,
            timestamp_delta,
            tail,
        } => {
            let headers: Vec<_> = tail
                .headers()
                .map(|(name, value)| format!("{name}={}", text(value)))
                .collect();
            let at = base + timestamp_delta;
            let output = match partition {
                OutputPartition::Unchosen => output.to_string(),
                OutputPartition::Source => format!("{output}/same"),
                OutputPartition::Index(index) => format!("{output}/{index}"),
            };
            format!(
                "{source}>{output} @{at} {}:{} [{}]",
                text(tail.key()),
                text(tail.value()),
                headers.join(" ")
            )
        }
        Entry::DeadLetter { source, reason } => format!("{source} dead: {reason}"),
        Entry::Retry { source, reason } => format!("{source} retry: {reason}"),
        Entry::Fail { source, reason } => format!("{source} fail: {reason}"),
    }
}

#[test]
fn records_go_on_as_they_are() {
    assert_eq!(
        run(|record, out| out.forward(record)),
        ["0>0 @1000 k1:one [h=1 n=-]", "1>0 @900 -:two []"]
    );
    assert_eq!(
        run(|record, out| out.forward_to(1, record))[1],
        "1>1 @900 -:two []"
    );
    assert!(run(|_, _| {}).is_empty(), "what is not written is dropped");
}

#[test]
fn records_are_edited() {
    let got = run(|record, out| {
        out.edit(record)
            .value("new")
            .header("more", b"2")
            .timestamp(5_000)
            .to(1)
            .emit();
    });
    assert_eq!(
        got,
        ["0>1 @5000 k1:new [h=1 n=- more=2]", "1>1 @5000 -:new [more=2]"]
    );
    let got = run(|record, out| {
        out.edit(record)
            .without_key()
            .without_headers()
            .header("only", "x")
            .emit();
    });
    assert_eq!(got[0], "0>0 @1000 -:one [only=x]");
    let got = run(|record, out| out.edit(record).key("k").without_value().emit());
    assert_eq!(got[1], "1>0 @900 k:- []");
}

#[test]
fn records_are_made() {
    let got = run(|_, out| {
        out.create().value("a").emit();
        out.create().key("k").value("b").to_name("bad").emit();
    });
    assert_eq!(
        got,
        [
            "0>0 @1000 -:a []",
            "0>1 @1000 k:b []",
            "1>0 @900 -:a []",
            "1>1 @900 k:b []"
        ]
    );
}

#[test]
fn an_output_that_is_not_there_fails_the_record() {
    let got = run(|record, out| out.edit(record).to_name("ugly").emit());
    assert!(
        got[0].starts_with("0 fail: the plugin named an output"),
        "{got:?}"
    );
}

#[test]
fn outcomes_are_written_for_the_record_at_hand() {
    let got = run(|record, out| {
        if record.key().is_some() {
            out.dead_letter("has a key");
        } else {
            out.retry("has none");
        }
    });
    assert_eq!(got, ["0 dead: has a key", "1 retry: has none"]);
    let got = run(|record, out| {
        out.forward(record);
        record.key().map(|_| ()).ok_or("no key")
    });
    assert_eq!(got[1..], ["1>0 @900 -:two []", "1 fail: no key"]);
}

#[test]
fn an_output_serves_batch_after_batch() {
    let mut builder = BatchBuilder::new();
    let mut out = Output::new(vec!["out".to_owned()]);
    for size in [10, 5_000, 20, 70_000] {
        builder.push(1, None, Some(&vec![b'x'; size]), &[]).unwrap();
        let batch = builder.finish().unwrap();
        let frame = run_transform(&mut (), &mut out, |(), record, out| out.forward(record), &batch);
        assert_eq!(Reader::new(&frame, 1, 1).unwrap().emitted(), 1);
        assert!(frame.len() > size && frame.len() < size + 30);
    }
}

#[test]
fn a_record_is_sent_to_a_partition() {
    let entries = run(|record, out| {
        out.edit(record).to(1).partition(7).emit();
        out.create().value(b"x").source_partition().emit();
    });
    assert_eq!(
        entries[..2],
        ["0>1/7 @1000 k1:one [h=1 n=-]", "0>0/same @1000 -:x []"]
    );
}
