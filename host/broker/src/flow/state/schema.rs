//! Which version the rows of a stage are of.

/// Written in the same entry as the rows that it speaks of. Rows without it are of version 0.
///
/// Layout, big-endian: `[format u8 = 1][0][version u32]`, or, while a migration that is too large for one entry is under way,
/// `[format u8 = 1][1][from u32][to u32][the plugin's place]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum SchemaRow {
    /// All rows are of this version.
    At(u32),
    /// Some are of version `from` still.
    Migrating {
        from: u32,
        to: u32,
        /// Where the migration goes on.
        after: Vec<u8>,
    },
}

const FORMAT: u8 = 1;

impl SchemaRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::At(version) => [&[FORMAT, 0], version.to_be_bytes().as_slice()].concat(),
            Self::Migrating { from, to, after } => [
                [FORMAT, 1].as_slice(),
                &from.to_be_bytes(),
                &to.to_be_bytes(),
                after,
            ]
            .concat(),
        }
    }

    /// The row in `bytes`; `None` if that is none of this format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let (first, rest) = rest.split_first_chunk()?;
        let first = u32::from_be_bytes(*first);
        match head {
            [FORMAT, 0] if rest.is_empty() => Some(Self::At(first)),
            [FORMAT, 1] => {
                let (to, after) = rest.split_first_chunk()?;
                Some(Self::Migrating {
                    from: first,
                    to: u32::from_be_bytes(*to),
                    after: after.to_vec(),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_the_round_trip() {
        let rows = [
            SchemaRow::At(0),
            SchemaRow::At(u32::MAX),
            SchemaRow::Migrating {
                from: 1,
                to: 7,
                after: b"place".to_vec(),
            },
        ];
        for row in rows {
            assert_eq!(SchemaRow::decode(&row.encode()), Some(row));
        }
        for bad in [
            &[][..],
            &[1, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 1, 0],
            &[1, 1, 0, 0, 0, 1, 0],
            &[2, 0, 0, 0, 0, 1],
        ] {
            assert_eq!(SchemaRow::decode(bad), None, "{bad:?}");
        }
    }
}
