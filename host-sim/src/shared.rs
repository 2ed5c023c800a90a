//! What the VMs of all workers share under one `vm_id`: values with compare-and-swap, and queues.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::abi::{Answer, Status};

/// Values and queues of every `vm_id`.
#[derive(Default)]
pub struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    values: HashMap<(String, String), Value>,
    queues: Vec<Queue>,
}

struct Value {
    bytes: Vec<u8>,
    /// Changes with every write; 0 is never a value's, and means "whatever it is" in a write.
    cas: u32,
}

struct Queue {
    key: (String, String),
    items: VecDeque<Vec<u8>>,
    waker: Waker,
}

/// Tells the registrant of a queue, by its id, that something is in it.
type Waker = Box<dyn Fn(u32) + Send>;

impl Shared {
    /// A value and its compare-and-swap number.
    ///
    /// # Errors
    /// [`Status::NotFound`]
    pub fn get(&self, vm_id: &str, key: &str) -> Answer<(Vec<u8>, u32)> {
        let state = self.lock();
        let value = state.values.get(&(vm_id.to_owned(), key.to_owned())).ok_or(Status::NotFound)?;
        Ok((value.bytes.clone(), value.cas))
    }

    /// Writes a value; with a `cas` other than 0 only if the value still has that number.
    ///
    /// # Errors
    /// [`Status::CasMismatch`]
    pub fn set(&self, vm_id: &str, key: &str, bytes: &[u8], cas: u32) -> Answer {
        let mut state = self.lock();
        let key = (vm_id.to_owned(), key.to_owned());
        let current = state.values.get(&key).map(|value| value.cas);
        if cas != 0 && current.is_some_and(|current| current != cas) {
            return Err(Status::CasMismatch);
        }
        let next = current.unwrap_or(0).wrapping_add(1).max(1);
        state.values.insert(key, Value { bytes: bytes.to_vec(), cas: next });
        Ok(())
    }

    /// The id of a queue, which is made if need be. `waker` runs after each item that is put into it.
    pub fn register(&self, vm_id: &str, name: &str, waker: Waker) -> u32 {
        let mut state = self.lock();
        let key = (vm_id.to_owned(), name.to_owned());
        if let Some(at) = state.queues.iter().position(|queue| queue.key == key) {
            if let Some(queue) = state.queues.get_mut(at) {
                queue.waker = waker;
            }
            return at as u32 + 1;
        }
        state.queues.push(Queue { key, items: VecDeque::new(), waker });
        state.queues.len() as u32
    }

    /// The id of a queue that somebody has registered.
    ///
    /// # Errors
    /// [`Status::NotFound`]
    pub fn resolve(&self, vm_id: &str, name: &str) -> Answer<u32> {
        let state = self.lock();
        let at = state.queues.iter().position(|queue| queue.key.0 == vm_id && queue.key.1 == name);
        at.map(|at| at as u32 + 1).ok_or(Status::NotFound)
    }

    /// Puts an item into a queue.
    ///
    /// # Errors
    /// [`Status::NotFound`]
    pub fn enqueue(&self, queue: u32, item: &[u8]) -> Answer {
        let mut state = self.lock();
        let found = find(&mut state, queue)?;
        found.items.push_back(item.to_vec());
        (found.waker)(queue);
        Ok(())
    }

    /// Takes the oldest item of a queue.
    ///
    /// # Errors
    /// [`Status::NotFound`], or [`Status::Empty`]
    pub fn dequeue(&self, queue: u32) -> Answer<Vec<u8>> {
        let mut state = self.lock();
        find(&mut state, queue)?.items.pop_front().ok_or(Status::Empty)
    }

    /// A guest that trapped while another waited leaves nothing half written: the lock is never held over a guest.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(state: &mut State, queue: u32) -> Answer<&mut Queue> {
    let at = (queue as usize).checked_sub(1).ok_or(Status::NotFound)?;
    state.queues.get_mut(at).ok_or(Status::NotFound)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Shared;
    use crate::abi::Status;

    #[test]
    fn a_write_with_an_old_number_is_refused() {
        let shared = Shared::default();
        assert_eq!(shared.get("vm", "k"), Err(Status::NotFound));
        shared.set("vm", "k", b"1", 0).unwrap();
        let (_, cas) = shared.get("vm", "k").unwrap();
        shared.set("vm", "k", b"2", cas).unwrap();
        assert_eq!(shared.set("vm", "k", b"3", cas), Err(Status::CasMismatch));
        assert_eq!(shared.get("vm", "k").unwrap().0, b"2");
        assert_eq!(shared.get("other", "k"), Err(Status::NotFound));
    }

    #[test]
    fn a_queue_wakes_its_registrant_and_gives_items_in_order() {
        let shared = Shared::default();
        let woken = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&woken);
        let waker = Box::new(move |queue| {
            count.fetch_add(queue, Ordering::Relaxed);
        });
        let queue = shared.register("vm", "q", waker);
        assert_eq!(shared.resolve("vm", "q"), Ok(queue));
        assert_eq!(shared.resolve("vm", "other"), Err(Status::NotFound));
        shared.enqueue(queue, b"1").unwrap();
        shared.enqueue(queue, b"2").unwrap();
        assert_eq!(woken.load(Ordering::Relaxed), 2);
        assert_eq!(shared.dequeue(queue).unwrap(), b"1");
        assert_eq!(shared.dequeue(queue).unwrap(), b"2");
        assert_eq!(shared.dequeue(queue), Err(Status::Empty));
        assert_eq!(shared.dequeue(9), Err(Status::NotFound));
    }
}
