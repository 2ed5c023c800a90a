use super::*;
use crate::testing::{gateway, test};

const ALL: [&str; 6] = ["requests", "prompt", "input", "output", "total", "cost"];

/// What is settled by budgets that count one thing each, for a prompt of 9 tokens.
fn settled(spending: &Spending) -> Vec<u64> {
    let budget =
        |counts: &&str| format!(r#"{{"name": "{counts}", "counts": "{counts}", "max": 70, "per": "hour"}}"#);
    let policy = gateway(&format!(
        r#"{{"sidecar": {{"cluster": "s"}}, "prices": {{"*": {{"input": 2, "cachedInput": 1, "output": 10}}}},
            "routes": [{{"name": "r", "budgets": [{}]}}]}}"#,
        ALL.iter().map(budget).collect::<Vec<_>>().join(",")
    ));
    let holding = |budget| Holding { budget, key: "k".into(), max: 70, window_seconds: 3600 };
    let taken = Taken {
        reservation: "r".into(),
        holding: (0..ALL.len()).map(holding).collect(),
        prompt: 9,
        headers: Vec::new(),
    };
    let spending = Spending { price: policy.price("m").copied(), ..*spending };
    used(taken, &policy.routes[0].budgets, &spending).used
}

#[test]
fn what_the_provider_says_is_what_was_used() {
    let usage = Usage { input: 10, cached: 4, output: 3, ..Usage::default() };
    let spending = Spending { asked: true, read: true, usage: Some(usage), written: 99, price: None };
    assert_eq!(settled(&spending), [1, 9, 10, 3, 13, 6 * 2000 + 4 * 1000 + 3 * 10_000]);
}

#[test]
fn where_it_says_nothing_what_was_seen_counts() {
    let spending = Spending { asked: true, read: true, written: 5, ..Spending::default() };
    assert_eq!(settled(&spending), [1, 9, 9, 5, 14, 9 * 2000 + 5 * 10_000]);
}

#[test]
fn what_no_model_has_read_costs_nothing_but_the_request_and_its_count() {
    assert_eq!(settled(&Spending { asked: true, written: 5, ..Spending::default() }), [1, 9, 0, 0, 0, 0]);
    assert_eq!(settled(&Spending::default()), [0; 6]);
}

#[test]
fn no_number_is_too_great() {
    let usage = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
    let spending = Spending { asked: true, read: true, usage: Some(usage), ..Spending::default() };
    assert!(settled(&spending).iter().all(|used| *used <= MOST));
}
