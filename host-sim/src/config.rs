//! What a host runs: listeners, routes, clusters and the plugins in their filter chains.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::abi::LogLevel;
use crate::metrics::StatsTag;
use crate::traffic::Common;
use crate::vm::{Bounds, Module};

/// A whole host.
pub struct Config {
    /// Where it serves. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where it tells about itself; nowhere if absent.
    pub admin: Option<SocketAddr>,
    /// How many threads serve, each with VMs of its own.
    pub workers: usize,
    /// The listener's filter chain.
    pub filters: Vec<Arc<Plugin>>,
    /// The first that matches wins.
    pub routes: Vec<Route>,
    /// Where requests and calls of plugins go.
    pub clusters: Vec<Cluster>,
    /// Labels in the names of metrics.
    pub stats_tags: Vec<StatsTag>,
    /// What is written down of each stream at its end; nothing if absent.
    pub access_log: Option<Arc<AccessLog>>,
    /// How much of one direction of a stream the filters may hold, in bytes, and how much of a request is kept for
    /// another attempt.
    pub buffer_limit: usize,
    /// The header in which a filter names the clusters of a request's attempts, in order and separated by commas, on
    /// a route that has a [`Retry`]. It goes no further.
    pub chain_header: Option<String>,
    /// How long nothing may happen on a stream.
    pub idle_timeout: Duration,
    /// What a guest may use.
    pub bounds: Bounds,
    /// The quietest level that is logged.
    pub log_level: LogLevel,
    /// Takes log lines.
    pub log: LogSink,
}

/// What is written down of each stream, once its filters have had their last look and before they say goodbye.
pub struct AccessLog {
    /// The property that holds the line. A stream that has none is not written down.
    pub property: String,
    /// Takes the lines.
    pub write: LineSink,
}

/// Takes lines of the access log, without their ends.
pub type LineSink = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Takes log lines.
pub type LogSink = Box<dyn Fn(LogLevel, &str) + Send + Sync>;

/// A module with a configuration.
pub struct Plugin {
    /// Its name in logs.
    pub name: String,
    /// Which of the module's plugins it is, where a module has several.
    pub root_id: String,
    /// Plugins of the same id, module and environment share a VM; those of the same id share data.
    pub vm_id: String,
    /// The code.
    pub module: Module,
    /// The plugin's configuration.
    pub configuration: Vec<u8>,
    /// The VM's configuration.
    pub vm_configuration: Vec<u8>,
    /// The VM's environment. It may hold secrets: only the names are ever shown.
    pub env: Vec<(String, String)>,
    /// Whether a pause in the headers' callback leaves the body coming, as Envoy's setting of that name does.
    pub allow_on_headers_stop_iteration: bool,
}

/// A way to clusters.
pub struct Route {
    /// Its name, which plugins can ask for.
    pub name: String,
    /// Host names, exact or `*.suffix`; empty takes every host.
    pub hosts: Vec<String>,
    /// What the path has to be.
    pub path: PathMatch,
    /// Where to, by weight.
    pub clusters: Vec<(String, u32)>,
    /// How long the whole answer may take; no bound if absent.
    pub timeout: Option<Duration>,
    /// When a request is tried again; never if absent.
    pub retry: Option<Retry>,
}

/// When a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// After answers of these statuses.
    pub statuses: Vec<u16>,
    /// After any answer from 500 on.
    pub server_errors: bool,
    /// Without an answer.
    pub no_answer: NoAnswer,
    /// How many attempts there are at most, the first included.
    pub attempts: u32,
    /// How long one attempt may take until its answer's headers are there; no bound if absent.
    pub per_try_timeout: Option<Duration>,
    /// What the waits between attempts begin with, and their bound.
    pub back_off: (Duration, Duration),
}

/// After which failures a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// None.
    Never,
    /// Where there was no connection.
    Connect,
    /// Wherever there was no answer: no connection, one that ended before the answer's headers, or an attempt that
    /// took too long.
    Any,
}

/// What a path has to be.
pub enum PathMatch {
    /// The path, or the segments it begins with.
    Prefix(String),
    /// The whole path.
    Exact(String),
}

/// Servers of one kind.
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its servers, used in turn.
    pub endpoints: Vec<Endpoint>,
    /// How the connection is protected; not at all if absent.
    pub tls: Option<Tls>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// The cluster's filter chain.
    pub filters: Vec<Arc<Plugin>>,
}

/// A server.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// A name or an address, and a port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// How a connection to an upstream is protected.
pub struct Tls {
    /// The name that is asked for, and that the certificate has to be for.
    pub name: String,
    /// Whose certificates are believed, as PEM; the system's authorities if absent.
    pub ca_file: Option<PathBuf>,
}

impl AccessLog {
    /// Writes down a stream with what its filters have left (H27).
    pub fn note(&self, common: &Common) {
        if let Some(line) = common.filter_state.borrow().get(&self.property) {
            (self.write)(line);
        }
    }
}

impl Config {
    /// The configuration as JSON, without a secret.
    pub fn dump(&self) -> Value {
        json!({
            "listen": self.listen.to_string(),
            "workers": self.workers,
            "buffer_limit": self.buffer_limit,
            "chain_header": self.chain_header,
            "access_log": self.access_log.as_ref().map(|it| &it.property),
            "idle_timeout_ms": self.idle_timeout.as_millis() as u64,
            "filters": self.filters.iter().map(|it| it.dump()).collect::<Vec<_>>(),
            "routes": self.routes.iter().map(Route::dump).collect::<Vec<_>>(),
            "clusters": self.clusters.iter().map(Cluster::dump).collect::<Vec<_>>(),
        })
    }
}

impl Plugin {
    fn dump(&self) -> Value {
        let text = String::from_utf8_lossy(&self.configuration);
        let configuration = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_ref()));
        let env: serde_json::Map<_, _> =
            self.env.iter().map(|(name, _)| (name.clone(), Value::from("[hidden]"))).collect();
        json!({
            "name": self.name, "root_id": self.root_id, "vm_id": self.vm_id,
            "configuration": configuration, "env": env,
        })
    }
}

impl Route {
    fn dump(&self) -> Value {
        let path = match &self.path {
            PathMatch::Prefix(path) => json!({ "prefix": path }),
            PathMatch::Exact(path) => json!({ "exact": path }),
        };
        let clusters: Vec<Value> =
            self.clusters.iter().map(|(name, weight)| json!({ "name": name, "weight": weight })).collect();
        json!({
            "name": self.name, "hosts": self.hosts, "path": path, "clusters": clusters,
            "timeout_ms": self.timeout.map(|timeout| timeout.as_millis() as u64),
            "retry": self.retry.as_ref().map(Retry::dump),
        })
    }
}

impl Retry {
    fn dump(&self) -> Value {
        let (base, max) = self.back_off;
        json!({
            "statuses": self.statuses, "server_errors": self.server_errors,
            "no_answer": match self.no_answer {
                NoAnswer::Never => "never",
                NoAnswer::Connect => "connect",
                NoAnswer::Any => "any",
            },
            "attempts": self.attempts,
            "per_try_timeout_ms": self.per_try_timeout.map(|timeout| timeout.as_millis() as u64),
            "back_off_ms": [base.as_millis() as u64, max.as_millis() as u64],
        })
    }
}

impl Cluster {
    fn dump(&self) -> Value {
        let endpoints: Vec<String> = self.endpoints.iter().map(Endpoint::to_string).collect();
        json!({
            "name": self.name, "endpoints": endpoints,
            "tls": self.tls.as_ref().map(|tls| json!({ "name": tls.name, "ca_file": tls.ca_file })),
            "filters": self.filters.iter().map(|it| it.dump()).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(host, port) => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
