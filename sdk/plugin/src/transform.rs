use std::fmt::Display;

use weir_batch::Record;

use crate::Output;
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
    let (batch, records) = open(batch);
    out.begin(&batch);
    for (index, record) in records.enumerate() {
        out.source(index as u32, &record);
        transform(state, &record, out).settle(out);
    }
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
#[macro_export]
macro_rules! transform {
    ($state:ty, $transform:expr $(,)?) => {
        const _: () = {
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

            $crate::__export_transform!($state, configure, transform);
        };
    };
    ($transform:expr $(,)?) => {
        const _: () = {
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

            $crate::__export_transform!((), configure, transform);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_transform {
    ($state:ty, $configure:ident, $transform:ident) => {
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
                            $crate::run_transform(state, out, $transform, &batch)
                        }
                        ::std::option::Option::None => ::std::panic!("transform was called before configure"),
                    })
                }
            }

            $crate::bindings::transform::export_transform!(Exported with_types_in $crate::bindings::transform);
        };
    };
}
