//! Stage `admit`: what a request may take from budgets, and at its end what it has taken.

use std::rc::Rc;
use std::time::Duration;

use policy::budget::{Budget, BudgetMode, Counts, OnUnavailable};
use policy::{Gateway, Route};
use sidecar_api::{Admitted, State};

use super::{Effects, Exchange, Phase, Record, Way};
use crate::document::Document;
use crate::event::{CallOut, Effect, End, Level, Said};
use crate::metric::{BudgetOutcome, Metric, TokenKind};
use crate::reply::{Outcome, Reason, Reply};
use crate::toll::{self, Asking, Heard, Holding, Spending, Taken};
use crate::usage::{Usage, Written};

impl Exchange {
    /// Stage `admit`: asks the sidecar, unless no budget holds for the request or one is known to be used up.
    pub(super) fn admit(
        &mut self,
        way: Way,
        document: Option<Document>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let found = policy.routes.get(way.route).zip(way.facts.as_ref());
        let Some((route, facts)) = found else { return self.admitted(way, document, effects) };
        let first = way.chain.first().map_or(route.backends.first(), |index| route.backends.get(*index));
        let model = first.and_then(|it| it.model.as_deref()).or(way.model.as_deref());
        let provider = first.map(|it| it.provider.name());
        let holding = toll::holding(&route.budgets, facts, provider, model);
        if holding.is_empty() {
            return self.admitted(way, document, effects);
        }
        let Ok(price) = toll::price(&policy, &route.budgets, &holding, model) else {
            return Err(toll::unpriced(model));
        };
        self.record.price = price;
        self.known_to_be_spent(route, &way, (&holding, facts.bare), effects)?;
        if !self.access.toll().may_ask(way.now) {
            self.unable(&holding, "it has not answered a moment ago", effects)?;
            return self.admitted(way, document, effects);
        }
        effects.extend(self.question(&way, document.as_ref(), &holding).map(Effect::Call));
        Ok(Phase::AwaitAdmission(way, document, holding))
    }

    /// What the sidecar is asked, the same each time.
    fn question(&self, way: &Way, document: Option<&Document>, holding: &[Holding]) -> Option<CallOut> {
        let facts = way.facts.as_ref()?;
        let asking = Asking {
            budgets: &self.policy.routes.get(way.route)?.budgets,
            holding,
            price: self.record.price,
            document,
            operation: way.call.operation,
            bare: facts.bare,
            id: self.access.request_id(way.random),
            trace: facts.trace.as_deref(),
        };
        Some(toll::question(&asking, self.policy.sidecar.as_ref()?))
    }

    /// Has given back what may have been reserved by a question whose answer nobody has heard.
    pub(super) fn reclaim(
        &self,
        way: &Way,
        document: Option<&Document>,
        holding: &[Holding],
        effects: &mut Effects,
    ) {
        effects.extend(self.question(way, document, holding).map(Effect::Reclaim));
    }

    /// Who asks for a budget that is known to be used up is refused without a question.
    fn known_to_be_spent(
        &self,
        route: &Route,
        way: &Way,
        (holding, bare): (&[Holding], bool),
        effects: &mut Effects,
    ) -> Result<(), Reply> {
        let (toll, digests) = (self.access.toll(), self.access.digests());
        for held in holding {
            let Some(budget) = route.budgets.get(held.budget) else { continue };
            let takes = !bare || budget.counts == Counts::Requests;
            if budget.mode != BudgetMode::Enforce || !takes {
                continue;
            }
            if let Some(reset) = toll.spent(digests, &budget.name, held, way.now) {
                self.met(held, BudgetOutcome::Exceeded, effects);
                return Err(toll::exceeded(budget, held, 0, seconds(reset), None));
            }
        }
        Ok(())
    }

    /// The sidecar has answered, or has not.
    pub(super) fn hear_admission(
        &mut self,
        mut way: Way,
        document: Option<Document>,
        holding: Vec<Holding>,
        (said, now): (Option<Said<'_>>, Duration),
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        way.now = now;
        let heard = toll::hear(said);
        self.access.toll().answered(!matches!(heard, Heard::Nothing), now);
        match heard {
            Heard::Answer(Admitted { reservation: Some(reservation), limits, input_tokens, .. }) => {
                let taken =
                    Taken { reservation, holding, prompt: input_tokens.unwrap_or(0), headers: Vec::new() };
                self.take(&way, taken, &limits, effects);
                self.admitted(way, document, effects)
            }
            Heard::Answer(admitted) => Err(self.denied(&way, &holding, &admitted, now, effects)),
            Heard::Unable(status) => {
                if toll::uncertain(status) {
                    self.reclaim(&way, document.as_ref(), &holding, effects);
                }
                self.unable(&holding, &format!("it says {status}"), effects)?;
                self.admitted(way, document, effects)
            }
            Heard::Nothing => {
                self.reclaim(&way, document.as_ref(), &holding, effects);
                self.unable(&holding, "it does not answer", effects)?;
                self.admitted(way, document, effects)
            }
        }
    }

    /// After stage `admit`.
    fn admitted(
        &mut self,
        way: Way,
        document: Option<Document>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        match document {
            Some(document) => self.send(way, document, effects),
            None => Ok(Phase::AwaitAnswer(way)),
        }
    }

    /// Keeps a reservation until the end of the request.
    fn take(&mut self, way: &Way, mut taken: Taken, limits: &[State], effects: &mut Effects) {
        let policy = Rc::clone(&self.policy);
        let Some(route) = policy.routes.get(way.route) else { return };
        let budget = |held: &Holding| route.budgets.get(held.budget);
        let mut shown = Vec::new();
        for (held, state) in taken.holding.iter().zip(limits) {
            let outcome = if state.exceeded { BudgetOutcome::Monitored } else { BudgetOutcome::Allowed };
            self.met(held, outcome, effects);
            shown.extend(budget(held).filter(|it| it.headers).map(|it| (it, held, state)));
        }
        taken.headers = toll::shown(&shown);
        if taken.holding.iter().filter_map(budget).any(Budget::counts_output) {
            self.record.written = Some(Written::default());
        }
        let (asked, labels) = (self.asked(), self.labels());
        effects.push(Effect::Add(Metric::RateLimited { asked, labels }, taken.prompt));
        self.record.taken = Some(taken);
    }

    /// A budget has too little left.
    fn denied(
        &self,
        way: &Way,
        holding: &[Holding],
        admitted: &Admitted,
        now: Duration,
        effects: &mut Effects,
    ) -> Reply {
        let route = self.policy.routes.get(way.route);
        let exceeded = |state: &&State| state.exceeded;
        let found = admitted.limits.iter().filter(exceeded).find_map(|state| {
            let named = |held: &&Holding| {
                let budget = route.and_then(|route| route.budgets.get(held.budget));
                budget.is_some_and(|it| it.name == state.name && it.mode == BudgetMode::Enforce)
            };
            let held = holding.iter().find(named)?;
            Some((route?.budgets.get(held.budget)?, held, state))
        });
        let Some((budget, held, state)) = found else {
            return Reply::new(503, Reason::BudgetUnavailable, "no budget says why it is used up");
        };
        self.met(held, BudgetOutcome::Exceeded, effects);
        let reset = Duration::from_secs(state.reset_seconds);
        if state.spent {
            self.access.toll().is_spent(self.access.digests(), &budget.name, held, reset, now);
        }
        let needs = match budget.counts {
            Counts::Requests => Some(1),
            Counts::Prompt | Counts::Input => admitted.input_tokens,
            Counts::Output | Counts::Total | Counts::Cost => None,
        };
        toll::exceeded(budget, held, state.remaining, state.reset_seconds, needs)
    }

    /// Nobody can say how budgets stand: what the policy says.
    fn unable(&self, holding: &[Holding], why: &str, effects: &mut Effects) -> Result<(), Reply> {
        let route = self.record.route.and_then(|index| self.policy.routes.get(index));
        let budgets = holding.iter().filter_map(|held| route?.budgets.get(held.budget));
        for held in holding {
            self.met(held, BudgetOutcome::Unavailable, effects);
        }
        let denies =
            |it: &&Budget| it.mode == BudgetMode::Enforce && it.on_unavailable == OnUnavailable::Deny;
        match budgets.into_iter().find(denies) {
            Some(budget) => Err(toll::unavailable(budget).because(&format!("the sidecar: {why}"))),
            None => {
                let line =
                    format!("route {}: the sidecar: {why}: budgets let pass uncounted", self.route_name());
                effects.push(Effect::Log(Level::Warn, line));
                Ok(())
            }
        }
    }

    fn met(&self, held: &Holding, outcome: BudgetOutcome, effects: &mut Effects) {
        if let Some(route) = self.record.route {
            effects.push(Effect::Count(Metric::Budget { route, budget: held.budget, outcome }));
        }
    }
}

impl Record {
    /// Takes note of what an answer says, where it may be all that is ever known of its length.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        if let Some(written) = &mut self.written {
            written.push(bytes);
        }
    }

    /// Tells what of a reservation was used, now that the request is over. Gives what was seen of tokens, where nobody has
    /// reported them.
    pub(super) fn settle_budgets(
        &mut self,
        policy: &Gateway,
        end: End,
        effects: &mut Effects,
    ) -> Option<Usage> {
        let route = policy.routes.get(self.route?)?;
        let taken = self.taken.take()?;
        let left_early = end.client_left && self.outcome == Outcome::Unanswered;
        let spending = Spending {
            asked: self.asked,
            read: self.answered.is_some() || (self.asked && left_early),
            usage: self.usage,
            written: self.written.as_ref().map_or(0, Written::tokens),
            price: self.price,
        };
        let asked = self.answered.filter(|_| spending.usage.is_none());
        let estimated = asked.map(|asked| {
            let tokens = spending.tokens(taken.prompt);
            for (kind, tokens) in [(TokenKind::Input, tokens.input), (TokenKind::Output, tokens.output)] {
                effects.push(Effect::Add(Metric::Estimated { kind, asked }, tokens));
            }
            tokens
        });
        effects.push(Effect::Settle(toll::used(taken, &route.budgets, &spending)));
        estimated
    }
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "admit_tests.rs"]
mod tests;
