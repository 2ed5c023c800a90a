//! The way to the provider: stages `route` to `attempt`.

use std::rc::Rc;

use policy::access::Carrier;
use policy::guard::{Mode, OnError, RequestGuard};
use policy::{Provider, Route, Unmatched};

use super::{Asked, Effects, Exchange, Patience, Phase, Way};
use crate::access::{self, Caller, Verdict};
use crate::attempt::{self, Place};
use crate::document::Document;
use crate::edits::Edits;
use crate::enrich;
use crate::event::{Arrival, Effect, Level, Said};
use crate::failover::{self, Chosen, Handover, Spare};
use crate::guard::{self, About, Finds, Message};
use crate::headers::Headers;
use crate::metric::{Action, Finder, Metric, Side};
use crate::path::{self, Call, Operation};
use crate::reply::{Reason, Reply};
use crate::usage::{Reporting, asks_for_usage};

/// Longer than the name of any model, in bytes.
const LONGEST_MODEL: usize = 128;

impl Exchange {
    /// Stages `route` to `authorize`: all that the headers decide. Asked again when keys have come, so nothing is done
    /// before everything is decided.
    pub(super) fn arrive(
        &mut self,
        arrival: &Arrival<'_>,
        waited: Option<Patience>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let headers = arrival.headers;
        let policy = Rc::clone(&self.policy);
        let path = headers.get(":path").unwrap_or_default();
        let host = headers.get(":authority").unwrap_or_default();
        let Some((index, route, taken)) = path::find(&policy.routes, arrival.route, host, path) else {
            self.disarm(headers, effects);
            return self.unmatched();
        };
        self.record.route = Some(index);
        self.record.began = waited.map_or(arrival.now, |it| it.since);
        let caller = match self.access.authenticate(&route.jwt, headers, arrival.now)? {
            Verdict::Known(caller) => caller,
            Verdict::Wait(patience, otherwise) => {
                let since = waited.map_or(arrival.now, |it| it.since);
                let until = since.saturating_add(patience);
                return if arrival.now < until {
                    Ok(Phase::AwaitKeys(Patience { since, until }))
                } else {
                    Err(otherwise)
                };
            }
        };
        let method = headers.get(":method").unwrap_or_default();
        let models = access::authorize(route.rbac.as_ref(), &caller, method, path)?;
        let path = access::without_carriers(path, &caller.spent);
        let call = Call::new(method, &path, taken, route.rewrite.as_ref());
        access::allow_path(&models, &call.path)?;
        let forwarded = guard::forwarded(&route.guard, headers);
        let Chosen { chain, skipped } =
            failover::choose(route, &models, arrival.now, arrival.random, arrival.recall)?;
        let mut way = Way { route: index, call, models, forwarded, chain, spare: None, model: None };
        let reads = self.reads(route, &way, arrival)?;
        let skipped = skipped.into_iter().map(|backend| Metric::Skipped { route: index, backend });
        effects.extend(skipped.map(Effect::Count));
        self.disarm(headers, effects);
        self.introduce(&caller, effects);
        if way.chain.len() > 1 || self.is_led_away(&way) {
            let mut spare = Spare::of(headers, effects);
            if arrival.end {
                spare.keep(Vec::new(), self.access.ledger());
            }
            way.spare = Some(spare);
        }
        self.prepare(route, &way, headers, effects);
        match reads {
            false => Ok(Phase::AwaitAnswer(way)),
            true if arrival.end => self.read(way, Vec::new(), effects),
            true => Ok(Phase::AwaitPrompt(way)),
        }
    }

    /// Takes from a client what only we say: who could set these would be taken for us.
    fn disarm(&self, headers: &Headers<'_>, effects: &mut Effects) {
        let internal = headers.names().filter(|name| access::is_internal(name, &self.policy));
        effects.extend(internal.map(|name| Effect::RemoveRequestHeader(name.to_owned())));
    }

    /// Says who is calling, to those who come after, and takes away what the caller has shown for it.
    fn introduce(&self, caller: &Caller, effects: &mut Effects) {
        effects.extend(caller.spent.iter().filter_map(|carrier| match carrier {
            Carrier::Header(header) => Some(Effect::RemoveRequestHeader(header.name.clone())),
            Carrier::Query(_) => None,
        }));
        let headers = caller.headers(&self.policy).into_iter();
        effects.extend(headers.map(|(name, value)| Effect::SetRequestHeader(name.into(), value)));
        effects.extend(caller.published(&self.policy).map(Effect::Publish));
    }

    /// Whether the body has to be seen: to be understood, to know which model it names, or to be looked at by a guard.
    fn reads(&self, route: &Route, way: &Way, arrival: &Arrival<'_>) -> Result<bool, Reply> {
        let headers = arrival.headers;
        let understood = way.call.operation.is_understood();
        let restricted = way.models.are_listed() && !arrival.end;
        let guarded = route.guard.request.as_ref().filter(|it| it.mode == Mode::Enforce && !arrival.end);
        if !understood && guarded.is_some() && !path::holds_text(&way.call.path) {
            return Err(guard::unreadable("what this path does with a body is not known here"));
        }
        if !understood && !restricted && guarded.is_none() {
            return Ok(false);
        }
        if !understood {
            access::readable(headers)?;
        }
        refuse_encoded(headers)?;
        let announced = headers.get("content-length").and_then(|length| length.parse().ok());
        self.within_limit(announced.unwrap_or(0))?;
        Ok(true)
    }

    fn unmatched(&mut self) -> Result<Phase, Reply> {
        match self.policy.unmatched {
            Unmatched::Pass => Ok(Phase::Passing),
            Unmatched::Refuse => {
                Err(Reply::new(404, Reason::RouteNotFound, "no route takes this host and path"))
            }
        }
    }

    /// Writes the headers of the attempt. They are held with the body, so that a later refusal sends nothing.
    fn prepare(&self, route: &Route, way: &Way, headers: &Headers<'_>, effects: &mut Effects) {
        // An answer that nobody can read is no answer where answers are looked at.
        if route.guard.response.is_some() && headers.has("accept-encoding") {
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

    pub(super) fn within_limit(&self, bytes: u64) -> Result<(), Reply> {
        let most = self.policy.max_request_bytes;
        if bytes <= most {
            return Ok(());
        }
        Err(Reply::new(413, Reason::BodyTooLarge, format!("the request body is longer than {most} bytes")))
    }

    /// Stages `authorize` to `attempt`: all that the body decides.
    pub(super) fn read(
        &mut self,
        mut way: Way,
        body: Vec<u8>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        self.within_limit(body.len() as u64)?;
        let document = Document::parse(body)?;
        way.model = document.string("model")?.and_then(|it| fit_for_a_header(&it));
        access::allow_body(&way.models, &document)?;
        let policy = Rc::clone(&self.policy);
        let guard = policy.routes.get(way.route).and_then(|route| route.guard.request.as_ref());
        if let Some((webhook, guard)) = guard.and_then(|it| it.webhook.as_ref().zip(Some(it))) {
            let messages = self.messages(guard, &document)?;
            if !messages.is_empty() {
                let [forwarded, _] = &way.forwarded;
                effects.push(Effect::Call(guard::ask(webhook, About::Prompt, forwarded, &messages)));
                return Ok(Phase::AwaitVerdict(way, document, Asked::Webhook(messages)));
            }
        }
        self.inspect(way, document, effects)
    }

    /// What somebody who is asked gets of a prompt.
    fn messages(&self, guard: &RequestGuard, document: &Document) -> Result<Vec<Message>, Reply> {
        match guard::of_prompt(document) {
            Ok(messages) => Ok(messages),
            Err(_) if guard.mode == Mode::Monitor => Ok(Vec::new()),
            Err(_) => Err(guard::unreadable("it is nested too deeply")),
        }
    }

    /// Stage `guard`, where patterns are looked for.
    fn inspect(&mut self, way: Way, document: Document, effects: &mut Effects) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let guard = policy.routes.get(way.route).and_then(|route| route.guard.request.as_ref());
        let Some(guard) = guard else { return self.send(way, document, effects) };
        let document = self.mask(guard, document, effects)?;
        if let Some(moderation) = &guard.moderation {
            let messages = self.messages(guard, &document)?;
            if !messages.is_empty() {
                effects.push(Effect::Call(guard::ask_moderation(moderation, &messages)));
                return Ok(Phase::AwaitVerdict(way, document, Asked::Moderation));
            }
        }
        self.send(way, document, effects)
    }

    fn mask(
        &mut self,
        guard: &RequestGuard,
        document: Document,
        effects: &mut Effects,
    ) -> Result<Document, Reply> {
        let Some(patterns) = &guard.patterns else { return Ok(document) };
        let mut finds = Finds::default();
        let inspected = guard::inspect(guard, patterns, &document, &mut finds);
        let action = Action::of(guard.mode, patterns.action);
        for rule in finds.rules() {
            self.found(Side::Request, Finder::Rule(*rule), action, effects);
        }
        match inspected {
            Ok(edits) => changed(document, edits, effects),
            // What cannot be looked at is let pass by a guard that only watches.
            Err(_) if guard.mode == Mode::Monitor => Ok(document),
            Err(reply) => Err(reply),
        }
    }

    /// Stage `guard`, when somebody who was asked has answered, or has not.
    pub(super) fn hear(
        &mut self,
        way: Way,
        document: Document,
        asked: Asked,
        answer: Option<Said<'_>>,
        effects: &mut Effects,
    ) -> Result<Phase, Reply> {
        let policy = Rc::clone(&self.policy);
        let guard = policy.routes.get(way.route).and_then(|route| route.guard.request.as_ref());
        let Some(guard) = guard else { return self.send(way, document, effects) };
        let body = answer.filter(|it| it.status == 200).map(|it| it.body);
        match asked {
            Asked::Webhook(messages) => {
                let verdict = body.and_then(|it| guard::verdict(About::Prompt, messages.len(), it));
                let on_error = guard.webhook.as_ref().map_or(OnError::Deny, |it| it.on_error);
                let document = match verdict {
                    None => {
                        self.unheard(guard.mode, on_error, Finder::Webhook, effects)?;
                        document
                    }
                    Some(guard::Verdict::Pass) => document,
                    Some(guard::Verdict::Mask(texts)) => {
                        let edits = guard::replace(&messages, &texts);
                        let acts = !edits.is_empty();
                        let enforced =
                            acts.then(|| self.acts(guard.mode, Finder::Webhook, Action::Mask, effects));
                        if enforced == Some(true) { changed(document, edits, effects)? } else { document }
                    }
                    Some(guard::Verdict::Reject { body, status }) => {
                        if self.acts(guard.mode, Finder::Webhook, Action::Reject, effects) {
                            return Err(guard::rejected(About::Prompt, &guard.refusal, body, status));
                        }
                        document
                    }
                };
                self.inspect(way, document, effects)
            }
            Asked::Moderation => {
                let on_error = guard.moderation.as_ref().map_or(OnError::Deny, |it| it.on_error);
                match body.and_then(guard::flagged) {
                    None => self.unheard(guard.mode, on_error, Finder::Moderation, effects)?,
                    Some(false) => {}
                    Some(true) => {
                        if self.acts(guard.mode, Finder::Moderation, Action::Reject, effects) {
                            return Err(guard::refuse(&guard.refusal, "moderation"));
                        }
                    }
                }
                self.send(way, document, effects)
            }
        }
    }

    /// Notes what somebody who was asked about a prompt wants done, and says whether it is to be done.
    fn acts(&mut self, mode: Mode, finder: Finder, action: Action, effects: &mut Effects) -> bool {
        let enforced = mode == Mode::Enforce;
        let action = if enforced { action } else { Action::Monitor };
        self.found(Side::Request, finder, action, effects);
        enforced
    }

    /// Somebody who was asked has not answered: what the policy says.
    pub(super) fn unheard(
        &self,
        mode: Mode,
        on_error: OnError,
        finder: Finder,
        effects: &mut Effects,
    ) -> Result<(), Reply> {
        let who = finder.name(Side::Request, None);
        if mode == Mode::Enforce && on_error == OnError::Deny {
            let message = "this route asks somebody about prompts and answers who does not answer now";
            return Err(
                Reply::new(503, Reason::GuardUnavailable, message).because(&format!("{who} gave no answer"))
            );
        }
        let line = format!("route {}: {who} gave no answer, and the policy lets pass", self.route_name());
        effects.push(Effect::Log(Level::Warn, line));
        Ok(())
    }

    /// Stages `enrich` and `attempt`, as far as the body goes.
    fn send(&mut self, mut way: Way, document: Document, effects: &mut Effects) -> Result<Phase, Reply> {
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
    fn is_led_away(&self, way: &Way) -> bool {
        let route = self.policy.routes.get(way.route);
        let here = route.is_some_and(|it| matches!(it.attempt, policy::Attempt::Here(_)));
        here && way.chain.first().is_some_and(|first| *first != 0)
    }
}

/// The document after edits that the host is told of as well.
fn changed(document: Document, edits: Edits, effects: &mut Effects) -> Result<Document, Reply> {
    if edits.is_empty() {
        return Ok(document);
    }
    let document = document.edited(&edits)?;
    effects.push(Effect::EditRequestBody(edits));
    Ok(document)
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
        let names = way.chain.iter().filter_map(|index| route.backends.get(*index));
        it.chain = names.map(|backend| backend.cluster.clone()).collect();
        it.on = failover.on.clone();
        it.remembers = failover.cooldown.is_some();
    }
    it
}

/// The name of a model as it may stand in a header.
fn fit_for_a_header(model: &str) -> Option<String> {
    let fits = model.len() <= LONGEST_MODEL && model.bytes().all(|byte| byte.is_ascii_graphic());
    (fits && !model.is_empty()).then(|| model.to_owned())
}

fn refuse_encoded(headers: &Headers<'_>) -> Result<(), Reply> {
    match headers.get("content-encoding") {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => {
            let message = "the request body is compressed; send it with no content-encoding";
            Err(Reply::new(415, Reason::UnsupportedEncoding, message))
        }
    }
}
