//! Counters in this process: the same steps as Redis' scripts, under one lock. What has ended is dropped, a little with every
//! question, and there is a bound to how much is held.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Clock, Count, Counter, Failed, MOST, Outcome, Reserve, Reserved, Settlement, Take, Used};

/// How many ended things are dropped with one question. More than can be made with one.
const DROPS: usize = 64;

/// Counters in this process.
pub struct Memory {
    clock: Clock,
    most: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    counters: HashMap<String, Windows>,
    requests: HashMap<String, Mark>,
    /// What ends when, in order.
    ends: BinaryHeap<Reverse<(u64, End)>>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Counter(String),
    Request(String),
}

/// A request that has reserved.
struct Mark {
    digest: String,
    state: State,
    indexes: Vec<u64>,
    lease_ends: u64,
    ends: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Settled,
}

/// The present window and the last.
#[derive(Default)]
struct Windows {
    index: u64,
    used: u64,
    last: u64,
    open: u64,
    ends: u64,
    /// By when they are given back, and whose they are: the window's index and the amount.
    holds: BTreeMap<(u64, String), (u64, u64)>,
}

impl Memory {
    /// Holds at most so many counters and reservations.
    pub fn new(clock: Clock, most: usize) -> Memory {
        Memory { clock, most, held: Mutex::default() }
    }

    /// How many counters and reservations are held.
    pub fn keys(&self) -> usize {
        self.held().keys()
    }

    pub(super) fn reserve(&self, reserve: &Reserve) -> Result<Reserved, Failed> {
        let now = (self.clock)();
        let mut held = self.held();
        held.drop_ended(now);
        let known = held.requests.get(&reserve.request).filter(|mark| mark.ends > now);
        if known.is_some_and(|mark| mark.digest != reserve.digest) {
            return Ok(Reserved::Conflict);
        }
        let known = known.map(|mark| mark.indexes.clone());
        let mut exceeded = Vec::new();
        for take in &reserve.takes {
            let used = held.roll(&take.counter, now).map_or(0, |windows| windows.count(&take.counter, now));
            exceeded.push(known.is_none() && used.saturating_add(take.amount) > take.max);
        }
        let denied = reserve.takes.iter().zip(&exceeded).any(|(take, exceeded)| take.enforce && *exceeded);
        let indexes = match known {
            Some(indexes) => indexes,
            None if denied => Vec::new(),
            None if held.keys() + reserve.takes.len() >= self.most => return Err(Failed::Full(self.most)),
            None => held.take(reserve, now),
        };
        let counts = reserve.takes.iter().zip(exceeded).enumerate();
        let counts = counts.map(|(of, (take, exceeded))| held.told(of, take, exceeded, now)).collect();
        Ok(if denied { Reserved::Denied(counts) } else { Reserved::Held(indexes, counts) })
    }

    pub(super) fn settle(&self, settlement: &Settlement) -> Outcome {
        let now = (self.clock)();
        let mut held = self.held();
        held.drop_ended(now);
        let Some(mark) = held.requests.get_mut(&settlement.request) else { return Outcome::Known };
        if mark.ends <= now || mark.state == State::Settled || mark.digest != settlement.digest {
            return Outcome::Known;
        }
        mark.state = State::Settled;
        let hold = (mark.lease_ends, settlement.request.clone());
        for used in &settlement.uses {
            // A window that is gone stays gone.
            if let Some(windows) = held.counters.get_mut(&used.id).filter(|windows| windows.ends > now) {
                windows.settle(used, &hold);
            }
        }
        Outcome::Settled
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn keys(&self) -> usize {
        self.counters.len() + self.requests.len()
    }

    /// A counter as it is now, if there is one. A clock that has gone back stays in the window that was reached.
    fn roll(&mut self, counter: &Counter, now: u64) -> Option<&mut Windows> {
        if self.counters.get(&counter.id).is_some_and(|windows| windows.ends <= now) {
            self.counters.remove(&counter.id);
        }
        let windows = self.counters.get_mut(&counter.id)?;
        windows.roll(now / counter.window);
        windows.give_back(now);
        Some(windows)
    }

    fn take(&mut self, reserve: &Reserve, now: u64) -> Vec<u64> {
        let lease_ends = now.saturating_add(reserve.times.lease);
        let (mut indexes, mut ends) = (Vec::new(), now + 1);
        for Take { counter, amount, .. } in &reserve.takes {
            let windows = self.counters.entry(counter.id.clone()).or_insert_with(|| {
                let windows = Windows { index: now / counter.window, ..Windows::default() };
                self.ends.push(Reverse((windows.end(counter), End::Counter(counter.id.clone()))));
                windows
            });
            windows.used = windows.used.saturating_add(*amount).min(MOST);
            windows.open += 1;
            windows.ends = windows.end(counter);
            if counter.leased {
                windows.holds.insert((lease_ends, reserve.request.clone()), (windows.index, *amount));
            }
            ends = ends.max(windows.ends);
            indexes.push(windows.index);
        }
        let ends = ends.min(now.saturating_add(reserve.times.term));
        let digest = reserve.digest.clone();
        let mark = Mark { digest, state: State::Open, indexes: indexes.clone(), lease_ends, ends };
        self.requests.insert(reserve.request.clone(), mark);
        self.ends.push(Reverse((ends, End::Request(reserve.request.clone()))));
        indexes
    }

    fn told(&self, of: usize, take: &Take, exceeded: bool, now: u64) -> Count {
        let fresh = Windows { index: now / take.counter.window, ..Windows::default() };
        let windows = self.counters.get(&take.counter.id).unwrap_or(&fresh);
        let (used, reset) = (windows.count(&take.counter, now), windows.left(&take.counter, now));
        Count { of, used, open: windows.open, reset, exceeded }
    }

    fn drop_ended(&mut self, now: u64) {
        for _ in 0..DROPS {
            if self.ends.peek().is_none_or(|Reverse((ends, _))| *ends > now) {
                return;
            }
            let Some(Reverse((_, end))) = self.ends.pop() else { return };
            // Some live longer than was thought when they were written down.
            let ends = match &end {
                End::Counter(id) => self.counters.get(id).map(|windows| windows.ends),
                End::Request(id) => self.requests.get(id).map(|mark| mark.ends),
            };
            match (ends.filter(|ends| *ends > now), &end) {
                (Some(ends), _) => self.ends.push(Reverse((ends, end))),
                (None, End::Counter(id)) => drop(self.counters.remove(id)),
                (None, End::Request(id)) => drop(self.requests.remove(id)),
            }
        }
    }
}

impl Windows {
    fn roll(&mut self, index: u64) {
        if index > self.index {
            self.last = if self.index + 1 == index { self.used } else { 0 };
            (self.index, self.used, self.open) = (index, 0, 0);
        }
    }

    /// What nobody has settled within its lease.
    fn give_back(&mut self, now: u64) {
        while let Some(entry) = self.holds.first_entry().filter(|entry| entry.key().0 <= now) {
            let (index, amount) = entry.remove();
            if index == self.index {
                self.used = self.used.saturating_sub(amount);
                self.open = self.open.saturating_sub(1);
            } else if index + 1 == self.index {
                self.last = self.last.saturating_sub(amount);
            }
        }
    }

    fn count(&self, counter: &Counter, now: u64) -> u64 {
        if !counter.sliding {
            return self.used;
        }
        // In floating point as the script does it: a counter is not another in another store.
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let last = {
            let left = self.left(counter, now).min(counter.window);
            (self.last as f64 * left as f64 / counter.window as f64).ceil() as u64
        };
        self.used.saturating_add(last).min(MOST)
    }

    fn left(&self, counter: &Counter, now: u64) -> u64 {
        (self.index + 1).saturating_mul(counter.window).saturating_sub(now)
    }

    /// When nothing of them matters any more.
    fn end(&self, counter: &Counter) -> u64 {
        (self.index + if counter.sliding { 2 } else { 1 }).saturating_mul(counter.window)
    }

    fn settle(&mut self, used: &Used, hold: &(u64, String)) {
        let held = !used.leased || self.holds.remove(hold).is_some();
        // A hold that has been given back no longer counts: then all of the use is new.
        let reserved = if held { used.reserved } else { 0 };
        let bucket = if self.index == used.index {
            self.open = self.open.saturating_sub(u64::from(held));
            &mut self.used
        } else if self.index == used.index + 1 {
            &mut self.last
        } else {
            return;
        };
        *bucket = bucket.saturating_add(used.used).saturating_sub(reserved).min(MOST);
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("most", &self.most).finish_non_exhaustive()
    }
}
