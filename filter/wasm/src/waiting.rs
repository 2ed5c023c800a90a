//! Streams that wait for keys. Nothing of theirs happens until the root context wakes them (H17).

use std::cell::RefCell;
use std::rc::Weak;
use std::time::Duration;

use host_calls as host;

use crate::stream::State;

/// Those that wait, in the order in which they came.
#[derive(Default)]
pub struct Waiting(RefCell<Vec<Waiter>>);

/// A stream that waits.
pub struct Waiter {
    /// Its context.
    pub context: u32,
    /// At what time it waits no longer.
    pub until: Duration,
    /// The host may have forgotten it meanwhile.
    pub state: Weak<RefCell<State>>,
}

impl Waiting {
    pub fn add(&self, waiter: Waiter) {
        if let Ok(mut list) = self.0.try_borrow_mut() {
            list.push(waiter);
        }
    }

    /// Wakes everybody, or whose time has come. Whoever waits on is in the list again afterwards.
    pub fn wake(&self, now: Duration, everybody: bool) {
        let woken = match self.0.try_borrow_mut() {
            Ok(mut list) => list.extract_if(.., |it| everybody || now >= it.until).collect::<Vec<_>>(),
            Err(_) => return,
        };
        for mut waiter in woken {
            let Some(state) = waiter.state.upgrade() else { continue };
            let Ok(mut state) = state.try_borrow_mut() else { continue };
            // A stream that the host no longer knows needs no answer.
            if host::speak_for(waiter.context).is_err() {
                continue;
            }
            if let Some(until) = state.wake(now) {
                waiter.until = until;
                self.add(waiter);
            }
        }
    }
}
