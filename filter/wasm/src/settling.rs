//! What the sidecar has still to be told: one queue for the whole VM, so that nothing is lost with a configuration. A
//! stream leaves here what is to be said when it is over, and the root context's tick sends it.

use std::cell::RefCell;
use std::time::Duration;

use gateway::{CallOut, Item, Said, Settlements};
use host_calls as host;
use policy::budget::Sidecar;

thread_local! {
    static QUEUE: RefCell<Settlements> = RefCell::default();
}

/// Adds what was used.
pub fn push(item: Item) {
    act(|queue| queue.push(item));
}

/// Adds a question whose answer was not heard.
pub fn reclaim(question: CallOut) {
    act(|queue| queue.reclaim(question));
}

/// The next call.
pub fn next(sidecar: &Sidecar, now: Duration) -> Option<CallOut> {
    act(|queue| queue.next(sidecar, now)).flatten()
}

/// Takes its answer.
pub fn heard(said: Option<Said<'_>>, now: Duration) {
    if let Some(line) = act(|queue| queue.heard(said, now)).flatten() {
        host::log(host::Level::Warn, &line);
    }
}

/// Nobody else holds it: nothing of ours is called from within.
fn act<T>(act: impl FnOnce(&mut Settlements) -> T) -> Option<T> {
    QUEUE.with(|queue| queue.try_borrow_mut().ok().map(|mut queue| act(&mut queue)))
}
