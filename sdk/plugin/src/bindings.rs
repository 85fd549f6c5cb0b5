//! What wit-bindgen makes of the worlds in `wit/`. The macros use it in the plugin's crate; nothing else should.
#![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic)]

/// World `filter`.
pub mod filter {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "weir:plugin/filter",
        pub_export_macro: true,
        export_macro_name: "export_filter",
        default_bindings_module: "weir_plugin::bindings::filter",
    });
}

/// World `transform`.
pub mod transform {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "weir:plugin/transform",
        pub_export_macro: true,
        export_macro_name: "export_transform",
        default_bindings_module: "weir_plugin::bindings::transform",
    });
}

/// World `versioned-state`.
pub mod versioned_state {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "weir:plugin/versioned-state",
        pub_export_macro: true,
        export_macro_name: "export_versioned_state",
        default_bindings_module: "weir_plugin::bindings::versioned_state",
    });
}

/// World `producer`.
pub mod producer {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "weir:plugin/producer",
        pub_export_macro: true,
        export_macro_name: "export_producer",
        default_bindings_module: "weir_plugin::bindings::producer",
    });
}
