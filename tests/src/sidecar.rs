//! What counts budgets, where it is not the gateway itself: a sidecar as a process, and real servers of Redis.

use std::process::Command;

use crate::project;

#[path = "../../sidecar/tests/support/process.rs"]
mod process;
#[path = "../../sidecar/tests/support/redis.rs"]
pub mod redis;

pub use process::Sidecar;

impl Sidecar {
    /// A sidecar that listens there, as `127.0.0.1:0` on a free port.
    pub fn start(listen: &str, args: &[&str]) -> Sidecar {
        Sidecar::spawn(Command::new(project::sidecar()).args(["--listen", listen]).args(args))
    }
}
