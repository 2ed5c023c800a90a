//! Who is running already. An address has one gateway; the second is told about the first.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use crate::Failure;
use crate::args::Host;

/// A file that says who is running. It is gone when the gateway is.
pub struct Record(PathBuf);

/// Refuses to be the second on an address. Envoy would not notice: two of them can share a port, and the old one goes
/// on answering.
///
/// # Errors
/// Who is running, as far as that is known.
pub fn refuse_second(listen: SocketAddr) -> Result<(), Failure> {
    match TcpListener::bind(listen) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(match fs::read_to_string(path(listen)) {
            Ok(who) => format!("a gateway is already running on http://{listen} ({})", who.trim()),
            Err(_) => format!("{listen} is taken by another program; --listen chooses another address"),
        }),
        Err(error) => Err(format!("cannot listen on {listen}: {error}")),
    }
}

/// Says that this process is running.
pub fn record(listen: SocketAddr, host: Host) -> Record {
    let path = path(listen);
    let host = match host {
        Host::Sim => "host-sim",
        Host::Envoy => "Envoy",
    };
    // It only makes a message better: without it there is another one.
    let _ = fs::write(
        &path,
        format!("pid {}, in {host}; Ctrl-C there or `kill {0}` stops it\n", std::process::id()),
    );
    Record(path)
}

fn path(listen: SocketAddr) -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("turnpike-{user}-{}.running", listen.port()))
}

impl Drop for Record {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
