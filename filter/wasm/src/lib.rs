//! The Turnpike module: a thin adapter between a proxy-wasm host (ABI 0.2.1) and `gateway`.
//!
//! Callbacks become events, effects become host calls; nothing is decided here. A panic would take the VM of the
//! worker, and every stream in it, so none is reachable: host calls return results (see `host-calls`), and a host call
//! that fails ends its one request with a 500.
#![cfg(target_arch = "wasm32")]
// The SDK's `main!` exports a function that has no place for a comment.
#![allow(missing_docs)]

mod memory;
mod metrics;
mod root;
mod settling;
mod stream;
mod waiting;

use proxy_wasm::traits::RootContext;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(root::Root::default()) });
}}
