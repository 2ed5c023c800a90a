use super::*;
use crate::event::{Flow, Step};
use crate::testing::{gateway, request, test};

/// The keys of the budgets that hold for a request with these headers, with their indexes.
fn held(
    budgets: &str,
    headers: &[(&str, &str)],
    provider: Option<&str>,
    model: Option<&str>,
) -> Vec<(usize, String)> {
    let budgets: Vec<String> = budgets
        .split('\n')
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .enumerate()
        .map(|(i, fields)| {
            format!(r#"{{"name": "b{i}", "counts": "input", "max": 9, "per": "hour", {fields}}}"#)
        })
        .collect();
    let policy = gateway(&format!(
        r#"{{"sidecar": {{"cluster": "s"}}, "routes": [{{"name": "r", "budgets": [{}]}}]}}"#,
        budgets.join(",")
    ));
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let mut facts = None;
    request(&format!("{lines}address: 192.0.2.7:4711"), |arrival| {
        facts = Facts::of(&policy.routes[0], &Caller::default(), &arrival);
        Step { effects: Vec::new(), flow: Flow::Pass }
    });
    let facts = facts.unwrap();
    let holding = holding(&policy.routes[0].budgets, &facts, provider, model);
    holding.into_iter().map(|it| (it.budget, it.key)).collect()
}

fn keys(budgets: &str, headers: &[(&str, &str)]) -> Vec<String> {
    held(budgets, headers, Some("openai"), Some("gpt")).into_iter().map(|(_, key)| key).collect()
}

fn numbers(budgets: &str, headers: &[(&str, &str)]) -> Vec<usize> {
    held(budgets, headers, Some("openai"), Some("gpt")).into_iter().map(|(number, _)| number).collect()
}

#[test]
fn a_counter_is_for_one_combination_of_values() {
    let key = r#""key": [{"of": {"header": "x-a"}}, {"of": {"header": "x-b"}}]"#;
    let [one, other] =
        [[("x-a", "a:1"), ("x-b", "b")], [("x-a", "a"), ("x-b", "1:b")]].map(|it| keys(key, &it));
    assert_eq!((&one[..], &other[..]), (&["3:a:11:b".to_owned()][..], &["1:a3:1:b".to_owned()][..]));
}

#[test]
fn a_part_without_a_value_has_its_default_or_the_budget_does_not_hold() {
    assert!(keys(r#""key": [{"of": {"claim": "sub"}}]"#, &[]).is_empty());
    assert_eq!(keys(r#""key": [{"of": {"claim": "sub"}, "default": "unknown"}]"#, &[]), ["7:unknown"]);
}

#[test]
fn values_come_from_everything_that_is_known_of_a_request() {
    let budgets = r#"
        "key": [{"of": "route"}, {"of": "provider"}, {"of": "model"}]
        "key": [{"of": "address"}]
        "key": [{"of": {"text": "t"}}]
        "weight": 0
    "#;
    assert_eq!(keys(budgets, &[]), ["1:r6:openai3:gpt", "9:192.0.2.7", "1:t", ""]);
    assert_eq!(held(r#""key": [{"of": "model"}]"#, &[], None, None), []);
}

#[test]
fn a_budget_for_one_value_leaves_the_others_to_the_one_for_all() {
    let budgets = r#"
        "key": [{"of": {"header": "x-team"}, "is": "dev"}]
        "key": [{"of": {"header": "x-team"}, "unless": ["dev", "ops"]}]
    "#;
    assert_eq!(numbers(budgets, &[("x-team", "dev")]), [0]);
    assert_eq!(numbers(budgets, &[("x-team", "sales")]), [1]);
    assert!(numbers(budgets, &[("x-team", "ops")]).is_empty());
}

#[test]
fn of_a_group_only_the_heaviest_count_and_those_that_always_do() {
    let budgets = r#"
        "group": "g", "weight": 1, "key": [{"of": {"header": "x-a"}}]
        "group": "g", "weight": 2, "key": [{"of": {"header": "x-b"}}]
        "group": "g", "always": true
        "group": "h"
        "weight": 0
    "#;
    assert_eq!(numbers(budgets, &[("x-a", "1"), ("x-b", "1")]), [1, 2, 3, 4]);
    assert_eq!(numbers(budgets, &[("x-a", "1")]), [0, 2, 3, 4]);
    assert_eq!(numbers(budgets, &[]), [2, 3, 4]);
}

#[test]
fn headers_fit_as_they_do_in_envoy() {
    let fits = |rule: &str, value: Option<&str>| {
        let key = format!(
            r#""key": [{{"of": {{"matching": {{"value": "v", "headers": [{{"name": "x-h", {rule}}}]}}}}}}]"#
        );
        let headers: Vec<(&str, &str)> = value.map(|value| ("x-h", value)).into_iter().collect();
        !keys(&key, &headers).is_empty()
    };
    for (rule, yes, no) in [
        (r#""must": {"equal": "a"}"#, "a", "aa"),
        (r#""must": {"match": "a+"}"#, "aa", "ab"),
        (r#""must": {"start": "a"}"#, "ab", "ba"),
        (r#""must": {"end": "a"}"#, "ba", "ab"),
        (r#""must": {"lie": [-1, 3]}"#, "2", "3"),
        (r#""must": {"lie": [0, 3]}"#, "0", "x"),
    ] {
        assert!(fits(rule, Some(yes)) && !fits(rule, Some(no)) && !fits(rule, None), "{rule}");
        let inverted = format!(r#"{rule}, "invert": true"#);
        assert!(!fits(&inverted, Some(yes)) && fits(&inverted, Some(no)) && !fits(&inverted, None), "{rule}");
    }
    let there = r#""must": {"exist": true}"#;
    assert!(fits(there, Some("x")) && !fits(there, None));
    assert!(
        fits(r#""must": {"exist": false}"#, None) && fits(r#""must": {"exist": true}, "invert": true"#, None)
    );
    let unless = r#""key": [{"of": {"matching": {"value": "v", "expect": false, "headers": [{"name": "x-h", "must": {"equal": "a"}}]}}}]"#;
    assert!(keys(unless, &[("x-h", "a")]).is_empty() && keys(unless, &[("x-h", "b")]) == ["1:v"]);
}

#[test]
fn an_address_is_known_without_its_port() {
    for (address, host) in [
        ("192.0.2.1:80", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        assert_eq!(without_port(address), host);
    }
}

#[test]
fn a_claim_may_say_another_maximum() {
    let read = |json: &str| another_max(&serde_json::from_str(json).unwrap());
    assert_eq!(read(r#"{"requests_per_unit": 10, "unit": "HOUR"}"#), Some((10, 3600)));
    assert_eq!(read(r#"{"requestsPerUnit": 10, "unit": "day"}"#), Some((10, 86_400)));
    for wrong in [
        "{}",
        "7",
        r#"{"requests_per_unit": -1, "unit": "HOUR"}"#,
        r#"{"requests_per_unit": 1, "unit": "EON"}"#,
    ] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}
