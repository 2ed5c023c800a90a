//! From descriptors and the actions that lead to them to budgets: one for each limit and each entry of `rateLimits` that
//! can lead to it.
//!
//! Gloo looks a tuple of values up level by level, and takes on each the descriptor with the value before the one without.
//! So the path to a limit is a key: a part `is` what its descriptor says, or is anything `unless` a descriptor beside it
//! says so.

use policy::written::{Budget, OnUnavailable, Part, Source};

use crate::kinds::budgets::{Placed, requests};
use crate::kinds::rate_limit::{Action, Descriptor, Entry, Limit, Of, Rules, SetRule};
use crate::kinds::settings::Server;
use crate::node::At;
use crate::problem::{Severity, did_you_mean};

/// Limits, by whose name budgets are called, and how they are enforced.
pub(super) struct Limiter<'l> {
    /// `namespace/name` of the resource.
    pub name: String,
    /// Its limits.
    pub rules: &'l Rules,
    /// How they are enforced.
    pub server: Server,
}

/// A limit in a tree of descriptors, and the way there.
struct Leaf<'l> {
    path: Vec<Level<'l>>,
    limit: Limit,
    weight: u32,
    always: bool,
    at: &'l At,
}

/// A descriptor on the way.
#[derive(Clone)]
struct Level<'l> {
    key: &'l str,
    value: Option<&'l str>,
    /// Values of the descriptors beside it.
    rivals: Vec<&'l str>,
}

/// Names by the numbers of limits, which are the same on every route. A limit that several entries lead to is a budget for
/// each of them.
struct Names<'l> {
    of: &'l str,
    /// How many have led to each limit.
    ways: Vec<usize>,
}

/// What is to be said of rules and entries.
pub(super) type Complaint = (Severity, At, String);

impl Limiter<'_> {
    /// The budgets that entries lead to on a route whose first backend is of this cluster.
    pub(super) fn budgets(&self, entries: &[&Entry], cluster: &str) -> Vec<Placed> {
        let leaves = leaves(self.rules);
        let all = leaves.len() + self.rules.sets.len();
        let weighed = leaves.iter().any(|it| it.weight > 0 || it.always);
        let mut budgets = Vec::new();
        let mut names = Names { of: &self.name, ways: vec![0; all] };
        for (i, entry) in entries.iter().enumerate() {
            for (number, leaf) in
                leaves.iter().enumerate().filter(|(_, leaf)| tuple(entry, leaf, None).is_some())
            {
                let name = names.next(number);
                let Some(key) = tuple(entry, leaf, Some(cluster)) else { continue };
                let group = weighed.then(|| self.name.clone());
                let budget =
                    Budget { group, weight: leaf.weight, always: leaf.always, ..requests(name, key) };
                budgets.push(self.placed(budget, leaf.limit, entry, leaf.at));
            }
            let rules =
                self.rules.sets.iter().enumerate().filter(|(_, rule)| set(entry, rule, None).is_some());
            for (index, rule) in rules {
                let name = names.next(leaves.len() + index);
                let Some(key) = set(entry, rule, Some(cluster)) else { continue };
                let budget = Budget {
                    group: Some(format!("{}/sets/{}", self.name, i + 1)),
                    // The first that fits is the heaviest.
                    weight: u32::try_from(self.rules.sets.len() - index).unwrap_or(u32::MAX),
                    always: rule.always,
                    ..requests(name, key)
                };
                budgets.push(self.placed(budget, rule.limit, entry, &rule.at));
            }
        }
        budgets
    }

    fn placed(&self, budget: Budget, limit: Limit, entry: &Entry, at: &At) -> Placed {
        let on_unavailable =
            if self.server.deny_on_fail { OnUnavailable::Deny } else { OnUnavailable::Allow };
        let budget = Budget {
            counts: entry.counts,
            max: limit.max,
            per: limit.per,
            max_from: entry.max_from.clone(),
            on_unavailable,
            headers: self.server.headers,
            ..budget
        };
        Placed { budget, at: at.clone() }
    }
}

impl Names<'_> {
    fn next(&mut self, number: usize) -> String {
        let mut name = self.of.to_owned();
        if self.ways.len() > 1 {
            name += &format!("/{}", number + 1);
        }
        if let Some(ways) = self.ways.get_mut(number) {
            *ways += 1;
            if *ways > 1 {
                name += &format!("#{ways}");
            }
        }
        name
    }
}

/// What is to be said of entries that lead nowhere, or where others lead too.
pub(super) fn of_entries(rules: &Rules, entries: &[&Entry]) -> Vec<Complaint> {
    let (leaves, mut said) = (leaves(rules), Vec::new());
    let mut reached = vec![false; leaves.len() + rules.sets.len()];
    for entry in entries {
        let tuples = leaves.iter().map(|leaf| tuple(entry, leaf, None).is_some());
        let sets = rules.sets.iter().map(|rule| set(entry, rule, None).is_some());
        let hits: Vec<bool> = tuples.chain(sets).collect();
        if reached.iter().zip(&hits).any(|(before, now)| *before && *now) {
            let what =
                "leads to a limit that an entry before it leads to as well: each of them counts on its own";
            said.push((Severity::Warning, entry.at.clone(), what.to_owned()));
        }
        reached.iter_mut().zip(&hits).for_each(|(before, now)| *before |= now);
        let (tuples, sets) = hits.split_at_checked(leaves.len()).unwrap_or_default();
        if !entry.actions.is_empty() && !tuples.contains(&true) {
            said.push(lost_tuple(rules, entry));
        }
        if !entry.sets.is_empty() && !sets.contains(&true) {
            let what =
                "leads to no limit: no set descriptor has only keys and values that its `setActions` yield";
            said.push((Severity::Warning, entry.at.clone(), what.to_owned()));
        }
        said.extend(rules.sets.iter().filter_map(|rule| doubtful(entry, rule)));
    }
    said
}

/// What is to be said of limits that no entry leads to.
pub(super) fn of_limits(rules: &Rules, entries: &[&Entry]) -> Vec<Complaint> {
    let leaves = leaves(rules);
    let lost = leaves.iter().filter(|leaf| !entries.iter().any(|it| tuple(it, leaf, None).is_some()));
    let lost_sets = rules.sets.iter().filter(|rule| !entries.iter().any(|it| set(it, rule, None).is_some()));
    let all = lost.map(|it| it.at).chain(lost_sets.map(|it| &it.at));
    let what = "this limit never holds: no entry of `rateLimits` leads here";
    all.map(|at| (Severity::Warning, at.clone(), what.to_owned())).collect()
}

fn lost_tuple(rules: &Rules, entry: &Entry) -> Complaint {
    let keys: Vec<String> = entry.actions.iter().map(|it| format!("`{}`", it.key)).collect();
    let first = entry.actions.first().map_or("", |it| it.key.as_str());
    let known = || rules.descriptors.iter().map(|it| it.key.as_str());
    let hint = if known().any(|it| it == first) { String::new() } else { did_you_mean(first, known()) };
    let what =
        format!("leads to no limit: no descriptor for {} has a `rateLimit`{hint}", keys.join(" and in it "));
    if entry.max_from.is_some() {
        let what = format!("{what}; `limit` needs one, which holds for callers without that claim");
        return (Severity::Error, entry.at.clone(), what);
    }
    (Severity::Warning, entry.at.clone(), what)
}

/// Says where it cannot be known which of an entry's values a rule means.
fn doubtful(entry: &Entry, rule: &SetRule) -> Option<Complaint> {
    set(entry, rule, None)?;
    let (key, _) = rule.parts.iter().find(|it| of_set(entry, it, None).count() > 1)?;
    let what = format!(
        "more than one of its `setActions` yields a `{key}` that fits one set descriptor: make an entry of each"
    );
    Some((Severity::Error, entry.at.clone(), what))
}

/// The limits of a tree, in the order in which they are written.
fn leaves(rules: &Rules) -> Vec<Leaf<'_>> {
    let mut leaves = Vec::new();
    descend(&rules.descriptors, &[], (0, false), &mut leaves);
    leaves
}

fn descend<'l>(
    all: &'l [Descriptor],
    above: &[Level<'l>],
    (weight, always): (u32, bool),
    leaves: &mut Vec<Leaf<'l>>,
) {
    for it in all {
        let rivals = all.iter().filter(|other| it.value.is_none() && other.key == it.key);
        let level = Level {
            key: &it.key,
            value: it.value.as_deref(),
            rivals: rivals.filter_map(|other| other.value.as_deref()).collect(),
        };
        let path = [above, &[level]].concat();
        let (weight, always) = (it.weight.unwrap_or(weight), it.always || always);
        if let Some(limit) = it.limit {
            leaves.push(Leaf { path: path.clone(), limit, weight, always, at: &it.at });
        }
        descend(&it.inner, &path, (weight, always), leaves);
    }
}

/// The key of the budget that an entry's values lead to at a limit; none if they never do. Without a cluster: whether they
/// do on some route.
fn tuple(entry: &Entry, leaf: &Leaf<'_>, cluster: Option<&str>) -> Option<Vec<Part>> {
    if entry.actions.len() != leaf.path.len() {
        return None;
    }
    let level = |(action, level): (&Action, &Level<'_>)| {
        (action.key == level.key).then(|| part(action, level.value, &level.rivals, cluster)).flatten()
    };
    entry.actions.iter().zip(&leaf.path).map(level).collect()
}

/// The same for a rule whose values may come in any order, and among others.
fn set(entry: &Entry, rule: &SetRule, cluster: Option<&str>) -> Option<Vec<Part>> {
    if entry.sets.is_empty() {
        return None;
    }
    rule.parts.iter().map(|it| of_set(entry, it, cluster).next()).collect()
}

fn of_set<'e>(
    entry: &'e Entry,
    (key, value): &'e (String, Option<String>),
    cluster: Option<&'e str>,
) -> impl Iterator<Item = Part> + 'e {
    let yielding = entry.sets.iter().filter(move |action| action.key == *key);
    yielding.filter_map(move |action| part(action, value.as_deref(), &[], cluster))
}

/// The part of a key that an action's value is, where it has to be this value, or any but these. What is always the same
/// either fits always or never.
fn part(action: &Action, value: Option<&str>, rivals: &[&str], cluster: Option<&str>) -> Option<Part> {
    let of = match (&action.of, cluster) {
        (Of::Request(of), _) => of.clone(),
        (Of::DestinationCluster, Some(cluster)) => Source::Text(cluster.to_owned()),
        // It may be any on some route.
        (Of::DestinationCluster, None) => Source::Route,
    };
    let only = match &of {
        Source::Text(text) => Some(text.as_str()),
        Source::Matching(it) => Some(it.value.as_str()),
        Source::Claim(_)
        | Source::Header(_)
        | Source::Address
        | Source::Route
        | Source::Provider
        | Source::Model => None,
    };
    if let Some(only) = only {
        let fits = value.map_or(!rivals.contains(&only), |it| it == only);
        return fits.then(|| Part { of, default: None, is: None, unless: Vec::new() });
    }
    Some(Part {
        of,
        default: action.default.clone(),
        is: value.map(str::to_owned),
        unless: rivals.iter().map(|it| (*it).to_owned()).collect(),
    })
}

#[cfg(test)]
#[path = "rules_tests.rs"]
pub(super) mod tests;
