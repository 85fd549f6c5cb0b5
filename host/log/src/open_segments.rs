use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::segment::Segment;

/// The sealed segments that are open, so that there are never many. Those used longest ago are closed first.
#[derive(Debug)]
pub(crate) struct OpenSegments {
    count_max: usize,
    used: Mutex<VecDeque<Weak<Segment>>>,
}

impl OpenSegments {
    pub(crate) fn new(count_max: usize) -> Self {
        Self {
            count_max: count_max.max(1),
            used: Mutex::default(),
        }
    }

    /// Takes note that a segment is about to be read.
    pub(crate) fn note(&self, segment: &Arc<Segment>) {
        if !segment.is_sealed() {
            return;
        }
        let mut surplus = Vec::new();
        {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            let is_it = |weak: &Weak<Segment>| std::ptr::eq(weak.as_ptr(), Arc::as_ptr(segment));
            if used.back().is_some_and(is_it) {
                return;
            }
            used.retain(|weak| !is_it(weak));
            used.push_back(Arc::downgrade(segment));
            while used.len() > self.count_max {
                surplus.extend(used.pop_front());
            }
        }
        for segment in surplus.iter().filter_map(Weak::upgrade) {
            segment.file().close_view();
        }
    }
}
