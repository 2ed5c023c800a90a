//! A proxy-wasm host: loads any module of the ABI 0.2.1, gives it HTTP streams, clusters, calls, ticks, metrics,
//! shared data, queues and properties, and serves HTTP/1.1 and HTTP/2 through it. It has never heard of what its
//! modules do.
//!
//! It imitates Envoy, quirks included: whoever tests a filter here must not be surprised there. Where a quirk is
//! imitated the comment names the fact, and `tests/` has a lab that shows it on both hosts. What it adds is a bound
//! on a guest's time, so that an endless loop ends one request and not a worker.
//!
//! # Layout
//!
//! - [`config`]: what is run. [`Server`] runs it.
//! - `vm`: one WebAssembly VM and the host functions. `vms`: the VMs of a worker, and their deaths.
//! - `traffic`: a request and its response as filters see them. `chain`: the filter chain, without I/O.
//! - `stage`: the chain between its two sides. `server` and `upstream`: HTTP on the left and on the right.
//! - `retry`: one attempt after the other, between a listener's stage and those of clusters.
//! - `worker`: a thread, and the way of a request through it.

pub mod abi;
mod admin;
mod chain;
pub mod config;
mod connect;
mod gate;
mod headers;
pub mod metrics;
mod property;
mod retry;
mod router;
mod server;
mod shared;
mod stage;
mod traffic;
mod upstream;
pub mod vm;
mod vms;
mod worker;

pub use config::Config;
pub use server::Server;
