//! The configuration as written: one JSON object, pleasant enough to write by hand into an Istio `WasmPlugin`.
//!
//! ```json
//! {"downstream": {"routes": [{"name": "openai", "matches": [{"path": {"prefix": "/openai"}}],
//!                             "target": {"provider": "openai", "credential": {"env": "OPENAI_API_KEY"}}}]}}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod access;
mod budget;
mod enrich;
mod failover;
mod guard;
mod usage;

pub use access::*;
pub use budget::*;
pub use enrich::*;
pub use failover::*;
pub use guard::*;
pub use usage::*;

/// Which of its two jobs this instance of the module has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Plugin {
    /// In the listener's filter chain: decides about requests.
    Downstream(Gateway),
    /// In a cluster's upstream filter chain: writes what the provider gets.
    Upstream(Target),
}

/// What the gateway decides by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gateway {
    /// The ways through the gateway. Where the host names no route, the first that matches wins.
    pub routes: Vec<Route>,
    /// Those whose JWTs are believed, by a name of your choice.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jwt_providers: BTreeMap<String, JwtProvider>,
    /// The service that holds the counters of budgets. Needed by routes that have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<Sidecar>,
    /// What models cost, by their names; `*` stands for all others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<String, Price>,
    /// Labels of metrics of tokens that come from claims of the caller's token, eight at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metric_labels: Vec<MetricLabel>,
    /// A line for each request, as JSON, in the property `turnpike.access`. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
    /// The longest request body taken, in bytes; longer ones are refused with 413. 8 MiB if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_request_bytes: Option<u64>,
    /// What happens to a request that no route takes: `refuse` (404, the default) or `pass` (the host's business).
    #[serde(default, skip_serializing_if = "Unmatched::is_default")]
    pub unmatched: Unmatched,
}

/// What happens to a request that no route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unmatched {
    /// 404.
    #[default]
    Refuse,
    /// Goes on untouched, for listeners that serve other things beside models.
    Pass,
}

impl Unmatched {
    fn is_default(&self) -> bool {
        *self == Unmatched::default()
    }
}

/// One way through the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// The name that the host gives its route, if it names them; otherwise any name. Shown in metrics.
    pub name: String,
    /// Which requests it takes; any of these. Absent: every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    /// What becomes of the path. Absent: what follows the matched prefix is the API path, with or without `/v1`,
    /// and nothing means chat completions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// What the provider gets. Absent where the cluster has this module among its upstream filters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Where `target` is absent: whether the upstream filter sends the client's own credential to the provider,
    /// so that the provider's 401 is the client's business. Otherwise a 401 becomes a 502.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passthrough: bool,
    /// Where `target` is absent: the clusters behind the route. Absent: the client is not told who has answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
    /// What happens when a model fails. Absent: its failure is the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// What is asked of a token. Absent: nothing, and nobody is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwt: Vec<JwtRule>,
    /// Who may use it. Absent: whoever `jwt` lets pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rbac: Option<Rbac>,
    /// How much of what may be used. Absent: no end of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
    /// What is added to its requests. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrich: Option<Enrich>,
    /// What its prompts and answers may say. Absent: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

/// A host and a path; both have to fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// Host names without port, exact or `*.example.com`. Absent: every host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The path. Absent: every path.
    #[serde(default)]
    pub path: PathMatch,
}

/// What a path has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// The path or the segments it begins with: `/openai` takes `/openai` and `/openai/v1`, not `/openaifoo`.
    Prefix(String),
    /// The whole path.
    Exact(String),
}

impl Default for PathMatch {
    fn default() -> PathMatch {
        PathMatch::Prefix("/".into())
    }
}

/// What becomes of a path, as an `HTTPRoute`'s `URLRewrite` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rewrite {
    /// The whole path is replaced; the query stays.
    FullPath(String),
    /// The matched prefix is replaced.
    Prefix(String),
}

/// What a provider gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// The host's name for the cluster, by which metrics know it. Absent: the name of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose API it speaks.
    pub provider: Provider,
    /// The `:authority` that the provider sees. Absent: the host of the provider's public API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Replaces the body's `model`. Absent: the client's goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the provider is shown as proof of who pays.
    pub credential: Credential,
    /// Every request goes to exactly this path, and the client's query is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_path: Option<String>,
    /// Where the provider's API lives, in place of `/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
}

/// A provider whose API the module knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Provider {
    /// OpenAI, and everything that speaks its API.
    Openai,
    /// Mistral AI.
    Mistral,
}

/// What a provider is shown as proof of who pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Credential {
    /// The host adds it after the module has run (Envoy's `credential_injector`).
    Injected,
    /// The client's own `authorization` goes on to the provider.
    Passthrough,
    /// The name of an environment variable of the VM that holds the key, with or without `Bearer `.
    Env(String),
    /// The provider asks for none.
    None,
}
