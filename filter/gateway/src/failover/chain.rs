//! Whom a request may ask, in order.

use std::time::Duration;

use policy::Route;
use policy::failover::{Backend, Failover};

use super::trouble::Recall;
use crate::access::Models;
use crate::reply::{Reason, Reply};

/// More attempts than anybody waits for.
const MOST: usize = 32;

/// Indexes into the backends of a route, in the order of attempts; none where the host's own routing decides. One may
/// stand there several times.
pub type Chain = Vec<usize>;

/// A chain, and who would have been in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Whom the request may ask.
    pub chain: Chain,
    /// Who is left alone for now.
    pub skipped: Vec<usize>,
}

/// Chooses for one request. `random` is a number that nobody foresees; `models` are those that the caller may use.
///
/// # Errors
/// 403 where none of the models behind the route is the caller's.
pub fn choose(
    route: &Route,
    models: &Models,
    now: Duration,
    random: u64,
    recall: Recall<'_>,
) -> Result<Chosen, Reply> {
    let Some(failover) = &route.failover else { return Ok(Chosen::default()) };
    if route.backends.is_empty() {
        return Ok(Chosen::default());
    }
    let theirs = |backend: &Backend| {
        failover.ignore_model_claim || backend.model.as_ref().is_none_or(|it| models.contain(it))
    };
    let allowed = route.backends.iter().enumerate().filter(|(_, it)| theirs(it));
    let ordered = arrange(allowed.collect(), failover.attempts_per_priority, random);
    if ordered.is_empty() {
        let message = "none of the models behind this route is one that this caller may use";
        return Err(Reply::new(403, Reason::ModelNotAllowed, message));
    }
    let (well, skipped) = spare(route, failover, ordered, now, recall);
    let attempts = if failover.attempts == usize::MAX { well.len() } else { failover.attempts };
    let chain = well.iter().copied().cycle().take(attempts.min(MOST)).collect();
    Ok(Chosen { chain, skipped })
}

/// Those that may be asked now, and those that are left alone. If all are in trouble, the one that is so for the shortest
/// time is asked.
fn spare(
    route: &Route,
    failover: &Failover,
    ordered: Vec<usize>,
    now: Duration,
    recall: Recall<'_>,
) -> (Vec<usize>, Vec<usize>) {
    let Some(cooldown) = &failover.cooldown else { return (ordered, Vec::new()) };
    let until = |index: &usize| {
        let trouble = route.backends.get(*index).and_then(|it| (recall.0)(it.name()));
        trouble.map_or(Duration::ZERO, |it| it.cools_until(cooldown))
    };
    let known: Vec<(usize, Duration)> = ordered.iter().map(|index| (*index, until(index))).collect();
    let (well, cooling): (Vec<_>, Vec<_>) = known.into_iter().partition(|(_, until)| *until <= now);
    let indexes = |list: &[(usize, Duration)]| list.iter().map(|(index, _)| *index).collect::<Vec<_>>();
    match cooling.iter().min_by_key(|(_, until)| *until) {
        Some((least, _)) if well.is_empty() => {
            let rest = cooling.iter().filter(|(index, _)| index != least);
            (vec![*least], rest.map(|(index, _)| *index).collect())
        }
        Some(_) | None => (indexes(&well), indexes(&cooling)),
    }
}

/// The order of attempts: the least priority first, within one by weighted lot; after so many attempts at one priority
/// the next has its turn, and when all have had theirs, the first again.
fn arrange(backends: Vec<(usize, &Backend)>, per_priority: usize, random: u64) -> Vec<usize> {
    let mut priorities: Vec<u32> = backends.iter().map(|(_, it)| it.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let mut lots = Lots(random);
    let pool = |priority: &u32| {
        let of = backends.iter().filter(|(_, it)| it.priority == *priority);
        shuffled(of.map(|(index, it)| (*index, it.weight)).collect(), &mut lots)
    };
    let mut pools: Vec<_> = priorities.iter().map(pool).map(Vec::into_iter).collect();
    let mut order = Vec::with_capacity(backends.len());
    while order.len() < backends.len() {
        for pool in &mut pools {
            order.extend(pool.by_ref().take(per_priority.max(1)));
        }
    }
    order
}

/// Draws one after the other, each with its share of what is left.
fn shuffled(mut pool: Vec<(usize, u32)>, lots: &mut Lots) -> Vec<usize> {
    let mut order = Vec::with_capacity(pool.len());
    while !pool.is_empty() {
        let total: u64 = pool.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut lot = if pool.len() == 1 { 0 } else { lots.below(total) };
        let drawn = pool.iter().position(|(_, weight)| {
            let taken = lot < u64::from(*weight);
            lot = lot.saturating_sub(u64::from(*weight));
            taken
        });
        let (index, _) = pool.remove(drawn.unwrap_or(0));
        order.push(index);
    }
    order
}

/// Numbers that follow from one (SplitMix64).
struct Lots(u64);

impl Lots {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
