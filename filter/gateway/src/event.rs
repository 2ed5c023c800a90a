//! What the gateway is told, and what it wants done. These are all of its doors: it holds no socket and no clock.

use std::borrow::Cow;
use std::time::Duration;

use policy::Gateway;

use crate::edits::Edits;
use crate::headers::Headers;
use crate::reply::{Outcome, Reply};

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
    /// The next bytes of an answer that is being read.
    Chunk {
        /// The bytes, cut anywhere.
        bytes: &'a [u8],
        /// Whether they are the last.
        end: bool,
    },
    /// The request is over, one way or the other; nothing comes after.
    Over,
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
    /// Whether no body follows.
    pub end: bool,
    /// The time, since the Unix epoch.
    pub now: Duration,
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
    /// Removes a header of the answer.
    RemoveResponseHeader(&'static str),
    /// Changes the request body that was held.
    EditRequestBody(Edits),
    /// Sends these bytes instead of the piece of the answer that was shown.
    ReplaceChunk(Vec<u8>),
    /// Leaves a text for the module's instance in the upstream filter chain.
    Handover(String),
    /// Tells filters that come after who is calling, as a JSON object.
    Publish(String),
    /// Answers the client; the provider is not asked, or not listened to.
    Reply(Reply),
    /// Counts one.
    Count(Metric),
    /// Writes a line to the host's log.
    Log(Level, String),
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A decision.
    Info,
    /// Unusual, and still working.
    Warn,
}

/// A series to count in. Its labels come from the configuration and from enums, never from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Requests that are over.
    Requests {
        /// Index into [`Gateway::routes`].
        route: Option<usize>,
        /// How it ended.
        outcome: Outcome,
    },
}

impl Metric {
    /// The name under which the host keeps the series: labels follow as `;name=value`.
    pub fn series(self, gateway: &Gateway) -> String {
        match self {
            Metric::Requests { route, outcome } => {
                let route = route.and_then(|i| gateway.routes.get(i)).map_or("none", |route| &route.name);
                // `;` separates labels in the host's name for a series.
                format!("turnpike_requests_total;route={};reason={}", route.replace(';', "_"), outcome.code())
            }
        }
    }
}
