//! What has to be done about rows of one version for a plugin of another.

use weir_log::ReadError;

use crate::flow::state::SchemaRow;

/// What is to be done before a plugin runs on its rows.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Plan {
    /// They are of its version.
    Nothing,
    /// There are none: they are to be of its version from the first one on.
    Begin,
    /// They are to be migrated.
    Migrate { from: u32, after: Option<Vec<u8>> },
    /// Another version of the plugin has begun to migrate them to one that this does not have.
    HalfWay { from: u32, to: u32 },
}

/// `stored` is the row of the version, `version` what the plugin knows.
pub(super) fn plan(stored: Option<&[u8]>, has_rows: bool, version: u32) -> Result<Plan, ReadError> {
    let stored = stored.map(|bytes| {
        SchemaRow::decode(bytes).ok_or_else(|| ReadError::CorruptState {
            what: "the version of a flow's state has a format that this version does not know".to_owned(),
        })
    });
    Ok(match stored.transpose()?.unwrap_or(SchemaRow::At(0)) {
        SchemaRow::At(from) if from == version => Plan::Nothing,
        SchemaRow::At(_) if !has_rows => Plan::Begin,
        SchemaRow::At(from) => Plan::Migrate { from, after: None },
        SchemaRow::Migrating { from, to, after } if to == version => Plan::Migrate {
            from,
            after: Some(after),
        },
        SchemaRow::Migrating { from, to, .. } => Plan::HalfWay { from, to },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_plugin_runs_on_rows_of_another_version() {
        let of = |stored: Option<SchemaRow>, has_rows, version| {
            let stored = stored.map(|row| row.encode());
            plan(stored.as_deref(), has_rows, version).unwrap()
        };
        let migrate = |from| Plan::Migrate { from, after: None };
        assert_eq!(
            of(None, true, 0),
            Plan::Nothing,
            "versions are not known to either"
        );
        assert_eq!(of(None, false, 0), Plan::Nothing);
        assert_eq!(of(None, false, 2), Plan::Begin);
        assert_eq!(of(None, true, 2), migrate(0));
        let at = |version| Some(SchemaRow::At(version));
        assert_eq!(of(at(2), true, 2), Plan::Nothing);
        assert_eq!(of(at(2), false, 1), Plan::Begin, "all rows are gone");
        assert_eq!(of(at(2), true, 3), migrate(2));
        assert_eq!(
            of(at(2), true, 0),
            migrate(2),
            "the plugin, or the host for it, refuses"
        );
        let half = |to| {
            Some(SchemaRow::Migrating {
                from: 1,
                to,
                after: b"k".to_vec(),
            })
        };
        let goes_on = Plan::Migrate {
            from: 1,
            after: Some(b"k".to_vec()),
        };
        assert_eq!(of(half(2), true, 2), goes_on);
        assert_eq!(of(half(2), false, 2), goes_on, "the rest may delete rows only");
        for other in [0, 1, 3] {
            assert_eq!(of(half(2), true, other), Plan::HalfWay { from: 1, to: 2 });
        }
        assert!(plan(Some(b"x"), true, 0).is_err());
    }
}
