//! The life of a request: one state machine from the first header to the last byte.
//!
//! `request`, `inspect`, `admit` and `send` are its way to the provider, `response` and `held` the way back, `backup` what
//! the module asks in the host's place, `notes` what is said of it at its end.

mod admit;
mod backup;
mod held;
mod inspect;
mod notes;
mod request;
mod response;
mod send;

use std::rc::Rc;
use std::time::Duration;

use policy::Gateway;
use policy::budget::Price;

use crate::access::{Access, Models};
use crate::answer;
use crate::document::Document;
use crate::event::{Appetite, Effect, End, Event, Flow, Level, Step};
use crate::failover::{Chain, Spare};
use crate::guard::{Finds, Masking, Message};
use crate::metric::{self, Action, Finder, Metric, Side};
use crate::path::Call;
use crate::reply::{Outcome, Reply};
use crate::sse::Stream;
use crate::toll::{Facts, Holding, Taken};
use crate::usage::{Reporting, Scan, Usage, Written};
use backup::Backup;
use held::Held;
use notes::Notes;

/// One request and its answer.
#[derive(Debug)]
pub struct Exchange {
    policy: Rc<Gateway>,
    access: Rc<Access>,
    phase: Phase,
    record: Record,
}

/// What the request waits for, and what is known by then.
#[derive(Debug)]
enum Phase {
    /// Nothing has been seen.
    AwaitRequest,
    /// A token has come before the keys to check it with.
    AwaitKeys(Patience),
    /// The way is known; the prompt is still arriving, and is held.
    AwaitPrompt(Way),
    /// Somebody has been asked about the prompt, which is held.
    AwaitVerdict(Way, Document, Asked),
    /// The sidecar has been asked what these budgets say; the request is held, with its body where that is read.
    AwaitAdmission(Way, Option<Document>, Vec<Holding>),
    /// The provider has the request.
    AwaitAnswer(Way),
    /// The module asks somebody else itself; the request is held, or the answer that was a failure.
    AwaitBackup(Backup),
    /// The answer has to be looked at as a whole, and is held.
    AwaitBody(Held),
    /// A webhook has been asked about the answer, which is held.
    AwaitOpinion(Held, String, Vec<Message>),
    /// The provider streams events, and the client gets them, masked where a policy says so.
    Relay(Stream, Option<Masking>),
    /// The client has been told that it gets no more of a stream.
    Silenced,
    /// The answer passes as it is, and is looked at for what it says of tokens.
    Tally(Scan),
    /// The rest is the host's to carry; we do not look at it.
    Passing,
    /// We have answered; what passes now is our own reply.
    Replied,
}

/// The way a request takes.
#[derive(Debug)]
struct Way {
    route: usize,
    call: Call,
    /// What the caller may name.
    models: Models,
    /// Headers of the client's that webhooks see: the prompt's and the answer's.
    forwarded: [Vec<(String, String)>; 2],
    /// Who may be asked, in order; nobody where the host's own routing decides.
    chain: Chain,
    /// What is needed to ask once more.
    spare: Option<Spare>,
    /// The model that the body names, if it is fit for a header.
    model: Option<String>,
    /// What budgets look at, where the route has any.
    facts: Option<Facts>,
    /// The time, as far as it is known.
    now: Duration,
    /// A number that nobody foresees.
    random: u64,
}

/// Who has been asked about a prompt.
#[derive(Debug)]
enum Asked {
    /// A webhook, about these messages.
    Webhook(Vec<Message>),
    /// OpenAI's moderation.
    Moderation,
}

/// How long keys are waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    since: Duration,
    until: Duration,
}

/// What is known at the end, whatever the phase.
#[derive(Debug)]
struct Record {
    route: Option<usize>,
    outcome: Outcome,
    /// What guards have found.
    found: Vec<(Side, Finder, Action)>,
    /// What the patterns of the response guard have found so far.
    finds: Finds,
    /// When it began.
    began: Duration,
    /// Who has answered, and with which model.
    answered: Option<metric::Model>,
    /// What the answer says of tokens.
    usage: Option<Usage>,
    /// Whether the client sees what a stream says of them.
    reporting: Reporting,
    /// What was taken from budgets.
    taken: Option<Taken>,
    /// Whether a provider was asked.
    asked: bool,
    /// What the answer has said so far, where budgets may depend on that.
    written: Option<Written>,
    /// What the model costs, where that is counted.
    price: Option<Price>,
    /// What is said of it beside.
    notes: Notes,
}

type Effects = Vec<Effect>;

impl Exchange {
    /// A request that has not begun.
    pub fn new(access: Rc<Access>) -> Exchange {
        let record = Record {
            route: None,
            outcome: Outcome::Unanswered,
            found: Vec::new(),
            finds: Finds::default(),
            began: Duration::ZERO,
            answered: None,
            usage: None,
            reporting: Reporting::Passes,
            taken: None,
            asked: false,
            written: None,
            price: None,
            notes: Notes::default(),
        };
        Exchange { policy: Rc::clone(access.policy()), access, phase: Phase::AwaitRequest, record }
    }

    /// Takes an event, says what follows.
    pub fn on(&mut self, event: Event<'_>) -> Step {
        let mut effects = Effects::new();
        let phase = std::mem::replace(&mut self.phase, Phase::Passing);
        let next = match (phase, event) {
            (Phase::AwaitRequest, Event::Request(arrival)) => self.arrive(&arrival, None, &mut effects),
            (Phase::AwaitKeys(patience), Event::Woken(arrival)) => {
                self.arrive(&arrival, Some(patience), &mut effects)
            }
            (Phase::AwaitKeys(patience), Event::RequestGrew(bytes)) => {
                self.within_limit(bytes).map(|()| Phase::AwaitKeys(patience))
            }
            (Phase::AwaitPrompt(way), Event::RequestGrew(bytes)) => {
                self.within_limit(bytes).map(|()| Phase::AwaitPrompt(way))
            }
            (Phase::AwaitPrompt(way), Event::RequestBody(body)) => self.read(way, body, &mut effects),
            (Phase::AwaitVerdict(way, document, asked), Event::Called { said, .. }) => {
                self.hear(way, document, asked, said, &mut effects)
            }
            (Phase::AwaitAdmission(way, document, holding), Event::Called { said, now }) => {
                self.hear_admission(way, document, holding, (said, now), &mut effects)
            }
            (Phase::AwaitBackup(backup), Event::Called { said, now }) => {
                self.hear_backup(backup, said, now, &mut effects)
            }
            // The host gave up on a request that never arrived whole, or on its way to the provider.
            (Phase::AwaitPrompt(way) | Phase::AwaitAnswer(way), Event::Response(answer)) => {
                self.answer(way, &answer, &mut effects)
            }
            (
                Phase::AwaitKeys(_)
                | Phase::AwaitVerdict(..)
                | Phase::AwaitAdmission(..)
                | Phase::AwaitBackup(_),
                Event::Response(answer),
            ) => answer::not_from_host(&answer).map(|()| Phase::Passing),
            (Phase::AwaitBody(held), Event::ResponseGrew(bytes)) => held.within_limit(bytes),
            (Phase::AwaitBody(held), Event::ResponseBody(body)) => self.whole(held, body, &mut effects),
            (Phase::AwaitOpinion(held, body, messages), Event::Called { said, .. }) => {
                self.hear_of_answer(held, body, &messages, said, &mut effects)
            }
            (Phase::Relay(stream, masking), Event::Chunk { bytes, end, now }) => {
                Ok(self.relay(stream, masking, (bytes, end, now), &mut effects))
            }
            (Phase::Tally(mut scan), Event::Chunk { bytes, end, .. }) => {
                scan.push(bytes);
                self.record.wrote(bytes);
                self.record.usage = scan.usage();
                Ok(if end { Phase::Passing } else { Phase::Tally(scan) })
            }
            (Phase::Silenced, Event::Chunk { end, .. }) => {
                effects.push(Effect::ReplaceChunk(Vec::new()));
                Ok(if end { Phase::Passing } else { Phase::Silenced })
            }
            (Phase::AwaitAdmission(way, document, holding), Event::Over(end)) => {
                self.reclaim(&way, document.as_ref(), &holding, &mut effects);
                self.settle(end, &mut effects);
                Ok(Phase::Passing)
            }
            (_, Event::Over(end)) => {
                self.settle(end, &mut effects);
                Ok(Phase::Passing)
            }
            // A body that nobody reads, trailers after the end, our own reply coming back (H6), an answer to a question of
            // which nobody wants to know any more.
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
        self.phase = next.unwrap_or_else(|reply| self.reply(reply, &mut effects));
        self.record.asked |= matches!(self.phase, Phase::AwaitAnswer(_) | Phase::AwaitBackup(_));
        Step { effects, flow: self.flow() }
    }

    /// What has to be seen of the bodies from here on.
    pub fn appetite(&self) -> Appetite {
        match self.phase {
            Phase::AwaitKeys(Patience { until, .. }) => Appetite::Keys { until },
            Phase::AwaitPrompt(_) => Appetite::RequestBody,
            Phase::AwaitBody(_) => Appetite::ResponseBody,
            Phase::Relay(..) | Phase::Tally(_) | Phase::Silenced => Appetite::Chunks,
            Phase::AwaitRequest
            | Phase::AwaitVerdict(..)
            | Phase::AwaitAdmission(..)
            | Phase::AwaitAnswer(_)
            | Phase::AwaitBackup(_)
            | Phase::AwaitOpinion(..)
            | Phase::Passing
            | Phase::Replied => Appetite::Nothing,
        }
    }

    /// Whether the message that is under way waits or goes on, as long as nothing new happens.
    pub fn flow(&self) -> Flow {
        match self.phase {
            Phase::AwaitKeys(_)
            | Phase::AwaitPrompt(_)
            | Phase::AwaitVerdict(..)
            | Phase::AwaitAdmission(..)
            | Phase::AwaitBackup(_)
            | Phase::AwaitBody(_)
            | Phase::AwaitOpinion(..) => Flow::Hold,
            Phase::AwaitRequest
            | Phase::AwaitAnswer(_)
            | Phase::Relay(..)
            | Phase::Tally(_)
            | Phase::Silenced
            | Phase::Passing
            | Phase::Replied => Flow::Pass,
        }
    }

    /// Notes what a guard has found, and says it in the log: who found it, not what.
    fn found(&mut self, side: Side, finder: Finder, action: Action, effects: &mut Effects) {
        if self.record.found.contains(&(side, finder, action)) {
            return;
        }
        self.record.found.push((side, finder, action));
        let route = self.record.route.and_then(|index| self.policy.routes.get(index));
        let (name, rule) = (self.route_name(), finder.name(side, route));
        let line = format!("route {name}: guard of the {}: {rule}: {}", side.name(), action.name());
        effects.push(Effect::Log(Level::Info, line));
    }

    /// Stage `settle`: what is remembered of the request.
    fn settle(&mut self, end: End, effects: &mut Effects) {
        let policy = Rc::clone(&self.policy);
        let estimated = self.record.settle_budgets(&policy, end, effects);
        let Record { route, outcome, .. } = self.record;
        effects.push(Effect::Count(Metric::Requests { route, outcome }));
        self.tell_usage(end, effects);
        effects.extend(self.report(end, estimated));
        if let Some(route) = route {
            let found = std::mem::take(&mut self.record.found).into_iter();
            effects.extend(
                found.map(|(side, finder, action)| {
                    Effect::Count(Metric::Guard { route, side, finder, action })
                }),
            );
        }
    }

    /// The one place where a refusal becomes an answer.
    fn reply(&mut self, reply: Reply, effects: &mut Effects) -> Phase {
        self.log_refusal(&reply, effects);
        self.note_status(reply.status);
        effects.push(Effect::Reply(reply));
        Phase::Replied
    }

    fn log_refusal(&mut self, reply: &Reply, effects: &mut Effects) {
        self.record.outcome = Outcome::Replied(reply.reason);
        let (route, stage, code) = (self.route_name(), reply.reason.stage(), reply.reason.code());
        let level = if reply.status >= 500 { Level::Warn } else { Level::Info };
        let mut line = format!("route {route}: {} {code} at stage {stage:?}", reply.status);
        if !reply.cause.is_empty() {
            line = format!("{line}: {}", reply.cause);
        }
        effects.push(Effect::Log(level, line));
        self.count_failure(reply, effects);
    }

    fn route_name(&self) -> &str {
        let route = self.record.route.and_then(|index| self.policy.routes.get(index));
        route.map_or("none", |route| &route.name)
    }
}

#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod usage_tests;
