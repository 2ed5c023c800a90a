//! `turnpike check`: everything that is wrong with policies, at once.

use resources::{Plan, Problem, Severity};

use crate::args::Check;
use crate::inputs::{self, counted};
use crate::{Failure, terminal};

/// Says what is wrong with policies.
///
/// # Errors
/// There is an error in them.
pub fn check(args: &Check) -> Result<(), Failure> {
    let loaded = inputs::policies(&args.policies)?;
    let keys = loaded.plan.iter().flat_map(Plan::missing_keys);
    let problems: Vec<&Problem> = loaded.problems.iter().chain(keys).collect();
    terminal::report(problems.iter().copied(), Severity::Note);
    let count = |severity| problems.iter().filter(|it| it.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let said = match warnings {
        0 => String::new(),
        number => format!(", {}", counted(number, "warning")),
    };
    match &loaded.plan {
        Some(plan) => {
            let (routes, upstreams) =
                (counted(plan.routes.len(), "route"), counted(plan.targets.len(), "upstream"));
            terminal::tell(&format!("ok: {routes}, {upstreams}{said}"));
            Ok(())
        }
        None => Err(format!("{}{said}", counted(errors, "error"))),
    }
}
