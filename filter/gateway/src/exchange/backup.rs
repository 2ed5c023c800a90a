//! What the module asks in the host's place: the next of a request's chain, when the host has given up or cannot go on.

use std::rc::Rc;
use std::time::Duration;

use policy::failover::{Backend, NoAnswer};
use policy::{Attempt, Credential, Route};

use super::held::Held;
use super::{Effects, Exchange, Phase, Way};
use crate::answer::{self, Passing};
use crate::attempt::lesson;
use crate::event::{Answer, Delivery, Effect, Level, Said};
use crate::failover::{self, By, Lesson};
use crate::metric::{Asked, AttemptOutcome, Metric, Model};
use crate::reply::{Outcome, Reason, Reply};

/// Headers that follow from the way an answer is sent, or that only the gateway says.
const OWN: [&str; 5] = [":status", "connection", "content-length", "keep-alive", "transfer-encoding"];

/// Somebody who has been asked.
#[derive(Debug)]
pub struct Backup {
    way: Way,
    /// The place in the chain.
    at: usize,
}

impl Exchange {
    /// The place in the chain of whoever is to be asked by the module now that an answer of the host's was a failure. What
    /// no filter of a cluster can have seen is remembered.
    pub(super) fn after_failure(
        &self,
        way: &Way,
        answer: &Answer<'_>,
        effects: &mut Effects,
    ) -> Option<usize> {
        let route = self.policy.routes.get(way.route)?;
        let failover = route.failover.as_ref()?;
        let (by, made) = made(route, answer);
        let own = By::Module == by && way.chain.first() == Some(&0);
        let hopeless = answer.local.is_some_and(failover::is_hopeless);
        if let Some(backend) = way.chain.get(made - 1).filter(|_| own || hopeless) {
            let outcome = match answer.local {
                None => AttemptOutcome::of(answer.status()),
                Some(_) => AttemptOutcome::NoAnswer,
            };
            let wait = failover::retry_after(answer.headers, answer.now);
            self.note_attempt(way.route, *backend, outcome, lesson(outcome, answer.now, wait), effects);
        }
        failover::fails(&failover.on, answer, by).then(|| self.callable(way, made)).flatten()
    }

    /// The first place of the chain, from this one on, of somebody whom the module can ask, if it has kept what it takes.
    fn callable(&self, way: &Way, from: usize) -> Option<usize> {
        way.spare.as_ref().filter(|it| it.is_whole())?;
        let route = self.policy.routes.get(way.route)?;
        let named = |at: &usize| {
            let backend = way.chain.get(*at).and_then(|index| route.backends.get(*index));
            backend.is_some_and(|it| !it.cluster.is_empty())
        };
        (from..way.chain.len()).find(named)
    }

    /// Asks whoever stands at a place of the chain.
    pub(super) fn ask_backup(&self, way: Way, at: usize, effects: &mut Effects) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let route = policy.routes.get(way.route);
        let found = route.and_then(|route| Some((route.failover.as_ref()?, backend(route, &way, at)?)));
        let Some(((failover, (_, backend)), spare)) = found.zip(way.spare.as_ref()) else {
            return Err(unreachable());
        };
        effects.push(Effect::Call(failover::ask(backend, &way.call, spare, failover.timeout)?));
        let line = format!(
            "route {}: attempt {} is made by a call to {}",
            self.route_name(),
            at + 1,
            backend.name()
        );
        effects.push(Effect::Log(Level::Info, line));
        Ok(Phase::AwaitBackup(Backup { way, at }))
    }

    /// Somebody who was asked has answered, or has not.
    pub(super) fn hear_backup(
        &mut self,
        backup: Backup,
        said: Option<Said<'_>>,
        now: Duration,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let Backup { way, at } = backup;
        let policy = Rc::clone(&self.policy);
        let found = policy.routes.get(way.route).and_then(|route| Some((route, route.failover.as_ref()?)));
        let Some((route, failover)) = found else { return Err(unreachable()) };
        // What the host says of somebody who has not answered is no answer either.
        let host_said = said.as_ref().filter(|it| failover::is_hosts(it)).map(|it| it.status);
        let said = said.filter(|_| host_said.is_none());
        let outcome = said.as_ref().map_or(AttemptOutcome::NoAnswer, |it| AttemptOutcome::of(it.status));
        // Where the module is among the cluster's filters, it has noted this there.
        self.note_attempts(way.chain.get(at).copied(), u32::try_from(at + 1).unwrap_or(u32::MAX));
        if let Some((index, _)) = backend(route, &way, at).filter(|(_, it)| it.target.is_some()) {
            let wait = said.as_ref().and_then(|it| failover::retry_after(it.headers, now));
            self.note_attempt(way.route, index, outcome, lesson(outcome, now, wait), effects);
        }
        let fails = match &said {
            Some(said) => failover.on.takes(said.status),
            None => failover.on.no_answer != NoAnswer::Never,
        };
        match (said, self.callable(&way, at + 1)) {
            (_, Some(next)) if fails => self.ask_backup(way, next, effects),
            (Some(said), _) => self.deliver(way, at, &said, effects),
            (None, _) => {
                Err(host_said.map_or_else(unreachable, |status| answer::from_host(status, "upstream_reset")))
            }
        }
    }

    /// Gives the client what somebody has said to a call, as if the host had brought it.
    fn deliver(
        &mut self,
        way: Way,
        at: usize,
        said: &Said<'_>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let route = policy.routes.get(way.route);
        let attempts = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let answer = Answer {
            headers: said.headers,
            local: None,
            end: said.body.is_empty(),
            now: Duration::ZERO,
            attempts,
            cluster: None,
        };
        let asked = route.and_then(|route| backend(route, &way, at));
        let passthrough = match asked.and_then(|(_, it)| it.target.as_ref()) {
            Some(target) => matches!(target.credential, Credential::Passthrough),
            None => route.is_some_and(|route| route.attempt.is_passthrough()),
        };
        let guard = route.and_then(|route| route.guard.response.as_ref());
        let passing = answer::begin(&answer, &way.call, passthrough, guard)?;
        let index = asked.map(|(index, _)| index);
        let ours = self.signed(&way, index, attempts);
        self.answers(&way, index, said.status);
        self.note_status(said.status);
        let pairs = said
            .headers
            .pairs()
            .filter(|(name, _)| !OWN.contains(name) && !ours.iter().any(|(own, _)| own == name));
        let theirs = pairs
            .filter_map(|(name, value)| Some((name.to_owned(), std::str::from_utf8(value).ok()?.to_owned())));
        let headers = theirs.chain(ours.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let delivery = Delivery { status: said.status, headers: headers.collect(), body: Vec::new() };
        let body = said.body.to_vec();
        match passing {
            Passing::Untouched(outcome) => {
                self.record.wrote(&body);
                self.tally(&body);
                let held = Held::new(way, outcome, None).delivered(delivery);
                Ok(self.passes(held, body, effects))
            }
            Passing::Events(stream) => {
                self.whole(Held::new(way, Outcome::Ok, Some(stream)).delivered(delivery), body, effects)
            }
            Passing::Whole(outcome, stream) => {
                self.whole(Held::new(way, outcome, stream).delivered(delivery), body, effects)
            }
        }
    }

    fn note_attempt(
        &self,
        route: usize,
        index: usize,
        outcome: AttemptOutcome,
        lesson: Option<Lesson>,
        effects: &mut Effects,
    ) {
        let target = Asked::Backend { route, backend: index };
        effects.push(Effect::Count(Metric::Attempts { target, outcome }));
        let Some(route) = self.policy.routes.get(route) else { return };
        let remembers = route.failover.as_ref().is_some_and(|it| it.cooldown.is_some());
        if let (Some(lesson), Some(backend), true) = (lesson, route.backends.get(index), remembers) {
            effects.push(Effect::Remember(backend.name().to_owned(), lesson));
        }
    }

    /// Which backend of the route an answer of the host's is from, if that can be told.
    pub(super) fn answering(&self, way: &Way, answer: &Answer<'_>) -> Option<usize> {
        let route = self.policy.routes.get(way.route)?;
        let (_, made) = made(route, answer);
        match (way.chain.get(made - 1), route.backends.as_slice()) {
            (Some(index), _) => Some(*index),
            (None, [_]) => Some(0),
            (None, several) => several.iter().position(|it| Some(it.cluster.as_str()) == answer.cluster),
        }
    }

    /// Notes who has answered, for what is counted by provider and model. An error is nobody's answer.
    pub(super) fn answers(&mut self, way: &Way, index: Option<usize>, status: u16) {
        if !(200..300).contains(&status) {
            return;
        }
        let route = self.policy.routes.get(way.route);
        let backend = route.zip(index).and_then(|(route, index)| route.backends.get(index));
        self.record.answered = backend.map(|backend| {
            let model = backend.model.as_ref().or(way.model.as_ref()).map_or("unknown", String::as_str);
            if self.record.price.is_some() {
                self.record.price = self.policy.price(model).copied().or(self.record.price);
            }
            Model { provider: backend.provider, name: self.access.models().number(model) }
        });
    }

    /// The headers that tell a client who has answered it.
    pub(super) fn signed(
        &self,
        way: &Way,
        index: Option<usize>,
        attempts: u32,
    ) -> Vec<(&'static str, String)> {
        let route = self.policy.routes.get(way.route);
        let budgets = self.record.taken.iter().flat_map(|taken| taken.headers.clone());
        let Some(backend) = route.zip(index).and_then(|(route, index)| route.backends.get(index)) else {
            return budgets.collect();
        };
        let model = backend.model.as_ref().or(way.model.as_ref());
        let provider = ("x-turnpike-provider", backend.provider.name().to_owned());
        let attempts = ("x-turnpike-attempts", attempts.max(1).to_string());
        let model = model.map(|model| ("x-turnpike-model", model.clone()));
        [provider, attempts].into_iter().chain(model).chain(budgets).collect()
    }
}

/// Who stands at a place of the chain, and the index in the route.
fn backend<'r>(route: &'r Route, way: &Way, at: usize) -> Option<(usize, &'r Backend)> {
    let index = *way.chain.get(at)?;
    Some((index, route.backends.get(index)?))
}

/// Who made the attempts that have led to an answer of the host's, and how many there were: one at least.
fn made(route: &Route, answer: &Answer<'_>) -> (By, usize) {
    match route.attempt {
        Attempt::Here(_) => (By::Module, 1),
        Attempt::Upstream { .. } => (By::Host, answer.attempts.max(1) as usize),
    }
}

fn unreachable() -> Reply {
    Reply::new(503, Reason::ProviderUnreachable, "the provider cannot be reached")
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
