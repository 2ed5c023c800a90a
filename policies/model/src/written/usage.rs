//! What is said about requests, as written: in metrics and in a log.

use serde::{Deserialize, Serialize};

use super::ClaimPath;

/// A label of metrics of tokens whose value is a claim of the caller's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricLabel {
    /// The label's name: letters, digits and `_`, and none of the gateway's own.
    pub name: String,
    /// A claim that is a string, a number or a truth value. What is not there is `<unknown>`.
    pub claim: ClaimPath,
}

/// A line for each request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessLog {
    /// The claim that says who has called. Absent: nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<ClaimPath>,
}
