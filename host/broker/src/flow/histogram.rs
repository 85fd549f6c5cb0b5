//! A histogram of numbers whose scale nobody knows beforehand.

/// Buckets of each power of two: a number and the middle of its bucket differ by no more than a sixteenth.
const STEP_BITS: u32 = 3;
/// The exponents of the smallest and the largest powers of two that have buckets of their own: about a millionth, and 1.7e13,
/// which in nanoseconds is almost five hours.
const EXPONENTS: std::ops::Range<i64> = -20..44;
/// One for everything below, and those of the powers of two; the last one holds what is above as well.
const BUCKETS: usize = 1 + ((EXPONENTS.end - EXPONENTS.start) << STEP_BITS) as usize;
/// Bits of a number's mantissa that its bucket does not depend on.
const SHIFT: u32 = f64::MANTISSA_DIGITS - 1 - STEP_BITS;
/// The upper bits of the first number with a bucket of its own.
const FIRST: u64 = ((f64::MAX_EXP as i64 - 1 + EXPONENTS.start) as u64) << STEP_BITS;

/// Counts of finite numbers in buckets that grow with them: 4 KiB once the first one is there, however many come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// Empty before the first number.
    buckets: Vec<u64>,
}

/// Numbers that a plugin recorded under one name. Percentiles are exact to a sixteenth; they do not tell numbers below a
/// millionth, negative ones included, from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FlowHistogram {
    /// How many there were.
    pub count: u64,
    /// All of them together, or the largest or smallest finite number where it would be beyond.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Half of them are at most this.
    pub p50: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
}

impl Histogram {
    /// Counts `value`, a finite number.
    pub(crate) fn record(&mut self, value: f64) {
        debug_assert!(value.is_finite());
        if self.count == 0 {
            self.buckets = vec![0; BUCKETS];
            (self.min, self.max) = (value, value);
        }
        self.count = self.count.saturating_add(1);
        self.sum = (self.sum + value).clamp(f64::MIN, f64::MAX);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let bucket = &mut self.buckets[bucket(value)];
        *bucket = bucket.saturating_add(1);
    }

    /// What came so far.
    pub(crate) fn summary(&self) -> FlowHistogram {
        FlowHistogram {
            count: self.count,
            sum: self.sum,
            min: self.min,
            max: self.max,
            p50: self.percentile(50),
            p99: self.percentile(99),
        }
    }

    /// About the number that `percent` of all are not above; 0 if there are none.
    fn percentile(&self, percent: u64) -> f64 {
        let rank = (u128::from(self.count) * u128::from(percent)).div_ceil(100);
        let mut seen = 0;
        let found = self.buckets.iter().position(|&count| {
            seen += u128::from(count);
            count > 0 && seen >= rank
        });
        found.map_or(0.0, |bucket| middle(bucket).clamp(self.min, self.max))
    }
}

fn bucket(value: f64) -> usize {
    // The bits of positive numbers are in the order of the numbers.
    let above = if value > 0.0 {
        (value.to_bits() >> SHIFT).checked_sub(FIRST)
    } else {
        None
    };
    above.map_or(0, |above| (above as usize + 1).min(BUCKETS - 1))
}

/// The number in the middle of a bucket.
fn middle(bucket: usize) -> f64 {
    let Some(above) = bucket.checked_sub(1) else {
        return 0.0;
    };
    let from = |above: u64| f64::from_bits((FIRST + above) << SHIFT);
    f64::midpoint(from(above as u64), from(above as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_zero() {
        assert_eq!(Histogram::default().summary(), FlowHistogram::default());
    }

    #[test]
    fn percentiles_are_near_what_was_recorded() {
        let mut histogram = Histogram::default();
        for value in 1..=1_000 {
            histogram.record(f64::from(value));
        }
        let seen = histogram.summary();
        assert_eq!(
            (seen.count, seen.sum, seen.min, seen.max),
            (1_000, 500_500.0, 1.0, 1_000.0)
        );
        assert!((seen.p50 - 500.0).abs() <= 500.0 / 16.0, "{seen:?}");
        assert!((seen.p99 - 990.0).abs() <= 990.0 / 16.0, "{seen:?}");
    }

    #[test]
    fn extremes_are_counted_and_stay_finite() {
        let mut histogram = Histogram::default();
        for value in [f64::MAX, f64::MAX, f64::MIN, -0.0, f64::MIN_POSITIVE] {
            histogram.record(value);
        }
        let seen = histogram.summary();
        assert_eq!((seen.count, seen.min, seen.max), (5, f64::MIN, f64::MAX));
        assert_eq!(seen.p50, 0.0);
        assert!(seen.sum.is_finite() && seen.p99.is_finite(), "{seen:?}");
    }

    #[test]
    fn a_number_is_within_a_sixteenth_of_the_middle_of_its_bucket() {
        let mut last = 0;
        for exponent in EXPONENTS {
            for step in 0..100 {
                let value = (1.0 + f64::from(step) / 100.0) * 2_f64.powi(exponent as i32);
                let at = bucket(value);
                assert!(at > 0 && at < BUCKETS && at >= last, "{value}");
                assert!((middle(at) - value).abs() <= value / 16.0, "{value}");
                last = at;
            }
        }
        assert_eq!(last, BUCKETS - 1);
    }

    #[test]
    fn one_number_is_all_of_its_percentiles() {
        for value in [-1e300, -7.0, 0.0, 1e-300, 0.1, 1.0, 17.3, 1e13, 1e14, f64::MAX] {
            let mut histogram = Histogram::default();
            histogram.record(value);
            let seen = histogram.summary();
            assert_eq!((seen.p50, seen.p99, seen.sum), (value, value, value));
        }
    }
}
