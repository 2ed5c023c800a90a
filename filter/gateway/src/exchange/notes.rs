//! What is said of a request at its end: tokens and times for metrics, and a line for the access log.

use std::time::Duration;

use policy::failover::Backend;

use super::{Effects, Exchange, Way};
use crate::access::Caller;
use crate::event::{Answer, Clock, Effect, End};
use crate::metric::{Metric, Model, TokenDetail, TokenKind};
use crate::reply::{Reason, Reply};
use crate::report::{Report, millis};
use crate::usage::{Labels, Usage, claim};
use crate::{answer, sse};

/// What is noted on the way.
#[derive(Debug, Default)]
pub struct Notes {
    /// What the caller's claims come to as labels; nothing before the caller is known.
    labels: Option<Labels>,
    /// Who has called, where a log wants to know.
    caller: Option<String>,
    /// The model that the body names.
    model: Option<String>,
    /// Who is asked first, or was asked last, if that can be told: an index into the route's backends.
    backend: Option<usize>,
    /// How many were asked.
    attempts: u32,
    /// What the client is told.
    status: Option<u16>,
    /// How long it took until the first event with data of a stream.
    first_token: Option<Duration>,
}

impl Exchange {
    /// Notes who is calling.
    pub(super) fn note_caller(&mut self, caller: &Caller) {
        let notes = &mut self.record.notes;
        notes.labels = Some(self.access.labels().of(caller, &self.policy));
        let named = self.policy.access_log.as_ref().and_then(|it| it.caller.as_ref());
        notes.caller = named.and_then(|path| claim(caller, path)).map(Into::into);
    }

    /// Notes what is asked, and who is to be asked first.
    pub(super) fn note_asked(&mut self, way: &Way) {
        let backends = self.policy.routes.get(way.route).map_or(0, |route| route.backends.len());
        let notes = &mut self.record.notes;
        notes.model.clone_from(&way.model);
        notes.backend = way.chain.first().copied().or((backends == 1).then_some(0));
    }

    /// Notes what has come back, from whom, after how many attempts. Many of the host's own answers are given before
    /// anybody has been asked.
    pub(super) fn note_answer(&mut self, way: &Way, answer: &Answer<'_>) {
        let asked = |details: &str| {
            let reason = answer::from_host(answer.status(), details).reason;
            matches!(reason, Reason::ProviderUnreachable | Reason::ProviderTimeout)
        };
        if answer.local.is_none_or(asked) {
            self.note_attempts(self.answering(way, answer), answer.attempts.max(1));
        }
        self.record.notes.status = Some(answer.status());
    }

    /// Notes who was asked last, and how many have been asked by then.
    pub(super) fn note_attempts(&mut self, backend: Option<usize>, attempts: u32) {
        let notes = &mut self.record.notes;
        notes.backend = backend.or(notes.backend);
        notes.attempts = attempts;
    }

    /// Notes what the client is told.
    pub(super) fn note_status(&mut self, status: u16) {
        self.record.notes.status = Some(status);
    }

    /// Notes when the first event with data of a stream has come. The clock is asked once: it costs a call of the host.
    pub(super) fn note_events(&mut self, events: &[u8], now: Clock<'_>) {
        let says = |event| sse::data(event).is_some_and(|data| data != b"[DONE]");
        if self.record.notes.first_token.is_none() && sse::split(events).any(says) {
            self.record.notes.first_token = Some((now.0)().saturating_sub(self.record.began));
        }
    }

    /// Counts a failure of the gateway's, or of somebody whom it needs. What a policy refuses is none, whatever its status.
    pub(super) fn count_failure(&self, reply: &Reply, effects: &mut Effects) {
        let refused = matches!(reply.reason, Reason::PromptRejected | Reason::AnswerRejected);
        if reply.status >= 500 && !refused {
            self.count_exception(effects);
        }
    }

    /// Counts that somebody has failed whom the gateway needs.
    pub(super) fn count_exception(&self, effects: &mut Effects) {
        let asked = self.asked();
        effects.push(Effect::Count(Metric::Exceptions { asked, labels: self.labels() }));
    }

    /// Who is asked first, or was asked last, and for which model. Nobody knows whether there is such a model: those that
    /// answer have to find room among the names that metrics know.
    pub(super) fn asked(&self) -> Option<Model> {
        let backend = self.backend()?;
        let name = self.access.models().doubtful(self.model_of(backend).unwrap_or("unknown"));
        Some(Model { provider: backend.provider, name })
    }

    /// What is counted of tokens and times.
    pub(super) fn tell_usage(&self, end: End, effects: &mut Effects) {
        let Some(asked) = self.record.answered else { return };
        effects.push(Effect::Observe(Metric::Duration(asked), millis(self.took(end))));
        if let Some(time) = self.record.notes.first_token {
            effects.push(Effect::Observe(Metric::FirstToken(asked), millis(time)));
        }
        let Some(usage) = self.record.usage else { return };
        let labels = self.labels();
        for (kind, tokens) in [(TokenKind::Input, usage.input), (TokenKind::Output, usage.output)] {
            effects.push(Effect::Add(Metric::Tokens { kind, asked, labels }, tokens));
            effects.push(Effect::Observe(Metric::TokenUsage { kind, asked }, tokens));
        }
        let details = [
            (TokenDetail::CachedInput, usage.cached),
            (TokenDetail::ReasoningOutput, usage.reasoning),
            (TokenDetail::AudioInput, usage.audio_input),
            (TokenDetail::AudioOutput, usage.audio_output),
        ];
        let some = details.into_iter().filter(|(_, tokens)| *tokens > 0);
        effects.extend(some.map(|(kind, tokens)| Effect::Add(Metric::TokenDetails { kind, asked }, tokens)));
    }

    /// The request's line in the access log, where there is one. What was seen of tokens, where nobody has reported them.
    pub(super) fn report(&self, end: End, estimated: Option<Usage>) -> Option<Effect> {
        self.policy.access_log.as_ref()?;
        let notes = &self.record.notes;
        let backend = self.backend().filter(|_| notes.attempts > 0);
        let route = self.record.route.and_then(|index| self.policy.routes.get(index));
        let usage = self.record.usage.or(estimated);
        let answered = backend.and_then(|it| self.model_of(it));
        let price = answered.and_then(|it| self.policy.price(it));
        let report = Report {
            began: self.record.began,
            took: self.took(end),
            first_token: notes.first_token,
            route: route.map(|it| it.name.as_str()),
            caller: notes.caller.as_deref(),
            asked: notes.model.as_deref(),
            answered,
            provider: backend.map(|it| it.provider.name()),
            usage,
            estimated: estimated.is_some(),
            cost: usage.zip(price).map(|(it, price)| price.of(it.input, it.cached, it.output)),
            outcome: self.record.outcome,
            status: notes.status,
            attempts: notes.attempts,
        };
        Some(Effect::Report(report.json()))
    }

    fn took(&self, end: End) -> Duration {
        end.now.saturating_sub(self.record.began)
    }

    /// The labels of the caller; those of nobody, where nobody is known.
    pub(super) fn labels(&self) -> Labels {
        let nobody = || self.access.labels().of(&Caller::default(), &self.policy);
        self.record.notes.labels.unwrap_or_else(nobody)
    }

    fn backend(&self) -> Option<&Backend> {
        self.policy.routes.get(self.record.route?)?.backends.get(self.record.notes.backend?)
    }

    /// The model that somebody is asked for.
    fn model_of<'a>(&'a self, backend: &'a Backend) -> Option<&'a str> {
        backend.model.as_deref().or(self.record.notes.model.as_deref())
    }
}

#[cfg(test)]
#[path = "notes_tests.rs"]
mod tests;
