//! What the gateway is told, and what it wants done. These are all of its doors: it holds no socket and no clock.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use sidecar_api::Item;

use crate::edits::Edits;
use crate::failover::{Lesson, Recall};
use crate::headers::Headers;
use crate::metric::Metric;
use crate::reply::Reply;

/// Something that happened to a request. Borrowed parts live as long as the callback that brought them.
#[derive(Debug)]
pub enum Event<'a> {
    /// The request line and the headers.
    Request(Arrival<'a>),
    /// Keys that a request waits for have come, or are not worth waiting for any longer. The headers once more, as they
    /// are now.
    Woken(Arrival<'a>),
    /// More of a request body that is being held has arrived: so many bytes so far.
    RequestGrew(u64),
    /// A request body that was asked for, whole.
    RequestBody(Vec<u8>),
    /// Status and headers of an answer, the provider's or the host's own.
    Response(Answer<'a>),
    /// More of an answer's body that is being held has arrived: so many bytes so far.
    ResponseGrew(u64),
    /// An answer's body that was asked for, whole.
    ResponseBody(Vec<u8>),
    /// The answer to an [`Effect::Call`].
    Called {
        /// What has been said; nothing where there is no answer.
        said: Option<Said<'a>>,
        /// The time, since the Unix epoch.
        now: Duration,
    },
    /// All that has come of an answer's body whose beginning was asked for.
    Beginning {
        /// The bytes so far.
        bytes: &'a [u8],
        /// Whether they are all.
        end: bool,
        /// The time, since the Unix epoch.
        now: Duration,
    },
    /// The next bytes of an answer that is being read.
    Chunk {
        /// The bytes, cut anywhere.
        bytes: &'a [u8],
        /// Whether they are the last.
        end: bool,
        /// Tells the time, for what is worth asking for it.
        now: Clock<'a>,
    },
    /// The request is over, one way or the other; nothing comes after.
    Over(End),
}

/// Tells the time, since the Unix epoch.
#[derive(Clone, Copy)]
pub struct Clock<'a>(pub &'a dyn Fn() -> Duration);

impl fmt::Debug for Clock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The end of a request, or of an attempt.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// The time, since the Unix epoch.
    pub now: Duration,
    /// Whether it has ended because the client has left.
    pub client_left: bool,
}

/// An answer to a call.
#[derive(Debug)]
pub struct Said<'a> {
    /// HTTP status.
    pub status: u16,
    /// With `:status`.
    pub headers: &'a Headers<'a>,
    /// The body.
    pub body: &'a [u8],
}

/// The beginning of a request.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// With `:method`, `:path` and `:authority`.
    pub headers: &'a Headers<'a>,
    /// The host's name for the route it chose, if it names routes.
    pub route: Option<&'a str>,
    /// What the downstream instance of the module handed over to this one, if it did.
    pub handover: Option<&'a str>,
    /// Where it comes from, with or without a port, if [that matters](crate::Access::asks_address).
    pub address: Option<&'a str>,
    /// Whether no body follows.
    pub end: bool,
    /// The time, since the Unix epoch.
    pub now: Duration,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// A number that nobody foresees.
    pub random: u64,
    /// What is remembered of clusters.
    pub recall: Recall<'a>,
}

/// The beginning of an answer.
#[derive(Debug)]
pub struct Answer<'a> {
    /// With `:status`.
    pub headers: &'a Headers<'a>,
    /// The host's reason, where the answer is the host's own and not the provider's.
    pub local: Option<&'a str>,
    /// Whether no body follows.
    pub end: bool,
    /// The time, since the Unix epoch.
    pub now: Duration,
    /// How many attempts the host has made.
    pub attempts: u32,
    /// The host's name for the cluster that was asked last.
    pub cluster: Option<&'a str>,
}

impl Answer<'_> {
    /// Its HTTP status; 0 where it has none.
    pub fn status(&self) -> u16 {
        self.headers.get(":status").and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Whether it is a stream of server-sent events.
    pub fn is_event_stream(&self) -> bool {
        self.headers.media_type().is_some_and(|it| it.eq_ignore_ascii_case("text/event-stream"))
    }
}

/// What is to be done now, and whether the message goes on.
#[derive(Debug)]
pub struct Step {
    /// In this order.
    pub effects: Vec<Effect>,
    /// Holds for the message of the event: the request or the answer.
    pub flow: Flow,
}

/// Whether the host passes a message on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The host keeps headers and body until told otherwise.
    Hold,
    /// The host sends on what it has.
    Pass,
}

/// What the gateway needs to see of the bodies from here on. Everything else never enters the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appetite {
    /// None of it.
    Nothing,
    /// None of it before keys have come: an [`Event::Woken`] is asked for as soon as they have, or at that time since
    /// the Unix epoch.
    Keys {
        /// When waiting is over.
        until: Duration,
    },
    /// The request body, once it is whole.
    RequestBody,
    /// The answer's body, once it is whole.
    ResponseBody,
    /// What has come of the answer's body, each time that more has.
    Beginning,
    /// Each piece of the answer as it comes.
    Chunks,
}

/// Something the host is asked to do.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Sets a request header, whatever it was before.
    SetRequestHeader(Cow<'static, str>, String),
    /// Removes a request header.
    RemoveRequestHeader(String),
    /// Sets a header of the answer, whatever it was before.
    SetResponseHeader(&'static str, String),
    /// Removes a header of the answer.
    RemoveResponseHeader(&'static str),
    /// Changes the request body that was held.
    EditRequestBody(Edits),
    /// Changes the answer's body that was held.
    EditResponseBody(Edits),
    /// Asks somebody, and tells what comes of it by an [`Event::Called`]. There is no more than one at a time.
    Call(CallOut),
    /// Tells the sidecar what was used, some time soon and until it has understood.
    Settle(Item),
    /// Asks the sidecar once more what it was asked with this call, of whose answer nobody knows, and gives back what it
    /// has reserved.
    Reclaim(CallOut),
    /// Sends these bytes instead of the piece of the answer that was shown.
    ReplaceChunk(Vec<u8>),
    /// Leaves a text for the module's instance in the upstream filter chain.
    Handover(String),
    /// Tells filters that come after who is calling, as a JSON object.
    Publish(String),
    /// Answers the client; the provider is not asked, or not listened to.
    Reply(Reply),
    /// Answers the client with what somebody has said to a call, in place of what the host has.
    Deliver(Delivery),
    /// Leaves a line for the host's access log.
    Report(String),
    /// Remembers of a cluster what was learnt, for all workers.
    Remember(String, Lesson),
    /// Counts one.
    Count(Metric),
    /// Counts so many.
    Add(Metric, u64),
    /// Notes a value in a histogram.
    Observe(Metric, u64),
    /// Writes a line to the host's log.
    Log(Level, String),
}

/// A request of the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOut {
    /// The host's name for the cluster that is asked.
    pub cluster: String,
    /// With `:method`, `:path`, `:authority` and `:scheme`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it is waited for.
    pub timeout: Duration,
}

/// An answer that a provider has given to a call of the gateway's own. It holds what a model has said, and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// HTTP status.
    pub status: u16,
    /// Without those that follow from status and body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delivery {}, {} bytes", self.status, self.body.len())
    }
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A decision.
    Info,
    /// Unusual, and still working.
    Warn,
}
