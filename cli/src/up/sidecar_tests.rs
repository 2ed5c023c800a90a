use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use clap::Parser;
use resources::{Address, Plan, load, read_files};

use super::{Sidecar, start};
use crate::args::{Args, Command, Up};

fn args(more: &[&str]) -> Up {
    match Args::try_parse_from(["turnpike", "up"].iter().chain(more)).unwrap().command {
        Command::Up(up) => up,
        other => panic!("{other:?}"),
    }
}

/// A plan with a budget on one of its routes.
fn counting() -> Plan {
    let budget = r#"{"name": "requests", "counts": "requests", "max": 100, "per": "hour"}"#;
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/base");
    let mut plan = load(&read_files(&[base]).unwrap(), &|_| None).plan.unwrap();
    plan.routes[0].budgets.push(serde_json::from_str(budget).unwrap());
    plan
}

fn socket(sidecar: &Sidecar) -> SocketAddr {
    sidecar.address.to_string().parse().unwrap()
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: sidecar\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_counts_nothing_has_no_sidecar() {
    let redis = args(&["--redis", "no URL at all"]);
    assert!(start(&redis, &Plan::default()).unwrap().is_none());
    let named = args(&["--sidecar", "localhost:1"]);
    assert!(start(&named, &Plan::default()).unwrap().is_none());
}

#[test]
fn one_of_our_own_listens_on_this_machine_until_it_is_dropped() {
    let sidecar = start(&args(&[]), &counting()).unwrap().unwrap();
    let address = socket(&sidecar);
    assert!(address.ip().is_loopback() && address.port() > 0);
    assert!(get(address, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(sidecar.counters.starts_with("in this process's memory"), "{}", sidecar.counters);
    // Held open, as a host's connections are.
    let idle = TcpStream::connect(address).unwrap();
    drop(sidecar);
    assert!(TcpStream::connect(address).is_err());
    drop(idle);
}

#[test]
fn it_starts_without_its_redis_and_says_that_it_is_away() {
    // The port of nobody.
    let sidecar = start(&args(&["--redis", "redis://:s3cret@127.0.0.1:9/2"]), &counting()).unwrap().unwrap();
    assert_eq!(sidecar.counters, "in Redis at 127.0.0.1:9/2");
    assert!(get(socket(&sidecar), "/readyz").starts_with("HTTP/1.1 503"));
    let wrong = start(&args(&["--redis", "http://:s3cret@h"]), &counting()).err().unwrap();
    assert!(wrong.starts_with("--redis or REDIS_URL: ") && !wrong.contains("s3cret"), "{wrong}");
}

#[test]
fn one_elsewhere_is_not_started() {
    let named = start(&args(&["--sidecar", "counts.svc:8081"]), &counting()).unwrap().unwrap();
    assert_eq!(named.address, Address::Host("counts.svc".into(), 8081));
    assert_eq!(named.counters, "with the sidecar at counts.svc:8081");
    let socket = start(&args(&["--sidecar", "unix:here.sock"]), &counting()).unwrap().unwrap();
    assert_eq!(socket.address, Address::Unix(std::env::current_dir().unwrap().join("here.sock")));
}

#[test]
fn one_elsewhere_has_its_own_redis() {
    let both = ["turnpike", "up", "--sidecar", "a:1", "--redis", "redis://:s3cret@h"];
    let error = Args::try_parse_from(both).unwrap_err().to_string();
    let told = |option: &str| error.contains(option);
    assert!(told("cannot be used with") && told("--redis") && told("--sidecar"), "{error}");
    assert!(!error.contains("s3cret"));
}

#[tokio::test]
async fn one_that_stops_by_itself_is_told() {
    let mut sidecar =
        tokio::task::spawn_blocking(|| start(&args(&[]), &counting()).unwrap().unwrap()).await.unwrap();
    sidecar.own.as_mut().unwrap().stop.take().unwrap().send(()).unwrap();
    assert_eq!(sidecar.died().await, "the sidecar has stopped by itself");
    tokio::task::spawn_blocking(|| drop(sidecar)).await.unwrap();
}
