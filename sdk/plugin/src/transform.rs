use std::fmt::Display;

use weir_batch::{Record, Records};

use crate::Output;
use crate::batch_hooks;
use crate::filter::open;

/// What a transform's function returns: nothing, or a result whose error becomes the record's failure.
pub trait Outcome {
    /// Writes down what has to be.
    fn settle(self, out: &mut Output);
}

impl Outcome for () {
    #[inline]
    fn settle(self, _out: &mut Output) {}
}

impl<E: Display> Outcome for Result<(), E> {
    #[inline]
    fn settle(self, out: &mut Output) {
        if let Err(error) = self {
            out.fail(&error.to_string());
        }
    }
}

/// Runs a transform's function over a batch: what the exported function does, on any target.
///
/// `batch` is one uncompressed record batch that has been checked, `out` a fresh [`Output`] or one that was used before; the answer is
/// an output frame.
///
/// # Panics
///
/// When `batch` is no uncompressed batch.
pub fn run_transform<S, R: Outcome>(
    state: &mut S,
    out: &mut Output,
    transform: impl Fn(&mut S, &Record<'_>, &mut Output) -> R,
    batch: &[u8],
) -> Vec<u8> {
    run_transform_with(state, out, |_, _| {}, transform, |_, _| {}, batch)
}

/// The same with a function that is called before the first record is transformed, with all of them, and one that is called after the
/// last. What the latter writes belongs to the last record.
///
/// # Panics
///
/// When `batch` is no uncompressed batch.
pub fn run_transform_with<S, R: Outcome>(
    state: &mut S,
    out: &mut Output,
    begin: impl Fn(&mut S, Records<'_>),
    transform: impl Fn(&mut S, &Record<'_>, &mut Output) -> R,
    end: impl Fn(&mut S, &mut Output),
    batch: &[u8],
) -> Vec<u8> {
    let (batch, records) = open(batch);
    batch_hooks::begin(|| batch.max_timestamp());
    out.begin(&batch);
    begin(state, records);
    for (index, record) in records.enumerate() {
        out.source(index as u32, &record);
        transform(state, &record, out).settle(out);
    }
    end(state, out);
    batch_hooks::end(true);
    out.finish()
}

/// Exports a transform: a function that is given each record and an [`Output`] to write to.
///
/// ```
/// use weir_plugin::{Output, Record, transform};
///
/// transform!(|record: &Record<'_>, out: &mut Output| {
///     if record.key().is_some() {
///         out.forward(record);
///     }
/// });
/// ```
///
/// The function returns nothing or a `Result<(), E>`; an error is what [`Output::fail`] makes of it. With a state, made by
/// `fn configure(config: &Config) -> Result<Self, String>` when the plugin starts: `transform!(State, State::function)`, see the
/// [crate's page](crate). A transform without a state takes no configuration.
///
/// `begin = State::function`, a `fn(&mut State, Records<'_>)`, sees all records of a batch before the first is transformed: the place
/// to fetch [keyed state](crate::State) for all of them at once. `end = State::function`, a `fn(&mut State, &mut Output)`, is called after the
/// last: what it writes belongs to the last record.
///
/// ```
/// use weir_plugin::{Config, Counters, Output, Record, Records, transform};
///
/// /// How many records there have been with each key: one record for each batch and key would be `end`'s.
/// struct Count { counters: Counters }
///
/// impl Count {
///     fn configure(config: &Config) -> Result<Self, String> {
///         config.only(&[])?;
///         Ok(Self { counters: Counters::new("count") })
///     }
///
///     fn begin(&mut self, records: Records<'_>) {
///         self.counters.prefetch(records.filter_map(|record| record.key()));
///     }
///
///     fn record(&mut self, record: &Record<'_>, out: &mut Output) {
///         let count = self.counters.add(record.key().unwrap_or_default(), 1);
///         out.edit(record).value(&count.to_string()).emit();
///     }
/// }
///
/// transform!(Count, Count::record, begin = Count::begin);
/// ```
#[macro_export]
macro_rules! transform {
    ($state:ty, $transform:expr $(,)?) => {
        $crate::transform!($state, $transform, begin = |_, _| {}, end = |_, _| {});
    };
    ($state:ty, $transform:expr, begin = $begin:expr $(,)?) => {
        $crate::transform!($state, $transform, begin = $begin, end = |_, _| {});
    };
    ($state:ty, $transform:expr, end = $end:expr $(,)?) => {
        $crate::transform!($state, $transform, begin = |_, _| {}, end = $end);
    };
    ($state:ty, $transform:expr, begin = $begin:expr, end = $end:expr $(,)?) => {
        const _: () = {
            #[allow(dead_code)]
            #[inline(always)]
            fn begin(state: &mut $state, records: $crate::Records<'_>) {
                let begin: fn(&mut $state, $crate::Records<'_>) = $begin;
                begin(state, records);
            }

            #[allow(dead_code)]
            #[inline(always)]
            fn end(state: &mut $state, out: &mut $crate::Output) {
                let end: fn(&mut $state, &mut $crate::Output) = $end;
                end(state, out);
            }

            #[allow(dead_code)]
            #[inline(always)]
            fn transform(
                state: &mut $state,
                record: &$crate::Record<'_>,
                out: &mut $crate::Output,
            ) -> impl $crate::Outcome + use<> {
                fn pick<R: $crate::Outcome>(
                    transform: fn(&mut $state, &$crate::Record<'_>, &mut $crate::Output) -> R,
                ) -> fn(&mut $state, &$crate::Record<'_>, &mut $crate::Output) -> R {
                    transform
                }
                pick($transform)(state, record, out)
            }

            #[allow(dead_code)]
            fn configure(config: &$crate::Config) -> ::std::result::Result<$state, ::std::string::String> {
                <$state>::configure(config)
            }

            $crate::__export_transform!($state, configure, begin, transform, end);
        };
    };
    ($transform:expr $(,)?) => {
        const _: () = {
            #[allow(dead_code)]
            #[inline(always)]
            fn begin(_: &mut (), _: $crate::Records<'_>) {}

            #[allow(dead_code)]
            #[inline(always)]
            fn end(_: &mut (), _: &mut $crate::Output) {}

            #[allow(dead_code)]
            #[inline(always)]
            fn transform(
                _: &mut (),
                record: &$crate::Record<'_>,
                out: &mut $crate::Output,
            ) -> impl $crate::Outcome + use<> {
                fn pick<R: $crate::Outcome>(
                    transform: fn(&$crate::Record<'_>, &mut $crate::Output) -> R,
                ) -> fn(&$crate::Record<'_>, &mut $crate::Output) -> R {
                    transform
                }
                pick($transform)(record, out)
            }

            #[allow(dead_code)]
            fn configure(config: &$crate::Config) -> ::std::result::Result<(), ::std::string::String> {
                config.only(&[])
            }

            $crate::__export_transform!((), configure, begin, transform, end);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_transform {
    ($state:ty, $configure:ident, $begin:ident, $transform:ident, $end:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            ::std::thread_local! {
                static STATE: ::std::cell::RefCell<::std::option::Option<($state, $crate::Output)>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            impl $crate::bindings::transform::exports::weir::plugin::record_transform::Guest for Exported {
                fn configure(
                    entries: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                    outputs: ::std::vec::Vec<::std::string::String>,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::__install_panic_hook();
                    let config = $crate::Config::new(entries, outputs);
                    let state = $configure(&config)?;
                    let out = $crate::Output::new(config.outputs().to_vec());
                    STATE.with_borrow_mut(|slot| *slot = ::std::option::Option::Some((state, out)));
                    ::std::result::Result::Ok(())
                }

                fn transform(batch: ::std::vec::Vec<u8>) -> ::std::vec::Vec<u8> {
                    STATE.with_borrow_mut(|slot| match slot {
                        ::std::option::Option::Some((state, out)) => {
                            $crate::run_transform_with(state, out, $begin, $transform, $end, &batch)
                        }
                        ::std::option::Option::None => ::std::panic!("transform was called before configure"),
                    })
                }
            }

            $crate::bindings::transform::export_transform!(Exported with_types_in $crate::bindings::transform);
        };
    };
}
