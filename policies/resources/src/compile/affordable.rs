//! Whether the budgets of a route can be kept: what the module would refuse of them is said where they are written.

use policy::written::{self, Counts, Source};

use super::Compiler;
use crate::kinds::budgets::Placed;
use crate::plan::{Plan, Route};
use crate::problem::Severity;

impl Compiler<'_> {
    /// Looks at the budgets of a route together with what they need of the gateway.
    pub(super) fn afford(&self, route: &Route, placed: &[Placed], plan: &Plan) {
        if placed.is_empty() {
            return;
        }
        let complain = |severity, it: &Placed, field: &str, what: &str| {
            self.report.add(severity, &it.at.place, &format!("{}{field}", it.at.path), what);
        };
        let models = route.targets(plan).filter_map(|it| it.model.as_deref());
        let unpriced: Vec<&str> = models.filter(|it| !priced(plan, it)).collect();
        for it in placed {
            if it.budget.counts == Counts::Cost && plan.prices.is_empty() {
                let what = "costs cannot be counted: no Settings says in `spec.prices` what models cost";
                complain(Severity::Error, it, ".counts", what);
            } else if let (Counts::Cost, Some(model)) = (it.budget.counts, unpriced.first()) {
                let what = format!(
                    "costs cannot be counted: `spec.prices` of the Settings has neither the model `{model}` of route {} \
                     nor `*`",
                    route.name
                );
                complain(Severity::Error, it, ".counts", &what);
            }
            if route.jwt.is_empty() && needs_claim(&it.budget) {
                let what =
                    "holds for nobody: a route of this budget asks for no JWT, so no caller has claims there";
                complain(Severity::Warning, it, "", what);
            }
        }
        for (index, what) in refused(route, plan) {
            if let Some(it) = placed.get(index) {
                complain(Severity::Error, it, "", &what);
            }
        }
    }
}

fn priced(plan: &Plan, model: &str) -> bool {
    plan.prices.keys().any(|it| it == model || it == "*")
}

/// Whether it holds only for those who have a claim.
fn needs_claim(budget: &written::Budget) -> bool {
    budget.key.iter().any(|it| matches!(it.of, Source::Claim(_)) && it.default.is_none())
}

/// What the module would refuse of the budgets of a route, by their numbers, except that they count costs.
fn refused(route: &Route, plan: &Plan) -> Vec<(usize, String)> {
    let alone = written::Plugin::Downstream(plan.gateway(std::iter::once(route)));
    let problems = policy::Plugin::check(alone, &|_| None).err().unwrap_or_default();
    let of_budget = |it: policy::Problem| {
        let below = it.path.strip_prefix("downstream.routes[0].budgets[")?;
        let (index, field) = below.split_once(']')?;
        (field != ".counts").then_some((index.parse().ok()?, it.what))
    };
    problems.into_iter().filter_map(of_budget).collect()
}
