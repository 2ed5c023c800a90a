//! Stages `enrich` and `attempt`: what goes to the provider, or to whoever stands before it.

use std::rc::Rc;

use policy::{Provider, Route};

use super::{Effects, Exchange, Phase, Way};
use crate::attempt::{self, Place};
use crate::document::Document;
use crate::edits::Edits;
use crate::enrich;
use crate::event::Effect;
use crate::failover::Handover;
use crate::headers::Headers;
use crate::path::Operation;
use crate::reply::Reply;
use crate::usage::{Reporting, asks_for_usage};

impl Exchange {
    /// Writes the headers of the attempt. They are held with the body, so that a later refusal sends nothing.
    pub(super) fn prepare(&self, route: &Route, way: &Way, headers: &Headers<'_>, effects: &mut Effects) {
        // An answer that nobody can read is no answer where answers are looked at, and says nothing of its usage.
        let reads = route.guard.response.is_some() || !route.budgets.is_empty();
        if reads && headers.has("accept-encoding") {
            effects.push(Effect::RemoveRequestHeader("accept-encoding".into()));
        }
        match &route.attempt {
            policy::Attempt::Here(target) => {
                attempt::write_headers(target, &way.call, headers, Place::Listener, effects);
            }
            policy::Attempt::Upstream { .. } => {
                let handover = handover(route, way);
                if !handover.chain.is_empty() {
                    let chain = handover.chain.join(",");
                    effects.push(Effect::SetRequestHeader(crate::CHAIN_HEADER.into(), chain));
                }
                effects.push(Effect::Handover(handover.text()));
            }
        }
    }

    /// Stages `enrich` and `attempt`, as far as the body goes.
    pub(super) fn send(
        &mut self,
        mut way: Way,
        document: Document,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let Some(route) = policy.routes.get(way.route).filter(|_| way.call.operation.is_understood()) else {
            return Ok(Phase::AwaitAnswer(way));
        };
        let operation = way.call.operation;
        let own = match &route.attempt {
            policy::Attempt::Here(target) => attempt::fields(target, operation, true, &document),
            policy::Attempt::Upstream { .. } => Vec::new(),
        };
        self.ask_for_usage(route, &way, &document, effects);
        if let Some(spare) = &mut way.spare {
            // Whoever is asked next writes a model of its own.
            let body = enriched(route, operation, &document, Vec::new())?.applied(document.body());
            spare.keep(body, self.access.ledger());
            if self.is_led_away(&way) {
                return self.ask_backup(way, 0, effects);
            }
        }
        let edits = enriched(route, operation, &document, own)?;
        if !edits.is_empty() {
            effects.push(Effect::EditRequestBody(edits));
        }
        Ok(Phase::AwaitAnswer(way))
    }

    /// Where a stream would not report its usage, has it do so, and keeps the report from the client.
    fn ask_for_usage(&mut self, route: &Route, way: &Way, document: &Document, effects: &mut Effects) {
        let knows = route.backends.iter().any(|it| it.provider == Provider::Openai);
        if knows && asks_for_usage(way.call.operation, document).is_some() {
            self.record.reporting = Reporting::Hidden;
            if let policy::Attempt::Upstream { .. } = route.attempt {
                let handover = Handover { reports: true, ..handover(route, way) };
                effects.push(Effect::Handover(handover.text()));
            }
        }
    }

    /// Whether the one that the host's own route leads to is not the first to be asked, so that the module asks itself.
    pub(super) fn is_led_away(&self, way: &Way) -> bool {
        let route = self.policy.routes.get(way.route);
        let here = route.is_some_and(|it| matches!(it.attempt, policy::Attempt::Here(_)));
        here && way.chain.first().is_some_and(|first| *first != 0)
    }
}

/// Stage `enrich` and, with fields that are written for a target, `attempt`.
fn enriched(
    route: &Route,
    operation: Operation,
    document: &Document,
    own: Vec<enrich::Field<'_>>,
) -> Result<Edits, Reply> {
    let mut edits = Edits::default();
    let mut fields = match &route.enrich {
        Some(it) => enrich::enrich(it, operation, document, &mut edits)?,
        None => Vec::new(),
    };
    fields.retain(|(name, _)| !own.iter().any(|(other, _)| name == other));
    fields.extend(own);
    document.set(fields.iter().map(|(name, json)| (*name, json.as_str())), &mut edits);
    Ok(edits)
}

/// What the module in the cluster's filter chain has to know.
fn handover(route: &Route, way: &Way) -> Handover {
    let mut it = Handover::plain(&way.call.path);
    if let Some(failover) = &route.failover {
        let asked = || way.chain.iter().filter_map(|index| route.backends.get(*index));
        it.chain = asked().map(|backend| backend.cluster.clone()).collect();
        it.on = failover.on.clone();
        it.remembers = failover.cooldown.is_some();
        it.own_key = asked().all(|backend| backend.passthrough) && !way.chain.is_empty();
    }
    it
}
