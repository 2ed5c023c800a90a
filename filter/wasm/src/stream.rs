//! One stream: callbacks of the host to events of the gateway, and its effects to host calls.

use std::rc::Rc;

use gateway::{
    Answer, Appetite, Arrival, Attempt, Edits, Effect, Event, Exchange, Flow, Headers, Level, Reason, Reply,
    Step,
};
use host_calls::{self as host, Buffer, Map};
use policy::Gateway;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::metrics::Metrics;

/// Where the downstream instance leaves, and the upstream one finds, what is asked of the provider.
const HANDOVER: &str = "turnpike.path";

/// What decides about the stream.
pub enum Machine {
    /// Nothing does, and nothing passes.
    Unconfigured,
    /// The life of a request, in the listener's filter chain.
    Downstream(Exchange, Rc<Gateway>, Rc<Metrics>),
    /// One attempt, in a cluster's filter chain.
    Upstream(Attempt),
}

/// A stream of the host.
pub struct Stream {
    machine: Machine,
    /// What the host holds of the request body, in bytes.
    request_bytes: usize,
    /// Whether the request has a `content-length`, which then has to be exact (H3).
    sized: bool,
}

impl Stream {
    /// A stream that has not begun.
    pub fn new(machine: Machine) -> Stream {
        Stream { machine, request_bytes: 0, sized: false }
    }

    fn request_complete(&mut self) -> Action {
        if self.appetite() != Appetite::RequestBody {
            return self.standing();
        }
        match host::buffer(Buffer::RequestBody, self.request_bytes) {
            Ok(body) => self.give(Event::RequestBody(body), 0),
            Err(error) => fail(&error),
        }
    }

    fn give(&mut self, event: Event<'_>, chunk: usize) -> Action {
        let step = match &mut self.machine {
            Machine::Unconfigured => unconfigured(&event),
            Machine::Downstream(exchange, ..) => exchange.on(event),
            Machine::Upstream(attempt) => attempt.on(event),
        };
        let replies = step.effects.iter().any(|effect| matches!(effect, Effect::Reply(_)));
        for effect in step.effects {
            if let Err(error) = self.perform(effect, chunk) {
                return fail(&error);
            }
        }
        // After a reply of our own the message itself goes nowhere.
        if replies { Action::Pause } else { action(step.flow) }
    }

    fn perform(&self, effect: Effect, chunk: usize) -> host::Result<()> {
        match effect {
            Effect::SetRequestHeader(name, value) => host::set_header(Map::Request, name, &value),
            Effect::RemoveRequestHeader(name) => host::remove_header(Map::Request, &name),
            Effect::RemoveResponseHeader(name) => host::remove_header(Map::Response, name),
            Effect::EditRequestBody(edits) => self.edit_request_body(&edits),
            Effect::ReplaceChunk(bytes) => host::replace_head(Buffer::ResponseBody, chunk, &bytes),
            Effect::Handover(path) => host::set_property(HANDOVER, &path),
            Effect::Reply(reply) => send(&reply),
            Effect::Count(metric) => match &self.machine {
                Machine::Downstream(_, gateway, metrics) => metrics.count(metric, gateway),
                Machine::Unconfigured | Machine::Upstream(_) => Ok(()),
            },
            Effect::Log(level, line) => {
                host::log(loudness(level), &line);
                Ok(())
            }
        }
    }

    fn edit_request_body(&self, edits: &Edits) -> host::Result<()> {
        if edits.is_empty() {
            return Ok(());
        }
        let head = host::buffer(Buffer::RequestBody, edits.reach())?;
        host::replace_head(Buffer::RequestBody, edits.reach(), &edits.rewrite(&head))?;
        if !self.sized {
            return Ok(());
        }
        let bytes = self.request_bytes.saturating_add_signed(edits.growth());
        host::set_header(Map::Request, "content-length", &bytes.to_string())
    }

    fn appetite(&self) -> Appetite {
        match &self.machine {
            Machine::Unconfigured => Appetite::Nothing,
            Machine::Downstream(exchange, ..) => exchange.appetite(),
            Machine::Upstream(attempt) => attempt.appetite(),
        }
    }

    /// What holds for a message while nothing new is known about it: what waits goes on waiting (H5).
    fn standing(&self) -> Action {
        match &self.machine {
            Machine::Unconfigured => Action::Continue,
            Machine::Downstream(exchange, ..) => action(exchange.flow()),
            Machine::Upstream(attempt) => action(attempt.flow()),
        }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        let pairs = match host::header_pairs(Map::Request) {
            Ok(pairs) => pairs,
            Err(error) => return fail(&error),
        };
        let headers = Headers::new(host::parse_pairs(&pairs));
        self.sized = headers.has("content-length");
        let (route, handover) = match &self.machine {
            Machine::Downstream(..) => (host::property(&["xds", "route_name"]), None),
            Machine::Upstream(_) => (None, host::property(&[HANDOVER])),
            Machine::Unconfigured => (None, None),
        };
        let (route, handover) = (route.as_deref(), handover.as_deref());
        self.give(Event::Request(Arrival { headers: &headers, route, handover, end }), 0)
    }

    fn on_http_request_body(&mut self, bytes: usize, end: bool) -> Action {
        self.request_bytes = bytes;
        if end {
            return self.request_complete();
        }
        match self.appetite() {
            Appetite::RequestBody => self.give(Event::RequestGrew(bytes as u64), 0),
            Appetite::Nothing | Appetite::Chunks => self.standing(),
        }
    }

    /// With trailers, no body callback is the last one: the body is complete now (H4).
    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.request_complete()
    }

    fn on_http_response_headers(&mut self, _count: usize, end: bool) -> Action {
        if !matches!(self.machine, Machine::Downstream(..)) {
            return Action::Continue;
        }
        let pairs = match host::header_pairs(Map::Response) {
            Ok(pairs) => pairs,
            Err(error) => return fail(&error),
        };
        let headers = Headers::new(host::parse_pairs(&pairs));
        // The host's own answers are errors: only for these is it worth asking who speaks (H9).
        let failed = headers.get(":status").is_none_or(|status| status >= "400");
        let details = if failed { host::property(&["response", "code_details"]) } else { None };
        let local = details.as_deref().filter(|details| *details != "via_upstream");
        self.give(Event::Response(Answer { headers: &headers, local, end }), 0)
    }

    fn on_http_response_body(&mut self, bytes: usize, end: bool) -> Action {
        if self.appetite() != Appetite::Chunks {
            return self.standing();
        }
        match host::buffer(Buffer::ResponseBody, bytes) {
            Ok(chunk) => self.give(Event::Chunk { bytes: &chunk, end }, bytes),
            Err(error) => fail(&error),
        }
    }

    fn on_log(&mut self) {
        if matches!(self.machine, Machine::Downstream(..)) {
            self.give(Event::Over, 0);
        }
    }
}

fn action(flow: Flow) -> Action {
    match flow {
        Flow::Hold => Action::Pause,
        Flow::Pass => Action::Continue,
    }
}

fn loudness(level: Level) -> host::Level {
    match level {
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
    }
}

fn send(reply: &Reply) -> host::Result<()> {
    let own = reply.headers();
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
    host::reply(reply.status, reply.reason.code(), &headers, &reply.body())
}

/// A host call has failed where it must not: this one request ends, closed.
fn fail(error: &host::HostError) -> Action {
    host::log(
        host::Level::Warn,
        &format!("{} gave status {}: the request is refused", error.call, error.status),
    );
    let message = "the gateway could not serve this request";
    // If even this fails there is nothing left to say; the message stays where it is.
    let _ = send(&Reply::new(500, Reason::HostError, message));
    Action::Pause
}

/// Without a configuration there is no policy that anything could have passed.
fn unconfigured(event: &Event<'_>) -> Step {
    let message = "the gateway has no configuration";
    let reply = || Effect::Reply(Reply::new(500, Reason::HostError, message));
    let effects = if matches!(event, Event::Request(_)) { vec![reply()] } else { Vec::new() };
    Step { effects, flow: Flow::Pass }
}
