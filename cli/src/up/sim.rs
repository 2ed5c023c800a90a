//! The gateway in host-sim: the plan as its configuration.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_config::ACCESS_LOG_PROPERTY;
use host_sim::abi::LogLevel;
use host_sim::config::{
    AccessLog, Cluster, Config, Endpoint, NoAnswer, PathMatch, Plugin, Retry, Route, Tls,
};
use host_sim::metrics::StatsTag;
use host_sim::vm::{Bounds, Module};
use policy::written;
use resources::{Address, Key, Plan, SIDECAR, Service, Target};

use super::Gateway;
use crate::Failure;
use crate::args::{self, Up};

/// The variable of a VM that holds the key of its one target.
const KEY: &str = "TURNPIKE_KEY";

/// What a guest may use: the memory that Envoy gives, and far more time than anything here takes.
const BOUNDS: Bounds = Bounds { memory: 1 << 30, callback: Duration::from_secs(2) };

/// As in the Envoy configuration.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const SIDECAR_CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
const SLACK: u64 = 64 * 1024;

/// A gateway in host-sim.
pub struct Sim {
    server: host_sim::Server,
    /// Where it tells about itself.
    pub admin: SocketAddr,
}

/// Starts it.
///
/// # Errors
/// A sentence about the module, an address or a cluster.
pub fn start(args: &Up, what: &Gateway<'_>) -> Result<Sim, Failure> {
    let file = what.module.display();
    let wasm = fs::read(what.module).map_err(|error| format!("{file}: {error}"))?;
    let module = Module::compile(&wasm).map_err(|error| format!("{file}: {error}"))?;
    let server = host_sim::Server::start(config(args, what, &module)?)?;
    let admin = server.admin().unwrap_or(args.admin);
    Ok(Sim { server, admin })
}

impl Sim {
    /// Where clients come in.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

fn config(args: &Up, what: &Gateway<'_>, module: &Module) -> Result<Config, Failure> {
    let plan = what.plan;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let services = plan.services.iter().map(service).chain(what.sidecar.map(sidecar)).map(Ok);
    let clusters = plan.targets.iter().map(|target| cluster(target, module)).chain(services);
    Ok(Config {
        listen: args.listen,
        admin: Some(args.admin),
        workers: args.workers.unwrap_or(processors),
        filters: vec![Arc::new(plugin("turnpike", "listener", module, &plan.downstream(), Vec::new())?)],
        routes: plan.entries.iter().filter_map(|entry| route(plan, entry)).collect(),
        clusters: clusters.collect::<Result<_, _>>()?,
        stats_tags: stats_tags(plan)?,
        access_log: what
            .log
            .sink()?
            .map(|write| Arc::new(AccessLog { property: ACCESS_LOG_PROPERTY.to_owned(), write })),
        buffer_limit: (policy::DEFAULT_MAX_REQUEST_BYTES + SLACK) as usize,
        chain_header: Some(gateway::CHAIN_HEADER.to_owned()),
        idle_timeout: IDLE_TIMEOUT,
        bounds: BOUNDS,
        log_level: match args.log_level {
            args::LogLevel::Trace => LogLevel::Trace,
            args::LogLevel::Debug => LogLevel::Debug,
            args::LogLevel::Info => LogLevel::Info,
            args::LogLevel::Warning => LogLevel::Warn,
            args::LogLevel::Error => LogLevel::Error,
        },
        log: Box::new(|level, line| eprintln!("[{}] {line}", level.name())),
    })
}

fn plugin(
    name: &str,
    place: &str,
    module: &Module,
    configuration: &written::Plugin,
    env: Vec<(String, String)>,
) -> Result<Plugin, Failure> {
    Ok(Plugin {
        name: name.to_owned(),
        root_id: "turnpike".to_owned(),
        vm_id: "turnpike".to_owned(),
        module: module.clone(),
        configuration: serde_json::to_vec(configuration).map_err(|error| error.to_string())?,
        vm_configuration: place.as_bytes().to_vec(),
        env,
        allow_on_headers_stop_iteration: true,
    })
}

fn route(plan: &Plan, entry: &resources::Entry) -> Option<Route> {
    let route = plan.routes.get(entry.route)?;
    let name = |index: usize| plan.targets.get(index).map(|target| target.name.clone());
    Some(Route {
        name: route.name.clone(),
        hosts: entry.host.iter().cloned().collect(),
        path: match &entry.path {
            policy::PathMatch::Prefix(path) => PathMatch::Prefix(path.clone()),
            policy::PathMatch::Exact(path) => PathMatch::Exact(path.clone()),
        },
        clusters: route.backends.iter().filter_map(|it| Some((name(it.target)?, it.weight))).collect(),
        timeout: route.timeout,
        retry: retry(route),
    })
}

/// What is done when an attempt fails, as in the Envoy configuration.
fn retry(route: &resources::Route) -> Option<Retry> {
    let failover = route.failover.as_ref().filter(|_| route.attempts() > 1)?;
    let on = &failover.written.on;
    Some(Retry {
        statuses: on.statuses.clone(),
        server_errors: on.server_errors,
        no_answer: match on.no_answer {
            written::NoAnswer::Never => NoAnswer::Never,
            written::NoAnswer::Connect => NoAnswer::Connect,
            written::NoAnswer::Any => NoAnswer::Any,
        },
        attempts: route.attempts(),
        per_try_timeout: failover.first_byte_timeout,
        back_off: failover.back_off,
    })
}

/// The key of a target is in the environment of its VM, which is no other target's.
fn cluster(target: &Target, module: &Module) -> Result<Cluster, Failure> {
    let (credential, env) = match &target.key {
        Key::Known(key) => {
            (written::Credential::Env(KEY.to_owned()), vec![(KEY.to_owned(), key.expose().to_owned())])
        }
        Key::Passthrough => (written::Credential::Passthrough, Vec::new()),
        Key::Absent | Key::Missing(_) => (written::Credential::None, Vec::new()),
    };
    let filter = plugin("turnpike-upstream", "cluster", module, &target.upstream(credential), env)?;
    Ok(Cluster {
        name: target.name.clone(),
        endpoints: vec![Endpoint::Tcp(target.host.clone(), target.port)],
        tls: target.tls.as_ref().map(protection),
        connect_timeout: CONNECT_TIMEOUT,
        filters: vec![Arc::new(filter)],
    })
}

/// A server that the gateway itself asks.
fn service(service: &Service) -> Cluster {
    let endpoints = service.hosts.iter();
    Cluster {
        name: service.name.clone(),
        endpoints: endpoints.map(|(host, port)| Endpoint::Tcp(host.clone(), *port)).collect(),
        tls: service.tls.as_ref().map(protection),
        connect_timeout: CONNECT_TIMEOUT,
        filters: Vec::new(),
    }
}

/// The sidecar. A request waits for it, so one that is not there is noticed soon.
fn sidecar(address: &Address) -> Cluster {
    let endpoint = match address {
        Address::Host(host, port) => Endpoint::Tcp(host.clone(), *port),
        Address::Unix(path) => Endpoint::Unix(path.clone()),
    };
    Cluster {
        name: SIDECAR.into(),
        endpoints: vec![endpoint],
        tls: None,
        connect_timeout: SIDECAR_CONNECT_TIMEOUT,
        filters: Vec::new(),
    }
}

fn protection(tls: &resources::Tls) -> Tls {
    Tls { name: tls.name.clone(), ca_file: tls.ca_file.as_ref().map(Into::into) }
}

fn stats_tags(plan: &Plan) -> Result<Vec<StatsTag>, Failure> {
    let tag = |label: &str| {
        let regex =
            regex_lite::Regex::new(&policy::metric_label_regex(label)).map_err(|error| error.to_string())?;
        Ok(StatsTag { name: label.to_owned(), regex })
    };
    plan.labels().map(tag).collect()
}
