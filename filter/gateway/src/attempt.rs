//! Stage `attempt`: what the provider gets. The same whether this happens in the listener's filter chain, in a
//! cluster's, or for a call of our own.

use std::rc::Rc;

use policy::{Credential, Target, TargetPath};

use crate::document::Document;
use crate::edits::Edits;
use crate::enrich::Field;
use crate::event::{Appetite, Arrival, Effect, Event, Flow, Step};
use crate::headers::Headers;
use crate::path::{Call, Operation, after_prefix, split_query};
use crate::reply::{Reason, Reply};

/// Headers that carry a client's credential, for any provider or for the gateway. None of them is a provider's
/// business, and on a second attempt they hold the first provider's key.
const CREDENTIALS: [&str; 5] =
    ["authorization", "api-key", "x-api-key", "x-goog-api-key", "proxy-authorization"];

/// Headers of proxies and browsers that tell a provider about the client and nothing about the prompt.
const PRIVATE: [&str; 2] = ["cookie", "forwarded"];
const PRIVATE_PREFIXES: [&str; 3] = ["x-turnpike-", "x-envoy-", "x-forwarded-"];

/// Where the headers of an attempt are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the listener's filter chain, before the host takes its last look at the route.
    Listener,
    /// In a cluster's, when there is nothing left to route.
    Cluster,
}

/// The module as an upstream filter: one attempt of a request, at one target.
#[derive(Debug)]
pub struct Attempt {
    target: Rc<Target>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Nothing has been seen.
    AwaitRequest,
    /// The headers are written, and are held until the model stands in the body too.
    AwaitBody,
    /// The provider has it, or the client has our refusal.
    Sent,
}

impl Attempt {
    /// An attempt that has not begun.
    pub fn new(target: Rc<Target>) -> Attempt {
        Attempt { target, phase: Phase::AwaitRequest }
    }

    /// Takes an event, says what follows.
    pub fn on(&mut self, event: Event<'_>) -> Step {
        let mut effects = Vec::new();
        let next = match (&self.phase, event) {
            (Phase::AwaitRequest, Event::Request(arrival)) => begin(&self.target, &arrival, &mut effects),
            (Phase::AwaitBody, Event::RequestBody(body)) => set_model(&self.target, body, &mut effects),
            (Phase::AwaitBody, Event::RequestGrew(_)) => Ok(Phase::AwaitBody),
            // Everything else is the downstream filter's to act on: it sees the final attempt only.
            (
                _,
                Event::Request(_)
                | Event::Woken(_)
                | Event::RequestGrew(_)
                | Event::RequestBody(_)
                | Event::Response(_)
                | Event::ResponseGrew(_)
                | Event::ResponseBody(_)
                | Event::Called(_)
                | Event::Chunk { .. }
                | Event::Over,
            ) => Ok(Phase::Sent),
        };
        self.phase = next.unwrap_or_else(|reply| {
            effects.push(Effect::Reply(reply));
            Phase::Sent
        });
        Step { effects, flow: self.flow() }
    }

    /// What it has to see of the bodies.
    pub fn appetite(&self) -> Appetite {
        match self.phase {
            Phase::AwaitBody => Appetite::RequestBody,
            Phase::AwaitRequest | Phase::Sent => Appetite::Nothing,
        }
    }

    /// Whether the message that is under way waits or goes on, as long as nothing new happens.
    pub fn flow(&self) -> Flow {
        match self.phase {
            Phase::AwaitBody => Flow::Hold,
            Phase::AwaitRequest | Phase::Sent => Flow::Pass,
        }
    }
}

fn begin(target: &Target, arrival: &Arrival<'_>, effects: &mut Vec<Effect>) -> Result<Phase, Reply> {
    let headers = arrival.headers;
    // A request that did not pass the downstream filter has passed no policy: it gets no key.
    let Some(path) = arrival.handover.or_else(|| headers.get(crate::HANDOVER_HEADER)) else {
        let message = "this request has not passed the gateway's listener, and goes to no provider";
        return Err(Reply::new(500, Reason::NotAdmitted, message));
    };
    let method = headers.get(":method").unwrap_or_default();
    let call = Call { operation: Operation::of(method, path), path: path.to_owned() };
    write_headers(target, &call, headers, Place::Cluster, effects);
    let edits_body = target.model.is_some() && call.operation.is_understood() && !arrival.end;
    Ok(if edits_body { Phase::AwaitBody } else { Phase::Sent })
}

fn set_model(target: &Target, body: Vec<u8>, effects: &mut Vec<Effect>) -> Result<Phase, Reply> {
    let mut edits = Edits::default();
    let model = model(target);
    Document::parse(body)?.set(model.as_ref().map(|(name, json)| (*name, json.as_str())), &mut edits);
    effects.push(Effect::EditRequestBody(edits));
    Ok(Phase::Sent)
}

/// Path, host and credential of a target, and nothing that is none of the provider's business.
pub fn write_headers(
    target: &Target,
    call: &Call,
    headers: &Headers<'_>,
    place: Place,
    effects: &mut Vec<Effect>,
) {
    let mut removed = Vec::new();
    // H11: without this one the host finds no route.
    let routes = |name: &str| place == Place::Listener && name == "x-forwarded-proto";
    for name in headers.names().filter(|name| !routes(name) && !goes_out(name, &target.credential)) {
        if !removed.contains(&name) {
            removed.push(name);
            effects.push(Effect::RemoveRequestHeader(name.to_owned()));
        }
    }
    effects.push(Effect::SetRequestHeader(":path".into(), target_path(target.path.as_ref(), &call.path)));
    effects.push(Effect::SetRequestHeader(":authority".into(), target.host.clone()));
    if let Credential::Key(key) = &target.credential {
        effects.push(Effect::SetRequestHeader("authorization".into(), format!("Bearer {}", key.expose())));
    }
    if call.operation.is_understood() {
        // What we could not read, we could neither count nor guard.
        if headers.has("accept-encoding") {
            effects.push(Effect::RemoveRequestHeader("accept-encoding".into()));
        }
        // With a character set of the client's own, a provider could read other words than we do.
        if headers.get("content-type") != Some("application/json") {
            effects.push(Effect::SetRequestHeader("content-type".into(), "application/json".into()));
        }
    }
}

/// The body's field for the model of a target, where it has one of its own.
pub fn model(target: &Target) -> Option<Field<'static>> {
    let model = target.model.as_deref()?;
    Some(("model", serde_json::Value::from(model).to_string()))
}

/// Whether a client's header goes out to the provider.
fn goes_out(name: &str, credential: &Credential) -> bool {
    let own = matches!(credential, Credential::Passthrough) && name == "authorization";
    let private = CREDENTIALS.contains(&name)
        || PRIVATE.contains(&name)
        || PRIVATE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    own || !private
}

fn target_path(moved: Option<&TargetPath>, path: &str) -> String {
    match moved {
        None => path.to_owned(),
        Some(TargetPath::Full(full)) => full.clone(),
        Some(TargetPath::Base(base)) => {
            let (path, query) = split_query(path);
            format!("{base}{}{query}", after_prefix(path, "/v1").unwrap_or(path))
        }
    }
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
