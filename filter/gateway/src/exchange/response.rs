//! The way back: stage `answer`.

use std::borrow::Cow;
use std::rc::Rc;

use policy::Gateway;
use policy::guard::{Mode, ResponseGuard};

use super::held::Held;
use super::{Effects, Exchange, Phase, Way};
use crate::answer::{self, Passing};
use crate::event::{Answer, Clock, Effect, Level};
use crate::guard::{self, Look, Masking, Passed};
use crate::metric::{Action, Finder, Side};
use crate::reply::{Outcome, Reply};
use crate::sse::{Passage, Stream};
use crate::usage::Scan;

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
        self.note_answer(&way, answer);
        let passing = answer::begin(answer, &way.call, passthrough, guard)?;
        let index = self.answering(&way, answer);
        let signed = self.signed(&way, index, answer.attempts);
        effects.extend(signed.into_iter().map(|(name, value)| Effect::SetResponseHeader(name, value)));
        self.answers(&way, index, answer.status());
        match passing {
            Passing::Untouched(outcome) => {
                self.record.outcome = outcome;
                let understood = way.call.operation.is_understood() || self.record.taken.is_some();
                let tells = self.record.answered.is_some() && understood;
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

    /// Notes what the patterns of a response guard have found so far.
    pub(super) fn note_finds(&mut self, guard: &ResponseGuard, effects: &mut Effects) {
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
        (bytes, end, now): (&[u8], bool, Clock<'_>),
        effects: &mut Effects,
    ) -> Phase {
        self.record.wrote(bytes);
        let mut passed = match stream.push(bytes) {
            Passage::AsItIs => self.record.reporting.look(bytes, &mut self.record.usage),
            Passage::Instead(events) => {
                Cow::Owned(self.record.reporting.look(&events, &mut self.record.usage).into_owned())
            }
        };
        self.note_events(&passed, now);
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
pub(super) fn guard_of(policy: &Gateway, route: Option<usize>) -> Option<&ResponseGuard> {
    policy.routes.get(route?)?.guard.response.as_ref()
}
