use alloc::vec::Vec;

use super::*;
use crate::BatchBuilder;

/// A key of either kind, a value of either kind, a header of either kind.
fn sample(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new().codec(codec).producer(4711, 3, 17);
    builder.push(1_000, Some(b"key"), Some(b"value"), &[]).unwrap();
    builder
        .push(
            999,
            None,
            Some(b""),
            &[("name", Some(b"x")), ("null", None), ("name", Some(b""))],
        )
        .unwrap();
    builder
        .push(2_000, Some(b""), None, &[("\u{fc}", Some(&[0xff; 300]))])
        .unwrap();
    builder.finish().unwrap()
}

#[test]
fn reads_what_the_builder_wrote() {
    for codec in Codec::ALL {
        let bytes = sample(codec);
        let batch = Batch::parse(&bytes).unwrap();
        assert_eq!((batch.codec(), batch.len()), (codec, 3));
        assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_000, 2_000));
        assert_eq!(batch.header().producer_id, 4711);
        assert_eq!(
            (batch.header().base_sequence, batch.header().last_sequence()),
            (17, 19)
        );

        let mut scratch = Vec::new();
        let batch = batch.decompress(&mut scratch, 10_000).unwrap();
        assert_eq!(batch.codec(), Codec::None);
        let records: Vec<_> = batch.records().unwrap().collect();
        assert_eq!(records.len(), 3);
        assert_eq!(records[0].key(), Some(b"key".as_slice()));
        assert_eq!(records[1].key(), None);
        assert_eq!(records[1].value(), Some(b"".as_slice()));
        assert_eq!((records[1].timestamp(), records[1].timestamp_delta()), (999, -1));
        assert_eq!(records[2].value(), None);
        let headers: Vec<_> = records[1].headers().collect();
        assert_eq!(
            headers,
            [
                ("name", Some(b"x".as_slice())),
                ("null", None),
                ("name", Some(b"".as_slice()))
            ]
        );
        assert_eq!(
            batch.as_bytes(),
            sample(Codec::None),
            "the same as if it had never been compressed"
        );
    }
}
