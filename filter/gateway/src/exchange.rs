//! The life of a request: one state machine from the first header to the last byte.

use std::rc::Rc;
use std::time::Duration;

use policy::access::Carrier;
use policy::{Gateway, Route, Unmatched};

use crate::access::{self, Access, Caller, Models, Verdict};
use crate::answer::{self, Passing};
use crate::attempt::{self, Place};
use crate::document::Document;
use crate::edits::Edits;
use crate::enrich;
use crate::event::{Answer, Appetite, Arrival, Effect, Event, Flow, Level, Metric, Step};
use crate::headers::Headers;
use crate::path::{self, Call, Operation};
use crate::reply::{Outcome, Reason, Reply};
use crate::sse::{Passage, Stream};

/// One request and its answer.
#[derive(Debug)]
pub struct Exchange {
    policy: Rc<Gateway>,
    access: Rc<Access>,
    phase: Phase,
    record: Record,
}

/// What the request waits for, and what is known by then.
#[derive(Debug)]
enum Phase {
    /// Nothing has been seen.
    AwaitRequest,
    /// A token has come before the keys to check it with.
    AwaitKeys(Patience),
    /// The way is known; the prompt is still arriving, and is held.
    AwaitPrompt(Way),
    /// The provider has the request.
    AwaitAnswer(Way),
    /// The provider streams events, and the client gets them.
    Relay(Stream),
    /// The rest is the host's to carry; we do not look at it.
    Passing,
    /// We have answered; what passes now is our own reply.
    Replied,
}

/// The way a request takes.
#[derive(Debug)]
struct Way {
    route: usize,
    call: Call,
    /// What the caller may name.
    models: Models,
}

/// How long keys are waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    since: Duration,
    until: Duration,
}

/// What is known at the end, whatever the phase.
#[derive(Debug)]
struct Record {
    route: Option<usize>,
    outcome: Outcome,
}

type Effects = Vec<Effect>;

impl Exchange {
    /// A request that has not begun.
    pub fn new(access: Rc<Access>) -> Exchange {
        let record = Record { route: None, outcome: Outcome::Unanswered };
        Exchange { policy: Rc::clone(access.policy()), access, phase: Phase::AwaitRequest, record }
    }

    /// Takes an event, says what follows.
    pub fn on(&mut self, event: Event<'_>) -> Step {
        let mut effects = Effects::new();
        let phase = std::mem::replace(&mut self.phase, Phase::Passing);
        let next = match (phase, event) {
            (Phase::AwaitRequest, Event::Request(arrival)) => self.arrive(&arrival, None, &mut effects),
            (Phase::AwaitKeys(patience), Event::Woken(arrival)) => {
                self.arrive(&arrival, Some(patience), &mut effects)
            }
            (Phase::AwaitKeys(patience), Event::RequestGrew(bytes)) => {
                self.within_limit(bytes).map(|()| Phase::AwaitKeys(patience))
            }
            (Phase::AwaitPrompt(way), Event::RequestGrew(bytes)) => {
                self.within_limit(bytes).map(|()| Phase::AwaitPrompt(way))
            }
            (Phase::AwaitPrompt(way), Event::RequestBody(body)) => self.read(way, body, &mut effects),
            // The host gave up on a request that never arrived whole, or on its way to the provider.
            (Phase::AwaitPrompt(way) | Phase::AwaitAnswer(way), Event::Response(answer)) => {
                self.answer(&way, &answer, &mut effects)
            }
            (Phase::AwaitKeys(_), Event::Response(answer)) => {
                answer::not_from_host(&answer).map(|()| Phase::Passing)
            }
            (Phase::Relay(stream), Event::Chunk { bytes, end }) => {
                Ok(self.relay(stream, bytes, end, &mut effects))
            }
            (_, Event::Over) => {
                self.settle(&mut effects);
                Ok(Phase::Passing)
            }
            // A body that nobody reads, trailers after the end, our own reply coming back (H6).
            (
                phase,
                Event::Request(_)
                | Event::Woken(_)
                | Event::RequestGrew(_)
                | Event::RequestBody(_)
                | Event::Response(_)
                | Event::Chunk { .. },
            ) => Ok(phase),
        };
        self.phase = next.unwrap_or_else(|reply| self.reply(reply, &mut effects));
        Step { effects, flow: self.flow() }
    }

    /// What has to be seen of the bodies from here on.
    pub fn appetite(&self) -> Appetite {
        match self.phase {
            Phase::AwaitKeys(Patience { until, .. }) => Appetite::Keys { until },
            Phase::AwaitPrompt(_) => Appetite::RequestBody,
            Phase::Relay(_) => Appetite::Chunks,
            Phase::AwaitRequest | Phase::AwaitAnswer(_) | Phase::Passing | Phase::Replied => {
                Appetite::Nothing
            }
        }
    }

    /// Whether the message that is under way waits or goes on, as long as nothing new happens.
    pub fn flow(&self) -> Flow {
        match self.phase {
            Phase::AwaitKeys(_) | Phase::AwaitPrompt(_) => Flow::Hold,
            Phase::AwaitRequest
            | Phase::AwaitAnswer(_)
            | Phase::Relay(_)
            | Phase::Passing
            | Phase::Replied => Flow::Pass,
        }
    }

    /// Stages `route` to `authorize`: all that the headers decide. Asked again when keys have come, so nothing is done
    /// before everything is decided.
    fn arrive(
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
        let way = Way { route: index, call, models };
        let reads = self.reads(&way, arrival)?;
        self.disarm(headers, effects);
        self.introduce(&caller, effects);
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

    /// Whether the body has to be seen: to be understood, or to know which model it names.
    fn reads(&self, way: &Way, arrival: &Arrival<'_>) -> Result<bool, Reply> {
        let headers = arrival.headers;
        let understood = way.call.operation.is_understood();
        let restricted = way.models.are_listed() && !arrival.end;
        if !understood && !restricted {
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
        match &route.attempt {
            policy::Attempt::Here(target) => {
                attempt::write_headers(target, &way.call, headers, Place::Listener, effects);
            }
            policy::Attempt::Upstream { .. } => effects.push(Effect::Handover(way.call.path.clone())),
        }
    }

    /// Stages `authorize` to `attempt`: all that the body decides.
    fn read(&mut self, way: Way, body: Vec<u8>, effects: &mut Effects) -> Result<Phase, Reply> {
        self.within_limit(body.len() as u64)?;
        let document = Document::parse(body)?;
        document.string("model")?;
        access::allow_body(&way.models, &document)?;
        let policy = Rc::clone(&self.policy);
        if let Some(route) = policy.routes.get(way.route).filter(|_| way.call.operation.is_understood()) {
            write_body(route, way.call.operation, &document, effects)?;
        }
        Ok(Phase::AwaitAnswer(way))
    }

    fn within_limit(&self, bytes: u64) -> Result<(), Reply> {
        let most = self.policy.max_request_bytes;
        if bytes <= most {
            return Ok(());
        }
        Err(Reply::new(413, Reason::BodyTooLarge, format!("the request body is longer than {most} bytes")))
    }

    /// Stage `answer`, where it begins.
    fn answer(&mut self, way: &Way, answer: &Answer<'_>, effects: &mut Effects) -> Result<Phase, Reply> {
        let passthrough =
            self.policy.routes.get(way.route).is_some_and(|route| route.attempt.is_passthrough());
        match answer::begin(answer, &way.call, passthrough)? {
            Passing::Untouched(outcome) => {
                self.record.outcome = outcome;
                Ok(Phase::Passing)
            }
            Passing::Events(stream) => {
                // The stream may end in an event of ours.
                if answer.headers.has("content-length") {
                    effects.push(Effect::RemoveResponseHeader("content-length"));
                }
                self.record.outcome = Outcome::Interrupted;
                Ok(Phase::Relay(stream))
            }
        }
    }

    /// Stage `answer`, piece by piece.
    fn relay(&mut self, mut stream: Stream, bytes: &[u8], end: bool, effects: &mut Effects) -> Phase {
        let passage = stream.push(bytes);
        if !end {
            if let Passage::Instead(events) = passage {
                effects.push(Effect::ReplaceChunk(events));
            }
            return Phase::Relay(stream);
        }
        let (rest, cut) = stream.finish();
        let events = match passage {
            Passage::AsItIs if rest.is_empty() => None,
            Passage::AsItIs => Some([bytes, &rest].concat()),
            Passage::Instead(events) => Some([events, rest].concat()),
        };
        effects.extend(events.map(Effect::ReplaceChunk));
        if cut {
            let line = format!("route {}: the provider ended a stream before its end", self.route_name());
            effects.push(Effect::Log(Level::Warn, line));
        }
        self.record.outcome = if cut { Outcome::StreamCut } else { Outcome::Ok };
        Phase::Passing
    }

    /// Stage `settle`: what is remembered of the request.
    fn settle(&mut self, effects: &mut Effects) {
        effects
            .push(Effect::Count(Metric::Requests { route: self.record.route, outcome: self.record.outcome }));
    }

    /// The one place where a refusal becomes an answer.
    fn reply(&mut self, reply: Reply, effects: &mut Effects) -> Phase {
        self.record.outcome = Outcome::Replied(reply.reason);
        let (route, stage, code) = (self.route_name(), reply.reason.stage(), reply.reason.code());
        let level = if reply.status >= 500 { Level::Warn } else { Level::Info };
        let mut line = format!("route {route}: {} {code} at stage {stage:?}", reply.status);
        if !reply.cause.is_empty() {
            line = format!("{line}: {}", reply.cause);
        }
        effects.push(Effect::Log(level, line));
        effects.push(Effect::Reply(reply));
        Phase::Replied
    }

    fn route_name(&self) -> &str {
        let route = self.record.route.and_then(|index| self.policy.routes.get(index));
        route.map_or("none", |route| &route.name)
    }
}

/// Stages `enrich` and, where it is this filter's, `attempt`.
fn write_body(
    route: &Route,
    operation: Operation,
    document: &Document,
    effects: &mut Effects,
) -> Result<(), Reply> {
    let mut edits = Edits::default();
    let mut fields = match &route.enrich {
        Some(it) => enrich::enrich(it, operation, document, &mut edits)?,
        None => Vec::new(),
    };
    if let policy::Attempt::Here(target) = &route.attempt
        && let Some(model) = attempt::model(target)
    {
        fields.retain(|(name, _)| *name != model.0);
        fields.push(model);
    }
    document.set(fields.iter().map(|(name, json)| (*name, json.as_str())), &mut edits);
    if !edits.is_empty() {
        effects.push(Effect::EditRequestBody(edits));
    }
    Ok(())
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

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
