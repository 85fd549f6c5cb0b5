use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::{RuntimeConfig, RuntimeError};

/// Instances that the pool has room for; each flow keeps one for each of its workers.
const POOL_INSTANCES: u32 = 1_000;
/// A component may consist of many core modules (one from Python has some thirty).
const POOL_CORE_INSTANCES: u32 = 4_000;

/// The engine that all plugins share. With the pooling allocator where the machine has the address space for it,
/// otherwise (small boards, a limit on virtual memory) with memory mapped for each instance.
pub(crate) fn engine(config: &RuntimeConfig) -> Result<Engine, RuntimeError> {
    if config.pooling {
        match Engine::new(&settings(config, InstanceAllocationStrategy::Pooling(pool()))) {
            Ok(engine) => return Ok(engine),
            Err(error) => {
                tracing::info!(
                    "no address space for a pool of plugin instances, each is mapped on its own: {error:#}"
                );
            }
        }
    }
    Engine::new(&settings(config, InstanceAllocationStrategy::OnDemand)).map_err(|error| {
        RuntimeError::Engine {
            reason: format!("{error:#}"),
        }
    })
}

fn settings(runtime: &RuntimeConfig, allocation: InstanceAllocationStrategy) -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .allocation_strategy(allocation)
        .epoch_interruption(true)
        .max_wasm_stack(runtime.stack_bytes_max)
        // Guests are called one batch at a time: no async of the component model, and none of its bookkeeping in each store.
        .concurrency_support(false)
        // A replay must give what the first run gave.
        .relaxed_simd_deterministic(true)
        .wasm_component_model(true)
        // Function names are enough for a reason in words, and need no debug information.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(POOL_INSTANCES)
        .total_core_instances(POOL_CORE_INSTANCES)
        .total_memories(POOL_INSTANCES)
        .total_tables(POOL_CORE_INSTANCES)
        .max_component_instance_size(16 << 20)
        .max_core_instance_size(16 << 20)
        .max_tables_per_module(8)
        .max_memories_per_module(4)
        .table_elements(100_000)
        // What is not in use gives its memory back: flows are long-lived, their instances are not made often.
        .max_unused_warm_slots(8);
    pool
}
