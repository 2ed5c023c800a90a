//! What a request has used of what was reserved for it.

use policy::budget::{Budget, Counts, Price};
use sidecar_api::{Item, MOST};

use super::holding::Holding;
use crate::usage::Usage;

/// A reservation.
#[derive(Debug)]
pub struct Taken {
    /// As the sidecar has given it.
    pub reservation: String,
    /// The budgets, in the order of the question.
    pub holding: Vec<Holding>,
    /// The tokens of the prompt, as the sidecar has counted them.
    pub prompt: u64,
    /// What the answer tells of it.
    pub headers: Vec<(&'static str, String)>,
}

/// What became of an admitted request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spending {
    /// Whether it was let go to a provider.
    pub asked: bool,
    /// Whether a model has read it and has begun to answer, or the client has left before that could be told.
    pub read: bool,
    /// What the provider says.
    pub usage: Option<Usage>,
    /// About how many tokens the client was sent.
    pub written: u64,
    /// What the model that answered costs.
    pub price: Option<Price>,
}

impl Spending {
    /// The tokens that were used: what the provider says, or else what has been seen.
    pub fn tokens(&self, prompt: u64) -> Usage {
        let seen = || if self.read { (prompt, self.written) } else { (0, 0) };
        self.usage.unwrap_or_else(|| {
            let (input, output) = seen();
            Usage { input, output, ..Usage::default() }
        })
    }
}

/// What the sidecar is told.
pub fn used(taken: Taken, budgets: &[Budget], spending: &Spending) -> Item {
    let Usage { input, cached, output, .. } = spending.tokens(taken.prompt);
    let used = |holding: &Holding| {
        let counts = budgets.get(holding.budget).map_or(Counts::Requests, |it| it.counts);
        let used = match counts {
            Counts::Requests => u64::from(spending.asked),
            Counts::Prompt => {
                if spending.asked {
                    taken.prompt
                } else {
                    0
                }
            }
            Counts::Input => input,
            Counts::Output => output,
            Counts::Total => input.saturating_add(output),
            Counts::Cost => spending.price.map_or(0, |price| price.of(input, cached, output)),
        };
        used.min(MOST)
    };
    Item { used: taken.holding.iter().map(used).collect(), reservation: taken.reservation }
}

#[cfg(test)]
#[path = "settlement_tests.rs"]
mod tests;
