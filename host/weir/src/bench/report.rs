//! What was measured, as rows of one table.

use std::fmt;

use serde::Serialize;

use crate::cli::table;

/// The rows of a benchmark, and what has to be said about them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    pub(super) notes: Vec<String>,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) figure: f64,
    pub(super) unit: &'static str,
    /// The limit from the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<Limit>,
    /// `figure / limit.figure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bar: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meets_bar: Option<bool>,
}

/// What the machine can do, measured in turns with the figure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Limit {
    pub(super) what: &'static str,
    pub(super) figure: f64,
}

impl Row {
    pub(super) fn new(what: impl Into<String>, figure: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            figure,
            unit,
            limit: None,
            share: None,
            bar: None,
            meets_bar: None,
        }
    }

    /// Sets the limit, and with it the share.
    pub(super) fn of(mut self, what: &'static str, figure: f64) -> Self {
        self.share = Some(self.figure / figure);
        self.limit = Some(Limit { what, figure });
        self
    }

    pub(super) fn bar(mut self, bar: impl Into<String>, meets: bool) -> Self {
        self.bar = Some(bar.into());
        self.meets_bar = Some(meets);
        self
    }

    /// Bar: the share is at most `most`.
    pub(super) fn share_at_most(self, most: f64) -> Self {
        let meets = self.share.is_some_and(|share| share <= most);
        self.bar(format!("at most {:.0} %", most * 100.0), meets)
    }

    /// Bar: the share is at least `least`.
    pub(super) fn at_least(self, least: f64) -> Self {
        let meets = self.share.is_some_and(|share| share >= least);
        self.bar(format!("at least {:.0} %", least * 100.0), meets)
    }

    /// Bar: the figure is at most `most`.
    pub(super) fn at_most(self, most: f64) -> Self {
        let (bar, meets) = (
            format!("at most {} {}", number(most), self.unit),
            self.figure <= most,
        );
        self.bar(bar, meets)
    }
}

impl Report {
    pub(super) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Appends another one.
    pub(super) fn absorb(&mut self, other: Self) {
        self.rows.extend(other.rows);
        for note in other.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_limits = self.rows.iter().any(|row| row.limit.is_some());
        let with_bars = self.rows.iter().any(|row| row.bar.is_some());
        let mut heading = vec!["WHAT", "FIGURE"];
        if with_limits {
            heading.extend(["SHARE", "OF (SAME RUN)"]);
        }
        if with_bars {
            heading.extend(["BAR", "MET"]);
        }
        let mut rows: Vec<Vec<String>> = vec![heading.into_iter().map(str::to_owned).collect()];
        for row in &self.rows {
            let mut cells = vec![row.what.clone(), format!("{} {}", number(row.figure), row.unit)];
            if with_limits {
                cells.push(
                    row.share
                        .map(|share| format!("{:.0} %", share * 100.0))
                        .unwrap_or_default(),
                );
                let limit = row.limit.as_ref();
                cells.push(
                    limit
                        .map(|l| format!("{}, {} {}", l.what, number(l.figure), row.unit))
                        .unwrap_or_default(),
                );
            }
            if with_bars {
                cells.push(row.bar.clone().unwrap_or_default());
                let verdict = row.meets_bar.map(|meets| if meets { "yes" } else { "NO" });
                cells.push(verdict.unwrap_or_default().to_owned());
            }
            rows.push(cells);
        }
        f.write_str(&table(&rows))?;
        for note in &self.notes {
            writeln!(f, "- {note}")?;
        }
        Ok(())
    }
}

/// Three digits or so.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 10_000.0 => crate::cli::human_count(value),
        v if v >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_held_against_its_bar() {
        let mut report = Report::default();
        report.row(
            Row::new("produce", 450.0, "MB/s")
                .of("raw QUIC", 900.0)
                .at_least(0.5),
        );
        report.row(Row::new("start", 120.0, "ms").at_most(100.0));
        report.note("a note");
        assert_eq!(report.rows[0].meets_bar, Some(true));
        assert_eq!(report.rows[1].meets_bar, Some(false));
        let text = report.to_string();
        assert!(
            text.contains("450 MB/s")
                && text.contains("50 %")
                && text.contains("NO")
                && text.ends_with("- a note\n"),
            "{text}"
        );
    }
}
