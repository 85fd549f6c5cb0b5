mod schema;
mod typed;

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Type};

use crate::world::{Form, World};
use crate::{Kind, LoadError};
pub(crate) use schema::schema_exports;

/// Finds the world's two functions, and checks their types now: an instance is not the place to learn of it.
pub(crate) fn exports(
    component: &Component,
    world: World,
    export: &str,
) -> Result<(ComponentExportIndex, ComponentExportIndex), LoadError> {
    let World { kind, form, .. } = world;
    let invalid = |reason: String| LoadError::Invalid { reason };
    let (_, instance) = component
        .get_export(None, export)
        .ok_or_else(|| invalid(format!("{export} is exported, and cannot be found")))?;
    let find = |name: &str| match component.get_export(Some(&instance), name) {
        Some((ComponentItem::ComponentFunc(ty), index)) => Ok((ty, index)),
        _ => Err(invalid(format!("{export} has no function `{name}`"))),
    };
    let (configure, configure_index) = find("configure")?;
    let configure_params = if kind == Kind::Filter { 1 } else { 2 };
    if configure.params().len() != configure_params || configure.results().len() != 1 {
        return Err(invalid(format!(
            "`configure` of {export} has another type than in weir:plugin"
        )));
    }
    let (call, call_index) = find(kind.function())?;
    let right = match (kind, form) {
        (Kind::Filter | Kind::Transform, Form::Packed) => maps(&call, is_bytes, is_bytes),
        (Kind::Filter, Form::Typed) => maps(&call, typed::is_records, typed::is_bools),
        (Kind::Transform, Form::Typed) => maps(&call, typed::is_records, typed::is_outcomes),
        (Kind::Producer, _) => polls(&call),
    };
    if !right {
        return Err(invalid(format!(
            "`{}` of {export} has another type than in weir:plugin",
            kind.function()
        )));
    }
    Ok((configure_index, call_index))
}

/// `func(a) -> b`
fn maps(call: &ComponentFunc, a: fn(&Type) -> bool, b: fn(&Type) -> bool) -> bool {
    call.params().len() == 1
        && call.params().all(|(_, ty)| a(&ty))
        && call.results().len() == 1
        && call.results().all(|ty| b(&ty))
}

fn is_bytes(ty: &Type) -> bool {
    matches!(ty, Type::List(list) if list.ty() == Type::U8)
}

/// `func(cursor: option<list<u8>>, budget: budget) -> result<page, string>`
fn polls(call: &ComponentFunc) -> bool {
    let mut params = call.params().map(|(_, ty)| ty);
    let mut results = call.results();
    matches!(
        (params.next(), params.next(), params.next(), results.next(), results.next()),
        (Some(Type::Option(cursor)), Some(budget), None, Some(Type::Result(page)), None)
            if is_bytes(&cursor.ty())
                && is_record(&budget, &[("records", &|ty| *ty == Type::U32), ("bytes", &|ty| *ty == Type::U32)])
                && page.err() == Some(Type::String)
                && page.ok().is_some_and(|page| {
                    is_record(
                        &page,
                        &[("records", &is_bytes), ("cursor", &is_bytes), ("more", &|ty| *ty == Type::Bool)],
                    )
                })
    )
}

/// The name of a field, and whether a type is right for it.
type Field<'a> = (&'a str, &'a dyn Fn(&Type) -> bool);

fn is_record(ty: &Type, wanted: &[Field<'_>]) -> bool {
    let Type::Record(record) = ty else {
        return false;
    };
    record.fields().len() == wanted.len()
        && record
            .fields()
            .zip(wanted)
            .all(|(field, (name, right))| field.name == *name && right(&field.ty))
}
