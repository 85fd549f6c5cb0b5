use weir_batch::{Batch, Record, Records, bitmap};

use crate::batch_hooks;

/// Runs a filter's function over a batch: what the exported function does, on any target.
///
/// `batch` is one uncompressed record batch that has been checked; the answer has one bit a record, lowest first, 1 = keep.
///
/// # Panics
///
/// When `batch` is no uncompressed batch.
pub fn run_filter<S>(state: &mut S, keep: impl Fn(&mut S, &Record<'_>) -> bool, batch: &[u8]) -> Vec<u8> {
    run_filter_with(state, |_, _| {}, keep, batch)
}

/// The same with a function that is called before the first record is looked at, with all of them.
///
/// # Panics
///
/// When `batch` is no uncompressed batch.
pub fn run_filter_with<S>(
    state: &mut S,
    begin: impl Fn(&mut S, Records<'_>),
    keep: impl Fn(&mut S, &Record<'_>) -> bool,
    batch: &[u8],
) -> Vec<u8> {
    let (batch, records) = open(batch);
    batch_hooks::begin(|| batch.max_timestamp());
    begin(state, records);
    let mut bits = vec![0; bitmap::byte_len(batch.len())];
    for (index, record) in records.enumerate() {
        if keep(state, &record) {
            bitmap::set(&mut bits, index);
        }
    }
    batch_hooks::end(true);
    bits
}

/// The batch and its records.
pub(crate) fn open(batch: &[u8]) -> (Batch<'_>, weir_batch::Records<'_>) {
    // The host has checked the batch, and gives no compressed ones: anything else is the host's fault, and ends in a trap.
    match Batch::parse_trusted(batch).and_then(|batch| Ok((batch, batch.records()?))) {
        Ok(opened) => opened,
        Err(error) => panic!("the host gave no batch: {error}"),
    }
}

/// Exports a filter: a function that says of each record whether it goes on.
///
/// ```
/// use weir_plugin::{Record, filter};
///
/// filter!(|record: &Record<'_>| record.key().is_some());
/// ```
///
/// With a state, made by `fn configure(config: &Config) -> Result<Self, String>` when the plugin starts:
///
/// ```
/// use weir_plugin::{Config, Record, filter};
///
/// struct Longer { than: usize }
///
/// impl Longer {
///     fn configure(config: &Config) -> Result<Self, String> {
///         Ok(Self { than: config.parse("than")?.unwrap_or(100) })
///     }
///
///     fn keep(&mut self, record: &Record<'_>) -> bool {
///         record.value().is_some_and(|value| value.len() > self.than)
///     }
/// }
///
/// filter!(Longer, Longer::keep);
/// ```
///
/// A filter without a state takes no configuration. With `begin = State::function`, a `fn(&mut State, Records<'_>)`, the state sees all
/// records of a batch before the first is asked for: the place to fetch [keyed state](crate::State) for all of them at once.
///
/// ```
/// use weir_plugin::{Config, Dedup, Record, Records, filter};
///
/// struct Once { seen: Dedup }
///
/// impl Once {
///     fn configure(config: &Config) -> Result<Self, String> {
///         config.only(&[])?;
///         Ok(Self { seen: Dedup::new("seen", 60_000) })
///     }
///
///     fn begin(&mut self, records: Records<'_>) {
///         self.seen.prefetch(records.filter_map(|record| record.key()));
///     }
///
///     fn keep(&mut self, record: &Record<'_>) -> bool {
///         record.key().is_none_or(|key| self.seen.first(key))
///     }
/// }
///
/// filter!(Once, Once::keep, begin = Once::begin);
/// ```
#[macro_export]
macro_rules! filter {
    ($state:ty, $keep:expr $(,)?) => {
        $crate::filter!($state, $keep, begin = |_, _| {});
    };
    ($state:ty, $keep:expr, begin = $begin:expr $(,)?) => {
        const _: () = {
            #[allow(dead_code)]
            #[inline(always)]
            fn begin(state: &mut $state, records: $crate::Records<'_>) {
                let begin: fn(&mut $state, $crate::Records<'_>) = $begin;
                begin(state, records);
            }

            // A function of its own: closures get their types from here, and the call is inlined.
            #[allow(dead_code)]
            #[inline(always)]
            fn keep(state: &mut $state, record: &$crate::Record<'_>) -> bool {
                let keep: fn(&mut $state, &$crate::Record<'_>) -> bool = $keep;
                keep(state, record)
            }

            #[allow(dead_code)]
            fn configure(config: &$crate::Config) -> ::std::result::Result<$state, ::std::string::String> {
                <$state>::configure(config)
            }

            $crate::__export_filter!($state, configure, begin, keep);
        };
    };
    ($keep:expr $(,)?) => {
        const _: () = {
            #[allow(dead_code)]
            #[inline(always)]
            fn begin(_: &mut (), _: $crate::Records<'_>) {}

            #[allow(dead_code)]
            #[inline(always)]
            fn keep(_: &mut (), record: &$crate::Record<'_>) -> bool {
                let keep: fn(&$crate::Record<'_>) -> bool = $keep;
                keep(record)
            }

            #[allow(dead_code)]
            fn configure(config: &$crate::Config) -> ::std::result::Result<(), ::std::string::String> {
                config.only(&[])
            }

            $crate::__export_filter!((), configure, begin, keep);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_filter {
    ($state:ty, $configure:ident, $begin:ident, $keep:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            ::std::thread_local! {
                static STATE: ::std::cell::RefCell<::std::option::Option<$state>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            impl $crate::bindings::filter::exports::weir::plugin::record_filter::Guest for Exported {
                fn configure(
                    entries: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::__install_panic_hook();
                    let config = $crate::Config::new(entries, ::std::vec::Vec::new());
                    let state = $configure(&config)?;
                    STATE.with_borrow_mut(|slot| *slot = ::std::option::Option::Some(state));
                    ::std::result::Result::Ok(())
                }

                fn filter(batch: ::std::vec::Vec<u8>) -> ::std::vec::Vec<u8> {
                    STATE.with_borrow_mut(|slot| match slot {
                        ::std::option::Option::Some(state) => {
                            $crate::run_filter_with(state, $begin, $keep, &batch)
                        }
                        ::std::option::Option::None => ::std::panic!("filter was called before configure"),
                    })
                }
            }

    $crate::bindings::filter::export_filter!(Exported with_types_in $crate::bindings::filter);
        };
    };
}

#[cfg(test)]
mod tests {
    use weir_batch::BatchBuilder;

    use super::*;

    fn keep(kept: impl Fn(usize) -> bool, records: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        for index in 0..records {
            builder
                .push(0, None, Some(index.to_string().as_bytes()), &[])
                .unwrap();
        }
        let batch = builder.finish().unwrap();
        let mut seen = 0;
        let bits = run_filter(
            &mut seen,
            |seen, record| {
                assert_eq!(record.value(), Some(seen.to_string().as_bytes()));
                *seen += 1;
                kept(*seen - 1)
            },
            &batch,
        );
        assert_eq!(seen, records, "each record is seen once, in order");
        bits
    }

    #[test]
    fn bits_stand_for_records() {
        assert_eq!(keep(|_| true, 8), [0xff]);
        assert_eq!(keep(|_| true, 9), [0xff, 1]);
        assert_eq!(keep(|_| false, 9), [0, 0]);
        assert_eq!(keep(|index| index == 1 || index == 10, 11), [0b10, 0b100]);
    }

    #[test]
    #[should_panic(expected = "the host gave no batch")]
    fn what_is_no_batch_is_a_panic() {
        run_filter(&mut (), |(), _| true, b"no batch");
    }
}
