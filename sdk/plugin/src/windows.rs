use std::marker::PhantomData;

use crate::agenda::{Agenda, Due, sortable, unsorted};
use crate::event_time::{BURST, Rules, SPAN_MS_MAX, Seen};
use crate::late::Late;
use crate::{Accumulator, Output, Record, metrics};

/// The most windows that one record may be in.
const OVERLAP_MAX: u64 = 100;
/// Rows that are fetched ahead for one batch; the host gives 100,000 in one call.
const PREFETCH_ROWS_MAX: usize = 50_000;

/// Windows on event time: what the records of a key come to, span of time by span of time, in the [keyed state](crate::State).
///
/// ```
/// use weir_plugin::{Config, Output, Record, Records, Windows, transform};
///
/// /// How many records a minute there are with each key.
/// struct PerMinute { windows: Windows<u64> }
///
/// impl PerMinute {
///     fn configure(config: &Config) -> Result<Self, String> {
///         config.only(&[])?;
///         Ok(Self { windows: Windows::tumbling("per-minute", 60_000)?.grace_ms(5_000) })
///     }
///
///     fn begin(&mut self, records: Records<'_>) {
///         self.windows.prefetch(records.map(|record| (record.timestamp(), record.key().unwrap_or_default())));
///     }
///
///     fn record(&mut self, record: &Record<'_>, out: &mut Output) {
///         let key = record.key().unwrap_or_default();
///         for window in self.windows.add(record, key, |count| *count += 1, out) {
///             let text = window.value.to_string();
///             out.create().key(&window.key).value(&text).timestamp(window.timestamp_ms()).emit();
///         }
///     }
/// }
///
/// transform!(PerMinute, PerMinute::record, begin = PerMinute::begin);
/// ```
///
/// # Time
///
/// A record's time is its timestamp. The **watermark** is the newest timestamp of all records so far, less the
/// [grace](Self::grace_ms) that records out of order are given; it never goes back. A window from `start` to `end` (not itself) fires once,
/// when the watermark reaches `end`, with all records of its time that came before. A record that comes when all of its windows
/// are over is late, and [`late`](Self::late) says what becomes of it; the counter `late_records` counts it.
///
/// The watermark moves record by record, in the order of the partition, and is kept in the state. So what fires, and what is late, is a function
/// of the records alone: not of how they fall into batches, nor of restarts, of failed calls or of replays. Windows fire in the
/// order of their ends, then of their starts, then of their keys. Each partition of the source has a watermark and windows of
/// its own: where the source is partitioned by key, they are those of the key.
///
/// **Time moves with records alone**, as stream time does in Kafka Streams. A partition that falls silent keeps its last windows open until
/// a record comes, and without a record there is no later time. One record with a clock that is far ahead closes every window before it, and
/// makes late what comes after: [`max_ahead_ms`](Self::max_ahead_ms) guards against it.
///
/// # Many windows at once
///
/// A record that moves time by a day may close a million windows, more than one call may change. At each record as many fire as there is credit
/// for, at most [`burst`](Self::burst): credit comes with each record (4, and 2 for each window that a record is in), and
/// with time (1 for each millisecond that the newest timestamp moves). What is left fires at the records that follow, in the same order. This too is
/// a function of the records alone. What is over is over meanwhile: a window that waits to fire takes no more records.
///
/// # What belongs to a record
///
/// What fires belongs to the record at which it does. If the plugin writes [`fail`](Output::fail), [`dead_letter`](Output::dead_letter) or
/// [`retry`](Output::retry) for that record, or returns an error, the record's other outputs are left out with it: decide
/// about a record before it is added.
///
/// Size and advance may change from one version of a flow to the next: windows that are open then fire with the ends they have.
#[derive(Debug)]
pub struct Windows<A> {
    agenda: Agenda,
    size_ms: i64,
    advance_ms: i64,
    late: Late,
    value: Vec<u8>,
    of: PhantomData<fn() -> A>,
}

/// A window that is over, of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired<A> {
    /// The key.
    pub key: Vec<u8>,
    /// The first millisecond of the window, since 1970.
    pub start_ms: i64,
    /// The first one after it.
    pub end_ms: i64,
    /// What its records came to.
    pub value: A,
}

impl<A> Fired<A> {
    /// The timestamp for what is made of it: the last millisecond of the window, as in Kafka Streams and Flink.
    pub fn timestamp_ms(&self) -> i64 {
        self.end_ms - 1
    }
}

impl<A: Accumulator> Windows<A> {
    /// Windows of `size_ms` milliseconds, one after the other, stored under `name`: others of the plugin's have other names. Make one
    /// of a name, in `configure`.
    ///
    /// # Errors
    ///
    /// A sentence, when the size is 0 or more than 2^52.
    pub fn tumbling(name: &str, size_ms: u64) -> Result<Self, String> {
        Self::sliding(name, size_ms, size_ms)
    }

    /// Windows of `size_ms` milliseconds, one beginning every `advance_ms`: each record is in all of those that its time is in. (Elsewhere
    /// these are called hopping, too.)
    ///
    /// # Errors
    ///
    /// A sentence, when the size is 0 or more than 2^52, or the advance is 0, more than the size or less than a hundredth of it.
    pub fn sliding(name: &str, size_ms: u64, advance_ms: u64) -> Result<Self, String> {
        if size_ms == 0 || size_ms > SPAN_MS_MAX {
            return Err(format!(
                "a window cannot have {size_ms} ms: give it between 1 ms and 2^52"
            ));
        }
        if advance_ms == 0 || advance_ms > size_ms {
            return Err(format!(
                "windows of {size_ms} ms cannot begin every {advance_ms} ms: let them advance by 1 ms at least, and by their size at most"
            ));
        }
        let overlap = size_ms.div_ceil(advance_ms);
        if overlap > OVERLAP_MAX {
            return Err(format!(
                "a record would be in {overlap} windows of {size_ms} ms that begin every {advance_ms} ms, and may be in {OVERLAP_MAX}: \
                 let them advance by more"
            ));
        }
        let rules = Rules {
            grace_ms: 0,
            max_ahead_ms: None,
            burst: BURST,
            per_record: 4 + 2 * overlap as u32,
        };
        Ok(Self {
            agenda: Agenda::new(name, rules),
            size_ms: size_ms as i64,
            advance_ms: advance_ms as i64,
            late: Late::Drop,
            value: Vec::new(),
            of: PhantomData,
        })
    }

    /// Waits for records that are out of order by up to `grace_ms` milliseconds, at most 2^52; 0 unless it is said. Windows fire that
    /// much later.
    #[must_use]
    pub fn grace_ms(mut self, grace_ms: u64) -> Self {
        self.agenda.rules.grace_ms = grace_ms.min(SPAN_MS_MAX) as i64;
        self
    }

    /// What becomes of late records, and of those too far ahead; they are dropped unless it is said.
    #[must_use]
    pub fn late(mut self, late: Late) -> Self {
        self.late = late;
        self
    }

    /// Does not believe a timestamp that is more than `max_ahead_ms` milliseconds ahead of the newest one so far: the record moves no time, is
    /// treated as late ones are, and is counted as `ahead_records`. When 100 records in a row are too far ahead, the hundredth
    /// is believed: then time did move on. The first record of a partition is always believed.
    #[must_use]
    pub fn max_ahead_ms(mut self, max_ahead_ms: u64) -> Self {
        self.agenda.rules.max_ahead_ms = Some(max_ahead_ms.min(SPAN_MS_MAX) as i64);
        self
    }

    /// Has at most `windows` fire at one record, 500 unless it is said. The host takes 1,000 records made of one: a plugin that makes
    /// several of each window sets less.
    #[must_use]
    pub fn burst(mut self, windows: u32) -> Self {
        self.agenda.rules.burst = windows.max(1);
        self
    }

    /// Fetches what is known of the windows of these times and keys, in one call of the host: for `begin`.
    pub fn prefetch<K: AsRef<[u8]>>(&self, records: impl IntoIterator<Item = (i64, K)>) {
        let rows = records.into_iter().flat_map(|(timestamp_ms, key)| {
            let starts = self.starts(timestamp_ms);
            starts.map(move |start_ms| self.row(start_ms, key.as_ref()))
        });
        // One row too many is looked up alone, when it is used.
        let rows = rows.take(PREFETCH_ROWS_MAX);
        crate::State::new().prefetch([self.agenda.progress_key()].into_iter().chain(rows));
    }

    /// Takes a record: moves time to its timestamp, and has `fold` add it, under `key`, to each of its windows that is open. What is
    /// over now and was not before is returned, to be written to `out`.
    ///
    /// # Panics
    ///
    /// When what is stored in a window is no `A`: what gathers something else has another name.
    #[must_use = "a window fires only once"]
    pub fn add(
        &mut self,
        record: &Record<'_>,
        key: &[u8],
        mut fold: impl FnMut(&mut A),
        out: &mut Output,
    ) -> Vec<Fired<A>> {
        let timestamp_ms = record.timestamp();
        let seen = self.agenda.observe(timestamp_ms);
        let watermark_ms = self.agenda.watermark_ms();
        let mut open = false;
        if seen == Seen::Time {
            for start_ms in self.starts(timestamp_ms) {
                if start_ms + self.size_ms > watermark_ms {
                    open = true;
                    self.fold(start_ms, key, &mut fold);
                }
            }
        }
        if !open {
            metrics::count_at_end(counter_of(seen), 1);
            match self.late {
                Late::Drop => {}
                Late::Output(output) => out.forward_to(output, record),
                // Outputs beside a dead letter would be left out with its record: what is due waits for the next one.
                Late::DeadLetter => {
                    out.dead_letter(&reason(seen, timestamp_ms, watermark_ms));
                    self.agenda.save();
                    return Vec::new();
                }
            }
        }
        self.fire()
    }

    /// Moves time to that of a record that is in no window, and returns what is over now.
    #[must_use = "a window fires only once"]
    pub fn advance(&mut self, timestamp_ms: i64) -> Vec<Fired<A>> {
        self.agenda.observe(timestamp_ms);
        self.fire()
    }

    /// Up to where time has got: milliseconds since 1970; none before the first record.
    pub fn watermark_ms(&mut self) -> Option<i64> {
        Some(self.agenda.watermark_ms()).filter(|&time| time != i64::MIN)
    }

    fn fire(&mut self) -> Vec<Fired<A>> {
        let due = self.agenda.due();
        self.agenda.save();
        due.into_iter().map(fired).collect()
    }

    fn fold(&mut self, start_ms: i64, key: &[u8], fold: &mut impl FnMut(&mut A)) {
        let row = self.row(start_ms, key);
        let state = crate::State::new();
        let mut value = state.read(&row, |stored| stored.map_or_else(A::default, decode));
        fold(&mut value);
        self.value.clear();
        value.encode(&mut self.value);
        self.agenda.put(start_ms + self.size_ms, &row, &self.value);
    }

    /// The starts of the windows that a time is in, latest first.
    fn starts(&self, timestamp_ms: i64) -> impl Iterator<Item = i64> + use<A> {
        let (size_ms, advance_ms) = (self.size_ms, self.advance_ms);
        // Beyond all times there is no window, and no room for sums.
        let latest = Some(timestamp_ms).filter(|time| crate::event_time::is_time(*time));
        let latest = latest.map(|time| time.div_euclid(advance_ms) * advance_ms);
        std::iter::successors(latest, move |start| Some(start - advance_ms))
            .take_while(move |start| start + size_ms > timestamp_ms)
    }

    fn row(&self, start_ms: i64, key: &[u8]) -> Vec<u8> {
        let end_ms = start_ms + self.size_ms;
        self.agenda.row_key(end_ms, &[&sortable(start_ms), key])
    }
}

fn fired<A: Accumulator>(due: Due) -> Fired<A> {
    let Some((start, key)) = due.rest.split_first_chunk() else {
        panic!("what is stored among windows is none: give them another name");
    };
    Fired {
        start_ms: unsorted(*start),
        end_ms: due.time_ms,
        value: decode(&due.value),
        key: key.to_vec(),
    }
}

fn decode<A: Accumulator>(bytes: &[u8]) -> A {
    A::decode(bytes).unwrap_or_else(|| {
        panic!("what is stored in a window is not what the plugin gathers now: give the windows another name")
    })
}

fn counter_of(seen: Seen) -> &'static str {
    match seen {
        Seen::Time => "late_records",
        Seen::Ahead => "ahead_records",
        Seen::NoTime => "timeless_records",
    }
}

fn reason(seen: Seen, timestamp_ms: i64, watermark_ms: i64) -> String {
    match seen {
        Seen::Time => format!(
            "late: the windows of its timestamp {timestamp_ms} are over, the watermark is {watermark_ms}"
        ),
        Seen::Ahead => {
            format!("its timestamp {timestamp_ms} is too far ahead of the watermark {watermark_ms}")
        }
        Seen::NoTime => format!("its timestamp {timestamp_ms} is no time"),
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
