//! Stages `admit` and `settle`: what a request may take from budgets, and what it has taken in the end.
//!
//! `holding` says which budgets hold for a request and whose counters they are, `admission` asks the sidecar, `refusal` is
//! what a client is told, `settlement` what was used. [`Toll`] is what a VM remembers between requests: budgets that are
//! used up, and that the sidecar has not answered.

mod admission;
mod holding;
mod queue;
mod refusal;
mod settlement;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use crate::access::{Digest, Digests};

pub use admission::{Asking, Heard, hear, question, uncertain};
pub use holding::{Facts, Holding, holding, price};
pub use queue::Settlements;
pub use refusal::{exceeded, shown, unavailable, unpriced};
pub use settlement::{Spending, Taken, used};

/// How many used-up budgets are remembered, the least asked for forgotten first.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// How long a budget that is used up is believed to be, at most: one that somebody has reset by hand is soon noticed.
const BELIEVED: Duration = Duration::from_secs(10);

/// How long the sidecar is left alone after it has not answered. Then one request asks, and the others wait for what
/// becomes of it.
const REST: Duration = Duration::from_secs(1);

/// What a VM remembers of budgets.
#[derive(Debug)]
pub struct Toll(RefCell<Memory>);

#[derive(Debug)]
struct Memory {
    /// By budget and key: until when it is believed, and when the window ends.
    spent: LruCache<Digest, (Duration, Duration)>,
    /// When the sidecar is asked again.
    again: Duration,
}

impl Default for Toll {
    fn default() -> Toll {
        Toll(RefCell::new(Memory { spent: LruCache::new(MOST), again: Duration::ZERO }))
    }
}

impl Toll {
    /// How long a counter that is known to be used up stays so.
    pub fn spent(&self, digests: &Digests, name: &str, holding: &Holding, now: Duration) -> Option<Duration> {
        let mut memory = self.0.try_borrow_mut().ok()?;
        let (believed, ends) = *memory.spent.get(&known_by(digests, name, holding))?;
        (now < believed).then(|| ends.saturating_sub(now))
    }

    /// Remembers that a counter is used up until its window ends.
    pub fn is_spent(&self, digests: &Digests, name: &str, holding: &Holding, reset: Duration, now: Duration) {
        if let Ok(mut memory) = self.0.try_borrow_mut() {
            let until = (now.saturating_add(reset.min(BELIEVED)), now.saturating_add(reset));
            memory.spent.put(known_by(digests, name, holding), until);
        }
    }

    /// Whether the sidecar may be asked. While it does not answer, one request in a second may.
    pub fn may_ask(&self, now: Duration) -> bool {
        let Ok(mut memory) = self.0.try_borrow_mut() else { return true };
        if now < memory.again {
            return false;
        }
        if memory.again > Duration::ZERO {
            memory.again = now.saturating_add(REST);
        }
        true
    }

    /// Remembers whether the sidecar has answered.
    pub fn answered(&self, it_has: bool, now: Duration) {
        if let Ok(mut memory) = self.0.try_borrow_mut() {
            memory.again = if it_has { Duration::ZERO } else { now.saturating_add(REST) };
        }
    }
}

fn known_by(digests: &Digests, name: &str, holding: &Holding) -> Digest {
    digests.of(&format!("{}:{name}{}:{}", name.len(), holding.window_seconds, holding.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SEED, test};

    const SECOND: Duration = Duration::from_secs(1);

    fn holding(key: &str) -> Holding {
        Holding { budget: 0, key: key.into(), max: 70, window_seconds: 3600 }
    }

    #[test]
    fn what_is_used_up_is_known_for_ten_seconds_and_no_longer_than_its_window() {
        let (toll, digests) = (Toll::default(), Digests::new(&SEED));
        let (alice, bob) = (holding("5:alice"), holding("3:bob"));
        toll.is_spent(&digests, "b", &alice, SECOND * 100, SECOND);
        assert_eq!(toll.spent(&digests, "b", &alice, SECOND * 2), Some(SECOND * 99));
        assert_eq!(toll.spent(&digests, "b", &alice, SECOND * 11), None);
        assert_eq!(toll.spent(&digests, "b", &bob, SECOND * 2), None);
        assert_eq!(toll.spent(&digests, "c", &alice, SECOND * 2), None);
        toll.is_spent(&digests, "b", &bob, SECOND, SECOND);
        assert_eq!(toll.spent(&digests, "b", &bob, SECOND * 2), None);
    }

    #[test]
    fn a_sidecar_that_does_not_answer_is_asked_once_a_second() {
        let toll = Toll::default();
        assert!(toll.may_ask(SECOND) && toll.may_ask(SECOND));
        toll.answered(false, SECOND);
        assert!(!toll.may_ask(SECOND) && !toll.may_ask(SECOND * 3 / 2));
        assert!(toll.may_ask(SECOND * 2) && !toll.may_ask(SECOND * 2));
        toll.answered(true, SECOND * 2);
        assert!(toll.may_ask(SECOND * 2) && toll.may_ask(SECOND * 2));
    }
}
