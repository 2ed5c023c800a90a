//! A host with a guest of the lab's own, on either host: for what a host does, without the gateway.
//!
//! The listener has one filter. `/a` and `/b` go to two servers that answer with what they were asked; `/up` goes to
//! the first through a filter of the cluster's own, in a VM of its own; behind `/dead` nobody listens, `/empty` has no servers, `/slow`
//! has to answer within 300 ms, and `/lost` names a cluster that does not exist. `/socket` goes to a server at a socket in the
//! file system, which answers with its path.
//!
//! Two routes make up to three attempts, of half a second each, at the clusters that the header `x-chain` names (`one`
//! without it): `/chain` whatever goes wrong, `/careful` where an answer is 429 or there is no connection. The clusters `one` and `two` are the two servers, `gone` has nobody listening, `shut` a server that
//! hangs up, `vacant` no server. All five have the guest as a filter, in one VM which has the listener's `vm_id` and
//! another configuration.

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_sim::abi::LogLevel;
use host_sim::config::{
    AccessLog, Cluster, Config, Endpoint, LineSink, NoAnswer, PathMatch, Plugin, Retry, Route,
};
use host_sim::vm::{Bounds, Module};
use host_sim::{Server, metrics};
use mock_provider::{Mock, Script};
use tempfile::TempDir;

use crate::client::{Ask, Reply};
use crate::gateway::{self, Host};
use crate::project;

mod envoy;

/// A host with a guest.
pub struct Bench {
    /// Where clients come in.
    pub address: SocketAddr,
    /// Where it tells about itself.
    pub admin: SocketAddr,
    /// The server behind `/a`, `/up` and `one`.
    pub a: Mock,
    /// The server behind `/b` and `two`.
    pub b: Mock,
    /// Where each stream's property `lab.line` is written down at its end.
    access_log: PathBuf,
    _running: Running,
    _folder: TempDir,
}

/// The module of the listener.
struct Guest {
    module: PathBuf,
    configuration: String,
    env: Vec<(String, String)>,
}

/// Where the servers are.
struct Servers {
    a: SocketAddr,
    b: SocketAddr,
    shut: SocketAddr,
    socket: PathBuf,
    /// Gets everything, if it is there.
    all: Option<SocketAddr>,
}

enum Running {
    Sim(#[allow(dead_code, reason = "held for its end")] Server),
    Envoy(Child),
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
        let folder = tempfile::tempdir().unwrap();
        let socket = socket(folder.path());
        let servers = Servers { a: a.address(), b: b.address(), shut: shut(), socket, all };
        let access_log = folder.path().join("access.log");
        let (address, admin, running) = match host {
            Host::Sim => {
                let server = Server::start(config(guest, &servers, &access_log)).unwrap();
                (server.address(), server.admin().unwrap(), Running::Sim(server))
            }
            Host::Envoy => envoy(guest, &servers, folder.path()),
        };
        Bench { address, admin, a, b, access_log, _running: running, _folder: folder }
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
        let ask = Ask::get("/a").header("x-trace", id);
        let trace = self.wait_for(&ask, |trace| trace.lines().any(|line| line == "done"));
        trace.strip_suffix("\nlog\ndone").unwrap_or(&trace).to_owned()
    }

    /// What the probes of the clusters have written down under a name. It is complete once every attempt has ended.
    pub fn trace_up(&self, id: &str) -> String {
        let ask = Ask::get("/chain").header("x-trace-up", id);
        let count = |trace: &str, phase: &str| trace.lines().filter(|line| line.starts_with(phase)).count();
        self.wait_for(&ask, |trace| {
            trace.contains("done") && count(trace, "done") == count(trace, "request_headers")
        })
    }

    /// Waits until so many lines are in the access log.
    pub fn logged(&self, lines: usize) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(&self.access_log).unwrap_or_default();
            if text.lines().count() >= lines || begun.elapsed() > Duration::from_secs(3) {
                return text.lines().map(str::to_owned).collect();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, ask: &Ask, complete: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let trace = self.send(ask).text();
            if complete(&trace) || begun.elapsed() > Duration::from_secs(3) {
                return trace;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A server that takes a request and hangs up.
fn shut() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 65536]);
        }
    });
    address
}

/// A server at a socket in a folder. It answers each request with the socket's path, and hangs up.
fn socket(folder: &Path) -> PathBuf {
    let path = folder.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let body = path.display().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 65536]);
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", body.len());
            let _ = write!(stream, "{head}\r\n\r\n{body}");
        }
    });
    path
}

fn plugin(name: &str, vm_id: &str, vm_configuration: &str, guest: &Guest) -> Arc<Plugin> {
    let wasm = fs::read(&guest.module).unwrap();
    Arc::new(Plugin {
        name: name.into(),
        root_id: name.into(),
        vm_id: vm_id.into(),
        module: Module::compile(&wasm).unwrap(),
        configuration: guest.configuration.clone().into(),
        vm_configuration: vm_configuration.into(),
        env: guest.env.clone(),
        allow_on_headers_stop_iteration: true,
    })
}

fn config(guest: &Guest, servers: &Servers, access_log: &Path) -> Config {
    let Servers { a, b, shut, all, .. } = *servers;
    let upstream_filter = plugin("guest", "", "upstream", guest);
    let cluster = |name: &str, servers: Vec<SocketAddr>, filters| Cluster {
        name: name.into(),
        endpoints: servers.iter().map(|it| Endpoint::Tcp(it.ip().to_string(), it.port())).collect(),
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
        retry: None,
    };
    let again = |name: &str, server_errors, no_answer| Route {
        retry: Some(Retry {
            statuses: vec![429],
            server_errors,
            no_answer,
            attempts: 3,
            per_try_timeout: Some(Duration::from_millis(500)),
            back_off: (Duration::from_millis(1), Duration::from_millis(10)),
        }),
        ..route(name, "one", None)
    };
    let filter = plugin("guest", "", "", guest);
    let upstream = || vec![Arc::clone(&upstream_filter)];
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
                route("socket", "socket", None),
                again("chain", true, NoAnswer::Any),
                again("careful", false, NoAnswer::Connect),
            ])
            .collect(),
        clusters: vec![
            cluster("a", vec![a], vec![]),
            cluster("b", vec![b], vec![]),
            cluster("up", vec![a], vec![plugin("guest", "upstream", "", guest)]),
            cluster("same", vec![a], vec![filter]),
            cluster("dead", vec!["127.0.0.1:9".parse().unwrap()], vec![]),
            cluster("empty", vec![], vec![]),
            cluster("all", all.into_iter().collect(), vec![]),
            cluster("one", vec![a], upstream()),
            cluster("two", vec![b], upstream()),
            cluster("gone", vec!["127.0.0.1:9".parse().unwrap()], upstream()),
            cluster("shut", vec![shut], upstream()),
            cluster("vacant", vec![], upstream()),
            Cluster {
                endpoints: vec![Endpoint::Unix(servers.socket.clone())],
                ..cluster("socket", vec![], vec![])
            },
        ],
        stats_tags: Vec::<metrics::StatsTag>::new(),
        access_log: Some(Arc::new(AccessLog { property: "lab.line".into(), write: appended(access_log) })),
        buffer_limit: 1 << 20,
        chain_header: Some("x-chain".into()),
        idle_timeout: Duration::from_secs(300),
        bounds: BOUNDS,
        log_level: LogLevel::Critical,
        log: Box::new(|level, line| eprintln!("[{}] {line}", level.name())),
    }
}

/// Takes lines to a file.
fn appended(path: &Path) -> LineSink {
    let file = File::options().create(true).append(true).open(path).unwrap();
    Box::new(move |line| (&file).write_all(&[line, b"\n"].concat()).unwrap())
}

fn envoy(guest: &Guest, servers: &Servers, folder: &Path) -> (SocketAddr, SocketAddr, Running) {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (address, admin) = (free(), free());
    let path = folder.join("envoy.yaml");
    fs::write(&path, envoy::yaml(guest, address, admin, servers)).unwrap();
    let mut process = gateway::start_envoy(&path);
    let begun = Instant::now();
    let ready = || {
        let live =
            TcpStream::connect(admin).is_ok() && Ask::get("/ready").send(admin).text().contains("LIVE");
        live && TcpStream::connect(address).is_ok()
    };
    while !ready() {
        assert_eq!(process.try_wait().unwrap(), None, "Envoy did not start");
        assert!(begun.elapsed() < Duration::from_secs(60), "Envoy is not ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    (address, admin, Running::Envoy(process))
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Running::Envoy(process) = self {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
