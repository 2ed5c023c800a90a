//! One stream: callbacks of the host to events of the gateway, and its effects to host calls.

mod answers;
mod effects;

use std::cell::RefCell;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::rc::Rc;
use std::time::Duration;

use gateway::{
    Appetite, Arrival, Attempt, Effect, Event, Exchange, Flow, Headers, Reason, Recall, Reply, Said, Step,
};
use host_calls::{self as host, Buffer, Map, Message};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::memory;
use crate::root::{Downstream, Upstream};
use crate::waiting::Waiter;
use effects::send;
pub use effects::{ask, loudness};

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
    Upstream(Attempt, Rc<Upstream>),
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
            Appetite::Nothing
            | Appetite::RequestBody
            | Appetite::ResponseBody
            | Appetite::Beginning
            | Appetite::Chunks => None,
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
        answered(headers, bytes, |said, now| {
            let action = self.give(Event::Called { said, now }, 0);
            self.go_on(action);
        });
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
            Machine::Upstream(..) => (None, host::property(&[HANDOVER])),
            Machine::Unconfigured => (None, None),
        };
        let address = match &self.machine {
            Machine::Downstream(_, it) if it.access.asks_address() => host::property(&["source", "address"]),
            Machine::Downstream(..) | Machine::Upstream(..) | Machine::Unconfigured => None,
        };
        let arrival = Arrival {
            headers: &headers,
            address: address.as_deref(),
            route: route.as_deref(),
            handover: handover.as_deref(),
            end: self.bare,
            now,
            attempt: if handover.is_some() { attempts() } else { 1 },
            random: random(),
            recall: Recall(&memory::recall),
        };
        Ok(self.give(event(arrival), 0))
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
            Machine::Upstream(attempt, _) => attempt.on(event),
        };
        let replies =
            step.effects.iter().any(|effect| matches!(effect, Effect::Reply(_) | Effect::Deliver(_)));
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
            return self.give(Event::Called { said: None, now: now() }, chunk);
        }
        // After a reply of our own the message itself goes nowhere.
        if replies { Action::Pause } else { action(step.flow) }
    }

    fn appetite(&self) -> Appetite {
        match &self.machine {
            Machine::Unconfigured => Appetite::Nothing,
            Machine::Downstream(exchange, ..) => exchange.appetite(),
            Machine::Upstream(attempt, _) => attempt.appetite(),
        }
    }

    /// What holds for a message while nothing new is known about it: what waits goes on waiting (H5).
    fn standing(&self) -> Action {
        match &self.machine {
            Machine::Unconfigured => Action::Continue,
            Machine::Downstream(exchange, ..) => action(exchange.flow()),
            Machine::Upstream(attempt, _) => action(attempt.flow()),
        }
    }
}

impl Context for Stream {
    /// In a cluster's filter chain there is no log (H13): this is the end of an attempt.
    fn on_done(&mut self) -> bool {
        self.act(|state| match state.machine {
            Machine::Upstream(..) => state.over(),
            Machine::Unconfigured | Machine::Downstream(..) => Action::Continue,
        });
        true
    }

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
            Machine::Downstream(..) => state.over(),
            Machine::Unconfigured | Machine::Upstream(..) => Action::Continue,
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
            Appetite::Nothing | Appetite::ResponseBody | Appetite::Beginning | Appetite::Chunks => {
                self.standing()
            }
        }
    }
}

/// Reads the answer to a call, and gives it to whoever has asked, with the time.
pub fn answered(headers: usize, bytes: usize, give: impl FnOnce(Option<Said<'_>>, Duration)) {
    // H7: a call that broke off has no headers.
    let pairs = if headers == 0 { None } else { host::header_pairs(Map::Call).ok() };
    let pairs = pairs.unwrap_or_default();
    let headers = Headers::new(host::parse_pairs(&pairs));
    let status = headers.get(":status").and_then(|it| it.parse().ok());
    let body = host::buffer(Buffer::CallBody, bytes.min(MAX_CALLED_BYTES + 1)).unwrap_or_default();
    let said = status.filter(|_| body.len() <= MAX_CALLED_BYTES);
    give(said.map(|status| Said { status, headers: &headers, body: &body }), now());
}

/// How many attempts the host has made so far (H22); 1 where it does not say.
fn attempts() -> u32 {
    let count = host::number_property(&["upstream", "request_attempt_count"]);
    count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1)
}

/// The time; a host that has none gives the beginning of time, before which nothing happens.
fn now() -> Duration {
    host::now().unwrap_or_default()
}

/// A number that nobody foresees. The hashing of the standard library is seeded by the host's randomness.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn action(flow: Flow) -> Action {
    match flow {
        Flow::Hold => Action::Pause,
        Flow::Pass => Action::Continue,
    }
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
