//! What the gateway is told, and what it wants done. These are all of its doors: it holds no socket and no clock.

use std::borrow::Cow;
use std::time::Duration;

use policy::guard::Mode;
use policy::{Gateway, Route};

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
    /// More of an answer's body that is being held has arrived: so many bytes so far.
    ResponseGrew(u64),
    /// An answer's body that was asked for, whole.
    ResponseBody(Vec<u8>),
    /// The answer to an [`Effect::Call`]: status and body, or nothing where there is none.
    Called(Option<(u16, &'a [u8])>),
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
    /// The answer's body, once it is whole.
    ResponseBody,
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
    /// Changes the answer's body that was held.
    EditResponseBody(Edits),
    /// Asks somebody, and tells what comes of it by an [`Event::Called`]. There is no more than one at a time.
    Call(CallOut),
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
    /// Prompts and answers in which a guard has found something, once for each of its rules.
    Guard {
        /// Index into [`Gateway::routes`].
        route: usize,
        /// Where it was found.
        side: Side,
        /// Who found it.
        finder: Finder,
        /// What became of it.
        action: Action,
    },
}

/// What a guard looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Prompts.
    Request,
    /// Answers.
    Response,
}

/// Who finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finder {
    /// A rule of the policy, by its index.
    Rule(usize),
    /// A webhook.
    Webhook,
    /// OpenAI's moderation.
    Moderation,
}

/// What becomes of what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Something else stood in its place.
    Mask,
    /// The request, or the answer, went no further.
    Reject,
    /// It passed, and was only counted.
    Monitor,
}

impl Metric {
    /// The name under which the host keeps the series: labels follow as `;name=value`.
    pub fn series(self, gateway: &Gateway) -> String {
        match self {
            Metric::Requests { route, outcome } => {
                let route = route.and_then(|i| gateway.routes.get(i)).map_or("none", |route| &route.name);
                format!("turnpike_requests_total;route={};reason={}", label(route), outcome.code())
            }
            Metric::Guard { route, side, finder, action } => {
                let route = gateway.routes.get(route);
                let (name, rule) = (route.map_or("none", |it| &it.name), finder.name(side, route));
                let (side, action) = (side.name(), action.name());
                format!(
                    "turnpike_guard_total;route={};side={side};rule={};action={action}",
                    label(name),
                    label(rule)
                )
            }
        }
    }
}

/// `;` separates labels in the host's name for a series.
fn label(value: &str) -> String {
    value.replace(';', "_")
}

impl Side {
    /// The label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Side::Request => "request",
            Side::Response => "response",
        }
    }
}

impl Action {
    /// What becomes of what a policy's patterns find.
    pub fn of(mode: Mode, action: policy::guard::Action) -> Action {
        match (mode, action) {
            (Mode::Monitor, _) => Action::Monitor,
            (Mode::Enforce, policy::guard::Action::Mask) => Action::Mask,
            (Mode::Enforce, policy::guard::Action::Reject) => Action::Reject,
        }
    }

    /// The label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Action::Mask => "mask",
            Action::Reject => "reject",
            Action::Monitor => "monitor",
        }
    }
}

impl Finder {
    /// The name that the policy of a route gives it.
    pub fn name(self, side: Side, route: Option<&Route>) -> &str {
        let patterns = route.and_then(|route| match side {
            Side::Request => route.guard.request.as_ref()?.patterns.as_ref(),
            Side::Response => route.guard.response.as_ref()?.patterns.as_ref(),
        });
        match self {
            Finder::Rule(rule) => patterns.map_or("", |it| it.name(rule)),
            Finder::Webhook => "webhook",
            Finder::Moderation => "moderation",
        }
    }
}
