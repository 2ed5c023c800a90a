use std::time::Duration;

use serde_json::{Value, json};

use crate::failover::{Cooldown, NoAnswer};
use crate::{Plugin, Route};

fn check(route: &Value) -> Result<Route, Vec<String>> {
    let text = json!({ "downstream": { "routes": [route] } }).to_string();
    match Plugin::read(text.as_bytes(), &|name| (name == "KEY").then(|| "sk-1".to_owned())) {
        Ok(Plugin::Downstream(mut gateway)) => Ok(gateway.routes.remove(0)),
        Ok(Plugin::Upstream(_)) => panic!("not a downstream configuration"),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn backend(cluster: &str) -> Value {
    json!({ "cluster": cluster, "provider": "openai" })
}

#[test]
fn what_is_not_said_is_what_people_expect() {
    let route = check(&json!({ "name": "a", "backends": [backend("one")], "failover": {} })).unwrap();
    let failover = route.failover.unwrap();
    assert!([429, 500, 502, 503, 504, 529].iter().all(|status| failover.on.takes(*status)));
    assert!(!failover.on.takes(501) && !failover.on.takes(404));
    assert_eq!(failover.on.no_answer, NoAnswer::Any);
    assert_eq!((failover.attempts, failover.attempts_per_priority), (usize::MAX, usize::MAX));
    assert_eq!((failover.cooldown, failover.ignore_model_claim), (None, false));
    assert_eq!(failover.timeout, Duration::from_secs(120));
    assert_eq!((route.backends[0].weight, route.backends[0].priority), (1, 0));
}

#[test]
fn a_cooldown_without_numbers_has_some() {
    let route = check(&json!({ "name": "a", "failover": { "cooldown": {} } })).unwrap();
    let seconds = Duration::from_secs;
    let expected = Cooldown { failures: 3, time: seconds(30), max_retry_after: seconds(300) };
    assert_eq!(route.failover.unwrap().cooldown, Some(expected));
}

#[test]
fn a_target_and_its_backups_are_tried_in_their_order() {
    let target = json!({ "provider": "openai", "credential": { "env": "KEY" }, "model": "gpt-4o" });
    let backup = json!({ "cluster": "mistral", "target": { "provider": "mistral", "credential": "none" } });
    let route = json!({ "name": "a", "target": target, "failover": { "backups": [backup] } });
    let backends = check(&route).unwrap().backends;
    let seen: Vec<_> =
        backends.iter().map(|it| (it.cluster.as_str(), it.provider.name(), it.priority)).collect();
    assert_eq!(seen, [("", "openai", 0), ("mistral", "mistral", 1)]);
    assert_eq!(backends[0].model.as_deref(), Some("gpt-4o"));
}

#[test]
fn whatever_cannot_be_is_said_at_its_place() {
    let cooldown = json!({ "failures": 0, "timeMs": 90_000_000 });
    let on = json!({ "statuses": [404, 200, 503] });
    let failover =
        json!({ "attempts": 0, "attemptsPerPriority": 0, "cooldown": cooldown, "on": on, "timeoutMs": 0 });
    let mut weightless = backend("b");
    weightless["weight"] = 0.into();
    let backends = [backend(""), backend("a,b"), backend("b"), weightless];
    let problems = check(&json!({ "name": "a", "backends": backends, "failover": failover })).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|it| it.split(": ").next().unwrap()).collect();
    let expected = [
        "backends[0].cluster",
        "backends[1].cluster",
        "backends[3].cluster",
        "backends[3].weight",
        "failover.on.statuses[0]",
        "failover.on.statuses[1]",
        "failover.timeoutMs",
        "failover.attempts",
        "failover.attemptsPerPriority",
        "failover.cooldown.failures",
        "failover.cooldown.timeMs",
    ];
    assert_eq!(places, expected.map(|it| format!("downstream.routes[0].{it}")));
}

#[test]
fn the_host_makes_the_attempts_or_the_module_does() {
    let target = json!({ "provider": "openai", "credential": "none" });
    let backup = json!({ "cluster": "b", "target": target });
    let both = json!({ "name": "a", "target": target, "backends": [backend("b")] });
    assert!(check(&both).unwrap_err()[0].starts_with("downstream.routes[0].backends: with `target`"));
    let neither = json!({ "name": "a", "failover": { "backups": [backup] } });
    assert!(check(&neither).unwrap_err()[0].starts_with("downstream.routes[0].failover.backups: without"));
}
