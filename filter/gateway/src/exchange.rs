//! The life of a request: one state machine from the first header to the last byte.

use std::rc::Rc;

use policy::{Gateway, Route, Unmatched};

use crate::INTERNAL_PREFIX;
use crate::answer::{self, Passing};
use crate::attempt::{self, Place};
use crate::document::Document;
use crate::event::{Answer, Appetite, Arrival, Effect, Event, Flow, Level, Metric, Step};
use crate::headers::Headers;
use crate::path::{self, Call};
use crate::reply::{Outcome, Reason, Reply};
use crate::sse::{Passage, Stream};

/// One request and its answer.
#[derive(Debug)]
pub struct Exchange {
    policy: Rc<Gateway>,
    phase: Phase,
    record: Record,
}

/// What the request waits for, and what is known by then.
#[derive(Debug)]
enum Phase {
    /// Nothing has been seen.
    AwaitRequest,
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
    pub fn new(policy: Rc<Gateway>) -> Exchange {
        let record = Record { route: None, outcome: Outcome::Unanswered };
        Exchange { policy, phase: Phase::AwaitRequest, record }
    }

    /// Takes an event, says what follows.
    pub fn on(&mut self, event: Event<'_>) -> Step {
        let mut effects = Effects::new();
        let phase = std::mem::replace(&mut self.phase, Phase::Passing);
        let next = match (phase, event) {
            (Phase::AwaitRequest, Event::Request(arrival)) => self.arrive(&arrival, &mut effects),
            (Phase::AwaitPrompt(way), Event::RequestGrew(bytes)) => {
                self.within_limit(bytes).map(|()| Phase::AwaitPrompt(way))
            }
            (Phase::AwaitPrompt(way), Event::RequestBody(body)) => self.read(way, body, &mut effects),
            // The host gave up on a request that never arrived whole, or on its way to the provider.
            (Phase::AwaitPrompt(way) | Phase::AwaitAnswer(way), Event::Response(answer)) => {
                self.answer(&way, &answer, &mut effects)
            }
            (Phase::Relay(stream), Event::Chunk { bytes, end }) => {
                Ok(self.relay(stream, bytes, end, &mut effects))
            }
            (phase, Event::Over) => {
                self.settle(&mut effects);
                Ok(phase)
            }
            // A body that nobody reads, trailers after the end, our own reply coming back (H6).
            (
                phase,
                Event::Request(_)
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
            Phase::AwaitPrompt(_) => Flow::Hold,
            Phase::AwaitRequest
            | Phase::AwaitAnswer(_)
            | Phase::Relay(_)
            | Phase::Passing
            | Phase::Replied => Flow::Pass,
        }
    }

    /// Stages `route` and `authenticate`: all that the headers decide.
    fn arrive(&mut self, arrival: &Arrival<'_>, effects: &mut Effects) -> Result<Phase, Reply> {
        let headers = arrival.headers;
        // Before anything else: a client that could set these would be taken for us.
        for name in headers.names().filter(|name| name.starts_with(INTERNAL_PREFIX)) {
            effects.push(Effect::RemoveRequestHeader(name.to_owned()));
        }
        let policy = Rc::clone(&self.policy);
        let host = headers.get(":authority").unwrap_or_default();
        let path = headers.get(":path").unwrap_or_default();
        let Some((index, route, taken)) = path::find(&policy.routes, arrival.route, host, path) else {
            return self.unmatched();
        };
        self.record.route = Some(index);
        let method = headers.get(":method").unwrap_or_default();
        let call = Call::new(method, path, taken, route.rewrite.as_ref());
        let way = Way { route: index, call };
        if way.call.operation.is_understood() {
            refuse_encoded(headers)?;
            let announced = headers.get("content-length").and_then(|length| length.parse().ok());
            self.within_limit(announced.unwrap_or(0))?;
        }
        self.prepare(route, &way, headers, effects);
        if !way.call.operation.is_understood() {
            return Ok(Phase::AwaitAnswer(way));
        }
        if arrival.end { self.read(way, Vec::new(), effects) } else { Ok(Phase::AwaitPrompt(way)) }
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
        let policy = Rc::clone(&self.policy);
        if let Some(Route { attempt: policy::Attempt::Here(target), .. }) = policy.routes.get(way.route) {
            attempt::write_body(target, &document, effects);
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
