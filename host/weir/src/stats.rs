//! Medians and quantiles.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest time that is told apart.
const NANOS_MAX: u64 = 60_000_000_000;

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Many durations.
pub(crate) struct Times {
    nanos: Histogram<u64>,
}

impl Times {
    pub(crate) fn new() -> Self {
        // The bounds are constants that the histogram allows; the default is a wider one.
        Self {
            nanos: Histogram::new_with_max(NANOS_MAX, 3)
                .unwrap_or_else(|_| Histogram::new(3).expect("3 digits are allowed")),
        }
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.nanos
            .saturating_record(u64::try_from(time.as_nanos()).unwrap_or(NANOS_MAX));
    }

    pub(crate) fn len(&self) -> u64 {
        self.nanos.len()
    }

    /// In microseconds.
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        self.nanos.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// In microseconds.
    pub(crate) fn p50_us(&self) -> f64 {
        self.quantile_us(0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn quantiles_are_in_microseconds() {
        let mut times = Times::new();
        for us in 1..=1000 {
            times.record(Duration::from_micros(us));
        }
        times.record(Duration::from_secs(3600));
        assert!((times.p50_us() - 500.0).abs() < 2.0, "{}", times.p50_us());
        assert_eq!(times.len(), 1001);
    }
}
