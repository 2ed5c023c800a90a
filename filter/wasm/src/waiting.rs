//! Streams that wait for keys. Nothing of theirs happens until the root context wakes them (H17).
//!
//! What they ask while they are being woken is answered to the root context, which hands it on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Weak;
use std::time::Duration;

use host_calls as host;

use crate::stream::State;

/// Those that wait.
#[derive(Default)]
pub struct Waiting {
    /// For keys, in the order in which they came.
    keys: RefCell<Vec<Waiter>>,
    /// For the answers to calls that they made when they were woken, by the tokens of these.
    calls: RefCell<HashMap<u32, Waiter>>,
}

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
        if let Ok(mut list) = self.keys.try_borrow_mut() {
            list.push(waiter);
        }
    }

    /// Wakes everybody, or whose time has come. Whoever waits on is in the list again afterwards.
    pub fn wake(&self, now: Duration, everybody: bool) {
        let woken = match self.keys.try_borrow_mut() {
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
            } else if let (Some(token), Ok(mut calls)) = (state.asked(), self.calls.try_borrow_mut()) {
                calls.retain(|_, it| it.state.strong_count() > 0);
                calls.insert(token, waiter);
            }
        }
    }

    /// Hands on the answer to a call, from the root context.
    pub fn called(&self, token: u32, headers: usize, body: usize) {
        let waiter = self.calls.try_borrow_mut().ok().and_then(|mut calls| calls.remove(&token));
        let Some((waiter, state)) = waiter.and_then(|it| it.state.upgrade().map(|state| (it, state))) else {
            return;
        };
        if let Ok(mut state) = state.try_borrow_mut()
            && host::speak_for(waiter.context).is_ok()
        {
            state.called(token, headers, body);
        }
    }
}
