//! A filter chain at work on one stream: which filter sees what, and what has passed them all.
//!
//! The rules are those of Envoy's filter manager. A filter that holds the headers gets the body all the same, and
//! lets both go together (`allow_on_headers_stop_iteration`), or gets nothing until it is told to go on. What is
//! held counts against the buffer limit. There is no I/O here: frames come in, frames go out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::headers::HeaderMap;
use crate::traffic::{Inbox, LocalReply, Order, Traffic, View, Way};
use crate::vm::{Action, Trap};
use crate::vms::LiveVm;

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The headers, and whether nothing follows.
    Headers(HeaderMap, bool),
    /// A piece of the body, and whether nothing follows.
    Data(Vec<u8>, bool),
    /// The trailers; nothing follows.
    Trailers(HeaderMap),
}

/// One filter of a chain, at work on one stream.
pub struct Filter {
    /// The VM of its plugin.
    pub vm: Rc<LiveVm>,
    /// Its context in there.
    pub context: u32,
    /// What it sees.
    pub view: Rc<View>,
    /// Whether it gets the body while it holds the headers.
    pub stop_iteration: bool,
}

/// The filters of one stream, and what they hold.
pub struct Chain {
    filters: Vec<Filter>,
    request: Vec<Gate>,
    response: Vec<Gate>,
    traffic: Rc<RefCell<Traffic>>,
    inbox: Rc<Inbox>,
    limit: usize,
    /// What has passed all filters on its way to the upstream.
    pub to_upstream: VecDeque<Frame>,
    /// What has passed all filters on its way to the client.
    pub to_client: VecDeque<Frame>,
    /// How far the response is.
    pub answered: Answered,
    /// Whether the answer is the host's own or a guest's: what the upstream says is of no interest then.
    pub replied: bool,
    /// Whether the client has to see that the answer is not whole.
    pub broken: bool,
    log: bool,
}

/// How far a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Nothing has come.
    No,
    /// It has begun, from the upstream or as an answer of the host's own; the headers are still with the filters.
    Begun,
    /// The headers have gone to the client.
    Sent,
    /// All of it has gone, or the stream has been broken off.
    Over,
}

/// What one filter holds of one direction.
#[derive(Debug, Default)]
struct Gate {
    headers: Held,
    /// The headers had nothing after them.
    headers_only: bool,
    /// The filter has asked to keep the body; it is in its view.
    keeps_body: bool,
    /// Body that the filter has not seen yet, because it holds everything.
    unseen: Vec<u8>,
    ended: bool,
    trailers: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Held {
    #[default]
    NotSeen,
    /// Held, while the body still comes.
    Headers,
    /// Held, and nothing comes.
    Everything,
    Passed,
}

/// A frame between two filters; headers and trailers are in the traffic.
enum Item {
    Headers(bool),
    Data(Vec<u8>, bool),
    Trailers,
}

impl Chain {
    /// A chain that has seen nothing. `limit` bounds what it holds of a direction, in bytes; `log` says whether its
    /// filters are told of the end by `proxy_on_log` (downstream ones are, upstream ones are not).
    pub fn new(
        filters: Vec<Filter>,
        traffic: Rc<RefCell<Traffic>>,
        inbox: Rc<Inbox>,
        limit: usize,
        log: bool,
    ) -> Chain {
        let gates = || filters.iter().map(|_| Gate::default()).collect();
        Chain {
            request: gates(),
            response: gates(),
            filters,
            traffic,
            inbox,
            limit,
            to_upstream: VecDeque::new(),
            to_client: VecDeque::new(),
            answered: Answered::No,
            replied: false,
            broken: false,
            log,
        }
    }

    /// A frame of the request enters.
    pub fn request(&mut self, frame: Frame) {
        // Once the client has been answered, its request interests nobody.
        if self.answered == Answered::No {
            self.enter(Way::Request, frame);
        }
        self.obey();
    }

    /// A frame of the upstream's response enters.
    pub fn response(&mut self, frame: Frame) {
        if self.replied {
            return;
        }
        if self.answered == Answered::No {
            self.answered = Answered::Begun;
            let mut traffic = self.traffic.borrow_mut();
            if traffic.facts.code_details.is_empty() {
                traffic.facts.code_details = "via_upstream".into();
            }
        }
        self.enter(Way::Response, frame);
        self.obey();
    }

    /// An answer of the host's own takes the place of the upstream's.
    pub fn reply(&mut self, reply: LocalReply) {
        self.local_reply(reply);
        self.obey();
    }

    /// Why the response is what it is (`response.code_details`).
    pub fn details(&self) -> String {
        self.traffic.borrow().facts.code_details.clone()
    }

    /// Says why the response is what it is.
    pub fn set_details(&self, details: String) {
        self.traffic.borrow_mut().facts.code_details = details;
    }

    /// Does what guests have asked for since the last time.
    pub fn obey(&mut self) {
        while let Some(order) = self.inbox.take() {
            match order {
                Order::Reply(reply) => self.local_reply(reply),
                Order::Reset => self.break_off(),
                Order::Resume(filter, way) => self.resume(filter, way),
            }
        }
    }

    /// The stream is over: its filters say goodbye.
    pub fn end(&mut self) {
        for filter in &self.filters {
            filter.view.logging.set(true);
            // A guest that dies now has nothing left to lose.
            let _ = filter.vm.end_stream(filter.context, self.log);
        }
        self.filters.clear();
    }

    fn enter(&mut self, way: Way, frame: Frame) {
        let item = match frame {
            Frame::Headers(map, end) => {
                *self.traffic.borrow_mut().headers(way) = Some(map);
                Item::Headers(end)
            }
            Frame::Data(bytes, end) => Item::Data(bytes, end),
            Frame::Trailers(map) => {
                *self.traffic.borrow_mut().trailers(way) = Some(map);
                Item::Trailers
            }
        };
        self.pass(way, 0, item);
    }

    /// Takes an item to the filter at a place of the direction; past the last one it leaves the chain.
    fn pass(&mut self, way: Way, place: usize, item: Item) {
        if self.stopped(way) {
            return;
        }
        if place == self.filters.len() {
            return self.leave(way, item);
        }
        let result = match item {
            Item::Headers(end) => self.pass_headers(way, place, end),
            Item::Data(bytes, end) => self.pass_data(way, place, bytes, end),
            Item::Trailers => self.pass_trailers(way, place),
        };
        if let Err(Trap(_)) = result {
            // The worker has logged it. What this stream was to get, it cannot get any more.
            self.local_reply(host_reply(503, "", "wasm_fail_stream"));
        }
    }

    /// Whether a direction has come to its end before its time: a guest or the host has answered.
    fn stopped(&self, way: Way) -> bool {
        self.inbox.has_reply()
            || self.answered == Answered::Over
            || (way == Way::Request && self.answered != Answered::No)
    }

    fn leave(&mut self, way: Way, item: Item) {
        let frame = {
            let mut traffic = self.traffic.borrow_mut();
            match item {
                Item::Headers(end) => Frame::Headers(traffic.headers(way).clone().unwrap_or_default(), end),
                Item::Data(bytes, end) => Frame::Data(bytes, end),
                Item::Trailers => Frame::Trailers(traffic.trailers(way).clone().unwrap_or_default()),
            }
        };
        match way {
            Way::Request => self.to_upstream.push_back(frame),
            Way::Response => self.send(frame),
        }
    }

    fn send(&mut self, frame: Frame) {
        self.answered = if is_last(&frame) { Answered::Over } else { Answered::Sent };
        self.to_client.push_back(frame);
    }

    fn pass_headers(&mut self, way: Way, place: usize, end: bool) -> Result<(), Trap> {
        let count = self.traffic.borrow_mut().headers(way).as_ref().map_or(0, HeaderMap::len) as u32;
        let filter = self.filter(way, place)?;
        let function = match way {
            Way::Request => "proxy_on_request_headers",
            Way::Response => "proxy_on_response_headers",
        };
        let action = filter.vm.call(|vm| vm.on_headers(function, filter.context, count, end))?;
        let stops = if filter.stop_iteration { Held::Headers } else { Held::Everything };
        if action == Action::Continue {
            filter.view.headers_gone(way).set(true);
        }
        let gate = self.gate(way, place)?;
        gate.ended = end;
        gate.headers_only = end;
        match action {
            Action::Pause => gate.headers = stops,
            Action::Continue => {
                gate.headers = Held::Passed;
                self.pass(way, place + 1, Item::Headers(end));
            }
        }
        Ok(())
    }

    fn pass_data(&mut self, way: Way, place: usize, bytes: Vec<u8>, end: bool) -> Result<(), Trap> {
        let gate = self.gate(way, place)?;
        gate.ended = end;
        if gate.headers == Held::Everything {
            gate.unseen.extend_from_slice(&bytes);
            self.within_limit(way, place);
            return Ok(());
        }
        let keeps = gate.keeps_body;
        let filter = self.filter(way, place)?;
        let size = {
            let mut body = filter.view.body(way).borrow_mut();
            match &mut *body {
                Some(kept) if keeps => kept.extend_from_slice(&bytes),
                Some(_) | None => *body = Some(bytes),
            }
            body.as_ref().map_or(0, Vec::len) as u32
        };
        let function = match way {
            Way::Request => "proxy_on_request_body",
            Way::Response => "proxy_on_response_body",
        };
        let action = filter.vm.call(|vm| vm.on_body(function, filter.context, size, end))?;
        self.gate(way, place)?.keeps_body = action == Action::Pause;
        match action {
            Action::Pause => self.within_limit(way, place),
            Action::Continue => self.let_go(way, place, end)?,
        }
        Ok(())
    }

    fn pass_trailers(&mut self, way: Way, place: usize) -> Result<(), Trap> {
        let gate = self.gate(way, place)?;
        gate.ended = true;
        gate.trailers = true;
        if gate.headers == Held::Everything {
            return Ok(());
        }
        let count = self.traffic.borrow_mut().trailers(way).as_ref().map_or(0, HeaderMap::len) as u32;
        let filter = self.filter(way, place)?;
        let function = match way {
            Way::Request => "proxy_on_request_trailers",
            Way::Response => "proxy_on_response_trailers",
        };
        let action = filter.vm.call(|vm| vm.on_trailers(function, filter.context, count))?;
        if action == Action::Continue {
            self.let_go(way, place, false)?;
            self.gate(way, place)?.trailers = false;
            self.pass(way, place + 1, Item::Trailers);
        }
        Ok(())
    }

    /// What a filter holds of headers and body goes on, in that order.
    fn let_go(&mut self, way: Way, place: usize, end: bool) -> Result<(), Trap> {
        let gate = self.gate(way, place)?;
        let held_headers = gate.headers == Held::Headers;
        gate.headers = Held::Passed;
        gate.keeps_body = false;
        let headers_only = gate.headers_only;
        let body = self.filter(way, place)?.view.body(way).borrow_mut().take();
        if held_headers {
            self.pass(way, place + 1, Item::Headers(headers_only));
        }
        if let Some(body) = body {
            self.pass(way, place + 1, Item::Data(body, end));
        }
        Ok(())
    }

    fn resume(&mut self, filter: usize, way: Way) {
        let place = match way {
            Way::Request => filter,
            Way::Response => (self.filters.len().saturating_sub(1)).saturating_sub(filter),
        };
        if self.filters.is_empty() || self.stopped(way) {
            return;
        }
        if let Err(Trap(_)) = self.resume_at(way, place) {
            self.local_reply(host_reply(503, "", "wasm_fail_stream"));
        }
    }

    fn resume_at(&mut self, way: Way, place: usize) -> Result<(), Trap> {
        let gate = self.gate(way, place)?;
        match gate.headers {
            Held::NotSeen => {}
            Held::Everything => {
                // What the filter has not seen comes to it now, as if it came just now.
                let (unseen, ended, trailers) = (std::mem::take(&mut gate.unseen), gate.ended, gate.trailers);
                let headers_only = gate.headers_only;
                gate.headers = Held::Passed;
                self.pass(way, place + 1, Item::Headers(headers_only));
                if !unseen.is_empty() || (ended && !headers_only && !trailers) {
                    self.pass(way, place, Item::Data(unseen, ended && !trailers));
                }
                if trailers {
                    self.pass(way, place, Item::Trailers);
                }
            }
            Held::Headers | Held::Passed => {
                let (end, trailers) = (gate.ended && !gate.trailers, gate.trailers);
                self.let_go(way, place, end)?;
                if trailers {
                    self.gate(way, place)?.trailers = false;
                    self.pass(way, place + 1, Item::Trailers);
                }
            }
        }
        Ok(())
    }

    /// An answer that is not the upstream's. If nothing has been answered yet it passes the filters like any other;
    /// if they have the upstream's headers in hand it takes their place; after that it is too late.
    fn local_reply(&mut self, reply: LocalReply) {
        let before = self.answered;
        self.replied = true;
        self.to_upstream.clear();
        match before {
            Answered::Over => return,
            Answered::Sent => return self.break_off(),
            Answered::No | Answered::Begun => self.answered = Answered::Begun,
        }
        self.traffic.borrow_mut().facts.code_details = reply.details.clone();
        let mut headers: HeaderMap = [(":status", reply.status.to_string().as_str())].into_iter().collect();
        for (name, value) in reply.headers.iter() {
            headers.add(name, value);
        }
        if !reply.body.is_empty() && headers.get("content-type").is_none() {
            headers.set("content-type", b"text/plain");
        }
        headers.set("content-length", reply.body.len().to_string().as_bytes());
        let end = reply.body.is_empty();
        let body = (!end).then_some(Frame::Data(reply.body, true));
        if before == Answered::Begun {
            self.send(Frame::Headers(headers, end));
            body.into_iter().for_each(|body| self.send(body));
            return;
        }
        self.enter(Way::Response, Frame::Headers(headers, end));
        // A filter may have answered this answer.
        if let (Some(body), false) = (body, self.inbox.has_reply()) {
            self.enter(Way::Response, body);
        }
    }

    fn break_off(&mut self) {
        self.answered = Answered::Over;
        self.broken = true;
    }

    fn within_limit(&mut self, way: Way, place: usize) {
        let held = self.gate(way, place).map_or(0, |gate| gate.unseen.len())
            + self
                .filter(way, place)
                .map_or(0, |filter| filter.view.body(way).borrow().as_ref().map_or(0, Vec::len));
        if held <= self.limit {
            return;
        }
        match way {
            Way::Request => {
                self.local_reply(host_reply(413, "Payload Too Large", "request_payload_too_large"))
            }
            Way::Response => {
                self.local_reply(host_reply(500, "Internal Server Error", "response_payload_too_large"))
            }
        }
    }

    fn filter(&self, way: Way, place: usize) -> Result<&Filter, Trap> {
        let index = match way {
            Way::Request => Some(place),
            Way::Response => self.filters.len().checked_sub(place + 1),
        };
        index.and_then(|index| self.filters.get(index)).ok_or_else(|| Trap("the stream is over".into()))
    }

    fn gate(&mut self, way: Way, place: usize) -> Result<&mut Gate, Trap> {
        let gates = match way {
            Way::Request => &mut self.request,
            Way::Response => &mut self.response,
        };
        gates.get_mut(place).ok_or_else(|| Trap("the stream is over".into()))
    }
}

/// An answer of the host's own.
pub fn host_reply(status: u16, body: &str, details: &str) -> LocalReply {
    LocalReply { status, headers: HeaderMap::default(), body: body.into(), details: details.into() }
}

/// Whether nothing follows a frame.
pub fn is_last(frame: &Frame) -> bool {
    match frame {
        Frame::Headers(_, end) | Frame::Data(_, end) => *end,
        Frame::Trailers(_) => true,
    }
}
