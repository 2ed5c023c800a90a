//! What a set of resources comes to: routes, targets and the order of matches. Every reference has been followed;
//! what a host needs is derived from it and from nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use policy::written;
use policy::{PathMatch, Provider, Rewrite, Secret, TargetPath};

use crate::problem::Problem;

/// A whole gateway.
#[derive(Debug, Default)]
pub struct Plan {
    /// The ways through it.
    pub routes: Vec<Route>,
    /// What takes which route: the first that matches wins.
    pub entries: Vec<Entry>,
    /// The providers.
    pub targets: Vec<Target>,
    /// What the gateway itself asks.
    pub services: Vec<Service>,
    /// Whose JWTs are believed, by the names that [`Route::jwt`] uses.
    pub jwt_providers: BTreeMap<String, written::JwtProvider>,
    /// What models cost, by their names.
    pub prices: BTreeMap<String, written::Price>,
    /// How long a request waits for the sidecar, in milliseconds.
    pub sidecar_timeout_ms: Option<u64>,
    /// Labels of metrics of tokens that come from claims.
    pub metric_labels: Vec<written::MetricLabel>,
    /// What is logged of each request; nothing if absent.
    pub access_log: Option<written::AccessLog>,
}

/// The name of the sidecar's cluster.
pub const SIDECAR: &str = "turnpike-sidecar";

/// A server that the gateway itself asks.
#[derive(Debug)]
pub struct Service {
    /// `namespace/name` of the Upstream, or `webhook/host:port`; also the name of its cluster.
    pub name: String,
    /// Names or addresses, and ports. Never empty.
    pub hosts: Vec<(String, u16)>,
    /// How the connection is protected; not at all if absent.
    pub tls: Option<Tls>,
}

/// A way through the gateway.
#[derive(Debug)]
pub struct Route {
    /// `namespace/name` of the HTTPRoute, and the rule's name or number where it has several.
    pub name: String,
    /// The best match of each host first.
    pub matches: Vec<(Option<String>, PathMatch)>,
    /// What becomes of the path.
    pub rewrite: Option<Rewrite>,
    /// Where it leads.
    pub backends: Vec<Backend>,
    /// What happens when a model fails; its failure is the answer if absent.
    pub failover: Option<Failover>,
    /// How long the whole answer may take. `None`: as long as it takes.
    pub timeout: Option<Duration>,
    /// What it asks of tokens.
    pub jwt: Vec<written::JwtRule>,
    /// Who may use it; anybody if absent.
    pub rbac: Option<written::Rbac>,
    /// How much of what may be used.
    pub budgets: Vec<written::Budget>,
    /// What is added to its requests.
    pub enrich: Option<written::Enrich>,
    /// What its prompts and answers may say.
    pub guard: Option<written::Guard>,
}

/// A target of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// Index into [`Plan::targets`].
    pub target: usize,
    /// Its share among those of its priority.
    pub weight: u32,
    /// The least is tried first. All are 0 where nothing is tried after a failure.
    pub priority: u32,
}

/// What happens when a model fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Failover {
    /// What the module has to know of it.
    pub written: written::Failover,
    /// How long an attempt may take to begin its answer.
    pub first_byte_timeout: Option<Duration>,
    /// How long is waited before another attempt at first, and at most.
    pub back_off: (Duration, Duration),
}

/// A host and a path that a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Exact or `*.suffix`; `None` takes every host.
    pub host: Option<String>,
    /// What the path has to be.
    pub path: PathMatch,
    /// Index into [`Plan::routes`].
    pub route: usize,
}

/// A provider, its address and its key.
#[derive(Debug, Clone)]
pub struct Target {
    /// `namespace/name` of the Upstream, with `:model` where there are several targets of it, or
    /// `moderation/namespace/name` of the RouteOption that asks it and no Upstream.
    pub name: String,
    /// Whose API it speaks.
    pub provider: Provider,
    /// Name or address to connect to.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// The `:authority` that the provider sees.
    pub authority: String,
    /// How the connection is protected; not at all if absent.
    pub tls: Option<Tls>,
    /// The only model, whatever the client asks for.
    pub model: Option<String>,
    /// How the gateway pays.
    pub key: Key,
    /// Where the API is.
    pub path: Option<TargetPath>,
}

/// How a connection to a provider is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The name that is asked for, and that the certificate has to be for.
    pub name: String,
    /// A PEM file of the authorities that are believed; the system's if absent.
    pub ca_file: Option<String>,
}

/// How the gateway pays.
#[derive(Debug, Clone)]
pub enum Key {
    /// The provider asks for nothing.
    Absent,
    /// The client's own key goes on.
    Passthrough,
    /// The gateway's key.
    Known(Secret),
    /// The gateway's key is nowhere. What is to be said about it; whether that is an error, the user of the plan knows.
    Missing(Box<Problem>),
}

impl Plan {
    /// What is to be said about keys that are nowhere.
    pub fn missing_keys(&self) -> impl Iterator<Item = &Problem> {
        self.targets.iter().filter_map(|target| match &target.key {
            Key::Missing(problem) => Some(problem.as_ref()),
            Key::Absent | Key::Passthrough | Key::Known(_) => None,
        })
    }

    /// Whether anything is counted that a filter cannot count.
    pub fn needs_sidecar(&self) -> bool {
        self.routes.iter().any(|route| !route.budgets.is_empty())
    }

    /// All labels that the module's metrics can have. The host has to be told to find them.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let own = self.metric_labels.iter().map(|it| it.name.as_str());
        policy::METRIC_LABELS.iter().copied().chain(own)
    }

    /// The plugin configuration of the listener's filter.
    pub fn downstream(&self) -> written::Plugin {
        written::Plugin::Downstream(self.gateway(self.routes.iter()))
    }

    /// What decides about some of its routes.
    pub(crate) fn gateway<'r>(&self, routes: impl Iterator<Item = &'r Route>) -> written::Gateway {
        let routes = routes.map(|route| written::Route {
            name: route.name.clone(),
            matches: route.written_matches(),
            rewrite: route.rewrite.clone(),
            target: None,
            passthrough: route.targets(self).any(|target| matches!(target.key, Key::Passthrough)),
            backends: route.written_backends(self),
            failover: route.failover.as_ref().map(|it| it.written.clone()),
            jwt: route.jwt.clone(),
            rbac: route.rbac.clone(),
            budgets: route.budgets.clone(),
            enrich: route.enrich.clone(),
            guard: route.guard.clone(),
        });
        written::Gateway {
            routes: routes.collect(),
            jwt_providers: self.jwt_providers.clone(),
            sidecar: self.needs_sidecar().then(|| written::Sidecar {
                cluster: SIDECAR.into(),
                host: None,
                timeout_ms: self.sidecar_timeout_ms,
            }),
            prices: self.prices.clone(),
            metric_labels: self.metric_labels.clone(),
            access_log: self.access_log.clone(),
            max_request_bytes: None,
            unmatched: written::Unmatched::Refuse,
        }
    }
}

impl Route {
    /// The targets of the route.
    pub fn targets<'p>(&'p self, plan: &'p Plan) -> impl Iterator<Item = &'p Target> {
        self.backends.iter().filter_map(|it| plan.targets.get(it.target))
    }

    /// How many attempts a request has at most, the first included; without a bound, one at each backend.
    pub fn attempts(&self) -> u32 {
        let backends = u32::try_from(self.backends.len()).unwrap_or(u32::MAX);
        self.failover.as_ref().map_or(1, |it| it.written.attempts.unwrap_or(backends)).max(1)
    }

    fn written_backends(&self, plan: &Plan) -> Vec<written::Backend> {
        let backend = |it: &Backend| {
            let target = plan.targets.get(it.target)?;
            Some(written::Backend {
                cluster: target.name.clone(),
                provider: target.provider,
                model: target.model.clone(),
                weight: it.weight,
                priority: it.priority,
                passthrough: matches!(target.key, Key::Passthrough),
            })
        };
        self.backends.iter().filter_map(backend).collect()
    }

    fn written_matches(&self) -> Vec<written::Match> {
        let mut matches: Vec<written::Match> = Vec::new();
        for (host, path) in &self.matches {
            match matches.iter_mut().find(|it| it.path == *path && !it.hosts.is_empty() && host.is_some()) {
                Some(known) => known.hosts.extend(host.clone()),
                None => {
                    matches.push(written::Match { hosts: host.iter().cloned().collect(), path: path.clone() })
                }
            }
        }
        matches
    }
}

impl Target {
    /// The plugin configuration of the cluster's filter. `credential` says how the key gets into the request on the
    /// host at hand.
    pub fn upstream(&self, credential: written::Credential) -> written::Plugin {
        let (full_path, base_path) = match &self.path {
            Some(TargetPath::Full(path)) => (Some(path.clone()), None),
            Some(TargetPath::Base(path)) => (None, Some(path.clone())),
            None => (None, None),
        };
        written::Plugin::Upstream(written::Target {
            name: Some(self.name.clone()),
            provider: self.provider,
            host: Some(self.authority.clone()),
            model: self.model.clone(),
            credential,
            full_path,
            base_path,
        })
    }
}
