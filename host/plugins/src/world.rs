use crate::Kind;

/// How records cross the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// All of a batch in one `list<u8>`.
    Packed,
    /// As a list of records. Only the runtime knows of it: for its callers there are batches, bitmaps and frames.
    Typed,
}

/// A world of `weir:plugin` that plugins may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct World {
    /// The interface it exports, without package and version.
    pub(crate) interface: &'static str,
    pub(crate) kind: Kind,
    pub(crate) form: Form,
}

/// All of them.
pub(crate) const WORLDS: [World; 5] = [
    world("record-filter", Kind::Filter, Form::Packed),
    world("record-transform", Kind::Transform, Form::Packed),
    world("record-producer", Kind::Producer, Form::Packed),
    world("record-filter-typed", Kind::Filter, Form::Typed),
    world("record-transform-typed", Kind::Transform, Form::Typed),
];

const fn world(interface: &'static str, kind: Kind, form: Form) -> World {
    World {
        interface,
        kind,
        form,
    }
}
