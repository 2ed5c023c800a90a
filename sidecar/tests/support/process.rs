//! The sidecar as a process, killed when dropped.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A sidecar.
pub struct Sidecar {
    child: Child,
    /// Where it listens, as `--sidecar` takes it.
    pub address: String,
    /// What it said on its standard output before it was ready.
    pub said: String,
}

impl Sidecar {
    /// Starts it, and waits until it says where it listens.
    pub fn spawn(command: &mut Command) -> Sidecar {
        command.env_remove("REDIS_URL").env_remove("TURNPIKE_SECRET").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let said = format!("{first}\n{}", lines.next().unwrap().unwrap());
        let address = first.split_once("listening on ").unwrap().1.trim_start_matches("http://").to_owned();
        Sidecar { child, address, said }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as `kill -9` does.
    pub fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
