//! Stage `answer`, for an answer that has to be looked at as a whole and is held until it has come.

use std::borrow::Cow;
use std::rc::Rc;

use policy::guard::{Mode, ResponseGuard};

use super::response::guard_of;
use super::{Effects, Exchange, Phase, Way};
use crate::edits::Edits;
use crate::event::{Delivery, Effect, Said};
use crate::guard::{self, About, Look, Masking, Message};
use crate::metric::{Action, Finder, Side};
use crate::reply::{Outcome, Reply};
use crate::sse::{Passage, Stream};
use crate::usage::Scan;

/// The longest answer that is looked at as a whole, in bytes.
const MAX_ANSWER_BYTES: u64 = 8 * 1024 * 1024;

/// An answer that is held until it has come whole.
#[derive(Debug)]
pub struct Held {
    way: Way,
    /// How the request ends if the answer passes.
    outcome: Outcome,
    /// The stream that it is, if it is one.
    stream: Option<Stream>,
    /// How many bytes the host holds.
    bytes: usize,
    /// What ends a stream that its provider has not ended.
    ending: Vec<u8>,
    /// Whether what has come of it by now is something else than what the host holds.
    rewritten: bool,
    /// What it is, but for its body, where the module has asked for it and the host holds none of it.
    delivery: Option<Delivery>,
}

impl Held {
    /// An answer of which nothing has come.
    pub fn new(way: Way, outcome: Outcome, stream: Option<Stream>) -> Held {
        Held { way, outcome, stream, bytes: 0, ending: Vec::new(), rewritten: false, delivery: None }
    }

    /// The answer to a call.
    pub fn delivered(self, delivery: Delivery) -> Held {
        Held { delivery: Some(delivery), ..self }
    }

    /// Goes on waiting, if there is not too much.
    pub fn within_limit(self, bytes: u64) -> Result<Phase, Reply> {
        if bytes <= MAX_ANSWER_BYTES {
            return Ok(Phase::AwaitBody(self));
        }
        Err(guard::unreadable_answer(&format!("it is longer than {MAX_ANSWER_BYTES} bytes")))
    }
}

impl Held {
    /// Of a stream that was cut its whole events only: half a one is of no use to anybody, and an event of ours ends it.
    fn whole_events(&mut self, mut body: Vec<u8>) -> Vec<u8> {
        if let Some(stream) = &mut self.stream {
            let whole = match stream.push(&body) {
                Passage::AsItIs => body.len(),
                Passage::Instead(events) => events.len(),
            };
            if let (error, true) = stream.finish() {
                body.truncate(whole);
                (self.ending, self.outcome) = (error, Outcome::StreamCut);
            }
        }
        body
    }
}

impl Exchange {
    /// An answer has come whole.
    pub(super) fn whole(
        &mut self,
        mut held: Held,
        body: Vec<u8>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let guard = guard_of(&policy, Some(held.way.route));
        held.bytes = body.len();
        self.record.wrote(&body);
        let mut body = held.whole_events(body);
        if held.stream.is_some() {
            let shown = self.record.reporting.look(&body, &mut self.record.usage);
            if let Cow::Owned(shown) = shown {
                (held.rewritten, body) = (true, shown);
            }
        } else {
            self.tally(&body);
        }
        let Some(guard) = guard else { return Ok(self.passes(held, body, effects)) };
        let body = match String::from_utf8(body) {
            Ok(body) => body,
            Err(_) if guard.mode == Mode::Enforce => return Err(guard::unreadable_answer("it is no text")),
            Err(body) => return Ok(self.passes(held, body.into_bytes(), effects)),
        };
        if let Some(webhook) = &guard.webhook {
            let messages = match (&held.stream, guard.mode) {
                (Some(_), _) => guard::of_stream(&body),
                (None, Mode::Monitor) => guard::of_answer(&body).unwrap_or_default(),
                (None, Mode::Enforce) => guard::of_answer(&body)
                    .map_err(|_| guard::unreadable_answer("it is nested too deeply"))?,
            };
            if !messages.is_empty() {
                let [_, forwarded] = &held.way.forwarded;
                effects.push(Effect::Call(guard::ask(webhook, About::Answer, forwarded, &messages)));
                return Ok(Phase::AwaitOpinion(held, body, messages));
            }
        }
        self.release(held, guard, &body, None, effects)
    }

    /// A webhook that was asked about an answer has said something, or has not.
    pub(super) fn hear_of_answer(
        &mut self,
        held: Held,
        body: String,
        messages: &[Message],
        answer: Option<Said<'_>>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let guard = guard_of(&policy, Some(held.way.route));
        let Some((guard, webhook)) = guard.and_then(|it| Some(it).zip(it.webhook.as_ref())) else {
            return Ok(self.passes(held, body.into_bytes(), effects));
        };
        let said = answer.filter(|it| it.status == 200).map(|it| it.body);
        let enforced = guard.mode == Mode::Enforce;
        let action = |action| if enforced { action } else { Action::Monitor };
        let mut masked = None;
        match said.and_then(|it| guard::verdict(About::Answer, messages.len(), it)) {
            None => self.unheard(guard.mode, webhook.on_error, Finder::Webhook, effects)?,
            Some(guard::Verdict::Pass) => {}
            Some(guard::Verdict::Mask(texts)) => {
                let changed = match &held.stream {
                    Some(_) => guard::told_anew(&body, messages, &texts),
                    None => guard::retold(&body, messages, &texts),
                };
                if changed != body {
                    self.found(Side::Response, Finder::Webhook, action(Action::Mask), effects);
                    masked = enforced.then_some(changed);
                }
            }
            Some(guard::Verdict::Reject { body, status }) => {
                self.found(Side::Response, Finder::Webhook, action(Action::Reject), effects);
                if enforced {
                    return Err(guard::rejected(About::Answer, &guard.refusal, body, status));
                }
            }
        }
        self.release(held, guard, &body, masked, effects)
    }

    /// Lets an answer go that has come whole. `instead` is what it has become by now, where that is something else.
    fn release(
        &mut self,
        held: Held,
        guard: &ResponseGuard,
        body: &str,
        instead: Option<String>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let now = instead.as_deref().unwrap_or(body);
        let looked = match (Look::of(guard), &held.stream) {
            (None, _) => Ok(Edits::default()),
            (Some(look), None) => look.at_body(now, &mut self.record.finds),
            (Some(look), Some(_)) => {
                let passed = Masking::default().pass_last(look, now.as_bytes(), &mut self.record.finds);
                let mut edits = Edits::default();
                if passed.bytes != now.as_bytes() {
                    edits.replace(0..now.len(), passed.bytes);
                }
                passed.refused.map_or(Ok(edits), Err)
            }
        };
        self.note_finds(guard, effects);
        let edits = match looked {
            Ok(edits) => edits,
            Err(_) if guard.mode == Mode::Monitor => Edits::default(),
            Err(reply) => return Err(reply),
        };
        if held.delivery.is_some() {
            return Ok(self.passes(held, edits.applied(now.as_bytes()), effects));
        }
        if instead.is_none() && held.ending.is_empty() && !held.rewritten {
            if !edits.is_empty() {
                effects.push(Effect::EditResponseBody(edits));
            }
        } else {
            let mut whole = Edits::default();
            whole.replace(0..held.bytes, [&edits.applied(now.as_bytes()), held.ending.as_slice()].concat());
            effects.push(Effect::EditResponseBody(whole));
        }
        self.record.outcome = held.outcome;
        Ok(Phase::Passing)
    }

    /// Looks for what a plain answer says of tokens.
    pub(super) fn tally(&mut self, body: &[u8]) {
        let mut scan = Scan::default();
        scan.push(body);
        self.record.usage = scan.usage().or(self.record.usage);
    }

    /// Lets an answer go as it is; one that the host does not hold is given to it.
    pub(super) fn passes(&mut self, held: Held, body: Vec<u8>, effects: &mut Effects) -> Phase {
        self.record.outcome = held.outcome;
        let Some(delivery) = held.delivery else { return Phase::Passing };
        let body = [body, held.ending].concat();
        effects.push(Effect::Deliver(Delivery { body, ..delivery }));
        Phase::Replied
    }
}
