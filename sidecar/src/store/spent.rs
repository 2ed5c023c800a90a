//! Budgets that are spent and stay so until their window ends: nobody has an open reservation that could give something back.
//! Who asks for one of them is denied without asking Redis.
//!
//! Only for ten seconds at a time, so that a budget that somebody has reset by hand is soon noticed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::{Clock, Count, Reserved, Take};

const AT_MOST: u64 = 10_000;
/// How many are remembered. When there are more, all are forgotten: they cost a question each.
const MANY: usize = 10_000;

pub(super) struct Spent {
    clock: Clock,
    /// By counter: how much was used, and until when that holds.
    counters: Mutex<HashMap<String, (u64, Until)>>,
}

#[derive(Clone, Copy)]
struct Until {
    known: u64,
    window: u64,
}

impl Default for Spent {
    fn default() -> Spent {
        let begun = Instant::now();
        Spent::new(Arc::new(move || u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Spent {
    pub fn new(clock: Clock) -> Spent {
        Spent { clock, counters: Mutex::default() }
    }

    /// The denial, if one of these is known to be spent. It knows only that one.
    pub fn denies(&self, takes: &[Take]) -> Option<Reserved> {
        let now = (self.clock)();
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        takes.iter().enumerate().filter(|(_, take)| take.enforce).find_map(|(of, take)| {
            let (used, until) = *counters.get(&take.counter.id)?;
            let denied = now < until.known && used.saturating_add(take.amount) > take.max;
            let reset = until.window.saturating_sub(now);
            denied.then(|| Reserved::Denied(vec![Count { of, used, open: 0, reset, exceeded: true }]))
        })
    }

    pub fn remember(&self, takes: &[Take], counts: &[Count]) {
        let now = (self.clock)();
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        for (take, count) in takes.iter().zip(counts) {
            // What a sliding window has counted becomes less by itself.
            if take.enforce && !take.counter.sliding && count.open == 0 && count.used >= take.max {
                if counters.len() >= MANY {
                    counters.clear();
                }
                let until = Until { known: now + count.reset.min(AT_MOST), window: now + count.reset };
                counters.insert(take.counter.id.clone(), (count.used, until));
            }
        }
    }
}

impl std::fmt::Debug for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spent")
    }
}
