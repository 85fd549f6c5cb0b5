//! What must come out, computed without a broker.

use bytes::Bytes;

use crate::cli::Failure;
use crate::flights;

/// The flow keeps flights that arrived so many minutes late, or later.
pub(super) const LATE_MIN: i64 = 60;

/// The columns that the flow keeps.
pub(super) const KEPT: &str = "month,day,carrier,flight,tailnum,origin,dest,arr_delay";

/// The flights, and which of them come out at the other end.
pub(super) struct Expected {
    /// Every line that is sent, without its end.
    pub(super) lines: Vec<Bytes>,
    /// By line: whether it comes out.
    pub(super) late: Vec<bool>,
    /// What comes out, each flight in one line of its own words, sorted.
    pub(super) flights: Vec<String>,
    /// Sum of the late flights' delays, in minutes.
    pub(super) delay_min: i64,
}

/// Where a column stands.
fn column(name: &str) -> usize {
    // The names are those of the heading that `flights::lines` has checked.
    flights::HEADER
        .split(',')
        .position(|column| column == name)
        .unwrap_or(usize::MAX)
}

/// The column that records are keyed by.
pub(super) fn carrier(line: &Bytes) -> Bytes {
    let field = line
        .split(|byte| *byte == b',')
        .nth(column("carrier"))
        .unwrap_or_default();
    line.slice_ref(field)
}

impl Expected {
    pub(super) fn compute() -> Result<Self, Failure> {
        let csv = flights::lines()?;
        let lines: Vec<Bytes> = csv
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| csv.slice_ref(line))
            .collect();
        let delay_column = column("arr_delay");
        let mut expected = Self {
            late: Vec::with_capacity(lines.len()),
            flights: Vec::new(),
            delay_min: 0,
            lines,
        };
        for line in &expected.lines {
            let line = std::str::from_utf8(line).map_err(|error| {
                Failure::new(
                    format!("the data set is no text: {error}"),
                    "build this program anew",
                )
            })?;
            let fields: Vec<&str> = line.split(',').collect();
            // `NA`: it never arrived.
            let delay = fields.get(delay_column).and_then(|delay| delay.parse().ok());
            let late = delay.is_some_and(|delay: i64| delay >= LATE_MIN);
            expected.late.push(late);
            if late {
                let field = |name| fields.get(column(name)).copied().unwrap_or_default();
                expected.delay_min += delay.unwrap_or(0);
                expected.flights.push(one_line(field));
            }
        }
        expected.flights.sort_unstable();
        Ok(expected)
    }
}

/// A flight as both sides write it down. The tail number is not in it: it comes out masked.
pub(super) fn one_line<T: std::fmt::Display>(field: impl Fn(&'static str) -> T) -> String {
    format!(
        "{}/{} {} {} {}-{} +{}",
        field("month"),
        field("day"),
        field("carrier"),
        field("flight"),
        field("origin"),
        field("dest"),
        field("arr_delay")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_set_has_the_late_flights_it_is_known_to_have() {
        let expected = Expected::compute().unwrap();
        assert_eq!(expected.lines.len(), 166_158);
        assert_eq!(expected.flights.len(), 14_966);
        assert_eq!(expected.late.iter().filter(|late| **late).count(), 14_966);
        assert!(expected.delay_min >= 60 * 14_966);
        assert_eq!(carrier(&expected.lines[0]), "UA");
    }
}
