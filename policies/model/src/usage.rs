//! What is said about requests, as checked: in metrics and in a log.

use crate::access::ClaimPath;

/// As many labels from claims as there can be.
pub const MOST_METRIC_LABELS: usize = 8;

/// Labels of the module's metrics. Hosts know no labels: the module writes them into a metric's name as `;name=value`,
/// and the host is told to find them there.
pub const METRIC_LABELS: &[&str] = &[
    "route",
    "reason",
    "side",
    "rule",
    "action",
    "target",
    "budget",
    "outcome",
    "kind",
    "llm",
    "model",
    "gen_ai_token_type",
    "gen_ai_provider_name",
    "gen_ai_request_model",
];

/// A label whose value is a claim of the caller's token.
#[derive(Debug)]
pub struct MetricLabel {
    /// Its name.
    pub name: String,
    /// The claim.
    pub claim: ClaimPath,
}

/// A line for each request.
#[derive(Debug)]
pub struct AccessLog {
    /// The claim that says who has called.
    pub caller: Option<ClaimPath>,
}

/// The regular expression that finds a label in a metric's name: the first group is cut out of the name, the second is
/// the value.
pub fn metric_label_regex(label: &str) -> String {
    format!("(;{label}=([^;]*))")
}

/// Why a label cannot have this name.
pub fn metric_label_problem(name: &str) -> Option<String> {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || !letters || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(format!("`{name}` is no name of a label: expected letters, digits and `_`"));
    }
    // `le` is how Prometheus writes histograms.
    if METRIC_LABELS.contains(&name) || name == "le" || name.starts_with("__") {
        return Some(format!("`{name}` is a label already, and means something else"));
    }
    None
}
