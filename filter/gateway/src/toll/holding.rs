//! Which budgets hold for a request, and whose counters they are.

use policy::budget::{Budget, Counts, HeaderMust, HeaderRule, Part, Price, Source, Unit};
use policy::{Gateway, Route};
use serde_json::Value;

use crate::access::{Caller, plain};
use crate::event::Arrival;
use crate::headers::Headers;

/// What budgets look at of a request's headers and its caller, kept until the body has come.
#[derive(Debug)]
pub struct Facts {
    /// For each budget, each part of its key.
    values: Vec<Vec<Fact>>,
    /// For each budget, another maximum and window that the caller's token says.
    maxima: Vec<Option<(u64, u64)>>,
    /// What ties traces together.
    pub trace: Option<String>,
    /// Whether the request has no body, so that no model reads or writes anything for it.
    pub bare: bool,
}

/// The value of a part of a key, as far as the headers tell.
#[derive(Debug)]
enum Fact {
    Absent,
    Known(String),
    /// The provider that is asked first.
    Provider,
    /// The model that is asked for.
    Model,
}

/// A budget that holds for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Index into the budgets of the route.
    pub budget: usize,
    /// Whose counter it is.
    pub key: String,
    /// How much there is in a window, in the budget's unit.
    pub max: u64,
    /// The window's length.
    pub window_seconds: u64,
}

impl Facts {
    /// Nothing where the route has no budgets.
    pub fn of(route: &Route, caller: &Caller, arrival: &Arrival<'_>) -> Option<Facts> {
        if route.budgets.is_empty() {
            return None;
        }
        let (headers, address) = (arrival.headers, arrival.address);
        let fact = |part: &Part| match &part.of {
            Source::Claim(path) => known(caller.claim(path).and_then(plain).map(Into::into)),
            Source::Header(name) => known(headers.get(name).map(str::to_owned)),
            Source::Address => known(address.map(|it| without_port(it).to_owned())),
            Source::Route => Fact::Known(route.name.clone()),
            Source::Provider => Fact::Provider,
            Source::Model => Fact::Model,
            Source::Text(text) => Fact::Known(text.clone()),
            Source::Matching { value, headers: rules, expect } => {
                let all = rules.iter().all(|rule| fits(rule, headers));
                known((all == *expect).then(|| value.clone()))
            }
        };
        let values = route.budgets.iter().map(|it| it.key.iter().map(fact).collect());
        let maxima = route.budgets.iter().map(|it| another_max(caller.claim(it.max_from.as_ref()?)?));
        let trace = headers.get("traceparent").map(str::to_owned);
        Some(Facts { values: values.collect(), maxima: maxima.collect(), trace, bare: arrival.end })
    }
}

/// The budgets that hold for a request that goes to this provider and model first.
pub fn holding(
    budgets: &[Budget],
    facts: &Facts,
    provider: Option<&str>,
    model: Option<&str>,
) -> Vec<Holding> {
    let held = |(index, budget): (usize, &Budget)| {
        let values = facts.values.get(index)?;
        let mut key = String::new();
        for (part, fact) in budget.key.iter().zip(values) {
            let value = match fact {
                Fact::Absent => None,
                Fact::Known(text) => Some(text.as_str()),
                Fact::Provider => provider,
                Fact::Model => model,
            };
            let value = value.or(part.default.as_deref())?;
            let only = part.is.as_ref().is_none_or(|it| it == value);
            if !only || part.unless.iter().any(|it| it == value) {
                return None;
            }
            // With their lengths, so that no two lists of values look alike.
            key.push_str(&format!("{}:{value}", value.len()));
        }
        let said = facts.maxima.get(index).copied().flatten();
        let (max, window_seconds) = said.unwrap_or((budget.max, budget.window_seconds));
        Some(Holding { budget: index, key, max, window_seconds })
    };
    let mut all: Vec<Holding> = budgets.iter().enumerate().filter_map(held).collect();
    let of = |it: &Holding| budgets.get(it.budget);
    let counts = |it: &Holding| {
        let Some(budget) = of(it) else { return false };
        let lighter = |other: &Holding| {
            of(other).is_some_and(|other| other.group == budget.group && other.weight > budget.weight)
        };
        budget.group.is_none() || budget.always || !all.iter().any(lighter)
    };
    let kept: Vec<bool> = all.iter().map(counts).collect();
    let mut kept = kept.into_iter();
    all.retain(|_| kept.next().unwrap_or(true));
    all
}

/// What a model costs, where any of these budgets counts it.
///
/// # Errors
/// The model has no price.
pub fn price(
    policy: &Gateway,
    budgets: &[Budget],
    holding: &[Holding],
    model: Option<&str>,
) -> Result<Option<Price>, ()> {
    let costs = |it: &Holding| budgets.get(it.budget).is_some_and(|it| it.counts == Counts::Cost);
    if !holding.iter().any(costs) {
        return Ok(None);
    }
    policy.price(model.unwrap_or_default()).copied().map(Some).ok_or(())
}

fn known(value: Option<String>) -> Fact {
    value.map_or(Fact::Absent, Fact::Known)
}

/// `{"requests_per_unit": 10, "unit": "HOUR"}`, as maximum and seconds.
fn another_max(value: &Value) -> Option<(u64, u64)> {
    let field = |snake: &str, camel: &str| value.get(snake).or_else(|| value.get(camel));
    let max = field("requests_per_unit", "requestsPerUnit")?.as_u64()?;
    let unit = Unit::named(&value.get("unit")?.as_str()?.to_ascii_lowercase())?;
    (max <= sidecar_api::MOST).then(|| (max, unit.seconds()))
}

/// `192.0.2.1:80` and `[2001:db8::1]:80` have a port.
fn without_port(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') || !host.contains(':') => {
            host.trim_start_matches('[').trim_end_matches(']')
        }
        _ => address,
    }
}

/// A header that is not there fits nothing but a rule about that, as in Envoy.
fn fits(rule: &HeaderRule, headers: &Headers<'_>) -> bool {
    if let HeaderMust::Exist(there) = rule.must {
        return (headers.has(&rule.name) == there) != rule.invert;
    }
    let Some(value) = headers.get(&rule.name) else { return false };
    let fits = match &rule.must {
        HeaderMust::Equal(text) => value == text,
        HeaderMust::Match(regex) => regex.is_match(value),
        HeaderMust::Start(text) => value.starts_with(text),
        HeaderMust::End(text) => value.ends_with(text),
        HeaderMust::Lie(from, to) => value.parse().is_ok_and(|it: i64| (*from..*to).contains(&it)),
        HeaderMust::Exist(_) => true,
    };
    fits != rule.invert
}

#[cfg(test)]
#[path = "holding_tests.rs"]
mod tests;
