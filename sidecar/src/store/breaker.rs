//! After a failure nobody asks for a second; then one asks for all. Without it every request would pay the time that it takes
//! to find out that Redis is away.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const REST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    /// Open until then, and why.
    Open(Instant, String),
}

impl Breaker {
    /// Whether to ask now. Who may ask first after a rest keeps the others away for as long again.
    ///
    /// # Errors
    /// What went wrong last.
    pub fn may_ask(&self, now: Instant) -> Result<(), String> {
        match &mut *self.state() {
            State::Open(until, why) if now < *until => Err(why.clone()),
            State::Open(until, _) => {
                *until = now + REST;
                Ok(())
            }
            State::Closed => Ok(()),
        }
    }

    /// Whether that is news.
    pub fn succeeded(&self) -> bool {
        matches!(std::mem::take(&mut *self.state()), State::Open(..))
    }

    /// Whether that is news.
    pub fn failed(&self, now: Instant, why: String) -> bool {
        matches!(std::mem::replace(&mut *self.state(), State::Open(now + REST, why)), State::Closed)
    }

    pub fn is_open(&self) -> bool {
        matches!(*self.state(), State::Open(..))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_one_asks_in_a_second_until_it_works_again() {
        let (breaker, begun) = (Breaker::default(), Instant::now());
        assert_eq!(breaker.may_ask(begun), Ok(()));
        assert!(breaker.failed(begun, "gone".into()) && !breaker.failed(begun, "gone".into()));
        assert_eq!(breaker.may_ask(begun + REST / 2), Err("gone".into()));
        let later = begun + REST;
        assert_eq!((breaker.may_ask(later), breaker.may_ask(later)), (Ok(()), Err("gone".into())));
        assert!(breaker.succeeded() && !breaker.succeeded());
        assert_eq!((breaker.may_ask(later), breaker.is_open()), (Ok(()), false));
    }
}
