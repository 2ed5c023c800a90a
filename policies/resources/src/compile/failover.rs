//! Who is behind a route, and who is asked when a model fails.

use std::time::Duration;

use policy::written::{self, NoAnswer};

use super::Compiler;
use super::targets::{Offer, free};
use crate::kinds::ai::Ai;
use crate::kinds::failover::{self as kind, Backup};
use crate::kinds::options::Written;
use crate::kinds::retries::Retries;
use crate::plan::{Backend, Failover, Key, Plan, Target};
use crate::problem::{Place, Severity, did_you_mean};

/// How long is waited before another attempt where nothing is said: the next one is somebody else.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// How many attempts Gloo makes where a policy speaks of retries and not of their number.
const USUAL_ATTEMPTS: u32 = 2;

/// A route's backends while they are put together: the last priority so far, and who is there.
struct Chain<'c> {
    plan: &'c mut Plan,
    backends: Vec<Backend>,
    priorities: u32,
}

impl Compiler<'_> {
    /// The backends of a route in the order of their priorities, and what is done when one fails. `named` are those that
    /// the route itself names, with their weights.
    pub(super) fn chain(
        &self,
        named: &[(&Offer, u32)],
        ai: Option<&Written<Ai>>,
        retries: Option<&Written<Option<Retries>>>,
        offers: &[Offer],
        plan: &mut Plan,
    ) -> (Vec<Backend>, Option<Failover>) {
        let own = merged(named);
        let models: &[String] = ai.map_or(&[], |it| &it.value.backup_models);
        let ours = ai.and_then(|it| it.value.failover.as_ref());
        let retries_on = retries.and_then(|it| it.value.as_ref());
        let mut chain = Chain { plan, backends: Vec::new(), priorities: 0 };
        if retries_on.is_none() && models.is_empty() && ours.is_none() {
            chain.add(own.first().map_or(&[], Vec::as_slice));
            self.note_unasked(named, retries);
            return (chain.backends, None);
        }
        for pool in &own {
            chain.add(pool);
        }
        let first = own.first().map_or(&[][..], Vec::as_slice);
        for model in models {
            let pool = chain.with_model(first, model);
            if !chain.add(&pool)
                && let Some(ai) = ai
            {
                let what = format!("`{model}` is asked already, and is not asked again");
                self.report.add(Severity::Note, &ai.place, "spec.options.ai.backupModels", what);
            }
        }
        for backup in ours.map_or(&[][..], |it| &it.backups) {
            self.back_up(backup, ai, first, offers, &mut chain);
        }
        let more = !models.is_empty() || ours.is_some();
        if let (Some(ai), Some(it), Some(retries)) = (ai, ours, retries_on)
            && it.first_byte_timeout.is_some()
            && retries.on.no_answer != NoAnswer::Any
        {
            let what = "ends an attempt, but leads to no other one: `retryOn` does not name `reset` or `5xx`";
            let field = "spec.options.ai.failover.firstByteTimeout";
            self.report.add(Severity::Warning, &ai.place, field, what);
        }
        self.note_shared_key(&chain, ai.map(|it| &it.place).or(retries.map(|it| &it.place)));
        (chain.backends, Some(failover(retries_on, ours, more)))
    }

    /// Adds somebody who is asked when the others have failed.
    fn back_up(
        &self,
        backup: &Backup,
        ai: Option<&Written<Ai>>,
        own: &[(usize, u32)],
        offers: &[Offer],
        chain: &mut Chain<'_>,
    ) {
        let pools = match &backup.upstream {
            None => vec![own.to_vec()],
            Some((namespace, name)) => {
                let owner = ai.and_then(|it| it.owner.split_once(' ')).map_or("", |(_, resource)| resource);
                let near = owner.split('/').next().unwrap_or_default();
                let name = format!("{}/{name}", namespace.as_deref().unwrap_or(near));
                let Some(offer) = offers.iter().find(|it| it.name == name) else {
                    let hint = did_you_mean(&name, offers.iter().map(|it| it.name.as_str()));
                    let what = format!("there is no Upstream {name} with a model{hint}");
                    self.report.add(Severity::Error, &backup.place, &backup.path, what);
                    return;
                };
                offer.pools.clone()
            }
        };
        let mut added = false;
        for pool in pools {
            let pool = match &backup.model {
                Some(model) => chain.with_model(&pool, model),
                None => pool,
            };
            added |= chain.add(&pool);
        }
        if !added {
            let what = "is asked already, and is not asked again";
            self.report.add(Severity::Note, &backup.place, &backup.path, what);
        }
    }

    /// Says where a client's own key would go to more than one provider.
    fn note_shared_key(&self, chain: &Chain<'_>, place: Option<&Place>) {
        let targets = || chain.backends.iter().filter_map(|it| chain.plan.targets.get(it.target));
        let is_shown = |it: &&Target| matches!(it.key, Key::Passthrough);
        if let (Some(place), true, false) =
            (place, targets().any(|it| is_shown(&it)), targets().all(|it| is_shown(&it)))
        {
            let what = "some of its models get the client's own key and others the gateway's: after an attempt with the \
                        gateway's there is no other, so give all of them the one or the other";
            self.report.add(Severity::Error, place, "spec.options", what);
            return;
        }
        let shown = targets().filter(is_shown);
        let mut hosts: Vec<(&str, u16)> = shown.map(|it| (it.host.as_str(), it.port)).collect();
        hosts.dedup();
        if let (Some(place), [(one, _), (other, _), ..]) = (place, hosts.as_slice()) {
            let what = format!("the client's own key goes to {one}, and to {other} when that fails");
            self.report.add(Severity::Warning, place, "spec.options", what);
        }
    }

    /// Says of which Upstreams only the first priority is ever asked.
    fn note_unasked(&self, named: &[(&Offer, u32)], retries: Option<&Written<Option<Retries>>>) {
        for (offer, _) in named.iter().filter(|(offer, _)| offer.pools.len() > 1) {
            let found = self.resources.iter().find(|it| {
                it.id.kind == "Upstream" && format!("{}/{}", it.id.namespace, it.id.name) == offer.name
            });
            let why = if retries.is_some() {
                "`retries` lead to no other attempt"
            } else {
                "the route has no `retries`"
            };
            let what = format!("only the first of its priorities is ever asked: {why}");
            if let Some(resource) = found {
                self.report.add(Severity::Warning, &resource.place, "spec.ai.multi.priorities", what);
            }
        }
    }
}

impl Chain<'_> {
    /// Adds a priority of those who are not there yet. Says whether there was anybody.
    fn add(&mut self, pool: &[(usize, u32)]) -> bool {
        let mut added = false;
        for (target, weight) in pool {
            if !self.backends.iter().any(|it| it.target == *target) {
                self.backends.push(Backend { target: *target, weight: *weight, priority: self.priorities });
                added = true;
            }
        }
        self.priorities += u32::from(added);
        added
    }

    /// The same providers with another model.
    fn with_model(&mut self, pool: &[(usize, u32)], model: &str) -> Vec<(usize, u32)> {
        pool.iter().filter_map(|(target, weight)| Some((self.target(*target, model)?, *weight))).collect()
    }

    /// A target with another model, as it is known already, or as a new one of the plan.
    fn target(&mut self, index: usize, model: &str) -> Option<usize> {
        let target = self.plan.targets.get(index)?;
        let new = Target { model: Some(model.to_owned()), ..target.clone() };
        let upstream = upstream_of(&target.name).to_owned();
        let same = |it: &Target| {
            upstream_of(&it.name) == upstream
                && it.model == new.model
                && (&it.host, it.port, &it.authority) == (&new.host, new.port, &new.authority)
        };
        if let Some(known) = self.plan.targets.iter().position(same) {
            return Some(known);
        }
        let name = free(&self.plan.targets, &upstream, model);
        self.plan.targets.push(Target { name, ..new });
        Some(self.plan.targets.len() - 1)
    }
}

/// The Upstream that a target is of.
fn upstream_of(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// The pools of several Upstreams as one list of pools: those of one priority share as the route's weights say, and within
/// an Upstream's share as its own do.
fn merged(named: &[(&Offer, u32)]) -> Vec<Vec<(usize, u32)>> {
    let longest = named.iter().map(|(offer, _)| offer.pools.len()).max().unwrap_or(0);
    let at = |priority: usize| {
        let pools =
            named.iter().filter_map(|(offer, weight)| Some((offer.pools.get(priority)?, u64::from(*weight))));
        let sum =
            |pool: &Vec<(usize, u32)>| pool.iter().map(|(_, weight)| u64::from(*weight)).sum::<u64>().max(1);
        let scale: u64 = pools.clone().map(|(pool, _)| sum(pool)).fold(1, |all, it| all.saturating_mul(it));
        let shares = pools.flat_map(|(pool, weight)| {
            let all = sum(pool);
            pool.iter().map(move |(target, own)| {
                (*target, weight.saturating_mul(u64::from(*own)).saturating_mul(scale / all))
            })
        });
        reduced(shares.collect())
    };
    (0..longest).map(at).collect()
}

/// The same shares in the smallest numbers.
fn reduced(shares: Vec<(usize, u64)>) -> Vec<(usize, u32)> {
    let divisor = shares.iter().fold(0, |all, (_, share)| common(all, *share)).max(1);
    let small = |share: u64| u32::try_from(share / divisor).unwrap_or(u32::MAX).max(1);
    shares.into_iter().map(|(target, share)| (target, small(share))).collect()
}

/// The greatest common divisor.
fn common(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common(b, a % b) }
}

/// What is done when an attempt fails. `more` says that somebody besides Gloo's own priorities is asked, each once unless
/// a number of attempts is written.
fn failover(retries: Option<&Retries>, ours: Option<&kind::Failover>, more: bool) -> Failover {
    let attempts = match retries {
        Some(retries) => retries.attempts.or((!more).then_some(USUAL_ATTEMPTS)),
        None => None,
    };
    let first_byte = ours.and_then(|it| it.first_byte_timeout);
    Failover {
        written: written::Failover {
            on: retries.map(|it| it.on.clone()).unwrap_or_default(),
            attempts,
            attempts_per_priority: retries.and_then(|it| it.per_priority),
            cooldown: ours.and_then(|it| it.cooldown.clone()),
            ignore_model_claim: ours.is_some_and(|it| it.ignore_model_claim),
            ..written::Failover::default()
        },
        first_byte_timeout: first_byte.or(retries.and_then(|it| it.per_try_timeout)),
        back_off: retries.and_then(|it| it.back_off).unwrap_or(BACK_OFF),
    }
}
