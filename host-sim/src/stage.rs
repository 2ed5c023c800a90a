//! A filter chain between a client and an upstream: moves frames, keeps time, notices who has left.
//!
//! The same loop runs for the listener's chain, where the left side is the HTTP server, and for a cluster's, where it
//! is the router or a call of a guest's own.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::chain::{Answered, Chain, Frame, Instead, is_last};
use crate::headers::HeaderMap;
use crate::traffic::{Failure, Inbox, LocalReply, host_reply};

/// How many frames wait between two stages.
const QUEUE: usize = 16;

/// Something that comes back from an upstream.
#[derive(Debug)]
pub enum Event {
    /// A piece of the answer.
    Frame(Frame),
    /// There is no answer of the upstream's, but this one of the host's or a guest's.
    Reply(LocalReply),
    /// There is no answer, or no more of it.
    Failed(Failure),
}

/// The side of the client.
pub struct Left {
    /// The request.
    pub requests: mpsc::Receiver<Frame>,
    /// The response.
    pub responses: mpsc::Sender<Event>,
}

/// The side of the upstream; the mirror image of a [`Left`].
pub struct Right {
    /// The request.
    pub requests: mpsc::Sender<Frame>,
    /// The response.
    pub responses: mpsc::Receiver<Event>,
}

/// A connection between two stages.
pub fn pair() -> (Left, Right) {
    let (to_upstream, requests) = mpsc::channel(QUEUE);
    let (responses, from_upstream) = mpsc::channel(QUEUE);
    (Left { requests, responses }, Right { requests: to_upstream, responses: from_upstream })
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Without anything happening on the stream; no bound if absent.
    pub idle: Option<Duration>,
}

/// Where a request goes: the upstream's side, and how long the answer may take.
pub type Connected = Result<(Right, Option<Duration>), LocalReply>;

/// A stage at work.
struct Stage<C> {
    chain: Chain,
    left: Left,
    right: Option<Right>,
    connect: C,
    request_ended: bool,
    response_ended: bool,
    last: Instant,
    timeout: Option<Instant>,
}

/// One of the things that a stage waits for.
enum Happened {
    ClientLeft,
    /// A guest wants something done.
    Ordered,
    /// The upstream has said something; nothing at all means that it has hung up.
    Heard(Option<Event>),
    /// There is room at the upstream, or there never will be.
    Writable(bool),
    /// The client has said something.
    Asked(Frame),
    /// Something took too long.
    Expired,
}

/// Runs a chain between two sides until the stream is over. `connect` is asked once, when the headers have passed, and
/// may change them. Returns the request's headers as the filters have left them.
pub async fn run(
    chain: Chain,
    inbox: Rc<Inbox>,
    left: Left,
    times: Times,
    connect: impl FnMut(&mut HeaderMap) -> Connected,
) -> Option<HeaderMap> {
    let now = Instant::now();
    let mut stage = Stage {
        chain,
        left,
        right: None,
        connect,
        request_ended: false,
        response_ended: false,
        last: now,
        timeout: None,
    };
    while stage.deliver().await && stage.step(&inbox, times).await {}
    stage.chain.end();
    stage.chain.request_headers()
}

impl<C: FnMut(&mut HeaderMap) -> Connected> Stage<C> {
    /// Sends what is for the client. False if the stream is over.
    async fn deliver(&mut self) -> bool {
        self.connect();
        if self.chain.replied {
            // Nobody listens to the upstream any more.
            self.right = None;
        }
        while let Some(frame) = self.chain.to_client.pop_front() {
            let headers = matches!(frame, Frame::Headers(..));
            if self.left.responses.send(Event::Frame(frame)).await.is_err() {
                self.chain.leave_alone();
                return false;
            }
            if headers {
                // The router decides about them before the filters see more: perhaps it wants no more.
                tokio::task::yield_now().await;
            }
        }
        if let Some(instead) = self.chain.instead.take() {
            let _ = self.left.responses.send(instead.into()).await;
        }
        self.chain.answered != Answered::Over
    }

    fn connect(&mut self) {
        if self.right.is_some() || self.chain.replied {
            return;
        }
        let Some(Frame::Headers(headers, _)) = self.chain.to_upstream.front_mut() else { return };
        match (self.connect)(headers) {
            Ok((right, timeout)) => {
                self.right = Some(right);
                self.timeout = timeout.map(|timeout| Instant::now() + timeout);
            }
            Err(reply) => self.chain.reply(reply),
        }
    }

    /// Waits for one thing to happen. False if the client has left.
    async fn step(&mut self, inbox: &Inbox, times: Times) -> bool {
        let idle = times.idle.map(|idle| self.last + idle);
        let until = [idle, self.timeout].into_iter().flatten().min();
        let may_read = !self.request_ended && self.chain.to_upstream.is_empty();
        let may_write = !self.chain.to_upstream.is_empty();
        let (requests, responses) = match &mut self.right {
            Some(right) if self.response_ended => (Some(&right.requests), None),
            Some(right) => (Some(&right.requests), Some(&mut right.responses)),
            None => (None, None),
        };
        let happened = tokio::select! {
            biased;
            () = self.left.responses.closed() => Happened::ClientLeft,
            () = inbox.wait() => Happened::Ordered,
            event = receive(responses) => Happened::Heard(event),
            open = writable(requests), if may_write => Happened::Writable(open),
            frame = self.left.requests.recv(), if may_read => frame.map_or(Happened::ClientLeft, Happened::Asked),
            () = alarm(until) => Happened::Expired,
        };
        match happened {
            Happened::ClientLeft => {
                self.chain.leave_alone();
                return false;
            }
            Happened::Ordered => self.chain.obey(),
            Happened::Heard(event) => self.hear(event),
            Happened::Writable(open) => self.send_on(open),
            Happened::Asked(frame) => {
                self.request_ended = is_last(&frame);
                self.chain.request(frame);
            }
            Happened::Expired => self.expire(until == self.timeout),
        }
        self.last = Instant::now();
        true
    }

    fn send_on(&mut self, open: bool) {
        let right = self.right.as_ref().filter(|_| open);
        let frame = self.chain.to_upstream.pop_front();
        let sent = right.zip(frame).map(|(right, frame)| right.requests.try_send(frame));
        if !matches!(sent, Some(Ok(()))) {
            // The upstream takes no more; it may have answered already.
            self.chain.to_upstream.clear();
        }
    }

    fn hear(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Frame(frame)) => {
                self.response_ended = is_last(&frame);
                self.chain.response(frame);
            }
            Some(Event::Reply(reply)) => self.chain.reply(reply),
            Some(Event::Failed(failure)) => self.fail(failure),
            None => self.fail(Failure::Reset),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.right = None;
        self.chain.fail(failure);
    }

    fn expire(&mut self, of_the_route: bool) {
        self.timeout = None;
        self.chain.reply(match (of_the_route, self.request_ended) {
            (true, _) => host_reply(504, "upstream request timeout", "response_timeout"),
            (false, true) => host_reply(504, "stream timeout", "stream_idle_timeout"),
            (false, false) => host_reply(408, "stream timeout", "stream_idle_timeout"),
        });
    }
}

impl From<Instead> for Event {
    fn from(instead: Instead) -> Event {
        match instead {
            Instead::Reply(reply) => Event::Reply(reply),
            Instead::Failed(failure) => Event::Failed(failure),
        }
    }
}

async fn receive(from: Option<&mut mpsc::Receiver<Event>>) -> Option<Event> {
    match from {
        Some(from) => from.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits for room at the upstream. False if it takes nothing any more.
pub async fn writable(to: Option<&mpsc::Sender<Frame>>) -> bool {
    match to {
        Some(to) => to.reserve().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// Waits for a moment; for ever, if there is none.
pub async fn alarm(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
