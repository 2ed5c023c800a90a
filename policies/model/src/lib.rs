//! The plugin configuration: what the module is told to do.
//!
//! It is read in two steps. [`written`] is the configuration as a person or a renderer wrote it: serde types,
//! nothing decided. [`Plugin::read`] turns it into the types of this module: defaults filled in, references
//! to the environment resolved, impossible things refused. A configuration is taken whole or not at all, and
//! a refusal names every [`Problem`] at once.

pub mod access;
pub mod budget;
mod check;
pub mod enrich;
pub mod failover;
pub mod guard;
mod secret;
pub mod usage;
pub mod written;

use std::fmt;

pub use secret::Secret;
pub use usage::{METRIC_LABELS, metric_label_regex};
pub use written::{PathMatch, Provider, Rewrite, Unmatched};

/// Body limit where the configuration names none, in bytes: 8 MiB.
pub const DEFAULT_MAX_REQUEST_BYTES: u64 = 8 * 1024 * 1024;

/// A checked configuration: which of its two jobs this instance of the module has.
#[derive(Debug)]
pub enum Plugin {
    /// In the listener's filter chain: decides about requests.
    Downstream(Gateway),
    /// In a cluster's upstream filter chain: writes what the provider gets.
    Upstream(Target),
}

/// What the gateway decides by.
#[derive(Debug)]
pub struct Gateway {
    /// In the order of precedence: the first match wins.
    pub routes: Vec<Route>,
    /// Those whose JWTs are believed, in the order of their names.
    pub jwt_providers: Vec<access::JwtProvider>,
    /// The service that holds the counters of budgets. There where any route has budgets.
    pub sidecar: Option<budget::Sidecar>,
    /// What models cost, by their names in this order; `*` stands for all others.
    pub prices: Vec<(String, budget::Price)>,
    /// Labels of metrics of tokens that come from claims.
    pub metric_labels: Vec<usage::MetricLabel>,
    /// What is logged of each request; nothing if absent.
    pub access_log: Option<usage::AccessLog>,
    /// A longer request body is refused with 413. Bytes.
    pub max_request_bytes: u64,
    /// What happens to a request that no route takes.
    pub unmatched: Unmatched,
}

/// One way through the gateway.
#[derive(Debug)]
pub struct Route {
    /// The host's own name for the route, and the label of its metrics.
    pub name: String,
    /// What it takes, where the host names no route; any of these.
    pub matches: Vec<Match>,
    /// What becomes of the path. `None`: the rest after the matched prefix is the API path.
    pub rewrite: Option<Rewrite>,
    /// Who writes what the provider gets.
    pub attempt: Attempt,
    /// Who can be asked. Empty where nobody has said it.
    pub backends: Vec<failover::Backend>,
    /// What happens when a model fails. `None`: its failure is the answer.
    pub failover: Option<failover::Failover>,
    /// What is asked of a token, each on its own.
    pub jwt: Vec<access::JwtRule>,
    /// Who may use it. `None`: whoever `jwt` lets pass.
    pub rbac: Option<access::Rbac>,
    /// How much of what may be used.
    pub budgets: Vec<budget::Budget>,
    /// What is added to its requests.
    pub enrich: Option<enrich::Enrich>,
    /// What its prompts and answers may say.
    pub guard: guard::Guard,
}

/// A host and a path.
#[derive(Debug)]
pub struct Match {
    /// Lower case, exact or `*.suffix`; empty takes every host.
    pub hosts: Vec<String>,
    /// Where the path has to begin, or what it has to be.
    pub path: PathMatch,
}

/// Who writes what the provider gets.
#[derive(Debug)]
pub enum Attempt {
    /// This filter does.
    Here(Target),
    /// The module in the cluster's upstream filter chain does.
    Upstream {
        /// Whether it sends the client's own credential, so that the provider's 401 is the client's business.
        passthrough: bool,
    },
}

/// A provider as one route or one cluster reaches it.
#[derive(Debug)]
pub struct Target {
    /// The host's name for the cluster, by which metrics know it.
    pub name: String,
    /// Whose API it speaks.
    pub provider: Provider,
    /// The `:authority` that the provider sees.
    pub host: String,
    /// Replaces the body's `model`. `None` leaves the client's.
    pub model: Option<String>,
    /// What the provider is shown as proof of who pays.
    pub credential: Credential,
    /// Where the provider's API lives, if not at its usual place.
    pub path: Option<TargetPath>,
}

/// Where a provider's API lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPath {
    /// Every request goes to exactly this path; the client's query is dropped.
    Full(String),
    /// In place of `/v1`.
    Base(String),
}

/// What a provider is shown as proof of who pays.
#[derive(Debug)]
pub enum Credential {
    /// The host adds it after the module has run; the module only takes the client's away.
    Injected,
    /// The client's own `authorization` goes on to the provider.
    Passthrough,
    /// Sent as `authorization: Bearer <key>`.
    Key(Secret),
    /// The provider asks for none.
    Absent,
}

/// Something in a configuration that cannot be taken, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, as in `routes[0].matches[1].path`. Empty for the document as a whole.
    pub path: String,
    /// What is wrong and what was expected.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}", self.what)
        } else {
            write!(f, "{}: {}", self.path, self.what)
        }
    }
}

impl Gateway {
    /// What a model costs, if anybody has said it.
    pub fn price(&self, model: &str) -> Option<&budget::Price> {
        let of = |name: &str| self.prices.iter().find(|(known, _)| known == name).map(|(_, price)| price);
        of(model).or_else(|| of("*"))
    }
}

impl Attempt {
    /// Whether the provider is shown the client's own credential.
    pub fn is_passthrough(&self) -> bool {
        match self {
            Attempt::Here(target) => matches!(target.credential, Credential::Passthrough),
            Attempt::Upstream { passthrough } => *passthrough,
        }
    }
}

impl Provider {
    /// The host of the provider's public API.
    pub fn default_host(self) -> &'static str {
        match self {
            Provider::Openai => "api.openai.com",
            Provider::Mistral => "api.mistral.ai",
        }
    }

    /// The name in configurations, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Openai => "openai",
            Provider::Mistral => "mistral",
        }
    }
}
