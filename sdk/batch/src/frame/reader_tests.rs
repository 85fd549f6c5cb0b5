use alloc::vec::Vec;

use proptest::collection::vec as some;
use proptest::prelude::*;

use super::*;
use crate::frame::Writer;

const RECORDS: u32 = 4;
const OUTPUTS: u32 = 2;

fn frame(entries: &[(u8, u32, u32, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (kind, output, source, value) in entries {
        let reason = alloc::string::String::from_utf8_lossy(value);
        let written = match kind {
            0 => writer.emit(
                *output,
                *source,
                -7,
                Some(b"key"),
                Some(value),
                &[("h", Some(value))],
            ),
            1 => writer.dead_letter(*source, &reason),
            2 => writer.retry(*source, &reason),
            _ => writer.fail(*source, &reason),
        };
        written.unwrap();
    }
    writer.finish()
}

fn entries() -> impl Strategy<Value = Vec<(u8, u32, u32, Vec<u8>)>> {
    some((0..4u8, 0..OUTPUTS, 0..RECORDS, some(any::<u8>(), 0..40)), 0..12)
}

proptest! {
    #[test]
    fn trusted_and_checked_give_the_same(entries in entries()) {
        let bytes = frame(&entries);
        let checked = Reader::new(&bytes, RECORDS, OUTPUTS).unwrap();
        let trusted = Reader::trusted(&bytes, RECORDS, OUTPUTS).unwrap();
        prop_assert_eq!(trusted.len(), entries.len());
        prop_assert!(checked.emitted() <= trusted.emitted());
        prop_assert!(checked.entries().eq(trusted.entries()));
        prop_assert_eq!(trusted.entries().count(), entries.len());
    }

    #[test]
    fn a_trusted_frame_that_lies_ends_early_and_stays_in_range(
        entries in entries(),
        damage in some((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = frame(&entries);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let Ok(reader) = Reader::trusted(&bytes, RECORDS, OUTPUTS) else { return Ok(()) };
        let mut walk = reader.entries();
        for entry in walk.by_ref() {
            prop_assert!(entry.source() < RECORDS);
            if let Entry::Emit { output, tail, .. } = entry {
                prop_assert!(output < OUTPUTS);
                let _ = tail.headers().count();
            }
        }
        prop_assert_eq!(walk.len(), 0);
        prop_assert!(walk.next().is_none(), "it stays at its end");
    }
}
