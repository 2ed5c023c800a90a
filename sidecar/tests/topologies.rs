//! Counters in more than one server: clusters, and masters that sentinels watch.

#![allow(clippy::unwrap_used)]

#[cfg(test)]
mod support;

use rustix::process::Signal;
use support::redis::{Server, VERSIONS, free_port, start, start_with};
use support::{Sidecar, lasting, until};
use tempfile::TempDir;

#[test]
fn a_cluster_takes_all_limits_of_a_request_in_one_step() {
    for server in
        VERSIONS.into_iter().filter_map(|version| start_with(version, &["--cluster-enabled", "yes"]))
    {
        server.ask("CLUSTER ADDSLOTSRANGE 0 16383");
        until("the cluster is one", || server.ask("CLUSTER INFO").contains("cluster_state:ok"));
        let sidecar = Sidecar::start(&["--redis", &server.url().replace("redis://", "redis+cluster://")]);
        let body = serde_json::json!({"request": "r", "limits": [lasting("a", 10, 4), lasting("b", 10, 5)]});
        let admitted = sidecar.post("/v1/admit", &body);
        assert_eq!(admitted.json()["limits"][1]["remaining"], 5, "{}", admitted.body);
        let items = serde_json::json!({"items": [{"reservation": admitted.reservation(), "used": [1, 2]}]});
        assert_eq!(sidecar.post("/v1/settle", &items).json()["settled"], 1);
        assert_eq!(sidecar.admit("s", lasting("a", 10, 0)).remaining(), 9);
    }
}

#[test]
fn a_sentinel_tells_where_the_master_is() {
    for version in VERSIONS {
        let Some(server) = start(version) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("sentinel.conf");
        std::fs::write(&config, format!("sentinel monitor main 127.0.0.1 {} 1\n", server.port)).unwrap();
        let sentinel = start_with(version, &["--sentinel", config.to_str().unwrap()]).unwrap();
        let nobody = free_port();
        let url = format!("redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{}/main", sentinel.port);
        let sidecar = Sidecar::start(&["--redis", &url]);
        assert_eq!(sidecar.admit("r", lasting("k", 10, 4)).remaining(), 6);
    }
}

/// Three servers that share the slots of one cluster.
fn cluster(version: &str) -> Option<Vec<Server>> {
    let one = || start_with(version, &["--cluster-enabled", "yes"]);
    let nodes = [one()?, one()?, one()?];
    for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        node.ask(&format!("CLUSTER ADDSLOTSRANGE {slots}"));
        let bus = node.ask("CONFIG GET cluster-port");
        let (_, bus) = bus.rsplit_once(' ').unwrap_or_default();
        nodes[0].ask(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port));
    }
    for node in &nodes {
        until("the cluster is one", || {
            let info = node.ask("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        });
    }
    Some(nodes.into())
}

#[test]
fn of_a_cluster_of_three_the_right_one_is_asked_whichever_is_known() {
    for nodes in VERSIONS.into_iter().filter_map(cluster) {
        let secret = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let on = |node: &Server| {
            let url = node.url().replace("redis://", "redis+cluster://");
            Sidecar::start(&["--redis", &url, "--secret-file", secret])
        };
        let sidecars: Vec<Sidecar> = nodes.iter().map(on).collect();
        for (at, sidecar) in sidecars.iter().enumerate() {
            let left = 10 - (at as u64 + 1) * 2;
            assert_eq!(sidecar.admit(&format!("r{at}"), lasting("k", 10, 2)).remaining(), left);
        }
        let with_keys = nodes.iter().filter(|node| !node.keys().is_empty()).count();
        assert_eq!(with_keys, 1, "all keys of a prefix are in one slot");
        let reservation = sidecars[0].admit("s", lasting("k", 10, 2)).reservation();
        let settled = sidecars[1].settle(&reservation, 0);
        assert_eq!(settled["settled"], 1, "{settled}");
    }
}

/// A master, its replica, and a sentinel that sees to it that one follows the other.
struct Watched {
    master: Server,
    replica: Server,
    sentinel: Server,
    _folder: TempDir,
}

fn watched(version: &str) -> Option<Watched> {
    let (master, replica) = (start(version)?, start(version)?);
    replica.ask(&format!("REPLICAOF 127.0.0.1 {}", master.port));
    until("the replica follows", || replica.ask("INFO replication").contains("master_link_status:up"));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sentinel.conf");
    let (monitor, patience) =
        (format!("monitor main 127.0.0.1 {} 1", master.port), "down-after-milliseconds main 500");
    std::fs::write(&config, format!("sentinel {monitor}\nsentinel {patience}\n")).unwrap();
    let sentinel = start_with(version, &["--sentinel", config.to_str().unwrap()])?;
    let known = || sentinel.ask("SENTINEL REPLICAS main");
    until("the sentinel knows both", || known().contains(&replica.port.to_string()));
    Some(Watched { master, replica, sentinel, _folder: folder })
}

impl Watched {
    /// A sidecar whose counters are at the master, and a reservation of 60 of 100 that the replica has too.
    fn reserved(&self) -> (Sidecar, String) {
        let url = format!("redis+sentinel://127.0.0.1:{}/main", self.sentinel.port);
        let sidecar = Sidecar::start(&["--redis", &url]);
        let before = sidecar.admit("before", lasting("k", 100, 60)).reservation();
        until("the replica has it", || !self.replica.keys().is_empty());
        (sidecar, before)
    }
}

#[test]
fn a_master_that_is_killed_is_followed_by_its_replica_with_all_counters() {
    for mut servers in VERSIONS.into_iter().filter_map(watched) {
        let (sidecar, before) = servers.reserved();
        servers.master.kill();
        until("the replica is the master", || sidecar.admit("a", lasting("k", 100, 10)).status == 200);
        assert_eq!(sidecar.settle(&before, 5)["settled"], 1);
        // It thinks that it is still the master until the sentinel has told it.
        servers.master.again();
        assert_eq!(sidecar.admit("b", lasting("k", 100, 10)).remaining(), 75);
    }
}

#[test]
fn a_master_that_stands_still_is_left_for_its_replica() {
    for servers in VERSIONS.into_iter().filter_map(watched) {
        let (sidecar, _) = servers.reserved();
        servers.master.signal(Signal::STOP);
        until("the replica is the master", || sidecar.admit("a", lasting("k", 100, 10)).status == 200);
        servers.master.signal(Signal::CONT);
        assert_eq!(sidecar.admit("a", lasting("k", 100, 10)).remaining(), 30, "asked again, it is the same");
        assert_eq!(sidecar.admit("b", lasting("k", 100, 10)).remaining(), 20);
    }
}
