//! `turnpike-sidecar`: the service beside the gateway, by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sidecar::store::Place;
use sidecar::{Address, Secret, Service, Settings};
use tokio::signal::unix::{SignalKind, signal};

/// The service beside the gateway: budgets that concurrent requests cannot overspend.
#[derive(Debug, Parser)]
#[command(name = "turnpike-sidecar", version)]
struct Args {
    /// Where it listens: an address, or `unix:` and a path
    #[arg(long, value_name = "ADDR|unix:PATH", default_value = "127.0.0.1:8081")]
    listen: Address,
    /// Where counters are: redis://, rediss://, redis+cluster://a,b or redis+sentinel://a,b/name; without it in memory
    #[arg(long, value_name = "URL", env = "REDIS_URL", hide_env_values = true)]
    redis: Option<String>,
    /// What every key in Redis begins with, in braces: gateways with another prefix have other counters
    #[arg(long, value_name = "NAME", default_value = "turnpike", value_parser = prefix)]
    prefix: String,
    /// After how many seconds a reservation that nobody has settled is given back
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lease: u64,
    /// A file with what reservations are signed with, at least 16 bytes, the same for all sidecars of one Redis. Or
    /// TURNPIKE_SECRET. Without either it is made of the URL of Redis
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// How many counters and reservations are held in memory
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    memory_keys: usize,
    /// How many connections are served at once; further ones wait until another ends
    #[arg(long, value_name = "COUNT", default_value = "1024", value_parser = connections)]
    connections: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    sidecar::log::objects();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("turnpike-sidecar: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), String> {
    let secret = Secret::read(args.secret_file.as_deref())?;
    let redis = redis(args.redis.as_deref())?;
    if let (None, Some(place)) = (&secret, &redis) {
        tracing::info!(
            "reservations are signed with what is made of the URL of {place}: sidecars that write it otherwise do not know them"
        );
    }
    let service = Service::new(Settings {
        redis,
        prefix: args.prefix,
        lease_seconds: args.lease,
        secret,
        most_keys: args.memory_keys,
        connections: args.connections,
    })?;
    let counters = service.counters();
    let ready = |address: &Address| {
        match address {
            Address::Tcp(socket) => println!("the sidecar is listening on http://{socket}"),
            Address::Unix(path) => println!("the sidecar is listening on unix:{}", path.display()),
        }
        println!("counters are {counters}");
    };
    sidecar::serve(&args.listen, service, ready, stop_asked()).await
}

/// Read here and not by the parser of the command line, which repeats what it cannot read, password and all.
fn redis(url: Option<&str>) -> Result<Option<Place>, String> {
    url.map(|url| url.parse().map_err(|why| format!("--redis or REDIS_URL: {why}"))).transpose()
}

fn connections(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a number from 1".into())
}

fn prefix(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(good) {
        Ok(text.into())
    } else {
        Err("expected 1 to 64 of A-Z, a-z, 0-9, `-`, `_`, `.` and `:`".into())
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
