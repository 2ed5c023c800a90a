//! `RateLimitConfig` (ratelimit.solo.io/v1alpha1): descriptors say how much there is for which values, and the actions of
//! `rateLimits` where the values come from. `Settings` and options hold the same two, each one of them.

use policy::written::{Period, Unit};

use crate::node::{At, Node, Object, Unknown};

mod action;
mod entry;

pub use action::{Action, Of};
pub use entry::{Entry, entry};

/// Limits, and what leads to them.
#[derive(Debug, Clone, Default)]
pub struct RateLimitConfig {
    /// The limits.
    pub rules: Rules,
    /// What leads to them.
    pub entries: Vec<Entry>,
}

/// How much there is for which values.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// For values in an order.
    pub descriptors: Vec<Descriptor>,
    /// For values in any order: the first that fits.
    pub sets: Vec<SetRule>,
}

/// A value, and how much there is for it.
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// Whose value it is.
    pub key: String,
    /// The value; any that no descriptor beside it names, if absent.
    pub value: Option<String>,
    /// How much there is.
    pub limit: Option<Limit>,
    /// What holds for a value that follows.
    pub inner: Vec<Descriptor>,
    /// How heavy its limits are.
    pub weight: Option<u32>,
    /// Whether they count however heavy others are.
    pub always: bool,
    /// Where it is written.
    pub at: At,
}

/// Values, and how much there is for them.
#[derive(Debug, Clone)]
pub struct SetRule {
    /// Whose values they are, and which; any if absent.
    pub parts: Vec<(String, Option<String>)>,
    /// How much there is.
    pub limit: Limit,
    /// Whether it counts also where a rule before it fits.
    pub always: bool,
    /// Where it is written.
    pub at: At,
}

/// How much there is in which time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// How much.
    pub max: f64,
    /// In which time.
    pub per: Period,
}

impl Rules {
    /// Whether there is any limit.
    pub fn limit_anything(&self) -> bool {
        fn any(all: &[Descriptor]) -> bool {
            all.iter().any(|it| it.limit.is_some() || any(&it.inner))
        }
        !self.sets.is_empty() || any(&self.descriptors)
    }
}

/// The units by their numbers.
const UNITS: [&str; 8] = ["UNKNOWN", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "YEAR", "WEEK"];

/// Reads a spec.
pub fn read(spec: &Node<'_>) -> Option<RateLimitConfig> {
    let spec = spec.object()?;
    let raw = spec.need("raw");
    spec.finish(Unknown::Refuse);
    let raw = raw?.object()?;
    let rules = rules(&raw);
    let entries = raw.each("rateLimits", entry);
    raw.finish(Unknown::Refuse);
    Some(RateLimitConfig { rules: rules?, entries: entries? })
}

/// Reads `descriptors` and `setDescriptors`.
pub fn rules(object: &Object<'_>) -> Option<Rules> {
    let descriptors = object.get("descriptors").map_or(Some(Vec::new()), |it| descriptors(&it));
    let sets = object.each("setDescriptors", set_rule);
    Some(Rules { descriptors: descriptors?, sets: sets? })
}

/// Reads `{unit, requestsPerUnit}`.
pub fn limit(node: &Node<'_>) -> Option<Limit> {
    let object = node.object()?;
    let unit = object.need("unit").and_then(|it| unit(&it));
    let max = object.need("requestsPerUnit").and_then(|it| it.number(0..=i64::from(u32::MAX)));
    object.finish(Unknown::Refuse);
    let max = u32::try_from(max?).ok()?;
    Some(Limit { max: f64::from(max), per: Period::Unit(unit?) })
}

fn unit(node: &Node<'_>) -> Option<Unit> {
    let unit = Unit::named(&node.choice_any_case(&UNITS)?.to_ascii_lowercase());
    if unit.is_none() {
        node.refuse("UNKNOWN is no unit, expected SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR");
    }
    unit
}

fn descriptors(node: &Node<'_>) -> Option<Vec<Descriptor>> {
    let all = node.each(descriptor)?;
    let mut twice = false;
    for (i, it) in all.iter().enumerate() {
        if all.iter().take(i).any(|other| (&other.key, &other.value) == (&it.key, &it.value)) {
            node.find(&format!("[{i}]")).refuse("a descriptor with this key and value stands here already");
            twice = true;
        }
    }
    (!twice).then_some(all)
}

fn descriptor(node: &Node<'_>) -> Option<Descriptor> {
    let object = node.object()?;
    let key = object.name("key");
    let value = object.filled("value");
    let limit = object.optional("rateLimit", limit);
    let inner = object.get("descriptors").map_or(Some(Vec::new()), |it| descriptors(&it));
    let weight = object.optional("weight", |it| it.number(0..=i64::from(u32::MAX)));
    let always = object.flag("alwaysApply");
    object.finish(Unknown::Refuse);
    Some(Descriptor {
        key: key?,
        value: value?,
        limit: limit?,
        inner: inner?,
        weight: weight?.and_then(|it| u32::try_from(it).ok()),
        always: always?,
        at: node.at(),
    })
}

fn set_rule(node: &Node<'_>) -> Option<SetRule> {
    let object = node.object()?;
    let parts = object.each("simpleDescriptors", simple_descriptor);
    let limit = object.need("rateLimit").and_then(|it| limit(&it));
    let always = object.flag("alwaysApply");
    object.finish(Unknown::Refuse);
    Some(SetRule { parts: parts?, limit: limit?, always: always?, at: node.at() })
}

fn simple_descriptor(node: &Node<'_>) -> Option<(String, Option<String>)> {
    let object = node.object()?;
    let (key, value) = (object.name("key"), object.filled("value"));
    object.finish(Unknown::Refuse);
    Some((key?, value?))
}
