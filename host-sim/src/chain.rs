//! A filter chain at work on one stream: which filter sees what, and what has passed them all.
//!
//! There is no I/O here: frames come in, frames go out. What a filter holds is its `Gate`'s business; what is left is
//! the order of things, and answers that are not the upstream's.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::AccessLog;
use crate::gate::{Gate, Held, Item};
use crate::headers::HeaderMap;
use crate::traffic::{Failure, Inbox, LocalReply, Order, Traffic, View, Way, host_reply};
use crate::vm::{Action, Trap, Vm};
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
    side: Side,
    /// What has passed all filters on its way to the upstream.
    pub to_upstream: VecDeque<Frame>,
    /// What has passed all filters on its way to the client.
    pub to_client: VecDeque<Frame>,
    /// How far the response is.
    pub answered: Answered,
    /// Whether the answer is the host's own or a guest's: what the upstream says is of no interest then.
    pub replied: bool,
    /// What there is instead of an answer, or of the rest of one.
    pub instead: Option<Instead>,
    /// Where its end is written down.
    pub access_log: Option<Arc<AccessLog>>,
}

/// Whose filters a chain has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The listener's. The host's own answers pass them, and they are told of the end by `proxy_on_log` (H13).
    Listener,
    /// A cluster's. Answers that are not the upstream's leave for the router at once.
    Cluster,
}

/// What there is instead of an answer, or of the rest of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instead {
    /// A filter of a cluster, or the host, has answered: the listener's chain sees it.
    Reply(LocalReply),
    /// Nothing.
    Failed(Failure),
}

/// How far a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Nothing has come.
    No,
    /// It has begun; the headers are still with the filters.
    Begun,
    /// The headers have gone to the client.
    Sent,
    /// All of it has gone, or the stream has been broken off.
    Over,
}

impl Chain {
    /// A chain that has seen nothing. `limit` bounds what a filter may hold of a direction, in bytes.
    pub fn new(
        filters: Vec<Filter>,
        traffic: Rc<RefCell<Traffic>>,
        inbox: Rc<Inbox>,
        limit: usize,
        side: Side,
    ) -> Chain {
        let gates = || filters.iter().map(|_| Gate::default()).collect();
        Chain {
            request: gates(),
            response: gates(),
            filters,
            traffic,
            inbox,
            limit,
            side,
            to_upstream: VecDeque::new(),
            to_client: VecDeque::new(),
            answered: Answered::No,
            replied: false,
            instead: None,
            access_log: None,
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
        self.take_sent();
        if self.answered == Answered::No {
            self.answered = Answered::Begun;
            let traffic = self.traffic.borrow();
            let mut details = traffic.common.code_details.borrow_mut();
            if details.is_empty() {
                *details = "via_upstream".into();
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

    /// The upstream gives no answer, or no more of it.
    pub fn fail(&mut self, failure: Failure) {
        match (self.side, self.answered) {
            (_, Answered::Over) => {}
            (Side::Cluster, Answered::No | Answered::Begun | Answered::Sent) => {
                self.end_with(Instead::Failed(failure))
            }
            (Side::Listener, Answered::No | Answered::Begun) => {
                let attempts = self.traffic.borrow().common.attempts.get();
                self.reply(failure.reply(attempts));
            }
            // Once headers have gone to the client, the only honest end is a broken one.
            (Side::Listener, Answered::Sent) => {
                self.set_details("upstream_reset_after_response_started{connection_termination}");
                self.break_off();
            }
        }
    }

    /// Whoever was to get the answer has left.
    pub fn leave_alone(&self) {
        if self.side == Side::Listener {
            self.set_details("downstream_remote_disconnect");
        }
    }

    /// The request's headers as the filters have left them.
    pub fn request_headers(&self) -> Option<HeaderMap> {
        self.traffic.borrow().request_headers.clone()
    }

    /// Says why the response is what it is (`response.code_details`).
    fn set_details(&self, details: &str) {
        *self.traffic.borrow().common.code_details.borrow_mut() = details.to_owned();
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
        self.take_sent();
        for filter in &self.filters {
            filter.view.logging.set(true);
            filter.vm.forget_calls(filter.context);
            if self.side == Side::Listener {
                // A guest that dies now has nothing left to lose.
                let _ = filter.vm.call(|vm| vm.on_log(filter.context));
            }
        }
        if let Some(log) = &self.access_log {
            log.note(&self.traffic.borrow().common);
        }
        for filter in self.filters.drain(..) {
            let _ = filter.vm.end_stream(filter.context);
        }
    }

    /// There is one request, as in Envoy: what a cluster's filters do to its headers the listener's get to see.
    fn take_sent(&mut self) {
        if self.side == Side::Cluster {
            return;
        }
        let mut traffic = self.traffic.borrow_mut();
        let sent = traffic.common.sent.take();
        if sent.is_some() {
            traffic.request_headers = sent;
        }
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
            Item::Headers(end) => self.show_headers(way, place, end),
            Item::Data(bytes, end) => self.show_data(way, place, bytes, end),
            Item::Trailers => self.show_trailers(way, place),
        };
        self.go_on(way, place, result);
    }

    /// What a filter has let go goes on to the next one; if its guest has died, nothing does.
    fn go_on(&mut self, way: Way, place: usize, released: Result<Vec<Item>, Trap>) {
        match released {
            Ok(items) => items.into_iter().for_each(|item| self.pass(way, place + 1, item)),
            // The worker has logged it. What this stream was to get, it cannot get any more.
            Err(Trap(_)) => self.local_reply(host_reply(503, "", "wasm_fail_stream")),
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
        if let (Side::Cluster, Way::Request, Frame::Headers(headers, _)) = (self.side, way, &frame) {
            self.traffic.borrow().common.sent.replace(Some(headers.clone()));
        }
        match way {
            Way::Request => self.to_upstream.push_back(frame),
            Way::Response => self.send(frame),
        }
    }

    fn send(&mut self, frame: Frame) {
        self.answered = if is_last(&frame) { Answered::Over } else { Answered::Sent };
        self.to_client.push_back(frame);
    }

    fn show_headers(&mut self, way: Way, place: usize, end: bool) -> Result<Vec<Item>, Trap> {
        let count = self.traffic.borrow_mut().headers(way).as_ref().map_or(0, HeaderMap::len) as u32;
        let function = match way {
            Way::Request => "proxy_on_request_headers",
            Way::Response => "proxy_on_response_headers",
        };
        let action = self.ask(way, place, |vm, context| vm.on_headers(function, context, count, end))?;
        let (filter, gate) = self.at(way, place)?;
        filter.view.headers_gone(way).set(action == Action::Continue);
        let stops = if filter.stop_iteration { Held::Headers } else { Held::Everything };
        Ok(gate.after_headers(action, stops, end).into_iter().collect())
    }

    fn show_data(&mut self, way: Way, place: usize, bytes: Vec<u8>, end: bool) -> Result<Vec<Item>, Trap> {
        let (filter, gate) = self.at(way, place)?;
        let Some(size) = gate.before_data(bytes, end, filter.view.body(way)) else {
            self.refuse_too_much(way, place)?;
            return Ok(Vec::new());
        };
        let function = match way {
            Way::Request => "proxy_on_request_body",
            Way::Response => "proxy_on_response_body",
        };
        let action = self.ask(way, place, |vm, context| vm.on_body(function, context, size as u32, end))?;
        let (filter, gate) = self.at(way, place)?;
        let released = gate.after_data(action, end, filter.view.body(way));
        self.refuse_too_much(way, place)?;
        Ok(released)
    }

    fn show_trailers(&mut self, way: Way, place: usize) -> Result<Vec<Item>, Trap> {
        if !self.at(way, place)?.1.before_trailers() {
            return Ok(Vec::new());
        }
        let count = self.traffic.borrow_mut().trailers(way).as_ref().map_or(0, HeaderMap::len) as u32;
        let function = match way {
            Way::Request => "proxy_on_request_trailers",
            Way::Response => "proxy_on_response_trailers",
        };
        let action = self.ask(way, place, |vm, context| vm.on_trailers(function, context, count))?;
        let (filter, gate) = self.at(way, place)?;
        Ok(gate.after_trailers(action, filter.view.body(way)))
    }

    /// Runs a callback of a filter's guest.
    fn ask(
        &mut self,
        way: Way,
        place: usize,
        callback: impl FnOnce(&mut Vm, u32) -> Result<Action, Trap>,
    ) -> Result<Action, Trap> {
        let (filter, _) = self.at(way, place)?;
        filter.vm.call(|vm| callback(vm, filter.context))
    }

    fn resume(&mut self, filter: usize, way: Way) {
        let place = match way {
            Way::Request => filter,
            Way::Response => self.filters.len().saturating_sub(filter + 1),
        };
        if self.stopped(way) {
            return;
        }
        // A stream that has ended meanwhile holds nothing any more.
        let Ok((filter, gate)) = self.at(way, place) else { return };
        let released = gate.resume(filter.view.body(way));
        self.go_on(way, place, Ok(released.next));
        released.here.into_iter().for_each(|item| self.pass(way, place, item));
    }

    /// An answer that is not the upstream's. If nothing has been answered yet it passes the filters like any other;
    /// if they have an answer in hand it takes its place; after that it is too late.
    fn local_reply(&mut self, reply: LocalReply) {
        self.take_sent();
        let before = self.answered;
        self.replied = true;
        self.to_upstream.clear();
        match (self.side, before) {
            (_, Answered::Over) => return,
            (Side::Cluster, Answered::No | Answered::Begun | Answered::Sent) => {
                self.set_details(&reply.details);
                return self.end_with(Instead::Reply(reply));
            }
            (Side::Listener, Answered::Sent) => return self.break_off(),
            (Side::Listener, Answered::No | Answered::Begun) => self.answered = Answered::Begun,
        }
        self.set_details(&reply.details);
        let (headers, body) = frames(reply);
        if before == Answered::Begun {
            self.send(headers);
            body.into_iter().for_each(|body| self.send(body));
            return;
        }
        self.enter(Way::Response, headers);
        // A filter may have answered this answer.
        if let (Some(body), false) = (body, self.inbox.has_reply()) {
            self.enter(Way::Response, body);
        }
    }

    fn break_off(&mut self) {
        self.end_with(Instead::Failed(Failure::Reset));
    }

    fn end_with(&mut self, instead: Instead) {
        self.answered = Answered::Over;
        self.instead = Some(instead);
    }

    fn refuse_too_much(&mut self, way: Way, place: usize) -> Result<(), Trap> {
        let limit = self.limit;
        let (filter, gate) = self.at(way, place)?;
        if gate.held(filter.view.body(way)) > limit {
            self.local_reply(match way {
                Way::Request => host_reply(413, "Payload Too Large", "request_payload_too_large"),
                Way::Response => host_reply(500, "Internal Server Error", "response_payload_too_large"),
            });
        }
        Ok(())
    }

    /// The filter at a place of a direction, and its gate.
    fn at(&mut self, way: Way, place: usize) -> Result<(&Filter, &mut Gate), Trap> {
        let (gates, index) = match way {
            Way::Request => (&mut self.request, Some(place)),
            Way::Response => (&mut self.response, self.filters.len().checked_sub(place + 1)),
        };
        let found = index.and_then(|index| self.filters.get(index)).zip(gates.get_mut(place));
        found.ok_or_else(|| Trap("the stream is over".into()))
    }
}

/// A local reply as headers, and a body if it has one.
fn frames(reply: LocalReply) -> (Frame, Option<Frame>) {
    let end = reply.body.is_empty();
    (Frame::Headers(reply.all_headers(), end), (!end).then_some(Frame::Data(reply.body, true)))
}

/// Whether nothing follows a frame.
pub fn is_last(frame: &Frame) -> bool {
    match frame {
        Frame::Headers(_, end) | Frame::Data(_, end) => *end,
        Frame::Trailers(_) => true,
    }
}
