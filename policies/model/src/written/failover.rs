//! What happens when a model fails, as written.

use serde::{Deserialize, Serialize};

use super::{Provider, Target};

/// A cluster behind a route, which has this module among its upstream filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backend {
    /// The host's name for it.
    pub cluster: String,
    /// Whose API it speaks.
    pub provider: Provider,
    /// The only model there, whatever the client asks for. Absent: the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its share among those of one priority. 1 if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// When it has its turn: 0, the default, comes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// Whether its provider is shown the client's own credential.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passthrough: bool,
}

/// What happens when a model fails.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failover {
    /// Which failures lead to the next model.
    #[serde(default, skip_serializing_if = "Triggers::is_default")]
    pub on: Triggers,
    /// How many attempts a request has at most, the first included. Absent: one at each model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// After how many attempts at backends of one priority the next priority has its turn. Absent: after one at each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_per_priority: Option<u32>,
    /// How long a model that is in trouble is left alone. Absent: every request asks it anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Cooldown>,
    /// Whether a caller whose claims list models is led to models that are not on the list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_model_claim: bool,
    /// Where the route has a `target`: who is asked by the module itself when that one fails, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<Backup>,
    /// How long a whole answer may take that the module asks for itself, in milliseconds. 120000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Somebody whom the module asks itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backup {
    /// The host's name for the cluster.
    pub cluster: String,
    /// What the provider gets.
    pub target: Target,
}

/// Which failures lead to the next model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Triggers {
    /// Answers of these statuses. 429, 500, 502, 503, 504 and 529 if absent.
    #[serde(default = "usual_statuses")]
    pub statuses: Vec<u16>,
    /// Every answer of a status from 500 to 599.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub server_errors: bool,
    /// No answer at all.
    #[serde(default)]
    pub no_answer: NoAnswer,
}

/// Which ways of not answering lead to the next model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoAnswer {
    /// None.
    Never,
    /// There is no connection, or nobody to connect to.
    Connect,
    /// Also: it breaks off before an answer, or the answer does not begin in time.
    #[default]
    Any,
}

/// How long a model that is in trouble is left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cooldown {
    /// After how many failures in a row. 3 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// For how long after the last of them, in milliseconds. 30000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
    /// How long a `retry-after` is heeded at most, in milliseconds. 300000 if absent; 0 heeds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retry_after_ms: Option<u64>,
}

impl Triggers {
    fn is_default(&self) -> bool {
        *self == Triggers::default()
    }
}

impl Default for Triggers {
    fn default() -> Triggers {
        Triggers { statuses: usual_statuses(), server_errors: false, no_answer: NoAnswer::default() }
    }
}

fn usual_statuses() -> Vec<u16> {
    vec![429, 500, 502, 503, 504, 529]
}

fn one() -> u32 {
    1
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
