//! Answers, for people and for programs.

use std::io::{self, Write as _};

use super::Failure;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Plain,
    /// For programs: one JSON value (of `consume`: one a line)
    Json,
}

impl Output {
    pub(crate) fn is_json(self) -> bool {
        self == Self::Json
    }

    /// Prints `json` or the text that `plain` makes.
    pub(crate) fn answer<T: serde::Serialize>(
        self,
        json: &T,
        plain: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let mut text = match self {
            Self::Plain => plain(),
            Self::Json => serde_json::to_string_pretty(json).map_err(|error| {
                Failure::new(
                    format!("cannot write the answer as JSON: {error}"),
                    "try --output plain",
                )
            })?,
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        print(&text)
    }
}

/// Writes to standard output. A reader that went away has what it wanted.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            format!("cannot write to standard output: {error}"),
            "check where the output goes",
        )),
        _ => Ok(()),
    }
}

/// Rows in aligned columns, the first one being the heading. Columns that hold only numbers are aligned to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut layout = vec![(0, true); columns];
    for (at, row) in rows.iter().enumerate() {
        for (cell, (width, numbers)) in row.iter().zip(&mut layout) {
            *width = (*width).max(cell.chars().count());
            *numbers &= at == 0
                || cell
                    .chars()
                    .next()
                    .is_none_or(|first| first.is_ascii_digit() || first == '-');
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, (width, numbers)) in row.iter().zip(&layout) {
            let cell = if *numbers {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:<width$}  ")
            };
            line.push_str(&cell);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `1 record`, `2 records`, `1 retry`, `2 retries`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

/// `lines/0@42`: one record; `lines/0@42-49`: those of a range, the last one included. The one way in which places are written.
pub(crate) fn place(topic: &str, partition: u32, offset: i64, last_offset: Option<i64>) -> String {
    match last_offset.filter(|last| *last != offset) {
        Some(last) => format!("{topic}/{partition}@{offset}-{last}"),
        None => format!("{topic}/{partition}@{offset}"),
    }
}

/// Text of several lines, with those behind the first one indented to belong to it.
pub(crate) fn indented(text: &str, by: usize) -> String {
    text.trim_end().replace('\n', &format!("\n{:by$}", ""))
}

/// `1.5 MB`: decimal units, three digits.
pub(crate) fn human_bytes(bytes: u64) -> String {
    scaled(bytes as f64, &["B", "kB", "MB", "GB", "TB", "PB"])
}

/// `1.5 M`: decimal, three digits; small numbers as they are.
pub(crate) fn human_count(count: f64) -> String {
    scaled(count, &["", "k", "M", "G", "T"]).trim_end().to_owned()
}

/// `1.5 MB/s`.
pub(crate) fn human_rate(bytes: u64, seconds: f64) -> String {
    format!("{}/s", human_bytes((bytes as f64 / seconds.max(1e-9)) as u64))
}

fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 && value.fract() == 0.0 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_digits_and_a_unit() {
        assert_eq!(human_bytes(0), "0 B");
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(1000), "1.00 kB");
        assert_eq!(human_bytes(15_269_898), "15.3 MB");
        assert_eq!(human_bytes(999_999), "1.00 MB");
        assert_eq!(human_bytes(u64::MAX), "18447 PB");
        assert_eq!(human_count(166_158.0), "166 k");
        assert_eq!(human_count(12.0), "12");
        assert_eq!(human_rate(500, 0.5), "1.00 kB/s");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(0, "record"), "0 records");
        assert_eq!(counted(2, "retry"), "2 retries");
        assert_eq!(counted(1, "retry"), "1 retry");
    }

    #[test]
    fn a_place_is_written_in_one_way() {
        assert_eq!(place("a", 0, 7, None), "a/0@7");
        assert_eq!(place("a", 0, 7, Some(7)), "a/0@7");
        assert_eq!(place("a", 0, 7, Some(9)), "a/0@7-9");
        assert_eq!(indented("one\ntwo\n", 2), "one\n  two");
    }

    #[test]
    fn a_table_is_aligned_numbers_to_the_right() {
        let rows =
            [["NAME", "N"], ["a", "10"], ["long.name", "9"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "NAME        N\na          10\nlong.name   9\n");
    }
}
