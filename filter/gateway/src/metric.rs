//! What is counted: series of the host's, by the names and labels that it keeps them under.

use std::cell::RefCell;

use policy::failover::Backend;
use policy::guard::Mode;
use policy::{Gateway, Provider, Route, Target};

use crate::reply::Outcome;
use crate::usage::{LabelSets, Labels};

/// A series to count in. Its labels come from the configuration and from enums; what clients and their tokens name is told
/// apart up to a bound.
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
    /// Attempts at a target.
    Attempts {
        /// Who was asked.
        target: Asked,
        /// How it ended.
        outcome: AttemptOutcome,
    },
    /// Milliseconds from the beginning of an attempt to that of its answer; a stream begins with its first event.
    FirstByte,
    /// Tokens, under the names that dashboards of Gloo know.
    Tokens {
        /// Which.
        kind: TokenKind,
        /// Who was asked, and for what.
        asked: Model,
        /// Who has asked.
        labels: Labels,
    },
    /// Tokens that a budget has been charged before the call, under the name that dashboards of Gloo know.
    RateLimited {
        /// Who was asked, and for what.
        asked: Model,
        /// Who has asked.
        labels: Labels,
    },
    /// Requests in which the gateway, or whoever it needs for them, has failed, under the name that dashboards of Gloo know.
    Exceptions {
        /// Who was asked or would have been, and for what.
        asked: Option<Model>,
        /// Who has asked.
        labels: Labels,
    },
    /// What of the tokens that are counted otherwise is of a kind of its own.
    TokenDetails {
        /// Which.
        kind: TokenDetail,
        /// Who was asked, and for what.
        asked: Model,
    },
    /// Tokens of one answer, under OpenTelemetry's name.
    TokenUsage {
        /// Which.
        kind: TokenKind,
        /// Who was asked, and for what.
        asked: Model,
    },
    /// Milliseconds from the beginning of a request to its end, under OpenTelemetry's name.
    Duration(Model),
    /// Requests that have met a budget.
    Budget {
        /// Index into [`Gateway::routes`].
        route: usize,
        /// Index into the budgets of the route.
        budget: usize,
        /// What the budget has said.
        outcome: BudgetOutcome,
    },
    /// Tokens that nobody has reported and that were counted by what was seen.
    Estimated {
        /// Which.
        kind: TokenKind,
        /// Who was asked, and for what.
        asked: Model,
    },
    /// Milliseconds from the beginning of a request to the first event with data of a streamed answer, under OpenTelemetry's
    /// name.
    FirstToken(Model),
    /// Requests that have left a target alone because it is in trouble.
    Skipped {
        /// Index into [`Gateway::routes`].
        route: usize,
        /// Index into the backends of the route.
        backend: usize,
    },
}

/// What a budget has said of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BudgetOutcome {
    /// There was enough.
    Allowed,
    /// There was not, and the request was refused.
    Exceeded,
    /// There was not, and the policy only wants to know.
    Monitored,
    /// It could not be asked.
    Unavailable,
}

impl BudgetOutcome {
    /// The label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            BudgetOutcome::Allowed => "allowed",
            BudgetOutcome::Exceeded => "exceeded",
            BudgetOutcome::Monitored => "monitored",
            BudgetOutcome::Unavailable => "unavailable",
        }
    }
}

/// Which tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// That the model has read.
    Input,
    /// That it has written.
    Output,
}

/// Which of the tokens that the model has read or written: providers charge another price for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenDetail {
    /// Read, and in the provider's cache.
    CachedInput,
    /// Written, and thoughts that nobody gets to read.
    ReasoningOutput,
    /// Read, and sound.
    AudioInput,
    /// Written, and sound.
    AudioOutput,
}

/// A provider and a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Model {
    /// Whose API was spoken.
    pub provider: Provider,
    /// Its number among the [names](ModelNames) of models.
    pub name: usize,
}

/// The names of models that metrics know. Clients name models, so there are so many and no more: what comes after that is
/// `other`.
pub type ModelNames = Numbered;

/// Values of a label, by the order in which they have been seen.
#[derive(Debug, Default)]
pub struct Numbered(RefCell<Vec<String>>);

/// As many values of a label as metrics tell apart in one VM.
const MOST_VALUES: usize = 128;

impl Numbered {
    /// The number of a value.
    pub fn number(&self, name: &str) -> usize {
        self.number_up_to(name, MOST_VALUES)
    }

    /// The number of a value that may be worth none: it takes no place beyond the first half.
    pub fn doubtful(&self, name: &str) -> usize {
        self.number_up_to(name, MOST_VALUES / 2)
    }

    fn number_up_to(&self, name: &str, most: usize) -> usize {
        let Ok(mut names) = self.0.try_borrow_mut() else { return MOST_VALUES };
        if let Some(known) = names.iter().position(|it| it == name) {
            return known;
        }
        if names.len() < most {
            names.push(name.to_owned());
            return names.len() - 1;
        }
        MOST_VALUES
    }

    /// The value of a number.
    pub fn name(&self, number: usize) -> String {
        let names = self.0.try_borrow();
        names.ok().and_then(|names| names.get(number).cloned()).unwrap_or_else(|| "other".into())
    }
}

impl TokenKind {
    fn name(self) -> &'static str {
        match self {
            TokenKind::Input => "input",
            TokenKind::Output => "output",
        }
    }
}

impl TokenDetail {
    fn name(self) -> &'static str {
        match self {
            TokenDetail::CachedInput => "cached_input",
            TokenDetail::ReasoningOutput => "reasoning_output",
            TokenDetail::AudioInput => "audio_input",
            TokenDetail::AudioOutput => "audio_output",
        }
    }
}

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// The one target that this instance of the module writes for.
    Own,
    /// Somebody behind a route, by a call.
    Backend {
        /// Index into [`Gateway::routes`].
        route: usize,
        /// Index into the backends of the route.
        backend: usize,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// The provider answered.
    Ok,
    /// It said that there is too much to do (429).
    RateLimited,
    /// It refused the request: any other status from 400 to 499.
    Refused,
    /// It failed: a status from 500 to 599.
    Failed,
    /// It began a stream with an error.
    ErrorEvent,
    /// It gave no answer, or not in time.
    NoAnswer,
    /// The client left before there was one.
    Abandoned,
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

/// By whose configuration metrics get their labels.
#[derive(Debug, Clone, Copy)]
pub enum Names<'a> {
    /// That of the listener's filter, the models that it has seen, and the values of labels.
    Gateway(&'a Gateway, &'a ModelNames, &'a LabelSets),
    /// That of a cluster's.
    Target(&'a Target),
}

impl<'a> Names<'a> {
    fn route(self, index: usize) -> Option<&'a Route> {
        match self {
            Names::Gateway(gateway, ..) => gateway.routes.get(index),
            Names::Target(_) => None,
        }
    }

    /// OpenTelemetry's labels of a provider and a model.
    fn asked(self, asked: Model) -> String {
        let (provider, model) = (asked.provider.name(), self.model(asked));
        format!(";gen_ai_provider_name={provider};gen_ai_request_model={model}")
    }

    /// The labels of Gloo's metrics of tokens: a provider, a model, and what comes from claims.
    fn charged(self, asked: Option<Model>, labels: Labels) -> String {
        let llm = asked.map_or("unknown", |it| it.provider.name());
        let model = asked.map_or("unknown".into(), |it| self.model(it));
        let own = match self {
            Names::Gateway(policy, _, sets) => sets.text(labels, policy),
            Names::Target(_) => String::new(),
        };
        format!(";llm={llm};model={model}{own}")
    }

    fn model(self, model: Model) -> String {
        match self {
            Names::Gateway(_, models, _) => label(&models.name(model.name)),
            Names::Target(_) => "other".into(),
        }
    }

    fn target(self, asked: Asked) -> &'a str {
        match (self, asked) {
            (Names::Target(target), _) => &target.name,
            (Names::Gateway(..), Asked::Own) => "none",
            (Names::Gateway(..), Asked::Backend { route, backend }) => {
                let backend = self.route(route).and_then(|route| route.backends.get(backend));
                backend.map_or("none", Backend::name)
            }
        }
    }
}

impl AttemptOutcome {
    /// How an attempt ended whose answer has this status.
    pub fn of(status: u16) -> AttemptOutcome {
        match status {
            429 => AttemptOutcome::RateLimited,
            400..500 => AttemptOutcome::Refused,
            500.. => AttemptOutcome::Failed,
            _ => AttemptOutcome::Ok,
        }
    }

    /// The label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            AttemptOutcome::Ok => "ok",
            AttemptOutcome::RateLimited => "rate_limited",
            AttemptOutcome::Refused => "refused",
            AttemptOutcome::Failed => "failed",
            AttemptOutcome::ErrorEvent => "error_event",
            AttemptOutcome::NoAnswer => "no_answer",
            AttemptOutcome::Abandoned => "abandoned",
        }
    }
}

impl Metric {
    /// The name under which the host keeps the series: labels follow as `;name=value`.
    pub fn series(self, names: Names<'_>) -> String {
        match self {
            Metric::Attempts { target, outcome } => {
                let target = label(names.target(target));
                format!("turnpike_attempts_total;target={target};outcome={}", outcome.name())
            }
            Metric::FirstByte => {
                format!("turnpike_time_to_first_byte_ms;target={}", label(names.target(Asked::Own)))
            }
            Metric::Tokens { kind, asked, labels } => {
                let what = match kind {
                    TokenKind::Input => "prompt",
                    TokenKind::Output => "completion",
                };
                format!("ai_{what}_tokens_total{}", names.charged(Some(asked), labels))
            }
            Metric::RateLimited { asked, labels } => {
                format!("ai_rate_limited_tokens_total{}", names.charged(Some(asked), labels))
            }
            Metric::Exceptions { asked, labels } => {
                format!("ai_exception_raised_total{}", names.charged(asked, labels))
            }
            Metric::TokenDetails { kind, asked } => {
                let (kind, llm, model) = (kind.name(), asked.provider.name(), names.model(asked));
                format!("turnpike_token_details_total;kind={kind};llm={llm};model={model}")
            }
            Metric::TokenUsage { kind, asked } => {
                let kind = kind.name();
                format!("gen_ai_client_token_usage;gen_ai_token_type={kind}{}", names.asked(asked))
            }
            Metric::Duration(asked) => {
                format!("gen_ai_client_operation_duration_milliseconds{}", names.asked(asked))
            }
            Metric::Budget { route, budget, outcome } => {
                let route = names.route(route);
                let budget = route.and_then(|it| it.budgets.get(budget)).map_or("none", |it| &it.name);
                let (name, outcome) = (route.map_or("none", |it| &it.name), outcome.name());
                format!(
                    "turnpike_budget_total;route={};budget={};outcome={outcome}",
                    label(name),
                    label(budget)
                )
            }
            Metric::Estimated { kind, asked } => {
                let (kind, llm, model) = (kind.name(), asked.provider.name(), names.model(asked));
                format!("turnpike_estimated_tokens_total;gen_ai_token_type={kind};llm={llm};model={model}")
            }
            Metric::FirstToken(asked) => {
                format!("gen_ai_server_time_to_first_token_milliseconds{}", names.asked(asked))
            }
            Metric::Skipped { route, backend } => {
                let target = label(names.target(Asked::Backend { route, backend }));
                let route = names.route(route).map_or("none", |it| &it.name);
                format!("turnpike_skipped_total;route={};target={target}", label(route))
            }
            Metric::Requests { route, outcome } => {
                let route = route.and_then(|i| names.route(i)).map_or("none", |route| &route.name);
                format!("turnpike_requests_total;route={};reason={}", label(route), outcome.code())
            }
            Metric::Guard { route, side, finder, action } => {
                let route = names.route(route);
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

/// A value as it may stand in the host's name for a series: `;` separates labels there, and a name is one line.
pub fn label(value: &str) -> String {
    value.replace(|c: char| c == ';' || c.is_control(), "_")
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
