//! Guests for trying a proxy-wasm host: one module whose plugin configuration says which of them it is.
//!
//! `examples` does what the example filters of the Rust SDK do, with the SDK's own means. `probe` does what each
//! request asks of it, and writes down what the host said.
#![cfg(target_arch = "wasm32")]
// The SDK's `main!` exports a function that has no place for a comment.
#![allow(missing_docs)]

mod examples;
mod probe;

use std::time::Duration;

use proxy_wasm::hostcalls::get_buffer;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
}}

/// The root context: which guest this is.
#[derive(Default)]
struct Root {
    configuration: String,
    ticks: u32,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_vm_start(&mut self, size: usize) -> bool {
        probe::start(size);
        true
    }

    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default();
        self.configuration = String::from_utf8(bytes).unwrap_or_default();
        if self.configuration == "probe" {
            self.set_tick_period(Duration::from_millis(50));
        }
        examples::configure(&self.configuration)
    }

    fn on_tick(&mut self) {
        self.ticks += 1;
        examples::tick(self.ticks);
        probe::tick();
    }

    fn on_queue_ready(&mut self, queue: u32) {
        examples::queue_ready(queue);
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        examples::http_context(&self.configuration).or_else(|| Some(Box::new(probe::Probe::new(context))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
