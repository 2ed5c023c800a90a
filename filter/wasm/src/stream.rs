//! One stream: callbacks of the host to events of the gateway, and its effects to host calls.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use gateway::{
    Answer, Appetite, Arrival, Attempt, CallOut, Edits, Effect, Event, Exchange, Flow, Headers, Level,
    Reason, Reply, Step,
};
use host_calls::{self as host, Buffer, Map, Message};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::root::Downstream;
use crate::waiting::Waiter;

/// Where filters that come after find who is calling.
const CALLER: &str = "turnpike.caller";

/// Where the downstream instance leaves, and the upstream one finds, what is asked of the provider.
const HANDOVER: &str = "turnpike.path";

/// More than anybody who is asked about a prompt has to say: the longest prompt, and some more.
const MAX_CALLED_BYTES: usize = 9 << 20;

/// What decides about the stream.
pub enum Machine {
    /// Nothing does, and nothing passes.
    Unconfigured,
    /// The life of a request, in the listener's filter chain.
    Downstream(Box<Exchange>, Rc<Downstream>),
    /// One attempt, in a cluster's filter chain.
    Upstream(Attempt),
}

/// A stream of the host.
pub struct Stream {
    context: u32,
    /// Shared with the list of those that wait, for which there is no callback of their own.
    state: Rc<RefCell<State>>,
}

/// Where a stream stands.
pub struct State {
    machine: Machine,
    /// What the host holds of the request body, in bytes.
    request_bytes: usize,
    /// Whether the request has a `content-length`, which then has to be exact (H3).
    sized: bool,
    /// Whether the headers were all there is of the request.
    bare: bool,
    /// Whether the whole request has come.
    complete: bool,
    /// What the host holds of the answer's body, in bytes.
    answer_bytes: usize,
    /// Whether the answer has a `content-length`.
    answer_sized: bool,
    /// Whether the answer has begun.
    answering: bool,
    /// The call whose answer is waited for.
    asked: Option<u32>,
}

impl Stream {
    /// A stream that has not begun.
    pub fn new(context: u32, machine: Machine) -> Stream {
        let state = State {
            machine,
            request_bytes: 0,
            sized: false,
            bare: false,
            complete: false,
            answer_bytes: 0,
            answer_sized: false,
            answering: false,
            asked: None,
        };
        Stream { context, state: Rc::new(RefCell::new(state)) }
    }

    /// Lets the state act. The host calls back from within no call of ours, so nobody else holds it.
    fn act(&self, act: impl FnOnce(&mut State) -> Action) -> Action {
        match self.state.try_borrow_mut() {
            Ok(mut state) => act(&mut state),
            Err(_) => Action::Pause,
        }
    }
}

#[allow(clippy::redundant_closure, reason = "a variant's constructor is for one lifetime only")]
impl State {
    /// Looks whether what was waited for has come; gives the time until which it is to be waited on.
    pub fn wake(&mut self, now: Duration) -> Option<Duration> {
        self.keys_until()?;
        let mut action = match self.arrival(|arrival| Event::Woken(arrival), now) {
            Ok(action) => action,
            Err(error) => fail(&error),
        };
        if self.complete && self.appetite() == Appetite::RequestBody {
            action = self.request_complete();
        }
        self.go_on(action);
        self.keys_until()
    }

    fn keys_until(&self) -> Option<Duration> {
        match self.appetite() {
            Appetite::Keys { until } => Some(until),
            Appetite::Nothing | Appetite::RequestBody | Appetite::ResponseBody | Appetite::Chunks => None,
        }
    }

    /// The call whose answer is waited for.
    pub fn asked(&self) -> Option<u32> {
        self.asked
    }

    /// Takes the answer to a call.
    pub fn called(&mut self, token: u32, headers: usize, bytes: usize) {
        if self.asked != Some(token) {
            return;
        }
        self.asked = None;
        // H7: a call that broke off has no headers.
        let status = if headers == 0 { None } else { host::header(Map::Call, ":status").ok() };
        let status = status.and_then(|it| it.parse().ok());
        let body = host::buffer(Buffer::CallBody, bytes.min(MAX_CALLED_BYTES + 1)).unwrap_or_default();
        let answer = status.filter(|_| body.len() <= MAX_CALLED_BYTES).map(|it| (it, body.as_slice()));
        let action = self.give(Event::Called(answer), 0);
        self.go_on(action);
    }

    /// Lets the message go on that was held, if it may.
    fn go_on(&self, action: Action) {
        if action == Action::Continue {
            let message = if self.answering { Message::Response } else { Message::Request };
            // Nothing that could be done about it: the host ends a stream that does not go on.
            let _ = host::resume(message);
        }
    }

    /// Gives an event that tells the headers of the request.
    fn arrival(
        &mut self,
        event: impl for<'a> FnOnce(Arrival<'a>) -> Event<'a>,
        now: Duration,
    ) -> host::Result<Action> {
        let pairs = host::header_pairs(Map::Request)?;
        let headers = Headers::new(host::parse_pairs(&pairs));
        self.sized = headers.has("content-length");
        let (route, handover) = match &self.machine {
            Machine::Downstream(..) => (host::property(&["xds", "route_name"]), None),
            Machine::Upstream(_) => (None, host::property(&[HANDOVER])),
            Machine::Unconfigured => (None, None),
        };
        let (route, handover) = (route.as_deref(), handover.as_deref());
        Ok(self.give(event(Arrival { headers: &headers, route, handover, end: self.bare, now }), 0))
    }

    fn request_complete(&mut self) -> Action {
        self.complete = true;
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
        let mut unasked = false;
        for effect in step.effects {
            if let Effect::Call(call) = effect {
                self.asked = ask(&call);
                unasked = self.asked.is_none();
            } else if let Err(error) = self.perform(effect, chunk) {
                return fail(&error);
            }
        }
        if unasked {
            return self.give(Event::Called(None), chunk);
        }
        // After a reply of our own the message itself goes nowhere.
        if replies { Action::Pause } else { action(step.flow) }
    }

    fn perform(&mut self, effect: Effect, chunk: usize) -> host::Result<()> {
        match effect {
            Effect::SetRequestHeader(name, value) => host::set_header(Map::Request, &name, &value),
            Effect::RemoveRequestHeader(name) => host::remove_header(Map::Request, &name),
            Effect::RemoveResponseHeader(name) => host::remove_header(Map::Response, name),
            Effect::EditRequestBody(edits) => {
                let sized = self.sized.then_some(Map::Request);
                self.request_bytes = edit(Buffer::RequestBody, &edits, self.request_bytes, sized)?;
                Ok(())
            }
            Effect::EditResponseBody(edits) => {
                let sized = self.answer_sized.then_some(Map::Response);
                self.answer_bytes = edit(Buffer::ResponseBody, &edits, self.answer_bytes, sized)?;
                Ok(())
            }
            // Asked where effects are performed, for it may be answered at once.
            Effect::Call(_) => Ok(()),
            Effect::ReplaceChunk(bytes) => host::replace_head(Buffer::ResponseBody, chunk, &bytes),
            Effect::Handover(path) => host::set_property(HANDOVER, &path),
            Effect::Publish(caller) => host::set_property(CALLER, &caller),
            Effect::Reply(reply) => send(&reply),
            Effect::Count(metric) => match &self.machine {
                Machine::Downstream(_, it) => it.metrics.count(metric, it.access.policy()),
                Machine::Unconfigured | Machine::Upstream(_) => Ok(()),
            },
            Effect::Log(level, line) => {
                host::log(loudness(level), &line);
                Ok(())
            }
        }
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

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _trailers: usize) {
        self.act(|state| {
            state.called(token, headers, body);
            Action::Continue
        });
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        let action = self.act(|state| state.request_headers(end));
        if let Ok(state) = self.state.try_borrow()
            && let (Some(until), Machine::Downstream(_, it)) = (state.keys_until(), &state.machine)
        {
            it.waiting.add(Waiter { context: self.context, until, state: Rc::downgrade(&self.state) });
        }
        action
    }

    fn on_http_request_body(&mut self, bytes: usize, end: bool) -> Action {
        self.act(|state| state.request_body(bytes, end))
    }

    /// With trailers, no body callback is the last one: the body is complete now (H4).
    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.act(State::request_complete)
    }

    fn on_http_response_headers(&mut self, _count: usize, end: bool) -> Action {
        self.act(|state| state.response_headers(end))
    }

    fn on_http_response_body(&mut self, bytes: usize, end: bool) -> Action {
        self.act(|state| state.response_body(bytes, end))
    }

    /// As with requests (H4).
    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.act(State::response_complete)
    }

    fn on_log(&mut self) {
        self.act(|state| match state.machine {
            Machine::Downstream(..) => state.give(Event::Over, 0),
            Machine::Unconfigured | Machine::Upstream(_) => Action::Continue,
        });
    }
}

#[allow(clippy::redundant_closure, reason = "a variant's constructor is for one lifetime only")]
impl State {
    fn request_headers(&mut self, end: bool) -> Action {
        self.bare = end;
        self.complete = end;
        let arrived = host::now().and_then(|now| self.arrival(|arrival| Event::Request(arrival), now));
        arrived.unwrap_or_else(|error| fail(&error))
    }

    fn request_body(&mut self, bytes: usize, end: bool) -> Action {
        self.request_bytes = bytes;
        if end {
            return self.request_complete();
        }
        match self.appetite() {
            Appetite::RequestBody | Appetite::Keys { .. } => self.give(Event::RequestGrew(bytes as u64), 0),
            Appetite::Nothing | Appetite::ResponseBody | Appetite::Chunks => self.standing(),
        }
    }

    fn response_headers(&mut self, end: bool) -> Action {
        if !matches!(self.machine, Machine::Downstream(..)) {
            return Action::Continue;
        }
        let pairs = match host::header_pairs(Map::Response) {
            Ok(pairs) => pairs,
            Err(error) => return fail(&error),
        };
        let headers = Headers::new(host::parse_pairs(&pairs));
        self.answering = true;
        self.answer_sized = headers.has("content-length");
        // The host's own answers are errors: only for these is it worth asking who speaks (H9).
        let failed = headers.get(":status").is_none_or(|status| status >= "400");
        let details = if failed { host::property(&["response", "code_details"]) } else { None };
        let local = details.as_deref().filter(|details| *details != "via_upstream");
        self.give(Event::Response(Answer { headers: &headers, local, end }), 0)
    }

    fn response_body(&mut self, bytes: usize, end: bool) -> Action {
        match self.appetite() {
            Appetite::Chunks => match host::buffer(Buffer::ResponseBody, bytes) {
                Ok(chunk) => self.give(Event::Chunk { bytes: &chunk, end }, bytes),
                Err(error) => fail(&error),
            },
            Appetite::ResponseBody => {
                self.answer_bytes = bytes;
                if end { self.response_complete() } else { self.give(Event::ResponseGrew(bytes as u64), 0) }
            }
            Appetite::Nothing | Appetite::Keys { .. } | Appetite::RequestBody => self.standing(),
        }
    }

    fn response_complete(&mut self) -> Action {
        match self.appetite() {
            Appetite::ResponseBody => match host::buffer(Buffer::ResponseBody, self.answer_bytes) {
                Ok(body) => self.give(Event::ResponseBody(body), 0),
                Err(error) => fail(&error),
            },
            Appetite::Chunks => self.give(Event::Chunk { bytes: &[], end: true }, 0),
            Appetite::Nothing | Appetite::Keys { .. } | Appetite::RequestBody => self.standing(),
        }
    }
}

/// Changes a body that the host holds, of so many bytes, and says how long it is then. The `content-length` is told among
/// these headers, if it has one (H3).
fn edit(buffer: Buffer, edits: &Edits, bytes: usize, sized: Option<Map>) -> host::Result<usize> {
    if edits.is_empty() {
        return Ok(bytes);
    }
    let head = host::buffer(buffer, edits.reach())?;
    host::replace_head(buffer, edits.reach(), &edits.rewrite(&head))?;
    let bytes = bytes.saturating_add_signed(edits.growth());
    if let Some(map) = sized {
        host::set_header(map, "content-length", &bytes.to_string())?;
    }
    Ok(bytes)
}

/// Asks somebody; gives the token of the call, or nothing where there is nobody to ask.
fn ask(call: &CallOut) -> Option<u32> {
    let headers = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    hostcalls::dispatch_http_call(&call.cluster, headers, Some(&call.body), Vec::new(), call.timeout).ok()
}

fn action(flow: Flow) -> Action {
    match flow {
        Flow::Hold => Action::Pause,
        Flow::Pass => Action::Continue,
    }
}

/// How loud the host is to say it.
pub fn loudness(level: Level) -> host::Level {
    match level {
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
    }
}

fn send(reply: &Reply) -> host::Result<()> {
    let own = reply.headers();
    let headers: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
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
