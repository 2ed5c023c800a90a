//! The sidecar beside a gateway: when there is one, where it is, and what labs need to start and end one.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use labs::gateway::Start;
use labs::policies::{budgets, simple};
use labs::sidecar::{Sidecar, redis};
use labs::{Ask, Gateway, Host, lab, project};
use mock_provider::{Mock, Script};
use rustix::process::Signal;
use serde_json::Value;

fn mock() -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap()
}

fn status(sidecar: &Sidecar, path: &str) -> u16 {
    Ask::get(path).send(sidecar.address.parse().unwrap()).status
}

lab!(a_gateway_that_counts_nothing_has_no_sidecar_and_does_not_speak_of_one, |host: Host| {
    let provider = mock();
    let policies = simple(provider.address());
    // Nobody listens at either.
    for more in [&["--redis", "redis://127.0.0.1:9"], &["--sidecar", "127.0.0.1:9"]] {
        let start = more.iter().fold(Start::new(host, &policies), |start, arg| start.arg(arg));
        let gateway = start.env("REDIS_URL", "no URL at all").up();
        assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200);
        assert!(!gateway.banner.contains("budgets"), "{}", gateway.banner);
        assert_eq!(gateway.log(), "");
    }
});

/// Policies with a budget, so that the gateway needs a sidecar.
fn counting(provider: &Mock) -> String {
    budgets(provider.address(), "{name: requests, counts: requests, max: 1000, per: day}")
}

/// Where a gateway's host looks for the sidecar.
fn asked(gateway: &Gateway, host: Host) -> SocketAddr {
    let known = gateway.admin(if host == Host::Sim { "/config_dump" } else { "/clusters" });
    let cluster = match host {
        Host::Sim => {
            let dump: Value = serde_json::from_str(&known).unwrap();
            let mut clusters = dump["clusters"].as_array().unwrap().iter();
            let cluster = clusters.find(|it| it["name"] == "turnpike-sidecar").unwrap();
            cluster["endpoints"][0].as_str().unwrap().to_owned()
        }
        Host::Envoy => {
            let mut lines = known.lines().filter_map(|line| line.strip_prefix("turnpike-sidecar::127."));
            format!("127.{}", lines.next().unwrap().split("::").next().unwrap())
        }
    };
    cluster.parse().unwrap()
}

lab!(a_gateway_that_counts_has_a_sidecar_of_its_own_for_as_long_as_it_runs, |host: Host| {
    let provider = mock();
    let mut gateway = Start::new(host, &counting(&provider)).up();
    let said = "budgets: counters are in this process's memory: they are not shared and end with it\n";
    assert!(gateway.banner.contains(said), "{}", gateway.banner);
    let sidecar = asked(&gateway, host);
    assert_eq!(Ask::get("/readyz").send(sidecar).status, 200);
    assert_eq!(gateway.stop(Signal::TERM), Some(0));
    assert!(TcpStream::connect(sidecar).is_err());
});

lab!(a_sidecar_of_its_own_can_count_in_redis, |host: Host| {
    for server in redis::VERSIONS.into_iter().filter_map(redis::start) {
        let provider = mock();
        let gateway = Start::new(host, &counting(&provider)).redis(&server).up();
        let said = format!("budgets: counters are in Redis at 127.0.0.1:{}/0\n", server.port);
        assert!(gateway.banner.contains(&said), "{}", gateway.banner);
        let sidecar = asked(&gateway, host);
        assert_eq!(Ask::get("/readyz").send(sidecar).status, 200);
        drop(server);
        assert_eq!(Ask::get("/readyz").send(sidecar).status, 503);
        assert!(gateway.log().contains("is away"), "{}", gateway.log());
    }
});

lab!(a_sidecar_that_runs_already_is_asked_where_it_is, |host: Host| {
    let (provider, sidecar) = (mock(), Sidecar::start("127.0.0.1:0", &[]));
    let gateway = Start::new(host, &counting(&provider)).sidecar(&sidecar).up();
    let said = format!("budgets: counters are with the sidecar at {}\n", sidecar.address);
    assert!(gateway.banner.contains(&said), "{}", gateway.banner);
    assert_eq!(asked(&gateway, host).to_string(), sidecar.address);
});

#[test]
fn a_sidecar_elsewhere_has_its_own_redis() {
    let mut up = Command::new(project::turnpike());
    let output = up.args(["up", "--sidecar", "a:1", "--redis", "redis://:s3cret@h"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot be used with") && !said.contains("s3cret"), "{said}");
}

#[test]
fn a_sidecar_that_is_killed_can_be_started_again_where_it_was() {
    for server in redis::VERSIONS.into_iter().filter_map(redis::start) {
        let mut sidecar = Sidecar::start("127.0.0.1:0", &["--redis", &server.url()]);
        let place = format!("counters are in Redis at 127.0.0.1:{}/0", server.port);
        assert!(sidecar.said.ends_with(&place), "{}", sidecar.said);
        assert_eq!(status(&sidecar, "/readyz"), 200);
        sidecar.end();
        let again = Sidecar::start(&sidecar.address, &["--redis", &server.url()]);
        assert_ne!(again.pid(), sidecar.pid());
        assert_eq!((&again.address, status(&again, "/readyz")), (&sidecar.address, 200));
    }
}
