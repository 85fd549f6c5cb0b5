use alloc::vec;
use alloc::vec::Vec;

use proptest::collection::vec as some;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    some(any::<u8>(), 0..300)
}

proptest! {
    #[test]
    fn lists_are_read_as_written(
        keys in some(bytes(), 0..20),
        found in some(option::of(bytes()), 0..20),
        changes in some((0..3u8, bytes(), bytes(), 0..i64::MAX), 0..20),
    ) {
        let mut list = Vec::new();
        keys.iter().for_each(|key| put_bytes(&mut list, key));
        let read: Result<Vec<_>, _> = Keys::new(&list).collect();
        prop_assert_eq!(read.unwrap(), keys);

        list.clear();
        found.iter().for_each(|value| put_found(&mut list, value.as_deref()));
        let read: Result<Vec<_>, _> = Found::new(&list).collect();
        prop_assert_eq!(read.unwrap(), found.iter().map(Option::as_deref).collect::<Vec<_>>());

        list.clear();
        let changes: Vec<_> = changes.iter().map(|(kind, key, value, ttl_ms)| match kind {
            0 => Change::Put { key, value, ttl_ms: None },
            1 => Change::Put { key, value, ttl_ms: Some(*ttl_ms) },
            _ => Change::Delete { key },
        }).collect();
        changes.iter().for_each(|change| put_change(&mut list, change));
        let read: Result<Vec<_>, _> = Changes::new(&list).collect();
        prop_assert_eq!(read.unwrap(), changes);
    }

    #[test]
    fn any_bytes_are_read_to_an_end(list in some(any::<u8>(), 0..200)) {
        // An element takes a byte at least.
        let faults = [
            Keys::new(&list).filter(Result::is_err).count(),
            Found::new(&list).filter(Result::is_err).count(),
            Changes::new(&list).filter(Result::is_err).count(),
            rows(&list).map_or(1, |(_, rows)| rows.filter(Result::is_err).count()),
        ];
        prop_assert!(faults.iter().all(|faults| *faults <= 1), "{:?}", faults);
        prop_assert!(Changes::new(&list).count() <= list.len());
    }

    #[test]
    fn a_list_that_is_cut_is_malformed_or_shorter(pairs in some((bytes(), bytes()), 1..5), cut in any::<prop::sample::Index>()) {
        let mut list = vec![1];
        for (key, value) in &pairs {
            put_bytes(&mut list, key);
            put_bytes(&mut list, value);
        }
        let (more, all) = rows(&list).unwrap();
        prop_assert!(more);
        prop_assert_eq!(all.map(Result::unwrap).count(), pairs.len());
        let cut = 1 + cut.index(list.len() - 1);
        let (_, rest) = rows(&list[..cut]).unwrap();
        prop_assert!(rest.filter(Result::is_ok).count() < pairs.len());
    }
}

#[test]
fn lengths_that_lie_are_malformed() {
    let fault = |list: &'static [u8]| Changes::new(list).last();
    assert_eq!(fault(&[0, 1, b'k', 9, b'v']), Some(Err(Malformed { left: 5 })));
    assert_eq!(
        fault(&[2, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        Some(Err(Malformed { left: 6 }))
    );
    assert_eq!(fault(&[3, 0]), Some(Err(Malformed { left: 2 })), "no such change");
    assert_eq!(
        fault(&[1, 1, 0, 0]),
        Some(Err(Malformed { left: 4 })),
        "a time to live of -1"
    );
    assert_eq!(rows(&[2]).err(), Some(Malformed { left: 1 }));
    assert_eq!(rows(&[]).err(), Some(Malformed { left: 0 }));
    assert_eq!(
        Keys::new(&[1, b'a', 2, b'b']).collect::<Vec<_>>(),
        [Ok(&b"a"[..]), Err(Malformed { left: 2 })]
    );
}
