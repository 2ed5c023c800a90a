//! Kubernetes-shaped YAML, in the kinds and with the fields that people already have, read and merged to a [`Plan`].
//!
//! Reading goes in two steps, like everywhere in this project: `kinds` takes each document as it is written,
//! `compile` follows references and decides what counts. Both put everything they find wrong into one report, each
//! with file, line, column and field, so that one look is enough to mend a file.

mod address;
mod compile;
mod files;
mod kinds;
mod node;
mod plan;
mod problem;

pub use address::Address;
pub use compile::Env;
pub use files::{Source, read_files};
pub use plan::{Backend, Entry, Failover, Key, Plan, Route, SIDECAR, Service, Target, Tls};
pub use problem::{Place, Problem, Severity};

/// What came of a set of files.
#[derive(Debug)]
pub struct Loaded {
    /// The plan; absent if there is an error.
    pub plan: Option<Plan>,
    /// Everything there is to say, errors and less, in the order of the files.
    pub problems: Vec<Problem>,
}

/// Reads sources and makes a plan of them. `env` looks up environment variables for keys.
pub fn load(sources: &[Source], env: Env<'_>) -> Loaded {
    let report = problem::Report::default();
    let mut resources = Vec::new();
    for source in sources {
        for document in node::parse(&source.name, &source.text, &report) {
            resources.extend(kinds::read(&document.root(&report)));
        }
    }
    let plan = compile::compile(resources, env, &report);
    let mut problems = report.into_problems();
    let sound = |problems: &[Problem]| problems.iter().all(|problem| problem.severity < Severity::Error);
    if sound(&problems) {
        problems.extend(refusals(&plan, sources));
    }
    Loaded { plan: sound(&problems).then_some(plan), problems }
}

/// What the module would say of the plan. A mistake that only the module finds is better found here than at start.
fn refusals(plan: &Plan, sources: &[Source]) -> Vec<Problem> {
    let file = sources.first().map(|source| source.name.clone()).unwrap_or_default();
    let refusal = |it: policy::Problem| Problem {
        severity: Severity::Error,
        place: Place { file: file.clone(), line: 0, column: 0 },
        path: String::new(),
        what: format!("these files come to a plugin configuration that the module refuses: {it}"),
    };
    match policy::Plugin::check(plan.downstream(), &|_| None) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(refusal).collect(),
    }
}
