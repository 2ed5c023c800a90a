//! A host with a guest of the lab's own, on either host: for what a host does, without the gateway.
//!
//! The listener has one filter. `/a` and `/b` go to two servers that answer with what they were asked; `/up` goes to
//! the first through a filter of the cluster's own, in a VM of its own; behind `/dead` nobody listens, `/empty` has no servers, `/slow`
//! has to answer within 300 ms, and `/lost` names a cluster that does not exist.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_sim::abi::LogLevel;
use host_sim::config::{Cluster, Config, Endpoint, PathMatch, Plugin, Route};
use host_sim::vm::{Bounds, Module};
use host_sim::{Server, metrics};
use mock_provider::{Mock, Script};
use tempfile::TempDir;

use crate::client::{Ask, Reply};
use crate::gateway::{self, Host};
use crate::project;

/// A host with a guest.
pub struct Bench {
    /// Where clients come in.
    pub address: SocketAddr,
    /// Where it tells about itself.
    pub admin: SocketAddr,
    /// The server behind `/a` and `/up`.
    pub a: Mock,
    /// The server behind `/b`.
    pub b: Mock,
    _running: Running,
}

/// The module of the listener.
struct Guest {
    module: PathBuf,
    configuration: String,
    env: Vec<(String, String)>,
}

enum Running {
    Sim(#[allow(dead_code, reason = "held for its end")] Server),
    Envoy(Child, #[allow(dead_code, reason = "held for its end")] TempDir),
}

/// What a guest may use here.
pub const BOUNDS: Bounds = Bounds { memory: 64 << 20, callback: Duration::from_millis(300) };

impl Bench {
    /// A host whose listener has the guest of this configuration.
    pub fn up(host: Host, guest: &str) -> Bench {
        let env = vec![("GREETING".to_owned(), "hello".to_owned())];
        let guest = Guest { module: project::guests(), configuration: guest.to_owned(), env };
        Bench::start(host, &guest, None)
    }

    fn start(host: Host, guest: &Guest, all: Option<SocketAddr>) -> Bench {
        let echo = || Script { echo: true, ..Script::default() };
        let mock = || Mock::start("127.0.0.1:0".parse().unwrap(), echo()).unwrap();
        let (a, b) = (mock(), mock());
        match host {
            Host::Sim => {
                let server = Server::start(config(guest, &a, &b, all)).unwrap();
                let (address, admin) = (server.address(), server.admin().unwrap());
                Bench { address, admin, a, b, _running: Running::Sim(server) }
            }
            Host::Envoy => envoy(guest, a, b, all),
        }
    }

    /// A host whose listener has a module of this configuration and environment; everything goes to one server.
    pub fn with_module(
        host: Host,
        module: &Path,
        configuration: &str,
        env: &[(&str, &str)],
        server: SocketAddr,
    ) -> Bench {
        let guest = Guest {
            module: module.to_path_buf(),
            configuration: configuration.replace('\n', " "),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        Bench::start(host, &guest, Some(server))
    }

    /// Sends a request.
    pub fn send(&self, ask: &Ask) -> Reply {
        ask.send(self.address)
    }

    /// Sends a request with a script for the probe, and says what the probe has written down of it.
    pub fn probe(&self, ask: Ask, script: &str) -> (Reply, String) {
        let id = format!("{:?}", Instant::now());
        let reply = self.send(&ask.header("x-id", &id).header("x-probe", script));
        (reply, self.trace(&id))
    }

    /// What the probe has written down under a name. It is complete once the stream's end is in it.
    pub fn trace(&self, id: &str) -> String {
        let begun = Instant::now();
        loop {
            let trace = self.send(&Ask::get("/a").header("x-trace", id)).text();
            if trace.ends_with("log") || begun.elapsed() > Duration::from_secs(3) {
                return trace.strip_suffix("\nlog").unwrap_or(&trace).to_owned();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn plugin(name: &str, vm_id: &str, guest: &Guest) -> Arc<Plugin> {
    let wasm = fs::read(&guest.module).unwrap();
    Arc::new(Plugin {
        name: name.into(),
        root_id: name.into(),
        vm_id: vm_id.into(),
        module: Module::compile(&wasm).unwrap(),
        configuration: guest.configuration.clone().into(),
        vm_configuration: Vec::new(),
        env: guest.env.clone(),
        allow_on_headers_stop_iteration: true,
    })
}

fn config(guest: &Guest, a: &Mock, b: &Mock, all: Option<SocketAddr>) -> Config {
    let cluster = |name: &str, servers: Vec<SocketAddr>, filters| Cluster {
        name: name.into(),
        endpoints: servers.iter().map(|it| Endpoint { host: it.ip().to_string(), port: it.port() }).collect(),
        tls: None,
        connect_timeout: Duration::from_secs(1),
        filters,
    };
    let route = |name: &str, cluster: &str, timeout| Route {
        name: name.into(),
        hosts: Vec::new(),
        path: PathMatch::Prefix(format!("/{name}")),
        clusters: vec![(cluster.into(), 1)],
        timeout,
    };
    let filter = plugin("guest", "", guest);
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        admin: Some("127.0.0.1:0".parse().unwrap()),
        workers: 1,
        filters: vec![Arc::clone(&filter)],
        routes: all
            .iter()
            .map(|_| route("", "all", None))
            .chain(vec![
                route("a", "a", None),
                route("b", "b", None),
                route("up", "up", None),
                route("dead", "dead", None),
                route("empty", "empty", None),
                route("slow", "a", Some(Duration::from_millis(300))),
                route("lost", "nowhere", None),
            ])
            .collect(),
        clusters: vec![
            cluster("a", vec![a.address()], vec![]),
            cluster("b", vec![b.address()], vec![]),
            cluster("up", vec![a.address()], vec![plugin("guest", "upstream", guest)]),
            cluster("same", vec![a.address()], vec![filter]),
            cluster("dead", vec!["127.0.0.1:9".parse().unwrap()], vec![]),
            cluster("empty", vec![], vec![]),
            cluster("all", all.into_iter().collect(), vec![]),
        ],
        stats_tags: Vec::<metrics::StatsTag>::new(),
        buffer_limit: 1 << 20,
        idle_timeout: Duration::from_secs(300),
        bounds: BOUNDS,
        log_level: LogLevel::Critical,
        log: Box::new(|level, line| eprintln!("[{}] {line}", level.name())),
    }
}

fn envoy(guest: &Guest, a: Mock, b: Mock, all: Option<SocketAddr>) -> Bench {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (address, admin) = (free(), free());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy.yaml");
    fs::write(&path, envoy_yaml(guest, address, admin, a.address(), b.address(), all)).unwrap();
    let process = gateway::start_envoy(&path);
    let mut bench = Bench { address, admin, a, b, _running: Running::Envoy(process, folder) };
    let begun = Instant::now();
    let ready = |bench: &Bench| {
        let live =
            TcpStream::connect(admin).is_ok() && Ask::get("/ready").send(admin).text().contains("LIVE");
        live && TcpStream::connect(bench.address).is_ok()
    };
    while !ready(&bench) {
        if let Running::Envoy(process, _) = &mut bench._running {
            assert_eq!(process.try_wait().unwrap(), None, "Envoy did not start");
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "Envoy is not ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    bench
}

fn envoy_yaml(
    guest: &Guest,
    address: SocketAddr,
    admin: SocketAddr,
    a: SocketAddr,
    b: SocketAddr,
    all: Option<SocketAddr>,
) -> String {
    let env: Vec<String> = guest.env.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let configuration = guest.configuration.replace('\'', "\'\'");
    let wasm = |vm_id: &str| {
        format!(
            r#"{{name: guest, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm,
          config: {{name: guest, root_id: guest, failure_policy: FAIL_RELOAD, allow_on_headers_stop_iteration: true,
            vm_config: {{vm_id: "{vm_id}", runtime: envoy.wasm.runtime.v8, code: {{local: {{filename: "{}"}}}},
              environment_variables: {{key_values: {{{}}}}}}},
            configuration: {{"@type": type.googleapis.com/google.protobuf.StringValue, value: '{configuration}'}}}}}}}}"#,
            guest.module.display(),
            env.join(", ")
        )
    };
    let cluster = |name: &str, server: Option<SocketAddr>, options: &str| {
        let servers = server.map_or_else(String::new, |it| {
            format!(
                "{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}",
                it.ip(),
                it.port()
            )
        });
        format!(
            "  - {{name: {name}, type: STATIC, connect_timeout: 1s, {options}
     load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{servers}]}}]}}}}\n"
        )
    };
    let route = |name: &str, cluster: &str, timeout: &str| {
        format!(
            "              - {{name: {name}, match: {{path_separated_prefix: /{name}}}, route: {{cluster: {cluster}, timeout: {timeout}}}}}\n"
        )
    };
    let filtered = |vm_id: &str| {
        format!(
            r#"typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
      explicit_http_config: {{http_protocol_options: {{}}}},
      http_filters: [{},
        {{name: codec, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec}}}}]}}}},"#,
            wasm(vm_id)
        )
    };
    let everything = all.map_or_else(String::new, |_| {
        // What Envoy's own logs, rate limits and policies would know of the caller.
        let caller = "response_headers_to_add: [{header: {key: x-caller, value: '%FILTER_STATE(wasm.turnpike.caller:PLAIN)%'}}]";
        format!("              - {{name: all, match: {{prefix: /}}, route: {{cluster: all, timeout: 0s}}, {caller}}}\n")
    });
    let routes = [
        everything,
        route("a", "a", "0s"),
        route("b", "b", "0s"),
        route("up", "up", "0s"),
        route("dead", "dead", "0s"),
        route("empty", "empty", "0s"),
        route("slow", "a", "0.3s"),
        route("lost", "nowhere", "0s"),
    ];
    let clusters = [
        cluster("a", Some(a), ""),
        cluster("b", Some(b), ""),
        cluster("up", Some(a), &filtered("upstream")),
        cluster("same", Some(a), &filtered("")),
        cluster("dead", Some("127.0.0.1:9".parse().unwrap()), ""),
        cluster("empty", None, ""),
        cluster("all", all, ""),
    ];
    format!(
        r#"node: {{id: bench, cluster: bench}}
admin: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}
static_resources:
  listeners:
  - name: bench
    address: {{socket_address: {{address: {}, port_value: {}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          http_protocol_options: {{enable_trailers: true}}
          route_config:
            validate_clusters: false
            virtual_hosts:
            - name: any
              domains: ["*"]
              routes:
{}
          http_filters:
          - {}
          - {{name: router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}
  clusters:
{}
"#,
        admin.ip(),
        admin.port(),
        address.ip(),
        address.port(),
        routes.concat(),
        wasm(""),
        clusters.concat()
    )
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Running::Envoy(process, _) = self {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
