//! Counters, behind one face. Whatever the store, a reservation takes from all counters or from none in one step, is
//! settled once, goes to the window that it was taken from, and is given back if nobody settles it.
//!
//! A counter has two buckets, the present window's and the last one's. A bucket that has passed is never made anew.

mod breaker;
mod connection;
mod memory;
mod place;
mod redis;
mod spent;

use std::sync::Arc;

pub use memory::Memory;
pub use place::Place;
pub use redis::Redis;

use crate::metrics::Metrics;

/// Milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The greatest number that is counted; beyond it, counters stand still.
pub(crate) const MOST: u64 = sidecar_api::MOST;

/// A counter: a limit's name, its subject and its window, digested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The digest.
    pub id: String,
    /// The window's length in milliseconds.
    pub window: u64,
    /// Whether the last window counts too.
    pub sliding: bool,
    /// Whether what is reserved is given back before the window ends.
    pub leased: bool,
}

/// What is to be taken from a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// From which.
    pub counter: Counter,
    /// How much there is.
    pub max: u64,
    /// How much is taken.
    pub amount: u64,
    /// Whether there being too little denies the request.
    pub enforce: bool,
}

/// A request's reservation, asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// The request's id.
    pub request: String,
    /// Of everything that is taken, so that one id cannot stand for two things.
    pub digest: String,
    /// What is taken.
    pub takes: Vec<Take>,
    /// After which time it is given back, and for how long it can be settled, in milliseconds.
    pub times: Times,
}

/// What became of a [`Reserve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Taken, now or before, from the windows with these indexes.
    Held(Vec<u64>, Vec<Count>),
    /// Nothing was taken.
    Denied(Vec<Count>),
    /// The same request has taken something else.
    Conflict,
}

/// How a counter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Which of the [`Reserve::takes`] it belongs to.
    pub of: usize,
    /// What is used and reserved.
    pub used: u64,
    /// How many reservations are in the present window's count and not settled.
    pub open: u64,
    /// Milliseconds until the window ends.
    pub reset: u64,
    /// Whether `used` and what was asked for was above the maximum.
    pub exceeded: bool,
}

/// What was taken from a counter, and what was used of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// [`Counter::id`].
    pub id: String,
    /// [`Counter::leased`].
    pub leased: bool,
    /// From which window.
    pub index: u64,
    /// How much was taken.
    pub reserved: u64,
    /// How much was used.
    pub used: u64,
}

/// A reservation to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The request's id.
    pub request: String,
    /// [`Reserve::digest`].
    pub digest: String,
    /// One for each of the reservation.
    pub uses: Vec<Used>,
}

/// Whether a settlement was the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Settled,
    /// It had been settled, or is past all settling.
    Known,
}

/// Why a store has not done what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// It cannot be reached, or has failed within the last second: nothing has been done.
    Away(String),
    /// It was asked and has not answered: what it has done nobody knows.
    Silent(String),
    /// It holds as much as it may.
    Full(usize),
}

/// How long reservations live, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// After this time, what is not settled is given back, in windows that are longer.
    pub lease: u64,
    /// After this time, or when all its windows are past, a reservation can no longer be settled.
    pub term: u64,
}

impl Times {
    /// A reservation can be settled for six leases: also by who comes after its hold has been given back.
    pub fn of_lease(seconds: u64) -> Times {
        let lease = seconds.saturating_mul(1000);
        Times { lease, term: lease.saturating_mul(6) }
    }
}

/// Where counters are.
#[derive(Debug)]
pub enum Store {
    /// In this process.
    Memory(Memory),
    /// In Redis, for any number of processes.
    Redis(Box<Redis>),
}

impl Store {
    /// Takes from all counters or from none.
    ///
    /// # Errors
    /// The store cannot say.
    pub async fn reserve(&self, reserve: &Reserve) -> Result<Reserved, Failed> {
        match self {
            Store::Memory(memory) => memory.reserve(reserve),
            Store::Redis(redis) => redis.reserve(reserve).await,
        }
    }

    /// Puts what was used in place of what was reserved.
    ///
    /// # Errors
    /// The store cannot say. It may be asked again.
    pub async fn settle(&self, settlement: &Settlement) -> Result<Outcome, Failed> {
        match self {
            Store::Memory(memory) => Ok(memory.settle(settlement)),
            Store::Redis(redis) => redis.settle(settlement).await,
        }
    }

    /// Whether it can be asked.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), Failed> {
        match self {
            Store::Memory(_) => Ok(()),
            Store::Redis(redis) => redis.ready().await,
        }
    }

    /// Tells the gauges how it stands.
    pub(crate) fn observe(&self, metrics: &Metrics) {
        match self {
            Store::Memory(memory) => metrics.keys(memory.keys()),
            Store::Redis(redis) => metrics.breaker(redis.is_open()),
        }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failed::Away(why) => write!(f, "the store of the counters is away: {why}"),
            Failed::Silent(why) => write!(f, "the store of the counters has not answered: {why}"),
            Failed::Full(keys) => {
                write!(f, "this process holds {keys} counters and reservations, as many as it may")
            }
        }
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod model;
#[cfg(test)]
#[path = "../../tests/support/redis.rs"]
pub(crate) mod server;
#[cfg(test)]
#[path = "suite_tests.rs"]
mod suite;
