//! The options that say how much of what may be used: our `budgets`, and what Gloo calls rate limits, which are written
//! where they hold (`ratelimitBasic`), in RateLimitConfigs (`rateLimitConfigs`) or in Settings (`ratelimit`).

use super::budgets::{self, Placed};
use super::options::{For, Written, fill, once};
use super::rate_limit::{self, Entry, Limit};
use crate::node::{At, Node, Unknown};
use crate::problem::{Report, Severity};

/// How much of what may be used. Each counts as a whole when several resources meet.
#[derive(Debug, Default, Clone)]
pub struct Limits {
    /// Our own budgets.
    pub budgets: Option<Written<Vec<Placed>>>,
    /// What is asked before, while and after it is asked who is calling. Here all of it is asked after that.
    pub stages: [Option<Written<Asked>>; 3],
    /// Limits for those who are known and those who are not.
    pub basic: Option<Written<Basic>>,
}

/// Where limits are written.
#[derive(Debug, Clone)]
pub enum Asked {
    /// In these RateLimitConfigs.
    Configs(Vec<ConfigRef>),
    /// In Settings.
    Settings {
        /// What leads to them.
        entries: Vec<Entry>,
        /// Whether what a virtual host asks counts too.
        include_host: bool,
    },
}

/// A RateLimitConfig by its name.
#[derive(Debug, Clone)]
pub struct ConfigRef {
    /// Its name.
    pub name: String,
    /// Its namespace; the resource's own if absent.
    pub namespace: Option<String>,
    /// Where it is written.
    pub at: At,
}

/// Limits for those who are known and those who are not.
#[derive(Debug, Clone)]
pub struct Basic {
    /// For each address of those who are not.
    pub anonymous: Option<(Limit, At)>,
    /// For each of those who are.
    pub authorized: Option<(Limit, At)>,
}

/// The fields, as they are named in messages.
const FIELDS: [&str; 8] = [
    "options.budgets",
    "options.ratelimitBasic",
    "options.ratelimitEarly",
    "options.rateLimitEarlyConfigs",
    "options.ratelimit",
    "options.rateLimitConfigs",
    "options.ratelimitRegular",
    "options.rateLimitRegularConfigs",
];

/// The field of a name, if it is about limits.
pub fn field(name: &str) -> Option<&'static str> {
    FIELDS.into_iter().find(|it| it.strip_prefix("options.") == Some(name))
}

impl Limits {
    /// Reads a field of `options`, which are for `what`, of the resource `owner`.
    pub fn read(
        &mut self,
        field: &'static str,
        value: &Node<'_>,
        (what, owner): (For, String),
        options: &Node<'_>,
    ) -> Option<()> {
        let place = value.place();
        let stage = usize::from(!field.contains("Early")) + usize::from(field.contains("Regular"));
        match field {
            "options.budgets" => {
                let value = budgets::read(value)?;
                once(&mut self.budgets, Written { value, field, place, owner }, options);
            }
            "options.ratelimitBasic" => {
                let value = basic(value)?;
                once(&mut self.basic, Written { value, field, place, owner }, options);
            }
            _ => {
                if stage == 0 {
                    let what = "is looked at when it is known who is calling, as all limits are";
                    value.say(Severity::Note, what);
                }
                let value = if field.ends_with("Configs") { configs(value)? } else { settings(value, what)? };
                if let Some(slot) = self.stages.get_mut(stage) {
                    once(slot, Written { value, field, place, owner }, options);
                }
            }
        }
        Some(())
    }

    /// Takes what only younger or weaker options say; says what of them is lost.
    pub fn fill(&mut self, others: &Limits, report: &Report) {
        fill(&mut self.budgets, others.budgets.as_ref(), report, |kept, lost| {
            let is_kept = |it: &Placed| kept.iter().any(|other| other.budget == it.budget);
            (!lost.iter().all(is_kept)).then_some("its budgets do not hold")
        });
        for (slot, other) in self.stages.iter_mut().zip(&others.stages) {
            fill(slot, other.as_ref(), report, unlimited);
        }
        fill(&mut self.basic, others.basic.as_ref(), report, |_, _| Some("its limits do not hold"));
    }

    /// The fields that limit anything.
    pub fn fields(&self) -> [Option<&'static str>; 5] {
        let [early, usual, regular] = &self.stages;
        let asked = |it: &Option<Written<Asked>>| {
            let it = it.as_ref()?;
            let some = match &it.value {
                Asked::Configs(refs) => !refs.is_empty(),
                Asked::Settings { entries, .. } => !entries.is_empty(),
            };
            some.then_some(it.field)
        };
        let budgets = self.budgets.as_ref().filter(|it| !it.value.is_empty());
        [
            budgets.map(|it| it.field),
            self.basic.as_ref().map(|it| it.field),
            asked(early),
            asked(usual),
            asked(regular),
        ]
    }
}

/// What of limits is lost where others are kept.
fn unlimited(kept: &Asked, lost: &Asked) -> Option<&'static str> {
    let lost_any = match (kept, lost) {
        (Asked::Configs(kept), Asked::Configs(lost)) => {
            let same = |it: &ConfigRef, other: &ConfigRef| {
                (&it.name, &it.namespace) == (&other.name, &other.namespace)
            };
            !lost.iter().all(|it| kept.iter().any(|other| same(it, other)))
        }
        (_, Asked::Configs(lost)) => !lost.is_empty(),
        (_, Asked::Settings { entries, .. }) => !entries.is_empty(),
    };
    lost_any.then_some("its limits do not hold")
}

fn configs(node: &Node<'_>) -> Option<Asked> {
    let object = node.object()?;
    let refs = object.each("refs", |it| {
        let object = it.object()?;
        let (name, namespace) = (object.name("name"), object.filled("namespace"));
        object.finish(Unknown::Refuse);
        Some(ConfigRef { name: name?, namespace: namespace?, at: it.at() })
    });
    object.finish(Unknown::Refuse);
    Some(Asked::Configs(refs?))
}

fn settings(node: &Node<'_>, what: For) -> Option<Asked> {
    let object = node.object()?;
    let entries = object.each("rateLimits", rate_limit::entry);
    let include_host = match what {
        For::Route => object.flag("includeVhRateLimits"),
        For::VirtualHost => Some(false),
    };
    object.finish(Unknown::Refuse);
    Some(Asked::Settings { entries: entries?, include_host: include_host? })
}

fn basic(node: &Node<'_>) -> Option<Basic> {
    let object = node.object()?;
    let limit = |name| object.optional(name, |it: &Node<'_>| Some((rate_limit::limit(it)?, it.at())));
    let (anonymous, authorized) = (limit("anonymousLimits"), limit("authorizedLimits"));
    object.finish(Unknown::Refuse);
    Some(Basic { anonymous: anonymous?, authorized: authorized? })
}
