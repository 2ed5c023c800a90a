//! Budgets, as written: how much of what may be used in which time, and whose counter it is.

use serde::{Deserialize, Serialize};

use super::ClaimPath;

/// The service that holds the counters of budgets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sidecar {
    /// The host's name for its cluster.
    pub cluster: String,
    /// The `:authority` of requests to it. `turnpike-sidecar` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How long a request waits for it, in milliseconds. 500 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What a model costs, in dollars for a million tokens, to the millionth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    /// What it reads.
    pub input: f64,
    /// What of it the provider has in its cache. As `input` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// What it writes.
    pub output: f64,
}

/// How much of what may be used in which time, and whose counter it is. Budgets of one name, key and window share their
/// counters, on whichever routes they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// Its name in refusals, metrics and logs.
    pub name: String,
    /// What is counted.
    pub counts: Counts,
    /// How much there is in a window: a whole number, or dollars with up to nine places.
    pub max: f64,
    /// How long a window is.
    pub per: Period,
    /// How windows follow each other.
    #[serde(default, skip_serializing_if = "Window::is_default")]
    pub window: Window,
    /// Whose counter it is: one for each combination of values. Absent: one for all. The budget holds only for requests of
    /// which every part has a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<Part>,
    /// Whether it refuses, or only counts.
    #[serde(default, skip_serializing_if = "BudgetMode::is_default")]
    pub mode: BudgetMode,
    /// What becomes of requests while counters cannot be reached.
    #[serde(default, skip_serializing_if = "OnUnavailable::is_default")]
    pub on_unavailable: OnUnavailable,
    /// Whether answers say how much is left, in `x-ratelimit-limit`, `-remaining` and `-reset`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub headers: bool,
    /// How many tokens of output are reserved for a request that does not bound them. 1024 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<u64>,
    /// A claim that says another maximum and unit for its bearer: `{"requests_per_unit": 10, "unit": "HOUR"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_from: Option<ClaimPath>,
    /// Of the budgets of a group that hold for a request, only the heaviest count, and those that say `always`. Absent: it
    /// stands for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// How heavy it is in its group.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight: u32,
    /// Whether it counts however heavy others of its group are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
}

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Counts {
    /// Requests that have been let go to a model.
    Requests,
    /// Tokens of the prompt, as the gateway counts them before the call. They count whatever becomes of the request.
    Prompt,
    /// Tokens that the model has read, as its provider says.
    Input,
    /// Tokens that it has written.
    Output,
    /// Both.
    Total,
    /// What they cost, in dollars. Needs `prices`.
    Cost,
}

/// How long a window is: a unit, or seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Period {
    /// `"hour"`.
    Unit(Unit),
    /// `90`.
    Seconds(u64),
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// 1 s.
    Second,
    /// 60 s.
    Minute,
    /// 3600 s.
    Hour,
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
    /// 365 days.
    Year,
}

/// How windows follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Window {
    /// They begin at multiples of their length since 1970, in UTC: an hour at the full hour.
    #[default]
    Fixed,
    /// What the last fixed window had counts too, for the part of it that lies within one length of now.
    Sliding,
}

/// What becomes of a request that would go beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BudgetMode {
    /// It is refused with 429.
    #[default]
    Enforce,
    /// It passes; that it went beyond is counted.
    Monitor,
}

/// What becomes of a request while counters cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnUnavailable {
    /// It is refused with 503.
    #[default]
    Deny,
    /// It passes uncounted.
    Allow,
}

/// A part of a budget's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Part {
    /// Where its value comes from.
    pub of: Source,
    /// Its value where there is none. Absent: then the budget does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The only value for which the budget holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<String>,
    /// Values for which the budget does not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
}

/// Where the value of a part comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A claim of the caller's token that is a string, a number or a truth value.
    Claim(ClaimPath),
    /// A header of the request.
    Header(String),
    /// The address that the request comes from, without the port.
    Address,
    /// The route's name.
    Route,
    /// The provider that is asked first.
    Provider,
    /// The model that is asked for first: what the route says, or what the body names.
    Model,
    /// Always this.
    Text(String),
    /// This, where headers are as they are said to be.
    Matching(Matching),
}

/// A value for requests whose headers are as they are said to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Matching {
    /// The value.
    pub value: String,
    /// All of these have to fit, or not all of them where `expect` is false. Absent: every request fits.
    #[serde(default)]
    pub headers: Vec<HeaderRule>,
    /// Whether they have to fit.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub expect: bool,
}

/// What a header has to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderRule {
    /// Its name.
    pub name: String,
    /// What it has to be.
    pub must: HeaderMust,
    /// Whether it has to be anything else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invert: bool,
}

/// What a header must do to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HeaderMust {
    /// Be this.
    Equal(String),
    /// Be something that this fits as a whole.
    Match(String),
    /// Begin so.
    Start(String),
    /// End so.
    End(String),
    /// Be a whole number, the first of these or greater and less than the second.
    Lie(i64, i64),
    /// Be there, or not.
    Exist(bool),
}

impl Unit {
    /// The unit of this name, as it is written.
    pub fn named(name: &str) -> Option<Unit> {
        Some(match name {
            "second" => Unit::Second,
            "minute" => Unit::Minute,
            "hour" => Unit::Hour,
            "day" => Unit::Day,
            "week" => Unit::Week,
            "month" => Unit::Month,
            "year" => Unit::Year,
            _ => return None,
        })
    }

    /// Its length in seconds.
    pub fn seconds(self) -> u64 {
        match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
            Unit::Day => 86_400,
            Unit::Week => 7 * 86_400,
            Unit::Month => 30 * 86_400,
            Unit::Year => 365 * 86_400,
        }
    }
}

impl Period {
    /// Its length in seconds.
    pub fn seconds(self) -> u64 {
        match self {
            Period::Unit(unit) => unit.seconds(),
            Period::Seconds(seconds) => seconds,
        }
    }
}

impl Window {
    fn is_default(&self) -> bool {
        *self == Window::default()
    }
}

impl BudgetMode {
    fn is_default(&self) -> bool {
        *self == BudgetMode::default()
    }
}

impl OnUnavailable {
    fn is_default(&self) -> bool {
        *self == OnUnavailable::default()
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn yes() -> bool {
    true
}

fn is_yes(truth: &bool) -> bool {
    *truth
}
