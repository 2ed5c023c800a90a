//! `options.budgets`, which is ours: budgets with the fields that the plugin configuration has, written where they hold.

use std::collections::BTreeMap;

use policy::written::{
    self, Budget, BudgetMode, ClaimPath, Counts, HeaderMust, HeaderRule, Matching, OnUnavailable, Part,
    Period, Source, Unit, Window,
};

use crate::node::{At, Node, Unknown};

/// A budget, and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The budget.
    pub budget: Budget,
    /// Where it is written.
    pub at: At,
}

/// The longest window: 365 days.
const MAX_WINDOW: i64 = 31_536_000;
/// The greatest number that can be counted: 2^53.
const MOST: i64 = 1 << 53;

/// Reads the field.
pub fn read(node: &Node<'_>) -> Option<Vec<Placed>> {
    let placed = node.each(|it| Some(Placed { budget: budget(it)?, at: it.at() }))?;
    let problems = refused(placed.iter().map(|it| it.budget.clone()).collect());
    for (path, what) in &problems {
        node.find(path).refuse(what);
    }
    problems.is_empty().then_some(placed)
}

/// What the module would refuse of budgets, whatever gateway they are of, and where below the list.
fn refused(budgets: Vec<Budget>) -> Vec<(String, String)> {
    let route = written::Route {
        name: "r".into(),
        matches: Vec::new(),
        rewrite: None,
        target: None,
        passthrough: false,
        backends: Vec::new(),
        failover: None,
        jwt: Vec::new(),
        rbac: None,
        budgets,
        enrich: None,
        guard: None,
    };
    let free = written::Price { input: 0.0, cached_input: None, output: 0.0 };
    let gateway = written::Gateway {
        routes: vec![route],
        jwt_providers: BTreeMap::new(),
        sidecar: Some(written::Sidecar { cluster: "s".into(), host: None, timeout_ms: None }),
        prices: BTreeMap::from([("*".into(), free)]),
        max_request_bytes: None,
        metric_labels: Vec::new(),
        access_log: None,
        unmatched: written::Unmatched::Refuse,
    };
    let problems = policy::Plugin::check(written::Plugin::Downstream(gateway), &|_| None).err();
    let problems = problems.unwrap_or_default().into_iter();
    let below = |path: &str| path.strip_prefix("downstream.routes[0].budgets").unwrap_or(path).to_owned();
    problems.map(|it| (below(&it.path), it.what)).collect()
}

/// Says what is wrong with the source of a part, if anything is.
pub fn sound(node: &Node<'_>, of: Source) -> Option<Source> {
    let part = Part { of: of.clone(), default: None, is: None, unless: Vec::new() };
    let problems = refused(vec![requests("b".into(), vec![part])]);
    for (_, what) in &problems {
        node.refuse(what);
    }
    problems.is_empty().then_some(of)
}

/// A budget of no requests at all, to be changed.
pub fn requests(name: String, key: Vec<Part>) -> Budget {
    Budget {
        name,
        counts: Counts::Requests,
        max: 0.0,
        per: Period::Unit(Unit::Second),
        window: Window::Fixed,
        key,
        mode: BudgetMode::Enforce,
        on_unavailable: OnUnavailable::Deny,
        headers: false,
        estimate: None,
        max_from: None,
        group: None,
        weight: 0,
        always: false,
    }
}

fn budget(node: &Node<'_>) -> Option<Budget> {
    let object = node.object()?;
    let name = object.name("name");
    let counts = object.need("counts").and_then(|it| counts(&it));
    let max = object.need("max").and_then(|it| it.amount());
    let per = object.need("per").and_then(|it| period(&it));
    let window = object.optional("window", |it| it.choice_or(&[], &["fixed", "sliding"]));
    let key = object.each("key", part);
    let mode = object.optional("mode", |it| it.choice_or(&[], &["enforce", "monitor"]));
    let on_unavailable = object.optional("onUnavailable", |it| it.choice_or(&[], &["deny", "allow"]));
    let headers = object.flag("headers");
    let estimate = object.optional("estimate", |it| it.number(0..=MOST));
    let max_from = object.optional("maxFrom", claim_path);
    let group = object.optional("group", Node::text);
    let weight = object.optional("weight", |it| it.number(0..=i64::from(u32::MAX)));
    let always = object.flag("always");
    object.finish(Unknown::Refuse);
    Some(Budget {
        name: name?,
        counts: counts?,
        max: max?,
        per: per?,
        window: if window? == Some("sliding") { Window::Sliding } else { Window::Fixed },
        key: key?,
        mode: if mode? == Some("monitor") { BudgetMode::Monitor } else { BudgetMode::Enforce },
        on_unavailable: match on_unavailable? {
            Some("allow") => OnUnavailable::Allow,
            _ => OnUnavailable::Deny,
        },
        headers: headers?,
        estimate: estimate?.and_then(|it| u64::try_from(it).ok()),
        max_from: max_from?,
        group: group?,
        weight: weight?.and_then(|it| u32::try_from(it).ok()).unwrap_or(0),
        always: always?,
    })
}

fn counts(node: &Node<'_>) -> Option<Counts> {
    let names = ["requests", "prompt", "input", "output", "total", "cost"];
    Some(match node.choice_or(&[], &names)? {
        "requests" => Counts::Requests,
        "prompt" => Counts::Prompt,
        "input" => Counts::Input,
        "output" => Counts::Output,
        "total" => Counts::Total,
        // `choice_or` gives no other.
        _ => Counts::Cost,
    })
}

fn period(node: &Node<'_>) -> Option<Period> {
    if !node.is_text() {
        let seconds = node.number(1..=MAX_WINDOW)?;
        return u64::try_from(seconds).ok().map(Period::Seconds);
    }
    let names = ["second", "minute", "hour", "day", "week", "month", "year"];
    node.choice_or(&[], &names).and_then(Unit::named).map(Period::Unit)
}

fn claim_path(node: &Node<'_>) -> Option<ClaimPath> {
    if node.is_text() {
        return node.text().map(ClaimPath::Name);
    }
    node.each(Node::text).map(ClaimPath::Nested)
}

fn part(node: &Node<'_>) -> Option<Part> {
    let object = node.object()?;
    let of = object.need("of").and_then(|it| source(&it));
    let default = object.optional("default", Node::text);
    let is = object.optional("is", Node::text);
    let unless = object.each("unless", Node::text);
    object.finish(Unknown::Refuse);
    Some(Part { of: of?, default: default?, is: is?, unless: unless? })
}

fn source(node: &Node<'_>) -> Option<Source> {
    if node.is_text() {
        return Some(match node.choice_or(&[], &["address", "route", "provider", "model"])? {
            "address" => Source::Address,
            "route" => Source::Route,
            "provider" => Source::Provider,
            // `choice_or` gives no other.
            _ => Source::Model,
        });
    }
    let object = node.object()?;
    let names = ["claim", "header", "text", "matching"];
    let mut found: Vec<(&str, Node<'_>)> =
        names.into_iter().filter_map(|name| Some((name, object.get(name)?))).collect();
    object.finish(Unknown::Refuse);
    match (found.pop(), found.is_empty()) {
        (Some(("claim", it)), true) => claim_path(&it).map(Source::Claim),
        (Some(("header", it)), true) => it.text().map(Source::Header),
        (Some(("text", it)), true) => it.text().map(Source::Text),
        (Some((_, it)), true) => matching(&it).map(Source::Matching),
        _ => {
            node.refuse(
                "expected one of claim, header, text and matching, or address, route, provider or model",
            );
            None
        }
    }
}

fn matching(node: &Node<'_>) -> Option<Matching> {
    let object = node.object()?;
    let value = object.need("value").and_then(|it| it.text());
    let headers = object.each("headers", header_rule);
    let expect = object.optional("expect", Node::truth);
    object.finish(Unknown::Refuse);
    Some(Matching { value: value?, headers: headers?, expect: expect?.unwrap_or(true) })
}

fn header_rule(node: &Node<'_>) -> Option<HeaderRule> {
    let object = node.object()?;
    let name = object.need("name").and_then(|it| it.text());
    let must = object.need("must").and_then(|it| header_must(&it));
    let invert = object.flag("invert");
    object.finish(Unknown::Refuse);
    Some(HeaderRule { name: name?, must: must?, invert: invert? })
}

fn header_must(node: &Node<'_>) -> Option<HeaderMust> {
    let object = node.object()?;
    let names = ["equal", "match", "start", "end", "lie", "exist"];
    let mut found: Vec<(&str, Node<'_>)> =
        names.into_iter().filter_map(|name| Some((name, object.get(name)?))).collect();
    object.finish(Unknown::Refuse);
    match (found.pop(), found.is_empty()) {
        (Some(("equal", it)), true) => it.text().map(HeaderMust::Equal),
        (Some(("match", it)), true) => it.text().map(HeaderMust::Match),
        (Some(("start", it)), true) => it.text().map(HeaderMust::Start),
        (Some(("end", it)), true) => it.text().map(HeaderMust::End),
        (Some(("lie", it)), true) => range(&it),
        (Some((_, it)), true) => it.truth().map(HeaderMust::Exist),
        _ => {
            node.refuse(format!("expected one of {}", names.join(", ")));
            None
        }
    }
}

fn range(node: &Node<'_>) -> Option<HeaderMust> {
    match node.each(|it| it.number(i64::MIN..=i64::MAX))?.as_slice() {
        [from, to] => Some(HeaderMust::Lie(*from, *to)),
        _ => {
            node.refuse("expected two numbers: the first that fits and the first that fits no longer");
            None
        }
    }
}
