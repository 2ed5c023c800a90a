//! What the labs are made of: a gateway as a user starts it, a client that sees every byte, a place for policies.
//!
//! A lab is written once and runs on both hosts. It starts the real `turnpike up` with policies in a folder of its own
//! on free ports, real providers on other ones, and looks at what each of them gets.

// This crate is a test from end to end: what goes wrong here is meant to stop it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod bench;
pub mod client;
pub mod gateway;
pub mod policies;
pub mod project;
pub mod sidecar;
pub mod tokens;

pub use client::{Ask, Reply};
pub use gateway::{Gateway, Host};

/// Defines a lab: the same test on both hosts.
#[macro_export]
macro_rules! lab {
    ($(#[$doc:meta])* $name:ident, $body:expr) => {
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports, reason = "a lab uses what its file uses")]
            use super::*;

            #[test]
            fn sim() {
                ($body)($crate::Host::Sim);
            }

            #[test]
            fn envoy() {
                if $crate::gateway::envoy_is_here(stringify!($name)) {
                    ($body)($crate::Host::Envoy);
                }
            }
        }
    };
}
