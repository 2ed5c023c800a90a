//! One request and its response, as the filters of a chain see them.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::abi::{Answer, BufferKind, MapKind, Status};
use crate::headers::HeaderMap;

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

/// What the filters of one chain share: headers travel from one to the next.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Headers of the request.
    pub request_headers: Option<HeaderMap>,
    /// Trailers of the request.
    pub request_trailers: Option<HeaderMap>,
    /// Headers of the response.
    pub response_headers: Option<HeaderMap>,
    /// Trailers of the response.
    pub response_trailers: Option<HeaderMap>,
    /// What all chains of the request share.
    pub common: Rc<Common>,
    /// What is known of the request beside its headers.
    pub facts: Facts,
}

/// What the listener's chain and those of the clusters share of one request. A call of a guest's own has its own.
#[derive(Debug, Default)]
pub struct Common {
    /// What guests have left with the stream.
    pub filter_state: RefCell<HashMap<String, Vec<u8>>>,
    /// Why the response is what it is: `via_upstream`, or the reason for an answer of the host's own.
    pub code_details: RefCell<String>,
    /// The cluster of the last attempt; before the first, that of the route if it has only one.
    pub cluster: RefCell<String>,
    /// How many attempts have begun.
    pub attempts: Cell<u64>,
    /// The request's headers as the last attempt's filters have let them go on, until the listener's chain takes them.
    pub sent: RefCell<Option<HeaderMap>>,
}

/// What is known of a request beside its headers.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The name of the route.
    pub route: String,
    /// The client.
    pub source: Option<SocketAddr>,
    /// The listener.
    pub destination: Option<SocketAddr>,
    /// When the request came.
    pub start: SystemTime,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
}

impl Default for Facts {
    fn default() -> Facts {
        Facts {
            route: String::new(),
            source: None,
            destination: None,
            start: SystemTime::UNIX_EPOCH,
            protocol: "HTTP/1.1",
        }
    }
}

/// An answer of the host's or of a guest's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// HTTP status.
    pub status: u16,
    /// Headers beside those that follow from status and body.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The reason, for `response.code_details`.
    pub details: String,
}

/// Why an upstream has given no answer, or only a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection.
    Connect,
    /// The connection ended too early.
    Reset,
    /// The attempt took too long.
    Late,
}

/// Something that a guest wants done to a stream, once its callback has returned.
#[derive(Debug)]
pub enum Order {
    /// Go on with what a filter has held.
    Resume(usize, Way),
    /// Answer the client.
    Reply(LocalReply),
    /// Break the stream off.
    Reset,
}

/// Where orders wait for the stream.
#[derive(Debug, Default)]
pub struct Inbox {
    orders: RefCell<VecDeque<Order>>,
    notify: Notify,
}

/// What one filter can see and change of a stream, from its guest's host calls.
#[derive(Debug)]
pub struct View {
    /// The filter's place in its chain.
    pub filter: usize,
    /// What it shares with the others.
    pub traffic: Rc<RefCell<Traffic>>,
    /// Orders to the stream.
    pub inbox: Rc<Inbox>,
    /// The request body of this callback, or as it is held.
    pub request_body: RefCell<Option<Vec<u8>>>,
    /// The response body of this callback, or as it is held.
    pub response_body: RefCell<Option<Vec<u8>>>,
    /// Whether the request's headers have gone on: then they can be neither read nor changed.
    pub request_headers_gone: Cell<bool>,
    /// Whether the response's headers have gone on.
    pub response_headers_gone: Cell<bool>,
    /// Whether this is the last look: everything can be read.
    pub logging: Cell<bool>,
}

impl Failure {
    /// The host's answer to the client, in Envoy's words. They know of the `attempts` that there have been.
    pub fn reply(self, attempts: u64) -> LocalReply {
        let reason = match self {
            Failure::Connect => "remote connection failure",
            Failure::Reset => "connection termination",
            Failure::Late => return host_reply(504, "upstream request timeout", "upstream_per_try_timeout"),
        };
        let latest = if attempts > 1 { "retried and the latest reset reason" } else { "reset reason" };
        let body = format!("upstream connect error or disconnect/reset before headers. {latest}: {reason}");
        let details = format!("upstream_reset_before_response_started{{{}}}", reason.replace(' ', "_"));
        host_reply(503, &body, &details)
    }
}

/// An answer of the host's own.
pub fn host_reply(status: u16, body: &str, details: &str) -> LocalReply {
    LocalReply { status, headers: HeaderMap::default(), body: body.into(), details: details.into() }
}

impl LocalReply {
    /// Its headers with those that follow from status and body.
    pub fn all_headers(&self) -> HeaderMap {
        let mut headers: HeaderMap = [(":status", self.status.to_string().as_str())].into_iter().collect();
        for (name, value) in self.headers.iter() {
            headers.add(name, value);
        }
        if !self.body.is_empty() && headers.get("content-type").is_none() {
            headers.set("content-type", b"text/plain");
        }
        headers.set("content-length", self.body.len().to_string().as_bytes());
        headers
    }
}

impl Inbox {
    /// Leaves an order and wakes the stream.
    pub fn leave(&self, order: Order) {
        self.orders.borrow_mut().push_back(order);
        self.notify.notify_one();
    }

    /// The oldest order.
    pub fn take(&self) -> Option<Order> {
        self.orders.borrow_mut().pop_front()
    }

    /// Whether a guest has answered the client.
    pub fn has_reply(&self) -> bool {
        self.orders.borrow().iter().any(|order| matches!(order, Order::Reply(_) | Order::Reset))
    }

    /// Waits for an order.
    pub async fn wait(&self) {
        self.notify.notified().await;
    }
}

impl View {
    /// The view of a filter that has seen nothing yet.
    pub fn new(filter: usize, traffic: Rc<RefCell<Traffic>>, inbox: Rc<Inbox>) -> View {
        View {
            filter,
            traffic,
            inbox,
            request_body: RefCell::default(),
            response_body: RefCell::default(),
            request_headers_gone: Cell::new(false),
            response_headers_gone: Cell::new(false),
            logging: Cell::new(false),
        }
    }

    /// The body of a direction.
    pub fn body(&self, way: Way) -> &RefCell<Option<Vec<u8>>> {
        match way {
            Way::Request => &self.request_body,
            Way::Response => &self.response_body,
        }
    }

    /// Whether the headers of a direction have gone on.
    pub fn headers_gone(&self, way: Way) -> &Cell<bool> {
        match way {
            Way::Request => &self.request_headers_gone,
            Way::Response => &self.response_headers_gone,
        }
    }

    /// Looks at headers.
    ///
    /// # Errors
    /// [`Status::BadArgument`] where there are none, or none any more.
    pub fn map<T>(&self, kind: MapKind, look: impl FnOnce(&HeaderMap) -> T) -> Answer<T> {
        self.open(kind)?;
        let mut traffic = self.traffic.borrow_mut();
        traffic.map(kind).map(|map| look(map)).ok_or(Status::BadArgument)
    }

    /// Changes headers.
    ///
    /// # Errors
    /// [`Status::BadArgument`] where there are none, none any more, or all is over.
    pub fn change_map(&self, kind: MapKind, change: impl FnOnce(&mut HeaderMap)) -> Answer {
        if self.logging.get() {
            return Err(Status::BadArgument);
        }
        self.open(kind)?;
        let mut traffic = self.traffic.borrow_mut();
        traffic.map(kind).map(change).ok_or(Status::BadArgument)
    }

    /// Looks at a body.
    ///
    /// # Errors
    /// [`Status::NotFound`] outside of the callbacks that have one.
    pub fn look_at<T>(&self, kind: BufferKind, look: impl FnOnce(&[u8]) -> T) -> Answer<T> {
        let body = self.buffer(kind)?.borrow();
        body.as_deref().map(look).ok_or(Status::NotFound)
    }

    /// Replaces the first `size` bytes of a body, or adds to its end, as Envoy does.
    ///
    /// # Errors
    /// [`Status::NotFound`] outside of the callbacks that have one; [`Status::BadArgument`] for anything in between.
    pub fn splice(&self, kind: BufferKind, start: usize, size: usize, with: &[u8]) -> Answer {
        let mut body = self.buffer(kind)?.borrow_mut();
        let body = body.as_mut().ok_or(Status::NotFound)?;
        if start == 0 {
            body.splice(..size.min(body.len()), with.iter().copied());
        } else if start >= body.len() {
            body.extend_from_slice(with);
        } else {
            return Err(Status::BadArgument);
        }
        Ok(())
    }

    fn open(&self, kind: MapKind) -> Answer {
        let gone = match kind {
            MapKind::RequestHeaders => self.request_headers_gone.get(),
            MapKind::ResponseHeaders => self.response_headers_gone.get(),
            MapKind::RequestTrailers | MapKind::ResponseTrailers => false,
            MapKind::CallResponseHeaders | MapKind::CallResponseTrailers => true,
        };
        if gone && !self.logging.get() { Err(Status::BadArgument) } else { Ok(()) }
    }

    fn buffer(&self, kind: BufferKind) -> Answer<&RefCell<Option<Vec<u8>>>> {
        match kind {
            BufferKind::RequestBody => Ok(&self.request_body),
            BufferKind::ResponseBody => Ok(&self.response_body),
            BufferKind::CallResponseBody | BufferKind::VmConfiguration | BufferKind::PluginConfiguration => {
                Err(Status::NotFound)
            }
        }
    }
}

impl Traffic {
    /// The headers of a kind.
    pub fn map(&mut self, kind: MapKind) -> Option<&mut HeaderMap> {
        match kind {
            MapKind::RequestHeaders => self.request_headers.as_mut(),
            MapKind::RequestTrailers => self.request_trailers.as_mut(),
            MapKind::ResponseHeaders => self.response_headers.as_mut(),
            MapKind::ResponseTrailers => self.response_trailers.as_mut(),
            MapKind::CallResponseHeaders | MapKind::CallResponseTrailers => None,
        }
    }

    /// Where the headers of a direction are.
    pub fn headers(&mut self, way: Way) -> &mut Option<HeaderMap> {
        match way {
            Way::Request => &mut self.request_headers,
            Way::Response => &mut self.response_headers,
        }
    }

    /// Where the trailers of a direction are.
    pub fn trailers(&mut self, way: Way) -> &mut Option<HeaderMap> {
        match way {
            Way::Request => &mut self.request_trailers,
            Way::Response => &mut self.response_trailers,
        }
    }
}
