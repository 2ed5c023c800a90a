//! What waits to be told to the sidecar: what was used, in batches, and questions whose answers nobody has heard. It is told
//! again until it has been understood: told twice, it counts once.

use std::collections::VecDeque;
use std::time::Duration;

use policy::budget::Sidecar;
use sidecar_api::{Item, OURS, SETTLE, Settle, Settled};

use super::admission::{Heard, call, hear, uncertain, unclaimed};
use crate::event::{CallOut, Said};

/// How many items go out at once.
const BATCH: usize = 500;
/// How many wait. What does not get in is given back when its reservation's lease ends.
const MOST: usize = 20_000;
/// How many questions wait, how many bytes of them, and how often each is asked.
const MOST_QUESTIONS: usize = 1000;
const MOST_BYTES: usize = 16 << 20;
const TRIES: u32 = 5;
/// How long is waited after a call that was not understood.
const REST: Duration = Duration::from_secs(1);

/// What has not been told yet. One queue for a VM, whatever its configuration is by now.
#[derive(Debug, Default)]
pub struct Settlements {
    items: VecDeque<Item>,
    questions: VecDeque<Question>,
    /// What has been sent and not been answered, and when it is no longer waited for: whoever has sent it may be gone.
    told: Option<(Told, Duration)>,
    again: Duration,
    lost: u64,
}

#[derive(Debug)]
enum Told {
    Items(Vec<Item>),
    Question(Question),
}

#[derive(Debug)]
struct Question {
    call: CallOut,
    tries: u32,
}

impl Settlements {
    /// Takes what was used of a reservation.
    pub fn push(&mut self, item: Item) {
        if self.items.len() >= MOST {
            self.items.pop_front();
            self.lost += 1;
        }
        self.items.push_back(item);
    }

    /// Takes a question whose answer was not heard, to give back what has been reserved for it.
    pub fn reclaim(&mut self, call: CallOut) {
        let bytes: usize = self.questions.iter().map(|it| it.call.body.len()).sum();
        let too_long = bytes.saturating_add(call.body.len()) > MOST_BYTES;
        if too_long || self.questions.len() >= MOST_QUESTIONS {
            self.lost += 1;
        } else {
            self.questions.push_back(Question { call, tries: TRIES });
        }
    }

    /// The next call, if there is anything to tell and nothing is under way. Its answer goes to
    /// [`heard`](Settlements::heard).
    pub fn next(&mut self, sidecar: &Sidecar, now: Duration) -> Option<CallOut> {
        if self.told.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.once_more(now);
        }
        if self.told.is_some() || now < self.again {
            return None;
        }
        let until = now.saturating_add(sidecar.timeout * 2).saturating_add(REST);
        if let Some(mut question) = self.questions.pop_front() {
            question.tries -= 1;
            let call = question.call.clone();
            self.told = Some((Told::Question(question), until));
            return Some(call);
        }
        if self.items.is_empty() {
            return None;
        }
        let settle = Settle { items: self.items.drain(..self.items.len().min(BATCH)).collect() };
        let body = serde_json::to_string(&settle).unwrap_or_default();
        self.told = Some((Told::Items(settle.items), until));
        Some(call(sidecar, SETTLE, body, None))
    }

    /// Takes the answer, and says what the log is to know.
    pub fn heard(&mut self, said: Option<Said<'_>>, now: Duration) -> Option<String> {
        let (told, _) = self.told.as_ref()?;
        let lost = std::mem::take(&mut self.lost);
        let Told::Items(items) = told else { return self.heard_again(said, now, lost) };
        let count = items.len();
        match said.filter(|it| it.headers.has(OURS)) {
            Some(said) if said.status == 200 => {
                self.told = None;
                let settled: Settled = serde_json::from_slice(said.body).unwrap_or_default();
                say(settled.refused + lost)
            }
            // It would say the same again.
            Some(said) if said.status < 500 => {
                self.told = None;
                Some(format!("the sidecar refuses {count} settlements: status {}", said.status))
            }
            _ => {
                self.once_more(now);
                Some(format!("{count} settlements of budgets have to be told again"))
            }
        }
    }

    fn heard_again(&mut self, said: Option<Said<'_>>, now: Duration, lost: u64) -> Option<String> {
        match hear(said) {
            Heard::Answer(admitted) => {
                self.told = None;
                unclaimed(admitted).into_iter().for_each(|item| self.push(item));
                say(lost)
            }
            Heard::Unable(status) if status < 500 && !uncertain(status) => {
                self.told = None;
                say(lost)
            }
            Heard::Unable(_) | Heard::Nothing => {
                self.once_more(now);
                None
            }
        }
    }

    fn once_more(&mut self, now: Duration) {
        match self.told.take() {
            Some((Told::Items(items), _)) => {
                for item in items.into_iter().rev() {
                    self.items.push_front(item);
                }
                self.items.truncate(MOST);
            }
            Some((Told::Question(question), _)) if question.tries > 0 => self.questions.push_back(question),
            Some((Told::Question(_), _)) => self.lost += 1,
            None => {}
        }
        self.again = now.saturating_add(REST);
    }
}

fn say(lost: u64) -> Option<String> {
    (lost > 0).then(|| format!("{lost} settlements of budgets have not been taken"))
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
