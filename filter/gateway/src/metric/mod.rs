//! What is counted: series of the host's, by the names and labels that it keeps them under.

mod kinds;
mod names;

pub use kinds::{Action, Asked, AttemptOutcome, BudgetOutcome, Finder, Model, Side, TokenDetail, TokenKind};
pub use names::{ModelNames, Names, Numbered};

use crate::reply::Outcome;
use crate::usage::Labels;

/// A series to count in. Its labels come from the configuration and from enums; what clients and their tokens name is told
/// apart up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Requests that are over.
    Requests {
        /// Index into [`policy::Gateway::routes`].
        route: Option<usize>,
        /// How it ended.
        outcome: Outcome,
    },
    /// Prompts and answers in which a guard has found something, once for each of its rules.
    Guard {
        /// Index into [`policy::Gateway::routes`].
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
        /// Who is asked, and for what, if that can be told.
        asked: Option<Model>,
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
        /// Index into [`policy::Gateway::routes`].
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
        /// Index into [`policy::Gateway::routes`].
        route: usize,
        /// Index into the backends of the route.
        backend: usize,
    },
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
                format!("ai_rate_limited_tokens_total{}", names.charged(asked, labels))
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
