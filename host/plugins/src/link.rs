use wasmtime::component::{Component, Linker, WasmList, WasmStr};
use wasmtime::{Engine, StoreContextMut};

use crate::log::Level;
use crate::metrics::Sample;
use crate::random::RANDOM_BYTES_MAX;
use crate::refusal::Refusal;
use crate::state::{HostState, with_state};
use crate::{http, wasi};

type Store<'a> = StoreContextMut<'a, HostState>;

/// Everything a component may import: the interfaces of `weir:plugin`, and the empty WASI. What stands behind metrics, state and
/// HTTP is the instance's, or nothing.
pub(crate) fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    log(&mut linker)?;
    metrics(&mut linker)?;
    clock(&mut linker)?;
    random(&mut linker)?;
    state(&mut linker)?;
    http::link(&mut linker)?;
    wasi::link(&mut linker, component)?;
    Ok(linker)
}

fn log(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.instance("weir:plugin/log@0.1.0")?.func_wrap(
        "log",
        |mut store: Store<'_>, (level, message): (Level, WasmStr)| {
            let message = message.to_str(&store)?.into_owned();
            store.data_mut().log(level, &message);
            Ok(())
        },
    )
}

fn metrics(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut metrics = linker.instance("weir:plugin/metrics@0.1.0")?;
    metrics.func_wrap(
        "counter-add",
        |mut store: Store<'_>, (name, by): (WasmStr, u64)| {
            let name = name.to_str(&store)?.into_owned();
            store.data_mut().sample(&name, Sample::Count(by));
            Ok(())
        },
    )?;
    metrics.func_wrap(
        "histogram-record",
        |mut store: Store<'_>, (name, value): (WasmStr, f64)| {
            let name = name.to_str(&store)?.into_owned();
            store.data_mut().sample(&name, Sample::Value(value));
            Ok(())
        },
    )
}

fn clock(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker
        .instance("weir:plugin/clock@0.1.0")?
        .func_wrap("now", |store: Store<'_>, (): ()| Ok((store.data().now_ms(),)))
}

fn random(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut random = linker.instance("weir:plugin/random@0.1.0")?;
    random.func_wrap("next", |mut store: Store<'_>, (): ()| {
        Ok((store.data_mut().random.next(),))
    })?;
    random.func_wrap("fill", |mut store: Store<'_>, (len,): (u32,)| {
        if len as usize > RANDOM_BYTES_MAX {
            return Err(wasmtime::Error::new(Refusal(format!(
                "random.fill was asked for {len} bytes, the most is {RANDOM_BYTES_MAX}"
            ))));
        }
        Ok((store.data_mut().random.bytes(len as usize),))
    })
}

fn state(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut state = linker.instance("weir:plugin/state@0.1.0")?;
    state.func_wrap("get-many", |store: Store<'_>, (keys,): (WasmList<u8>,)| {
        let found = with_state(store, |store, state| state.get_many(keys.as_le_slice(store)))?;
        Ok((found,))
    })?;
    state.func_wrap("change", |store: Store<'_>, (changes,): (WasmList<u8>,)| {
        with_state(store, |store, state| state.change(changes.as_le_slice(store)))
    })?;
    state.func_wrap(
        "scan",
        |store: Store<'_>, (prefix, after, limit): (WasmList<u8>, Option<WasmList<u8>>, u32)| {
            let rows = with_state(store, |store, state| {
                let after = after.as_ref().map(|after| after.as_le_slice(store));
                state.scan(prefix.as_le_slice(store), after, limit)
            })?;
            Ok((rows,))
        },
    )
}
