//! Budgets, as checked.

use std::time::Duration;

use crate::access::ClaimPath;

pub use crate::written::{BudgetMode, Counts, OnUnavailable, Unit, Window};

/// Billionths of a dollar in a dollar.
pub const NANOS: u64 = 1_000_000_000;

/// The service that holds the counters.
#[derive(Debug, Clone)]
pub struct Sidecar {
    /// The host's name for its cluster.
    pub cluster: String,
    /// The `:authority` of requests to it.
    pub host: String,
    /// How long a request waits for it.
    pub timeout: Duration,
}

/// What a model costs, in millionths of a millionth of a dollar for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// That it reads.
    pub input: u64,
    /// That it reads and the provider has in its cache.
    pub cached_input: u64,
    /// That it writes.
    pub output: u64,
}

/// How much of what may be used in which time, and whose counter it is.
#[derive(Debug)]
pub struct Budget {
    /// Its name. Never empty.
    pub name: String,
    /// What is counted.
    pub counts: Counts,
    /// How much there is in a window, in billionths of a dollar where costs are counted. At most 2^53.
    pub max: u64,
    /// The window's length in seconds, 1 to 31536000.
    pub window_seconds: u64,
    /// How windows follow each other.
    pub window: Window,
    /// Whose counter it is: a request of which a part has no value is not counted.
    pub key: Vec<Part>,
    /// Whether it refuses.
    pub mode: BudgetMode,
    /// What becomes of requests while counters cannot be reached.
    pub on_unavailable: OnUnavailable,
    /// Whether answers say how much is left.
    pub headers: bool,
    /// How many tokens of output are reserved for a request that does not bound them.
    pub estimate: u64,
    /// The claim that says another maximum and unit.
    pub max_from: Option<ClaimPath>,
    /// Of a group, only the heaviest that hold count. A budget without a group stands for itself.
    pub group: Option<String>,
    /// How heavy it is.
    pub weight: u32,
    /// Whether it counts however heavy others are.
    pub always: bool,
}

/// A part of a key.
#[derive(Debug)]
pub struct Part {
    /// Where its value comes from.
    pub of: Source,
    /// Its value where there is none.
    pub default: Option<String>,
    /// The only value for which the budget holds.
    pub is: Option<String>,
    /// Values for which it does not.
    pub unless: Vec<String>,
}

/// Where the value of a part comes from.
#[derive(Debug)]
pub enum Source {
    /// A claim of the caller's token.
    Claim(ClaimPath),
    /// A header, its name in lower case.
    Header(String),
    /// The address that the request comes from.
    Address,
    /// The route's name.
    Route,
    /// The provider that is asked first.
    Provider,
    /// The model that is asked for first.
    Model,
    /// Always this.
    Text(String),
    /// A value for some requests.
    Matching {
        /// The value.
        value: String,
        /// What the headers have to be.
        headers: Vec<HeaderRule>,
        /// Whether they have to fit, or not to.
        expect: bool,
    },
}

/// What a header has to be.
#[derive(Debug)]
pub struct HeaderRule {
    /// Its name, in lower case.
    pub name: String,
    /// What it has to be.
    pub must: HeaderMust,
    /// Whether it has to be anything else.
    pub invert: bool,
}

/// What a header must do to fit.
#[derive(Debug)]
pub enum HeaderMust {
    /// Be this.
    Equal(String),
    /// Be something that this fits. It is anchored on both sides.
    Match(regex_lite::Regex),
    /// Begin so.
    Start(String),
    /// End so.
    End(String),
    /// Be a whole number, the first of these or greater and less than the second.
    Lie(i64, i64),
    /// Be there, or not.
    Exist(bool),
}

impl Price {
    /// What so many tokens cost, in billionths of a dollar, rounded up. What is cached is part of the input.
    pub fn of(&self, input: u64, cached: u64, output: u64) -> u64 {
        let cached = cached.min(input);
        let read = (input - cached).saturating_mul(self.input);
        let all = read
            .saturating_add(cached.saturating_mul(self.cached_input))
            .saturating_add(output.saturating_mul(self.output));
        all.div_ceil(1000)
    }
}

impl Budget {
    /// Whether it depends on what the model writes.
    pub fn counts_output(&self) -> bool {
        matches!(self.counts, Counts::Output | Counts::Total | Counts::Cost)
    }

    /// Whether the tokens of the prompt have to be counted for it.
    pub fn counts_prompt(&self) -> bool {
        !matches!(self.counts, Counts::Requests | Counts::Output)
    }
}

/// What is counted, in words for a person: `tokens of output`.
pub fn unit(counts: Counts) -> &'static str {
    match counts {
        Counts::Requests => "requests",
        Counts::Prompt => "tokens of prompts",
        Counts::Input => "tokens of input",
        Counts::Output => "tokens of output",
        Counts::Total => "tokens",
        Counts::Cost => "dollars",
    }
}
