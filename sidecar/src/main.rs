//! `turnpike-sidecar`: the service beside the gateway, by hand.

use std::process::ExitCode;

use clap::Parser;
use sidecar::Address;
use tokio::signal::unix::{SignalKind, signal};

/// The service beside the gateway.
#[derive(Debug, Parser)]
#[command(name = "turnpike-sidecar", version)]
struct Args {
    /// Where it listens: an address, or `unix:` and a path
    #[arg(long, value_name = "ADDR|unix:PATH", default_value = "127.0.0.1:8081")]
    listen: Address,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let ready = |address: &Address| match address {
        Address::Tcp(socket) => println!("the sidecar is listening on http://{socket}"),
        Address::Unix(path) => println!("the sidecar is listening on unix:{}", path.display()),
    };
    match sidecar::serve(&args.listen, ready, stop_asked()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("turnpike-sidecar: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for Ctrl-C or a polite request to stop. Without signals to wait for, it runs until it is killed.
async fn stop_asked() {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
