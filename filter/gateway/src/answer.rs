//! Stage `answer`: what the client gets, when it is not simply what the provider said.

use policy::guard::{Mode, ResponseGuard};

use crate::event::Answer;
use crate::path::Call;
use crate::reply::{Outcome, Reason, Reply};
use crate::sse::{Ending, Stream};

/// How an answer goes on to the client.
#[derive(Debug)]
pub enum Passing {
    /// Unread.
    Untouched(Outcome),
    /// Event by event.
    Events(Stream),
    /// Once it has been looked at as a whole; the stream that it is, if it is one.
    Whole(Outcome, Option<Stream>),
}

/// Media types that say nothing in words.
const WORDLESS: [&str; 6] =
    ["image/", "audio/", "video/", "font/", "application/octet-stream", "application/zip"];

/// Decides how an answer goes on. `passthrough` says that the provider judged the client's own credential.
///
/// # Errors
/// The reply that takes the answer's place.
pub fn begin(
    answer: &Answer<'_>,
    call: &Call,
    passthrough: bool,
    guard: Option<&ResponseGuard>,
) -> Result<Passing, Reply> {
    not_from_host(answer)?;
    let status = answer.status();
    // To the client, a 401 would say that its own token is bad.
    if status == 401 && !passthrough {
        let message = "the provider refused the gateway's key; the gateway's operator has to look at it";
        return Err(Reply::new(502, Reason::ProviderAuthFailed, message));
    }
    let outcome = if status >= 400 { Outcome::ProviderError } else { Outcome::Ok };
    let readable =
        answer.headers.get("content-encoding").is_none_or(|it| it.eq_ignore_ascii_case("identity"));
    let ending = Ending::of(call.operation);
    let streams = answer.is_event_stream() && (200..300).contains(&status);
    let Some(guard) = guard.filter(|_| !answer.end) else {
        let relays = streams && readable && ending != Ending::Unknown;
        return Ok(if relays { Passing::Events(Stream::new(ending)) } else { Passing::Untouched(outcome) });
    };
    if !readable {
        return match guard.mode {
            Mode::Enforce => Err(crate::guard::unreadable_answer("it is compressed")),
            Mode::Monitor => Ok(Passing::Untouched(outcome)),
        };
    }
    Ok(match streams {
        true if guard.webhook.is_none() => Passing::Events(Stream::new(ending)),
        true => Passing::Whole(outcome, Some(Stream::new(ending))),
        false if !call.operation.is_understood() && is_wordless(answer) => Passing::Untouched(outcome),
        false => Passing::Whole(outcome, None),
    })
}

fn is_wordless(answer: &Answer<'_>) -> bool {
    let kind = answer.headers.media_type().unwrap_or_default().to_ascii_lowercase();
    WORDLESS.iter().any(|it| kind.starts_with(it))
}

/// Puts an answer of ours in the place of the host's.
///
/// # Errors
/// The answer of ours.
pub fn not_from_host(answer: &Answer<'_>) -> Result<(), Reply> {
    match answer.local {
        None => Ok(()),
        Some(details) => Err(from_host(answer.status(), details).because(details)),
    }
}

/// The host's own answer in our words. `details` are Envoy's response code details (H9), which host-sim gives too.
pub fn from_host(status: u16, details: &str) -> Reply {
    let is = |what: &str| details.starts_with(what);
    let says = |status, reason, message: &str| Reply::new(status, reason, message);
    if is("request_payload_too_large") {
        says(413, Reason::BodyTooLarge, "the request body is longer than the gateway takes")
    } else if is("route_not_found") {
        says(404, Reason::RouteNotFound, "no route takes this host and path")
    } else if status == 408 || is("request_overall_timeout") || is("request_header_timeout") {
        says(408, Reason::RequestTimeout, "the request did not arrive in time")
    } else if status == 504 || is("response_timeout") || is("stream_idle_timeout") {
        says(504, Reason::ProviderTimeout, "the provider did not answer in time")
    } else if is("upstream_reset") || is("no_healthy_upstream") || is("cluster_not_found") || is("overflow") {
        says(503, Reason::ProviderUnreachable, "the provider cannot be reached")
    } else {
        let status = if (400..600).contains(&status) { status } else { 503 };
        says(status, Reason::HostError, "the gateway could not serve this request")
    }
}
