//! Labels that come from the configuration, and those that clients name, as far as they are told apart.

use std::cell::RefCell;

use policy::failover::Backend;
use policy::{Gateway, Route, Target};

use super::{Asked, Model, label};
use crate::usage::{LabelSets, Labels};

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

/// By whose configuration metrics get their labels.
#[derive(Debug, Clone, Copy)]
pub enum Names<'a> {
    /// That of the listener's filter, the models that it has seen, and the values of labels.
    Gateway(&'a Gateway, &'a ModelNames, &'a LabelSets),
    /// That of a cluster's.
    Target(&'a Target),
}

impl<'a> Names<'a> {
    pub(super) fn route(self, index: usize) -> Option<&'a Route> {
        match self {
            Names::Gateway(gateway, ..) => gateway.routes.get(index),
            Names::Target(_) => None,
        }
    }

    /// OpenTelemetry's labels of a provider and a model.
    pub(super) fn asked(self, asked: Model) -> String {
        let (provider, model) = (asked.provider.name(), self.model(asked));
        format!(";gen_ai_provider_name={provider};gen_ai_request_model={model}")
    }

    /// The labels of Gloo's metrics of tokens: a provider, a model, and what comes from claims.
    pub(super) fn charged(self, asked: Option<Model>, labels: Labels) -> String {
        let llm = asked.map_or("unknown", |it| it.provider.name());
        let model = asked.map_or("unknown".into(), |it| self.model(it));
        let own = match self {
            Names::Gateway(policy, _, sets) => sets.text(labels, policy),
            Names::Target(_) => String::new(),
        };
        format!(";llm={llm};model={model}{own}")
    }

    pub(super) fn model(self, model: Model) -> String {
        match self {
            Names::Gateway(_, models, _) => label(&models.name(model.name)),
            Names::Target(_) => "other".into(),
        }
    }

    pub(super) fn target(self, asked: Asked) -> &'a str {
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
