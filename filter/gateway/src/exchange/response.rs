//! The way back: stage `answer`.

use std::borrow::Cow;
use std::rc::Rc;

use policy::Gateway;
use policy::guard::{Mode, ResponseGuard};

use super::{Effects, Exchange, Phase, Way};
use crate::answer::{self, Passing};
use crate::edits::Edits;
use crate::event::{Answer, Delivery, Effect, Level, Said};
use crate::guard::{self, About, Look, Masking, Message, Passed};
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
    /// An answer begins.
    pub(super) fn answer(
        &mut self,
        way: Way,
        answer: &Answer<'_>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let route = policy.routes.get(way.route);
        let passthrough = route.is_some_and(|route| route.attempt.is_passthrough());
        let guard = route.and_then(|route| route.guard.response.as_ref());
        if let Some(next) = self.after_failure(&way, answer, effects) {
            return self.ask_backup(way, next, effects);
        }
        let passing = answer::begin(answer, &way.call, passthrough, guard)?;
        let index = self.answering(&way, answer);
        let signed = self.signed(&way, index, answer.attempts);
        effects.extend(signed.into_iter().map(|(name, value)| Effect::SetResponseHeader(name, value)));
        if (200..300).contains(&answer.status()) {
            self.answers(&way, index);
        }
        match passing {
            Passing::Untouched(outcome) => {
                self.record.outcome = outcome;
                let tells = self.record.answered.is_some() && way.call.operation.is_understood();
                let reads = tells && !answer.end && !answer.headers.has("content-encoding");
                Ok(if reads { Phase::Tally(Scan::default()) } else { Phase::Passing })
            }
            Passing::Whole(outcome, stream) => {
                let announced = answer.headers.get("content-length").and_then(|length| length.parse().ok());
                Held::new(way, outcome, stream).within_limit(announced.unwrap_or(0))
            }
            Passing::Events(stream) => {
                // The stream may end in an event of ours.
                if answer.headers.has("content-length") {
                    effects.push(Effect::RemoveResponseHeader("content-length"));
                }
                self.record.outcome = Outcome::Interrupted;
                let masking = guard.and_then(|it| it.patterns.as_ref()).map(|_| Masking::default());
                Ok(Phase::Relay(stream, masking))
            }
        }
    }

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

    /// Notes what the patterns of a response guard have found so far.
    fn note_finds(&mut self, guard: &ResponseGuard, effects: &mut Effects) {
        let Some(patterns) = &guard.patterns else { return };
        let action = Action::of(guard.mode, patterns.action);
        for rule in std::mem::take(&mut self.record.finds).rules() {
            self.found(Side::Response, Finder::Rule(*rule), action, effects);
        }
    }

    /// The next piece of a stream.
    pub(super) fn relay(
        &mut self,
        mut stream: Stream,
        mut masking: Option<Masking>,
        bytes: &[u8],
        end: bool,
        effects: &mut Effects,
    ) -> Phase {
        let mut passed = match stream.push(bytes) {
            Passage::AsItIs => self.record.reporting.look(bytes, &mut self.record.usage),
            Passage::Instead(events) => {
                Cow::Owned(self.record.reporting.look(&events, &mut self.record.usage).into_owned())
            }
        };
        if masking.is_some() && stream.is_torn() && self.enforces_on_answers() {
            let reply = guard::unreadable_answer("an event of its stream is too long");
            return self.silence(&stream, &[], &reply, end, effects);
        }
        let (rest, cut) = if end { stream.finish() } else { (Vec::new(), false) };
        if let Some(it) = &mut masking {
            // The rest is the provider's own last event, or one of ours.
            if !cut && !rest.is_empty() {
                passed.to_mut().extend_from_slice(&rest);
            }
            let masked = self.masked(it, &passed, end, effects);
            if let Some(reply) = masked.refused {
                return self.silence(&stream, &masked.bytes, &reply, end, effects);
            }
            passed = Cow::Owned(masked.bytes);
        }
        if (masking.is_none() || cut) && !rest.is_empty() {
            passed.to_mut().extend_from_slice(&rest);
        }
        if let Cow::Owned(passed) = passed
            && passed != bytes
        {
            effects.push(Effect::ReplaceChunk(passed));
        }
        if !end {
            return Phase::Relay(stream, masking);
        }
        if cut {
            let line = format!("route {}: the provider ended a stream before its end", self.route_name());
            effects.push(Effect::Log(Level::Warn, line));
        }
        self.record.outcome = if cut { Outcome::StreamCut } else { Outcome::Ok };
        Phase::Passing
    }

    /// Whether anything follows from what the response guard of the route finds.
    fn enforces_on_answers(&self) -> bool {
        guard_of(&self.policy, self.record.route).is_some_and(|it| it.mode == Mode::Enforce)
    }

    /// What passes of some events, and of all that is held where the stream is at its end.
    fn masked(&mut self, masking: &mut Masking, events: &[u8], end: bool, effects: &mut Effects) -> Passed {
        let policy = Rc::clone(&self.policy);
        let guard = guard_of(&policy, self.record.route);
        let Some((guard, look)) = guard.and_then(|guard| Some(guard).zip(Look::of(guard))) else {
            return Passed { bytes: events.to_vec(), refused: None };
        };
        let finds = &mut self.record.finds;
        let passed =
            if end { masking.pass_last(look, events, finds) } else { masking.pass(look, events, finds) };
        self.note_finds(guard, effects);
        passed
    }

    /// Ends a stream of which no more may pass.
    fn silence(
        &mut self,
        stream: &Stream,
        before: &[u8],
        reply: &Reply,
        end: bool,
        effects: &mut Effects,
    ) -> Phase {
        self.log_refusal(reply, effects);
        let event = stream.refusal(&reply.message, reply.reason.code());
        effects.push(Effect::ReplaceChunk([before, &event].concat()));
        if end { Phase::Passing } else { Phase::Silenced }
    }
}

/// The response guard of a route.
fn guard_of(policy: &Gateway, route: Option<usize>) -> Option<&ResponseGuard> {
    policy.routes.get(route?)?.guard.response.as_ref()
}
