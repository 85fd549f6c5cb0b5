use wasmtime::component::Type;

use super::{is_bytes, is_record};

/// `list<bool>`
pub(super) fn is_bools(ty: &Type) -> bool {
    is_list(ty, |ty| *ty == Type::Bool)
}

/// `list<record>`
pub(super) fn is_records(ty: &Type) -> bool {
    is_list(ty, |ty| {
        is_record(
            ty,
            &[
                ("offset", &|ty| *ty == Type::S64),
                ("timestamp", &|ty| *ty == Type::S64),
                ("key", &is_maybe_bytes),
                ("value", &is_maybe_bytes),
                ("headers", &is_headers),
            ],
        )
    })
}

/// The name of a case, and whether a type is right for it.
type Case = (&'static str, fn(&Type) -> bool);

/// `list<outcome>`
pub(super) fn is_outcomes(ty: &Type) -> bool {
    is_list(ty, |ty| {
        let Type::Variant(outcome) = ty else {
            return false;
        };
        let cases: [Case; 4] = [
            ("emit", is_emitted),
            ("dead-letter", is_fault),
            ("retry", is_fault),
            ("fail", is_fault),
        ];
        outcome.cases().len() == cases.len()
            && outcome
                .cases()
                .zip(cases)
                .all(|(case, (name, right))| case.name == name && case.ty.is_some_and(|ty| right(&ty)))
    })
}

fn is_emitted(ty: &Type) -> bool {
    is_record(
        ty,
        &[
            ("output", &|ty| *ty == Type::U32),
            ("source", &|ty| *ty == Type::U32),
            ("timestamp", &|ty| is_option(ty, |ty| *ty == Type::S64)),
            ("key", &is_maybe_bytes),
            ("value", &is_maybe_bytes),
            ("headers", &is_headers),
        ],
    )
}

fn is_fault(ty: &Type) -> bool {
    is_record(
        ty,
        &[
            ("source", &|ty| *ty == Type::U32),
            ("reason", &|ty| *ty == Type::String),
        ],
    )
}

fn is_headers(ty: &Type) -> bool {
    is_list(ty, |ty| {
        let Type::Tuple(header) = ty else {
            return false;
        };
        let mut types = header.types();
        matches!(
            (types.next(), types.next(), types.next()),
            (Some(Type::String), Some(value), None) if is_maybe_bytes(&value)
        )
    })
}

fn is_maybe_bytes(ty: &Type) -> bool {
    is_option(ty, is_bytes)
}

fn is_list(ty: &Type, element: impl Fn(&Type) -> bool) -> bool {
    matches!(ty, Type::List(list) if element(&list.ty()))
}

fn is_option(ty: &Type, some: impl Fn(&Type) -> bool) -> bool {
    matches!(ty, Type::Option(option) if some(&option.ty()))
}
