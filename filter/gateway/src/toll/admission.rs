//! The one question to the sidecar, and its answer.

use std::borrow::Cow;

use policy::budget::{Budget, BudgetMode, Counts, Price, Sidecar, Window};
use sidecar_api::{Admitted, Amount, Item, LIMITS, Limit, Mode, OURS, RESERVATION_BYTES};

use super::holding::Holding;
use crate::document::Document;
use crate::event::{CallOut, Said};
use crate::path::Operation;

/// Fields that bound what a model writes, in the APIs that have them.
const BOUNDS: [&str; 3] = ["max_completion_tokens", "max_tokens", "max_output_tokens"];

/// Fields that say how many answers are wanted.
const ANSWERS: [&str; 2] = ["n", "best_of"];

/// A request that asks to be admitted.
#[derive(Debug)]
pub struct Asking<'a> {
    /// The budgets of its route.
    pub budgets: &'a [Budget],
    /// Those that hold.
    pub holding: &'a [Holding],
    /// What its model costs.
    pub price: Option<Price>,
    /// Its body, if it is understood.
    pub document: Option<&'a Document>,
    /// What it asks for.
    pub operation: Operation,
    /// Whether it has no body.
    pub bare: bool,
    /// Its id, which no client chooses.
    pub id: String,
    /// What ties traces together.
    pub trace: Option<&'a str>,
}

/// What the sidecar says.
#[derive(Debug)]
pub enum Heard {
    /// The request is admitted, or is not.
    Answer(Admitted),
    /// It is there, and says with this status why it cannot say. Whether it has reserved anything, it knows only where the
    /// status is not [uncertain].
    Unable(u16),
    /// It has not answered, or somebody else has.
    Nothing,
}

/// The question.
pub fn question(asking: &Asking<'_>, sidecar: &Sidecar) -> CallOut {
    let limits: Vec<Limit> = asking.holding.iter().filter_map(|it| asking.limit(it)).collect();
    let limits = serde_json::to_string(&limits).unwrap_or_default();
    let mut body = format!(r#"{{"request":"{}","#, asking.id);
    if let Some((name, raw)) = asking.prompt() {
        body.push_str(&format!(r#""input":{{"prompt":{{"{name}":{raw}}}}},"#));
    }
    body.push_str(&format!(r#""limits":{limits}}}"#));
    call(sidecar, sidecar_api::ADMIT, body, asking.trace)
}

/// A call of the sidecar.
pub fn call(sidecar: &Sidecar, path: &str, body: String, trace: Option<&str>) -> CallOut {
    let own = [
        (":method", "POST"),
        (":path", path),
        (":authority", &sidecar.host),
        (":scheme", "http"),
        ("content-type", "application/json"),
    ];
    let trace = trace.map(|it| ("traceparent", it));
    let headers = own.into_iter().chain(trace).map(|(name, value)| (name.to_owned(), value.to_owned()));
    CallOut {
        cluster: sidecar.cluster.clone(),
        headers: headers.collect(),
        body: body.into_bytes(),
        timeout: sidecar.timeout,
    }
}

impl Asking<'_> {
    fn limit(&self, holding: &Holding) -> Option<Limit> {
        let budget = self.budgets.get(holding.budget)?;
        let output = self.output(budget);
        let (constant, per_input, estimate) = match (budget.counts, self.price) {
            (Counts::Requests, _) => (1, 0, 0),
            (Counts::Prompt | Counts::Input, _) => (0, 1, 0),
            (Counts::Output, _) => (0, 0, output),
            (Counts::Total, _) => (0, 1, output),
            (Counts::Cost, Some(price)) => (0, price.of(1, 0, 0), price.of(0, 0, output)),
            (Counts::Cost, None) => (0, 0, 0),
        };
        Some(Limit {
            name: budget.name.clone(),
            key: holding.key.clone(),
            max: holding.max,
            window_seconds: holding.window_seconds,
            window: match budget.window {
                Window::Fixed => sidecar_api::Window::Fixed,
                Window::Sliding => sidecar_api::Window::Sliding,
            },
            amount: Amount { constant, per_input, estimate: estimate.min(sidecar_api::MOST) },
            mode: match budget.mode {
                BudgetMode::Enforce => Mode::Enforce,
                BudgetMode::Monitor => Mode::Monitor,
            },
        })
    }

    /// How many tokens the model may write.
    fn output(&self, budget: &Budget) -> u64 {
        if self.bare || self.operation == Operation::Embeddings {
            return 0;
        }
        let Some(document) = self.document else { return budget.estimate };
        let field = |name: &&str| document.raw(name)?.parse::<u64>().ok();
        let bound = BOUNDS.iter().find_map(field).unwrap_or(budget.estimate);
        bound.saturating_mul(ANSWERS.iter().filter_map(field).max().unwrap_or(1).max(1))
    }

    /// What has to be counted of the body: the field that the operation reads. Another one would be a decoy.
    fn prompt(&self) -> Option<(&'static str, Cow<'_, str>)> {
        let budget = |it: &Holding| self.budgets.get(it.budget);
        self.holding.iter().filter_map(budget).find(|it| it.counts_prompt())?;
        let field = |name| self.document?.raw(name).filter(|raw| *raw != "null");
        let name = match self.operation {
            Operation::ChatCompletions => "messages",
            Operation::Completions => "prompt",
            Operation::Responses | Operation::Embeddings => "input",
            Operation::Other => return None,
        };
        match (field(name), field("instructions")) {
            (Some(raw), Some(more)) if self.operation == Operation::Responses => {
                Some((name, Cow::Owned(format!("[{more},{raw}]"))))
            }
            (raw, _) => Some((name, Cow::Borrowed(raw?))),
        }
    }
}

/// Whether the sidecar itself does not know what it has done.
pub fn uncertain(status: u16) -> bool {
    matches!(status, 408 | 500 | 504)
}

/// What comes of the question.
pub fn hear(said: Option<Said<'_>>) -> Heard {
    let Some(said) = said.filter(|it| it.headers.has(OURS)) else { return Heard::Nothing };
    match said.status {
        200 => match serde_json::from_slice::<Admitted>(said.body) {
            Ok(admitted) if is_sound(&admitted) => Heard::Answer(admitted),
            Ok(_) | Err(_) => Heard::Nothing,
        },
        other => Heard::Unable(other),
    }
}

/// Whether it is no longer than what a sidecar says: much of it is kept until the request is over, and told once more.
fn is_sound(admitted: &Admitted) -> bool {
    let reservation = admitted.reservation.as_ref().map_or(0, String::len);
    reservation <= RESERVATION_BYTES && admitted.limits.len() <= LIMITS
}

/// What is to be settled of a reservation that nobody has made use of.
pub fn unclaimed(admitted: Admitted) -> Option<Item> {
    Some(Item { reservation: admitted.reservation?, used: vec![0; admitted.limits.len()] })
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
