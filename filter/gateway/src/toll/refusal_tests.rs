use policy::budget::Budget;

use super::*;
use crate::testing::{gateway, test};

fn budget(counts: &str) -> Budget {
    let json = format!(
        r#"{{"sidecar": {{"cluster": "s"}}, "prices": {{"*": {{"input": 1, "output": 1}}}},
            "routes": [{{"name": "r", "budgets": [{{"name": "b", "counts": "{counts}", "max": 0.5, "per": "hour"}}]}}]}}"#
    );
    let json = if counts == "cost" { json } else { json.replace("0.5", "70") };
    std::rc::Rc::try_unwrap(gateway(&json)).unwrap().routes.remove(0).budgets.remove(0)
}

fn said(counts: &str, remaining: u64, reset: u64, needs: Option<u64>) -> String {
    let budget = budget(counts);
    let holding = Holding { budget: 0, key: "k".into(), max: budget.max, window_seconds: 3600 };
    let reply = exceeded(&budget, &holding, remaining, reset, needs);
    assert_eq!((reply.status, reply.reason.code()), (429, "budget_exceeded"));
    let headers: String = reply.extra.iter().map(|(name, value)| format!(" [{name}: {value}]")).collect();
    format!("{}{headers}", reply.message)
}

#[test]
fn a_client_is_told_what_is_left_and_when_to_come_back() {
    assert_eq!(
        said("prompt", 27, 60, Some(43)),
        "the budget `b` allows 70 tokens of prompts per hour: 27 are left, this request takes 43; it resets in 60 s \
         [x-ratelimit-limit: 70, 70;w=3600] [x-ratelimit-remaining: 27] [x-ratelimit-reset: 60] \
         [x-envoy-ratelimited: true] [retry-after: 60]"
    );
    assert!(said("total", 0, 1, None).contains(": 0 are left for this request; it resets in 1 s"));
}

#[test]
fn who_would_have_to_wait_for_long_is_told_not_to_try_by_itself() {
    let text = said("requests", 0, 61, Some(1));
    assert!(text.ends_with("[x-should-retry: false]") && !text.contains("retry-after"), "{text}");
    let text = said("prompt", 70, 1, Some(71));
    assert!(text.contains("per hour, and this request alone takes 71 ["), "{text}");
    assert!(text.ends_with("[x-should-retry: false]"), "{text}");
}

#[test]
fn dollars_are_dollars() {
    let text = said("cost", 1_234_567, 5, None);
    assert!(text.starts_with("the budget `b` allows 0.5 dollars per hour: 0.001234 are left"), "{text}");
    assert!(text.contains("[x-ratelimit-remaining: 0.001234]"), "{text}");
    assert_eq!(amount(Counts::Cost, 3 * NANOS), "3");
    assert_eq!(amount(Counts::Cost, 0), "0");
}

#[test]
fn the_scarcest_of_several_comes_first() {
    let (one, other) = (budget("prompt"), budget("requests"));
    let held = |window_seconds| Holding { budget: 0, key: "k".into(), max: 0, window_seconds };
    let state = |max, remaining, reset_seconds| State {
        name: "b".into(),
        max,
        remaining,
        reset_seconds,
        exceeded: false,
        spent: false,
    };
    let (hour, minute) = (held(3600), held(60));
    let (ample, scarce) = (state(100, 90, 3000), state(10, 1, 30));
    let shown = shown(&[(&one, &hour, &ample), (&other, &minute, &scarce)]);
    assert_eq!(
        shown,
        [
            ("x-ratelimit-limit", "10, 100;w=3600, 10;w=60".to_owned()),
            ("x-ratelimit-remaining", "1".to_owned()),
            ("x-ratelimit-reset", "30".to_owned()),
        ]
    );
    assert!(super::shown(&[]).is_empty());
}
