//! What happens when a model fails, as checked.

use std::time::Duration;

use crate::{Provider, Target};

pub use crate::written::NoAnswer;

/// What happens when a model fails.
#[derive(Debug)]
pub struct Failover {
    /// Which failures lead to the next model.
    pub on: Triggers,
    /// How many attempts a request has at most, the first included. At least 1.
    pub attempts: usize,
    /// After how many attempts at backends of one priority the next has its turn. At least 1; without a bound, after one
    /// at each.
    pub attempts_per_priority: usize,
    /// How long a model that is in trouble is left alone, if it is at all.
    pub cooldown: Option<Cooldown>,
    /// Whether a caller whose claims list models is led to models that are not on the list.
    pub ignore_model_claim: bool,
    /// How long a whole answer may take that the module asks for itself.
    pub timeout: Duration,
}

/// Somebody who can be asked.
#[derive(Debug)]
pub struct Backend {
    /// The host's name for the cluster. Empty for the one that the host's own route leads to.
    pub cluster: String,
    /// Whose API it speaks.
    pub provider: Provider,
    /// The only model there. `None` leaves the client's.
    pub model: Option<String>,
    /// Its share among those of its priority. At least 1.
    pub weight: u32,
    /// The least comes first.
    pub priority: u32,
    /// Whether the provider is shown the client's own credential.
    pub passthrough: bool,
    /// What the provider gets, where this module writes it in the listener's filter chain. `None` where the cluster has
    /// the module among its upstream filters.
    pub target: Option<Target>,
}

/// Which failures lead to the next model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggers {
    /// Answers of these statuses.
    pub statuses: Vec<u16>,
    /// Every answer of a status from 500 to 599.
    pub server_errors: bool,
    /// No answer at all.
    pub no_answer: NoAnswer,
}

/// How long a model that is in trouble is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cooldown {
    /// After how many failures in a row. At least 1.
    pub failures: u32,
    /// For how long after the last of them.
    pub time: Duration,
    /// How long a `retry-after` is heeded at most.
    pub max_retry_after: Duration,
}

impl Backend {
    /// The name in metrics: the cluster's, or the provider's where the host's own route leads there.
    pub fn name(&self) -> &str {
        if self.cluster.is_empty() { self.provider.name() } else { &self.cluster }
    }
}

impl Triggers {
    /// Whether an answer of this status leads to the next model.
    pub fn takes(&self, status: u16) -> bool {
        self.statuses.contains(&status) || (self.server_errors && (500..600).contains(&status))
    }
}
