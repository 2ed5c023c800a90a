//! Budgets: what they count has to be countable, and somebody has to count.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Report;
use crate::budget::{Budget, Counts, HeaderMust, HeaderRule, NANOS, Part, Price, Sidecar, Source};
use crate::{Route, written};

/// The longest name, in bytes.
const NAME_BYTES: usize = 256;
/// The longest window: 365 days.
const MAX_WINDOW: u64 = 31_536_000;
/// The greatest number that can be counted: 2^53.
const MOST: u64 = 1 << 53;
/// The same, where numbers come with fractions.
const MOST_WRITTEN: f64 = 9_007_199_254_740_992.0;
/// How many tokens are reserved for an answer that nobody bounds.
const ESTIMATE: u64 = 1024;
/// What may be said about waiting for the sidecar, in milliseconds, and what holds where nothing is said.
const TIMEOUTS: std::ops::RangeInclusive<u64> = 1..=60_000;
const TIMEOUT: u64 = 500;
/// The dearest model, in dollars for a million tokens.
const MAX_PRICE: f64 = 1_000_000.0;

impl Report<'_> {
    pub(super) fn sidecar(&mut self, at: &str, it: written::Sidecar) -> Sidecar {
        if it.cluster.is_empty() {
            self.refuse(format!("{at}.cluster"), "the sidecar needs the host's name for its cluster");
        }
        let timeout = it.timeout_ms.unwrap_or(TIMEOUT);
        if !TIMEOUTS.contains(&timeout) {
            let what = format!("expected {} to {} milliseconds", TIMEOUTS.start(), TIMEOUTS.end());
            self.refuse(format!("{at}.timeoutMs"), what);
        }
        Sidecar {
            cluster: it.cluster,
            host: it.host.unwrap_or_else(|| "turnpike-sidecar".into()),
            timeout: Duration::from_millis(timeout),
        }
    }

    pub(super) fn prices(&mut self, written: BTreeMap<String, written::Price>) -> Vec<(String, Price)> {
        let price = |(name, it): (String, written::Price)| {
            let mut of = |field: &str, dollars: f64| {
                if !(0.0..=MAX_PRICE).contains(&dollars) {
                    let what = "expected dollars for a million tokens, 0 to 1000000";
                    self.refuse(format!("downstream.prices.{name}.{field}"), what);
                }
                whole(dollars * 1e6)
            };
            let price = Price {
                input: of("input", it.input),
                cached_input: of("cachedInput", it.cached_input.unwrap_or(it.input)),
                output: of("output", it.output),
            };
            (name, price)
        };
        written.into_iter().map(price).collect()
    }

    pub(super) fn budgets(&mut self, at: &str, written: Vec<written::Budget>) -> Vec<Budget> {
        for (i, it) in written.iter().enumerate() {
            if written.iter().take(i).any(|other| other.name == it.name) {
                let what = format!("there are two budgets `{}`, and a name has to tell them apart", it.name);
                self.refuse(format!("{at}[{i}].name"), what);
            }
        }
        written.into_iter().enumerate().map(|(i, it)| self.budget(&format!("{at}[{i}]"), it)).collect()
    }

    fn budget(&mut self, at: &str, it: written::Budget) -> Budget {
        if !(1..=NAME_BYTES).contains(&it.name.len()) || it.name.chars().any(char::is_control) {
            self.refuse(format!("{at}.name"), format!("expected 1 to {NAME_BYTES} bytes in one line"));
        }
        let window_seconds = it.per.seconds();
        if !(1..=MAX_WINDOW).contains(&window_seconds) {
            self.refuse(format!("{at}.per"), format!("expected 1 to {MAX_WINDOW} seconds"));
        }
        if it.estimate.is_some_and(|tokens| tokens > MOST) {
            self.refuse(format!("{at}.estimate"), format!("expected at most {MOST} tokens"));
        }
        if it.group.is_none() && (it.weight > 0 || it.always) {
            let what = "without `group` there is nothing that it could be heavier than";
            self.refuse(format!("{at}.weight"), what);
        }
        let key = it.key.into_iter().enumerate();
        Budget {
            max: self.max(&format!("{at}.max"), it.max, it.counts),
            name: it.name,
            counts: it.counts,
            window_seconds,
            window: it.window,
            key: key.filter_map(|(i, part)| self.part(&format!("{at}.key[{i}]"), part)).collect(),
            mode: it.mode,
            on_unavailable: it.on_unavailable,
            headers: it.headers,
            estimate: it.estimate.unwrap_or(ESTIMATE),
            max_from: it.max_from.map(|it| self.claim_path(&format!("{at}.maxFrom"), it)),
            group: it.group,
            weight: it.weight,
            always: it.always,
        }
    }

    fn max(&mut self, at: &str, max: f64, counts: Counts) -> u64 {
        let scaled = if counts == Counts::Cost { max * NANOS as f64 } else { max };
        if !(0.0..=MOST_WRITTEN).contains(&scaled) {
            self.refuse(at.to_owned(), "expected an amount that can be counted, 0 to 2^53");
        } else if counts != Counts::Cost && scaled.fract() != 0.0 {
            self.refuse(at.to_owned(), "expected a whole number: only costs have fractions");
        }
        whole(scaled)
    }

    fn part(&mut self, at: &str, it: written::Part) -> Option<Part> {
        let of = match it.of {
            written::Source::Claim(path) => Source::Claim(self.claim_path(&format!("{at}.of.claim"), path)),
            written::Source::Header(name) => {
                Source::Header(self.header_name(&format!("{at}.of.header"), &name))
            }
            written::Source::Address => Source::Address,
            written::Source::Route => Source::Route,
            written::Source::Provider => Source::Provider,
            written::Source::Model => Source::Model,
            written::Source::Text(text) => Source::Text(text),
            written::Source::Matching(it) => {
                let rules = it.headers.into_iter().enumerate();
                let rules: Vec<Option<HeaderRule>> = rules
                    .map(|(i, rule)| self.header_rule(&format!("{at}.of.matching.headers[{i}]"), rule))
                    .collect();
                let headers = rules.into_iter().collect::<Option<Vec<HeaderRule>>>()?;
                Source::Matching { value: it.value, headers, expect: it.expect }
            }
        };
        if it.is.is_some() && !it.unless.is_empty() {
            self.refuse(format!("{at}.unless"), "`is` and `unless` exclude each other");
        }
        Some(Part { of, default: it.default, is: it.is, unless: it.unless })
    }

    fn header_rule(&mut self, at: &str, it: written::HeaderRule) -> Option<HeaderRule> {
        let must = match it.must {
            written::HeaderMust::Equal(text) => HeaderMust::Equal(text),
            written::HeaderMust::Start(text) => HeaderMust::Start(text),
            written::HeaderMust::End(text) => HeaderMust::End(text),
            written::HeaderMust::Lie(from, to) => HeaderMust::Lie(from, to),
            written::HeaderMust::Exist(there) => HeaderMust::Exist(there),
            written::HeaderMust::Match(pattern) => {
                HeaderMust::Match(self.anchored(&format!("{at}.must.match"), &pattern)?)
            }
        };
        Some(HeaderRule { name: self.header_name(&format!("{at}.name"), &it.name), must, invert: it.invert })
    }

    /// Looks at budgets together with what they need of the gateway.
    pub(super) fn affordable(
        &mut self,
        routes: &[Route],
        sidecar: Option<&Sidecar>,
        prices: &[(String, Price)],
    ) {
        let priced = |model: &str| prices.iter().any(|(name, _)| name == "*" || name == model);
        for (i, route) in routes.iter().enumerate() {
            if let (Some(_), None) = (route.budgets.first(), sidecar) {
                let what = "budgets need `sidecar`, which holds their counters";
                self.refuse(format!("downstream.routes[{i}].budgets"), what);
            }
            let mut models = route.backends.iter().filter_map(|it| it.model.as_deref());
            let unpriced = models.find(|model| !priced(model));
            for (j, budget) in route.budgets.iter().enumerate().filter(|(_, it)| it.counts == Counts::Cost) {
                let at = format!("downstream.routes[{i}].budgets[{j}].counts");
                if prices.is_empty() {
                    self.refuse(at, format!("`{}` counts costs, and `prices` has none", budget.name));
                } else if let Some(model) = unpriced {
                    let what = format!("the route's model `{model}` has no price, nor has `*`");
                    self.refuse(at, what);
                }
            }
        }
    }
}

/// The whole number nearest to one that has been found to be in range.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is out of range has been refused"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
