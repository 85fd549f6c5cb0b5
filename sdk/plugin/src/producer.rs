use std::fmt::Display;

use crate::batch_hooks;
use crate::page::{Budget, Page};

/// What a poll gives, as it crosses the border.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// An output frame: every source is 0, timestamps count from 1970.
    pub frame: Vec<u8>,
    /// Where to go on.
    pub cursor: Vec<u8>,
    /// There is more right now.
    pub more: bool,
}

/// Runs a producer's function: what the exported function does, on any target.
///
/// `cursor` is the one of the page before, `page` a fresh [`Page`] or one that was used before.
///
/// # Errors
///
/// What `poll` gives as the reason why there is no page.
pub fn run_poll<S, E: Display>(
    state: &mut S,
    page: &mut Page,
    poll: impl Fn(&mut S, Option<&[u8]>, &mut Page) -> Result<(), E>,
    cursor: Option<&[u8]>,
    budget: Budget,
) -> Result<Polled, String> {
    page.begin(cursor, budget, crate::clock::now());
    let polled = poll(state, cursor, page);
    batch_hooks::end(polled.is_ok());
    let frame = page.out.finish();
    polled.map_err(|error| error.to_string())?;
    Ok(Polled {
        frame,
        cursor: std::mem::take(&mut page.cursor),
        more: page.more,
    })
}

/// Exports a producer: a function that fills a [`Page`](crate::Page) with records, from where the page before ended.
///
/// ```
/// use weir_plugin::{Config, Page, producer};
///
/// /// Counts.
/// struct Numbers { until: u64 }
///
/// impl Numbers {
///     fn configure(config: &Config) -> Result<Self, String> {
///         config.only(&["until"])?;
///         Ok(Self { until: config.parse("until")?.unwrap_or(u64::MAX) })
///     }
///
///     fn poll(&mut self, cursor: Option<&[u8]>, page: &mut Page) -> Result<(), String> {
///         let mut next = match cursor {
///             None => 0,
///             Some(cursor) => u64::from_le_bytes(cursor.try_into().map_err(|_| "this cursor is of another plugin")?),
///         };
///         while next < self.until && page.has_room(20) {
///             page.create().value(&next.to_string()).emit();
///             next += 1;
///         }
///         page.set_cursor(&next.to_le_bytes());
///         page.set_more(next < self.until);
///         Ok(())
///     }
/// }
///
/// producer!(Numbers, Numbers::poll);
/// ```
///
/// The state is made by `fn configure(config: &Config) -> Result<Self, String>` when the plugin starts. The function is given the
/// cursor of the last page that was stored, none for the first one: what it gives must depend on that alone, and on what is outside,
/// for a page that was not stored is asked for again. It returns `Result<(), E>`; an error is the reason why there is no page now,
/// for the people who run the flow.
#[macro_export]
macro_rules! producer {
    ($state:ty, $poll:expr $(,)?) => {
        const _: () = {
            #[allow(dead_code)]
            #[inline(always)]
            fn poll(
                state: &mut $state,
                cursor: ::std::option::Option<&[u8]>,
                page: &mut $crate::Page,
            ) -> ::std::result::Result<(), impl ::std::fmt::Display + use<>> {
                fn pick<E: ::std::fmt::Display>(
                    poll: fn(
                        &mut $state,
                        ::std::option::Option<&[u8]>,
                        &mut $crate::Page,
                    ) -> ::std::result::Result<(), E>,
                ) -> fn(
                    &mut $state,
                    ::std::option::Option<&[u8]>,
                    &mut $crate::Page,
                ) -> ::std::result::Result<(), E> {
                    poll
                }
                pick($poll)(state, cursor, page)
            }

            #[allow(dead_code)]
            fn configure(config: &$crate::Config) -> ::std::result::Result<$state, ::std::string::String> {
                <$state>::configure(config)
            }

            $crate::__export_producer!($state, configure, poll);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_producer {
    ($state:ty, $configure:ident, $poll:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::producer::exports::weir::plugin::record_producer as world;

            struct Exported;

            ::std::thread_local! {
                static STATE: ::std::cell::RefCell<::std::option::Option<($state, $crate::Page)>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            impl world::Guest for Exported {
                fn configure(
                    entries: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                    outputs: ::std::vec::Vec<::std::string::String>,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::__install_panic_hook();
                    let config = $crate::Config::new(entries, outputs);
                    let state = $configure(&config)?;
                    let page = $crate::Page::new(config.outputs().to_vec());
                    STATE.with_borrow_mut(|slot| *slot = ::std::option::Option::Some((state, page)));
                    ::std::result::Result::Ok(())
                }

                fn poll(
                    cursor: ::std::option::Option<::std::vec::Vec<u8>>,
                    budget: world::Budget,
                ) -> ::std::result::Result<world::Page, ::std::string::String> {
                    let budget = $crate::Budget {
                        records: budget.records,
                        bytes: budget.bytes,
                    };
                    STATE.with_borrow_mut(|slot| match slot {
                        ::std::option::Option::Some((state, page)) => {
                            let polled = $crate::run_poll(state, page, $poll, cursor.as_deref(), budget)?;
                            ::std::result::Result::Ok(world::Page {
                                records: polled.frame,
                                cursor: polled.cursor,
                                more: polled.more,
                            })
                        }
                        ::std::option::Option::None => ::std::panic!("poll was called before configure"),
                    })
                }
            }

    $crate::bindings::producer::export_producer!(Exported with_types_in $crate::bindings::producer);
        };
    };
}

#[cfg(test)]
mod tests {
    use weir_batch::frame::{Entry, Reader};

    use super::*;
    use crate::testing;

    const BUDGET: Budget = Budget {
        records: 3,
        bytes: 1_000,
    };

    fn count(next: &mut u32, cursor: Option<&[u8]>, page: &mut Page) -> Result<(), String> {
        if cursor == Some(b"bad") {
            page.create().value("never seen").emit();
            return Err("what a cursor".to_owned());
        }
        while page.has_room(1) {
            page.create().value(&next.to_string()).emit();
            *next += 1;
        }
        page.set_cursor(&next.to_string());
        page.set_more(true);
        Ok(())
    }

    #[test]
    fn a_page_has_records_a_cursor_and_the_time_of_the_poll() {
        testing::set_now(77);
        let mut page = Page::new(vec!["out".to_owned()]);
        let polled = run_poll(&mut 0, &mut page, count, None, BUDGET).unwrap();
        assert_eq!((polled.cursor.as_slice(), polled.more), (&b"3"[..], true));
        let reader = Reader::new(&polled.frame, 1, 1).unwrap();
        let values: Vec<_> = reader
            .entries()
            .map(|entry| match entry {
                Entry::Emit {
                    timestamp_delta: 77,
                    source: 0,
                    tail,
                    ..
                } => tail.value().unwrap().to_vec(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(values, [b"0", b"1", b"2"]);
    }

    #[test]
    fn bytes_are_a_budget_too() {
        for bytes in 0..400 {
            let budget = Budget {
                records: u32::MAX,
                bytes,
            };
            let mut page = Page::new(vec!["out".to_owned()]);
            let polled = run_poll(&mut 0, &mut page, count, None, budget).unwrap();
            assert!(polled.frame.len() <= (bytes as usize).max(5), "{bytes}");
        }
    }

    #[test]
    fn an_error_gives_no_page_and_the_next_poll_begins_anew() {
        let mut page = Page::new(vec!["out".to_owned()]);
        let refused = run_poll(&mut 0, &mut page, count, Some(b"bad"), BUDGET);
        assert_eq!(refused.unwrap_err(), "what a cursor");
        let idle = |_: &mut u32, _: Option<&[u8]>, _: &mut Page| Ok::<(), String>(());
        let polled = run_poll(&mut 0, &mut page, idle, Some(b"c"), BUDGET).unwrap();
        assert!(Reader::new(&polled.frame, 1, 1).unwrap().is_empty());
        assert_eq!((polled.cursor.as_slice(), polled.more), (&b"c"[..], false));
    }
}
