//! `options.retries`: which failures lead to another attempt, and how many there are.

use std::time::Duration;

use policy::written::{NoAnswer, Triggers};

use crate::node::{Node, Object, Unknown};
use crate::problem::{Severity, did_you_mean};

/// What is done when an attempt fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Retries {
    /// Which failures lead on.
    pub on: Triggers,
    /// How many attempts a request has at most, the first included; where nothing is said, Gloo makes two.
    pub attempts: Option<u32>,
    /// After how many attempts at one priority the next has its turn.
    pub per_priority: Option<u32>,
    /// How long an attempt may take to begin its answer.
    pub per_try_timeout: Option<Duration>,
    /// How long is waited before another attempt at first, and at most.
    pub back_off: Option<(Duration, Duration)>,
}

/// What Envoy can be told to retry on and this version does as well.
const KNOWN: [&str; 8] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "refused-stream",
    "retriable-status-codes",
    "retriable-4xx",
];

/// Statuses that say something of the request and nothing of the model.
const NEVER: [u16; 4] = [400, 401, 403, 404];

/// How much longer than the first a wait before another attempt may be at most, where nothing is said.
const GROWTH: u32 = 10;

/// Reads the field. `Some(None)` where it says that there are no further attempts.
pub fn read(node: &Node<'_>) -> Option<Option<Retries>> {
    let object = node.object()?;
    let conditions = object.get("retryOn");
    let listed = object.get("retriableStatusCodes").map_or(Some(Vec::new()), |it| statuses(&it))?;
    let on = match &conditions {
        Some(node) => triggers(node, listed)?,
        None => Triggers { statuses: Vec::new(), server_errors: false, no_answer: NoAnswer::Never },
    };
    let number = |it: Node<'_>| it.number(0..=1000).and_then(|it| u32::try_from(it).ok());
    let retries = object.get("numRetries").map_or(Some(None), |it| number(it).map(Some))?;
    let per_try_timeout =
        object.get("perTryTimeout").map_or(Some(None), |it| it.proto_duration().map(Some))?;
    let back_off = object.get("retryBackOff").map_or(Some(None), |it| back_off(&it).map(Some))?;
    let per_priority =
        object.get("previousPriorities").map_or(Some(None), |it| per_priority(&it).map(Some))?;
    if let Some(node) = object.get("rateLimitedRetryBackOff") {
        node.say(
            Severity::Note,
            "is skipped: the next attempt is made at another model, which need not wait",
        );
    }
    object.finish(Unknown::Refuse);
    if retries == Some(0) {
        return Some(None);
    }
    if on.statuses.is_empty() && !on.server_errors && on.no_answer == NoAnswer::Never {
        node.say(Severity::Warning, "no failure leads to another attempt: `retryOn` names none");
        return Some(None);
    }
    let attempts = retries.map(|it| it.saturating_add(1));
    let per_try_timeout = per_try_timeout.filter(|it| !it.is_zero());
    Some(Some(Retries { on, attempts, per_priority, per_try_timeout, back_off }))
}

/// The statuses of a list that can lead to another attempt.
fn statuses(node: &Node<'_>) -> Option<Vec<u16>> {
    let mut statuses = Vec::new();
    for item in node.list()? {
        let status = u16::try_from(item.number(100..=599)?).ok()?;
        if NEVER.contains(&status) || status < 400 {
            let what = format!(
                "{status} is left out: it is about the request, and another model would say the same"
            );
            item.say(Severity::Warning, what);
        } else if !statuses.contains(&status) {
            statuses.push(status);
        }
    }
    Some(statuses)
}

fn triggers(node: &Node<'_>, listed: Vec<u16>) -> Option<Triggers> {
    let text = node.text()?;
    let mut on = Triggers { statuses: Vec::new(), server_errors: false, no_answer: NoAnswer::Never };
    let mut takes_list = false;
    for condition in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        match condition {
            "5xx" => (on.server_errors, on.no_answer) = (true, NoAnswer::Any),
            "gateway-error" => {
                on.statuses.extend([502, 503, 504]);
                on.no_answer = NoAnswer::Any;
            }
            "reset" => on.no_answer = NoAnswer::Any,
            "connect-failure" | "refused-stream" | "reset-before-request" => {
                if on.no_answer == NoAnswer::Never {
                    on.no_answer = NoAnswer::Connect;
                }
            }
            "retriable-4xx" => on.statuses.push(409),
            "retriable-status-codes" => takes_list = true,
            other => {
                let (known, hint) = (KNOWN.join(", "), did_you_mean(other, KNOWN));
                node.refuse(format!("`{other}` is no condition known here, expected one of {known}{hint}"));
                return None;
            }
        }
    }
    if takes_list {
        on.statuses.extend(listed);
    } else if !listed.is_empty() {
        let what = "without `retriable-status-codes` the list of `retriableStatusCodes` counts for nothing";
        node.say(Severity::Warning, what);
    }
    on.statuses.sort_unstable();
    on.statuses.dedup();
    Some(on)
}

fn back_off(node: &Node<'_>) -> Option<(Duration, Duration)> {
    let object = node.object()?;
    let base = object.need("baseInterval").and_then(|it| positive(&it));
    let most = object.get("maxInterval").map_or(Some(None), |it| positive(&it).map(Some));
    object.finish(Unknown::Refuse);
    let (base, most) = (base?, most?);
    Some((base, most.unwrap_or(base.saturating_mul(GROWTH)).max(base)))
}

fn positive(node: &Node<'_>) -> Option<Duration> {
    let duration = node.proto_duration()?;
    if duration < Duration::from_millis(1) {
        node.refuse("expected 1ms or more");
        return None;
    }
    Some(duration)
}

fn per_priority(node: &Node<'_>) -> Option<u32> {
    let object = node.object()?;
    let frequency: Option<Node<'_>> = Object::get(&object, "updateFrequency");
    let frequency = frequency.map_or(Some(2), |it| it.number(1..=1000))?;
    object.finish(Unknown::Refuse);
    u32::try_from(frequency).ok()
}
