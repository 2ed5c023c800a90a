//! Stage `attempt`: what the provider gets. The same whether this happens in the listener's filter chain, in a
//! cluster's, or for a call of our own.

use std::rc::Rc;
use std::time::Duration;

use policy::{Credential, Provider, Target, TargetPath};

use crate::document::Document;
use crate::edits::Edits;
use crate::enrich::Field;
use crate::event::{Answer, Appetite, Arrival, Effect, End, Event, Flow, Step};
use crate::failover::{Beginning, Handover, Lesson, beginning, retry_after};
use crate::headers::Headers;
use crate::metric::{self, AttemptOutcome, Metric};
use crate::path::{Call, Operation, after_prefix, split_query};
use crate::reply::{Reason, Reply};
use crate::usage::asks_for_usage;

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
    AwaitBody(Asked),
    /// The provider has it.
    AwaitAnswer(Asked),
    /// The provider has begun a stream, which is held until it says whether it is an answer.
    AwaitBeginning(Asked),
    /// There is an answer, and what is to be learnt of it has been; or the client has our refusal.
    Over,
}

/// What is asked, and what depends on the answer.
#[derive(Debug)]
struct Asked {
    handover: Handover,
    operation: Operation,
    /// Whether somebody else is asked should this one fail.
    is_last: bool,
    since: Duration,
}

type Effects = Vec<Effect>;

impl Attempt {
    /// An attempt that has not begun.
    pub fn new(target: Rc<Target>) -> Attempt {
        Attempt { target, phase: Phase::AwaitRequest }
    }

    /// Takes an event, says what follows.
    pub fn on(&mut self, event: Event<'_>) -> Step {
        let mut effects = Effects::new();
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        let next = match (phase, event) {
            (Phase::AwaitRequest, Event::Request(arrival)) => begin(&self.target, &arrival, &mut effects),
            (Phase::AwaitBody(asked), Event::RequestBody(body)) => {
                set_fields(&self.target, asked, body, &mut effects)
            }
            (Phase::AwaitAnswer(asked), Event::Response(answer)) => {
                Ok(self.answered(asked, &answer, &mut effects))
            }
            (Phase::AwaitBeginning(asked), Event::Beginning { bytes, end, now }) => {
                Ok(self.begun(asked, beginning(bytes, end), now, &mut effects))
            }
            (Phase::AwaitAnswer(asked) | Phase::AwaitBeginning(asked), Event::Over(end)) => {
                self.ended(&asked, end, &mut effects);
                Ok(Phase::Over)
            }
            (_, Event::Over(_)) => Ok(Phase::Over),
            // Everything else is the downstream filter's to act on.
            (
                phase,
                Event::Request(_)
                | Event::Woken(_)
                | Event::RequestGrew(_)
                | Event::RequestBody(_)
                | Event::Response(_)
                | Event::ResponseGrew(_)
                | Event::ResponseBody(_)
                | Event::Beginning { .. }
                | Event::Called { .. }
                | Event::Chunk { .. },
            ) => Ok(phase),
        };
        self.phase = next.unwrap_or_else(|reply| {
            effects.push(Effect::Reply(reply));
            Phase::Over
        });
        Step { effects, flow: self.flow() }
    }

    /// What it has to see of the bodies.
    pub fn appetite(&self) -> Appetite {
        match self.phase {
            Phase::AwaitBody(_) => Appetite::RequestBody,
            Phase::AwaitBeginning(_) => Appetite::Beginning,
            Phase::AwaitRequest | Phase::AwaitAnswer(_) | Phase::Over => Appetite::Nothing,
        }
    }

    /// Whether more of an answer matters than its status.
    pub fn reads_answers(&self) -> bool {
        matches!(&self.phase, Phase::AwaitAnswer(asked) if asked.has_chain())
    }

    /// Whether the message that is under way waits or goes on, as long as nothing new happens.
    pub fn flow(&self) -> Flow {
        match self.phase {
            Phase::AwaitBody(_) | Phase::AwaitBeginning(_) => Flow::Hold,
            Phase::AwaitRequest | Phase::AwaitAnswer(_) | Phase::Over => Flow::Pass,
        }
    }

    /// The provider's status and headers are there. As long as a stream is held, the host takes the attempt for one that
    /// has not been answered, and its time for the first byte goes on.
    fn answered(&self, asked: Asked, answer: &Answer<'_>, effects: &mut Effects) -> Phase {
        let status = answer.status();
        let readable = !answer.headers.has("content-encoding") && !answer.end;
        if (200..300).contains(&status) && answer.is_event_stream() && readable && asked.has_chain() {
            return Phase::AwaitBeginning(asked);
        }
        let outcome = AttemptOutcome::of(status);
        self.note(&asked, outcome, answer.now, retry_after(answer.headers, answer.now), effects);
        Phase::Over
    }

    fn begun(&self, asked: Asked, beginning: Beginning, now: Duration, effects: &mut Effects) -> Phase {
        match beginning {
            Beginning::Awaited => return Phase::AwaitBeginning(asked),
            Beginning::Answer => self.note(&asked, AttemptOutcome::Ok, now, None, effects),
            Beginning::Error(status) => {
                self.note(&asked, AttemptOutcome::ErrorEvent, now, None, effects);
                // The host decides by the status. The last one's error is the answer, and stays as it is.
                if !asked.is_last && asked.handover.on.takes(status) {
                    effects.push(Effect::SetResponseHeader(":status", status.to_string()));
                }
            }
        }
        Phase::Over
    }

    /// There will be no answer.
    fn ended(&self, asked: &Asked, end: End, effects: &mut Effects) {
        let outcome = if end.client_left { AttemptOutcome::Abandoned } else { AttemptOutcome::NoAnswer };
        self.note(asked, outcome, end.now, None, effects);
    }

    /// Counts an attempt, and remembers what it has taught where the policy says so.
    fn note(
        &self,
        asked: &Asked,
        outcome: AttemptOutcome,
        now: Duration,
        wait: Option<Duration>,
        effects: &mut Effects,
    ) {
        effects.push(Effect::Count(Metric::Attempts { target: metric::Asked::Own, outcome }));
        if outcome == AttemptOutcome::Ok {
            let waited = now.saturating_sub(asked.since).as_millis();
            effects.push(Effect::Observe(Metric::FirstByte, u64::try_from(waited).unwrap_or(u64::MAX)));
        }
        if let Some(lesson) = lesson(outcome, now, wait).filter(|_| asked.handover.remembers) {
            effects.push(Effect::Remember(self.target.name.clone(), lesson));
        }
    }
}

impl Asked {
    fn has_chain(&self) -> bool {
        !self.handover.chain.is_empty()
    }
}

/// What an attempt teaches of a model: that it works, that it does not, or nothing.
pub fn lesson(outcome: AttemptOutcome, now: Duration, wait: Option<Duration>) -> Option<Lesson> {
    match outcome {
        AttemptOutcome::Ok | AttemptOutcome::Refused => Some(Lesson::Worked),
        AttemptOutcome::RateLimited
        | AttemptOutcome::Failed
        | AttemptOutcome::ErrorEvent
        | AttemptOutcome::NoAnswer => Some(Lesson::Failed { now, wait }),
        AttemptOutcome::Abandoned => None,
    }
}

fn begin(target: &Target, arrival: &Arrival<'_>, effects: &mut Effects) -> Result<Phase, Reply> {
    let headers = arrival.headers;
    // A request that did not pass the downstream filter has passed no policy: it gets no key.
    let Some(handover) = arrival.handover.or_else(|| headers.get(crate::HANDOVER_HEADER)) else {
        let message = "this request has not passed the gateway's listener, and goes to no provider";
        return Err(Reply::new(500, Reason::NotAdmitted, message));
    };
    let handover = Handover::read(handover);
    if !handover.chain.is_empty() && !handover.chain.contains(&target.name) {
        let message = "the host has led this request to a provider that it may not go to";
        return Err(Reply::new(500, Reason::NotAdmitted, message));
    }
    let method = headers.get(":method").unwrap_or_default();
    let call = Call { operation: Operation::of(method, &handover.path), path: handover.path.clone() };
    write_headers(target, &call, headers, Place::Cluster, effects);
    // What an earlier attempt has put in the place of the client's credential is another provider's key (H20).
    if arrival.attempt > 1 && !handover.own_key && matches!(target.credential, Credential::Passthrough) {
        effects.push(Effect::RemoveRequestHeader("authorization".into()));
    }
    // What an earlier attempt has made of `content-length` is still there (H20), so that it has to be written anew.
    let writes = target.model.is_some() || handover.reports;
    let edits = (writes || arrival.attempt > 1) && call.operation.is_understood();
    let is_last = arrival.attempt as usize >= handover.chain.len();
    let operation = call.operation;
    let asked = Asked { handover, operation, is_last, since: arrival.now };
    Ok(if edits && !arrival.end { Phase::AwaitBody(asked) } else { Phase::AwaitAnswer(asked) })
}

fn set_fields(target: &Target, asked: Asked, body: Vec<u8>, effects: &mut Effects) -> Result<Phase, Reply> {
    let mut edits = Edits::default();
    if target.model.is_some() || asked.handover.reports {
        let document = Document::parse(body)?;
        let fields = fields(target, asked.operation, asked.handover.reports, &document);
        document.set(fields.iter().map(|(name, json)| (*name, json.as_str())), &mut edits);
    }
    effects.push(Effect::EditRequestBody(edits));
    Ok(Phase::AwaitAnswer(asked))
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

/// The body's fields that are written for a target: its model, where it has one of its own, and what makes a stream report
/// its usage, where that is wanted and the provider knows of it.
pub fn fields(
    target: &Target,
    operation: Operation,
    reports: bool,
    document: &Document,
) -> Vec<Field<'static>> {
    let model = target.model.as_deref().map(|it| ("model", serde_json::Value::from(it).to_string()));
    let asks = match target.provider {
        Provider::Openai if reports => asks_for_usage(operation, document),
        Provider::Openai | Provider::Mistral => None,
    };
    model.into_iter().chain(asks.map(|json| ("stream_options", json))).collect()
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
#[path = "attempt_chain_tests.rs"]
mod chain_tests;
#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
