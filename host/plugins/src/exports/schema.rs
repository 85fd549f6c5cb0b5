use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Type};

use super::is_bytes;
use crate::LoadError;

/// Finds `version` and `migrate` of the interface `export`, and checks their types.
pub(crate) fn schema_exports(
    component: &Component,
    export: &str,
) -> Result<(ComponentExportIndex, ComponentExportIndex), LoadError> {
    let invalid = |reason: String| LoadError::Invalid { reason };
    let (_, instance) = component
        .get_export(None, export)
        .ok_or_else(|| invalid(format!("{export} is exported, and cannot be found")))?;
    let find = |name: &str, right: fn(&ComponentFunc) -> bool| {
        let found = component.get_export(Some(&instance), name);
        match found {
            Some((ComponentItem::ComponentFunc(ty), index)) if right(&ty) => Ok(index),
            Some(_) => Err(invalid(format!(
                "`{name}` of {export} has another type than in weir:plugin"
            ))),
            None => Err(invalid(format!("{export} has no function `{name}`"))),
        }
    };
    Ok((find("version", is_version)?, find("migrate", is_migrate)?))
}

/// `func() -> u32`
fn is_version(call: &ComponentFunc) -> bool {
    let mut results = call.results();
    call.params().len() == 0 && results.next() == Some(Type::U32) && results.next().is_none()
}

/// `func(from: u32, after: option<list<u8>>) -> result<option<list<u8>>, string>`
fn is_migrate(call: &ComponentFunc) -> bool {
    let mut params = call.params().map(|(_, ty)| ty);
    let mut results = call.results();
    matches!(
        (params.next(), params.next(), params.next(), results.next(), results.next()),
        (Some(Type::U32), Some(after), None, Some(Type::Result(result)), None)
            if is_place(&after)
                && result.ok().is_some_and(|ok| is_place(&ok))
                && result.err() == Some(Type::String)
    )
}

/// `option<list<u8>>`
fn is_place(ty: &Type) -> bool {
    matches!(ty, Type::Option(option) if is_bytes(&option.ty()))
}
