//! What a client is told of budgets.

use policy::budget::{Budget, Counts, NANOS, unit};
use sidecar_api::State;

use super::holding::Holding;
use crate::reply::{Reason, Reply};

/// Who is told to come back in more than a minute is better told not to come back by itself.
const LONGEST_RETRY: u64 = 60;

/// A budget is used up, or what is left of it is too little. `needs` is what the request takes for certain, where that is
/// known.
pub fn exceeded(budget: &Budget, holding: &Holding, remaining: u64, reset: u64, needs: Option<u64>) -> Reply {
    let Budget { name, counts, .. } = budget;
    let (all, left) = (amount(*counts, holding.max), amount(*counts, remaining));
    let window = window(holding.window_seconds);
    let hopeless = needs.filter(|needs| *needs > holding.max);
    let mut message = format!("the budget `{name}` allows {all} {} per {window}", unit(*counts));
    message.push_str(&match (hopeless, needs) {
        (Some(needs), _) => format!(", and this request alone takes {}", amount(*counts, needs)),
        (None, Some(needs)) => {
            format!(
                ": {left} are left, this request takes {}; it resets in {reset} s",
                amount(*counts, needs)
            )
        }
        (None, None) => format!(": {left} are left for this request; it resets in {reset} s"),
    });
    let state = State {
        name: name.clone(),
        max: holding.max,
        remaining,
        reset_seconds: reset,
        exceeded: true,
        spent: false,
    };
    let mut headers = shown(&[(budget, holding, &state)]);
    headers.push(("x-envoy-ratelimited", "true".to_owned()));
    headers.push(match hopeless {
        None if reset <= LONGEST_RETRY => ("retry-after", reset.max(1).to_string()),
        // SDKs heed it, and would otherwise try again at once.
        _ => ("x-should-retry", "false".to_owned()),
    });
    Reply::new(429, Reason::BudgetExceeded, message).with(headers)
}

/// Nobody can say whether a budget is used up, and the policy then lets nobody pass.
pub fn unavailable(budget: &Budget) -> Reply {
    let message = format!("the budget `{}` cannot be looked at now", budget.name);
    Reply::new(503, Reason::BudgetUnavailable, message).with(vec![("retry-after", "1".to_owned())])
}

/// Costs are counted, and nobody has said what this model costs.
pub fn unpriced(model: Option<&str>) -> Reply {
    let model = model.map_or_else(|| "what is asked for".to_owned(), |it| format!("the model `{it}`"));
    Reply::new(403, Reason::ModelUnpriced, format!("{model} has no price, and this route counts costs"))
}

/// How budgets stand, the scarcest first: as Envoy's rate limit filter writes it.
pub fn shown(states: &[(&Budget, &Holding, &State)]) -> Vec<(&'static str, String)> {
    let scarce = |(_, _, it): &&(&Budget, &Holding, &State)| {
        // Their ratio without fractions.
        it.remaining.saturating_mul(1 << 20).checked_div(it.max).unwrap_or(0)
    };
    let Some((budget, _, first)) = states.iter().min_by_key(scarce) else { return Vec::new() };
    let policies: String =
        states.iter().map(|(_, held, it)| format!(", {};w={}", it.max, held.window_seconds)).collect();
    let number =
        |it: u64| if budget.counts == Counts::Cost { amount(budget.counts, it) } else { it.to_string() };
    vec![
        ("x-ratelimit-limit", format!("{}{policies}", number(first.max))),
        ("x-ratelimit-remaining", number(first.remaining)),
        ("x-ratelimit-reset", first.reset_seconds.to_string()),
    ]
}

/// An amount for a person: dollars to the millionth.
fn amount(counts: Counts, amount: u64) -> String {
    if counts != Counts::Cost {
        return amount.to_string();
    }
    let text = format!("{}.{:06}", amount / NANOS, amount % NANOS / 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn window(seconds: u64) -> String {
    match seconds {
        1 => "second".into(),
        60 => "minute".into(),
        3600 => "hour".into(),
        86_400 => "day".into(),
        604_800 => "week".into(),
        2_592_000 => "30 days".into(),
        31_536_000 => "year".into(),
        other => format!("{other} seconds"),
    }
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
