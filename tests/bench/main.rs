//! `make bench`: what things cost, against a baseline in the same run. Figures of two runs compare only as ratios.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod budgets;
mod envoys;
mod failover;
mod guards;
mod instructions;
mod rounds;
mod texts;

/// What there is, by the name that `make bench ONLY=` takes.
const REPORTS: [(&str, fn()); 4] = [
    ("access", access::report),
    ("budgets", budgets::report),
    ("failover", failover::report),
    ("guards", guards::report),
];

fn main() {
    if let Some(task) = std::env::var_os(instructions::TASK) {
        return access::check_natively(std::path::Path::new(&task));
    }
    if !labs::gateway::envoy_is_here("the benchmark") {
        return;
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{processors} processors, load before: {}", load.split(' ').next().unwrap_or("?"));
    let only = std::env::args().nth(1).filter(|it| !it.starts_with('-'));
    for (name, report) in REPORTS {
        if only.as_ref().is_none_or(|it| it == name) {
            report();
        }
    }
}
