use std::cell::Cell;

/// What keyed state does at the end of a batch: `true` keeps the changes, `false` drops them.
type End = fn(keep: bool);

thread_local! {
    static END: Cell<Option<End>> = const { Cell::new(None) };
}

/// Has `end` run after every batch from now on. Only who uses keyed state asks for it, so that a plugin without state neither pays for
/// it nor imports it.
pub(crate) fn at_end(end: End) {
    END.set(Some(end));
}

/// A batch begins. Its time is the host's business in a plugin, and the stand-in's anywhere else.
#[inline]
pub(crate) fn begin(now_ms: impl FnOnce() -> i64) {
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::set_now(now_ms());
    #[cfg(target_arch = "wasm32")]
    let _ = now_ms;
}

/// A batch is over.
#[inline]
pub(crate) fn end(keep: bool) {
    if let Some(end) = END.get() {
        end(keep);
    }
}
