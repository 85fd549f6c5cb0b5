use std::cell::Cell;

/// What is done at the end of a batch: `true` keeps what the batch has changed, `false` drops it.
type End = fn(keep: bool);

/// Who may have something to do at the end of a batch.
#[derive(Clone, Copy)]
pub(crate) enum Who {
    State,
    Metrics,
}

thread_local! {
    static ENDS: Cell<[Option<End>; 2]> = const { Cell::new([None; 2]) };
}

/// Has `end` run after every batch from now on. Only who is used asks for it, so that a plugin neither pays for nor imports what it does
/// not use.
pub(crate) fn at_end(who: Who, end: End) {
    let mut ends = ENDS.get();
    ends[who as usize] = Some(end);
    ENDS.set(ends);
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
    for end in ENDS.get().into_iter().flatten() {
        end(keep);
    }
}
