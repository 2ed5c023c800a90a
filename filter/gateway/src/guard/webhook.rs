//! The protocol of webhooks: `POST /request` with the messages of a prompt, `POST /response` with the texts of an answer.
//!
//! ```text
//! {"body": {"messages": [{"role": "user", "content": "…"}, …]}}                     the question about a prompt
//! {"body": {"choices": [{"message": {"role": "assistant", "content": "…"}}, …]}}    the question about an answer
//! {"action": {"reason": "…"}}                                                       passes
//! {"action": {"body": {"messages" or "choices": […]}, "reason": "…"}}               passes with these texts instead
//! {"action": {"body": "…", "status_code": 403, "reason": "…"}}                      does not pass
//! ```

use policy::guard::{HeaderMatch, Refusal, Webhook};
use serde_json::Value;

use super::messages::Message;
use crate::edits::Edits;
use crate::event::CallOut;
use crate::headers::Headers;
use crate::json::encoded;
use crate::reply::{Reason, Reply};

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A prompt.
    Prompt,
    /// An answer.
    Answer,
}

/// What a webhook says.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// These texts stand in the place of those that were asked about, one for each.
    Mask(Vec<String>),
    /// It does not pass.
    Reject {
        /// What the client is told; never empty.
        body: String,
        /// With which status.
        status: u16,
    },
}

/// Headers that belong to a connection or a message, and are never handed on.
const OWN: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The headers of a client's request that a webhook sees as well: those that the policy names, and the one that ties
/// traces together.
pub fn forwarded(webhook: &Webhook, headers: &Headers<'_>) -> Vec<(String, String)> {
    let wanted = |name: &str| {
        name == "traceparent" || webhook.forward_headers.iter().any(|it: &HeaderMatch| it.fits(name))
    };
    let pairs =
        headers.pairs().filter(|(name, _)| !name.starts_with(':') && !OWN.contains(name) && wanted(name));
    pairs
        .filter_map(|(name, value)| Some((name.to_owned(), std::str::from_utf8(value).ok()?.to_owned())))
        .collect()
}

/// The question.
pub fn ask(webhook: &Webhook, about: About, forwarded: &[(String, String)], messages: &[Message]) -> CallOut {
    let message = |it: &Message| {
        let (role, content) = (Value::from(it.role.as_str()), Value::from(it.text.as_str()));
        format!("{{\"role\":{role},\"content\":{content}}}")
    };
    let (path, list, item): (_, _, &dyn Fn(&Message) -> String) = match about {
        About::Prompt => ("/request", "messages", &message),
        About::Answer => ("/response", "choices", &|it| format!("{{\"message\":{}}}", message(it))),
    };
    let items: Vec<String> = messages.iter().map(item).collect();
    let body = format!("{{\"body\":{{\"{list}\":[{}]}}}}", items.join(","));
    let own = [
        (":method", "POST"),
        (":path", path),
        (":authority", &webhook.host),
        (":scheme", "http"),
        ("content-type", "application/json"),
        ("accept", "application/json"),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    CallOut {
        cluster: webhook.cluster.clone(),
        headers: own.chain(forwarded.iter().cloned()).collect(),
        body: body.into_bytes(),
        timeout: webhook.timeout,
    }
}

/// What the answer to a question about so many texts says. `None` where it is no answer.
pub fn verdict(about: About, count: usize, body: &[u8]) -> Option<Verdict> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let action = answer.get("action")?.as_object()?;
    match (action.get("body"), action.get("status_code")) {
        (Some(Value::String(body)), Some(status)) => {
            let status =
                status.as_u64().and_then(|it| u16::try_from(it).ok()).filter(|it| (200..600).contains(it))?;
            let body = if body.is_empty() { "Rejected by guardrails webhook" } else { body };
            Some(Verdict::Reject { body: body.to_owned(), status })
        }
        (Some(Value::Object(body)), _) => {
            let list = body.get(if about == About::Prompt { "messages" } else { "choices" })?.as_array()?;
            let text = |it: &Value| {
                let message = if about == About::Prompt { Some(it) } else { it.get("message") };
                Some(message?.get("content")?.as_str()?.to_owned())
            };
            let texts: Vec<String> = list.iter().map(text).collect::<Option<_>>()?;
            (texts.len() == count).then_some(Verdict::Mask(texts))
        }
        (None | Some(Value::Null), None | Some(Value::Null)) => Some(Verdict::Pass),
        _ => None,
    }
}

/// What has to be done so that these texts stand in the place of those.
pub fn replace(messages: &[Message], texts: &[String]) -> Edits {
    let mut edits = Edits::default();
    let changed = messages.iter().zip(texts).filter(|(message, text)| message.text != **text);
    changed.for_each(|(message, text)| edits.replace(message.place.clone(), encoded(text)));
    edits
}

/// What a client is told when a webhook rejects.
pub fn rejected(about: About, refusal: &Refusal, body: String, status: u16) -> Reply {
    let reason = if about == About::Prompt { Reason::PromptRejected } else { Reason::AnswerRejected };
    Reply::new(status, reason, body).formatted(refusal.format).because("webhook")
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
