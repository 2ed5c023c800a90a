//! What the labels of series that come from enums can be.

use policy::guard::Mode;
use policy::{Provider, Route};

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
    /// Its number among the [names](super::ModelNames) of models.
    pub name: usize,
}

impl TokenKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            TokenKind::Input => "input",
            TokenKind::Output => "output",
        }
    }
}

impl TokenDetail {
    pub(super) fn name(self) -> &'static str {
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
        /// Index into [`policy::Gateway::routes`].
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
