use std::collections::HashMap;
use std::time::Duration;

use super::choose;
use crate::access::Models;
use crate::failover::{Lesson, Recall, Trouble};
use crate::testing::{gateway, test};

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// Three models of one provider, and one of another, each with a priority of its own.
const FOUR: &str = r#"{"cluster": "a", "provider": "openai"}, {"cluster": "b", "provider": "openai", "model": "b", "priority": 1},
    {"cluster": "c", "provider": "openai", "model": "c", "priority": 2}, {"cluster": "d", "provider": "mistral", "model": "d", "priority": 3}"#;

/// Two of one priority, three shares to one, and one after them.
const POOL: &str = r#"{"cluster": "a", "provider": "openai", "weight": 3}, {"cluster": "b", "provider": "openai"},
    {"cluster": "c", "provider": "openai", "priority": 1}"#;

/// The clusters of a chain, and those that are skipped.
fn chosen(
    backends: &str,
    failover: &str,
    models: &Models,
    random: u64,
    trouble: &[(&str, Lesson)],
) -> String {
    let policy = gateway(&format!(
        r#"{{"routes": [{{"name": "r", "backends": [{backends}], "failover": {failover}}}]}}"#
    ));
    let known: HashMap<&str, Trouble> =
        trouble.iter().map(|(name, lesson)| (*name, Trouble::default().after(*lesson))).collect();
    let recall = |cluster: &str| known.get(cluster).copied();
    let chosen = choose(&policy.routes[0], models, NOW, random, Recall(&recall));
    let names = |list: &[usize]| {
        list.iter().map(|index| policy.routes[0].backends[*index].cluster.clone()).collect::<String>()
    };
    match chosen {
        Ok(it) if it.skipped.is_empty() => names(&it.chain),
        Ok(it) => format!("{} without {}", names(&it.chain), names(&it.skipped)),
        Err(reply) => format!("{} {}", reply.status, reply.reason.code()),
    }
}

fn chain(backends: &str, failover: &str) -> String {
    chosen(backends, failover, &Models::Any, 0, &[])
}

#[test]
fn every_model_is_asked_once_in_the_order_of_priorities() {
    assert_eq!(chain(FOUR, "{}"), "abcd");
    assert_eq!(chain(FOUR, r#"{"attempts": 2}"#), "ab");
}

#[test]
fn more_attempts_than_models_begin_anew_and_end_somewhere() {
    assert_eq!(chain(FOUR, r#"{"attempts": 6}"#), "abcdab");
    assert_eq!(chain(FOUR, r#"{"attempts": 4000000000}"#).len(), 32);
}

#[test]
fn without_failover_the_host_decides() {
    let policy = gateway(&format!(r#"{{"routes": [{{"name": "r", "backends": [{FOUR}]}}]}}"#));
    let chosen = choose(&policy.routes[0], &Models::Any, NOW, 0, Recall(&|_| None)).unwrap();
    assert!(chosen.chain.is_empty());
}

#[test]
fn within_a_priority_each_has_its_share() {
    let mut first = HashMap::new();
    for random in 0..4000 {
        let chain = chosen(POOL, "{}", &Models::Any, random, &[]);
        assert!(chain == "abc" || chain == "bac", "{chain}");
        *first.entry(chain).or_insert(0) += 1;
    }
    let share = f64::from(first["abc"]) / 4000.0;
    assert!((share - 0.75).abs() < 0.03, "{share}");
}

#[test]
fn the_next_priority_has_its_turn_after_so_many_attempts() {
    let chain = chosen(POOL, r#"{"attemptsPerPriority": 1}"#, &Models::Any, 7, &[]);
    assert!(chain == "acb" || chain == "bca", "{chain}");
}

#[test]
fn a_caller_is_led_to_its_own_models_only() {
    let models = Models::Listed(vec!["c".into()]);
    assert_eq!(chosen(FOUR, "{}", &models, 0, &[]), "ac");
    assert_eq!(chosen(FOUR, r#"{"ignoreModelClaim": true}"#, &models, 0, &[]), "abcd");
    let forced = r#"{"cluster": "b", "provider": "openai", "model": "b"}"#;
    assert_eq!(chosen(forced, "{}", &models, 0, &[]), "403 model_not_allowed");
}

#[test]
fn a_model_in_trouble_is_left_alone_for_its_time() {
    let waits = |seconds| Lesson::Failed { now: NOW, wait: Some(Duration::from_secs(seconds)) };
    let any = Models::Any;
    let cooling = r#"{"cooldown": {}}"#;
    assert_eq!(chosen(FOUR, cooling, &any, 0, &[("a", waits(9)), ("c", waits(5))]), "bd without ac");
    assert_eq!(chosen(FOUR, cooling, &any, 0, &[("a", waits(0))]), "abcd");
    assert_eq!(chosen(FOUR, "{}", &any, 0, &[("a", waits(9))]), "abcd");
}

#[test]
fn when_all_are_in_trouble_the_least_bad_is_asked() {
    let waits = |seconds| Lesson::Failed { now: NOW, wait: Some(Duration::from_secs(seconds)) };
    let trouble = [("a", waits(9)), ("b", waits(8)), ("c", waits(3)), ("d", waits(7))];
    assert_eq!(chosen(FOUR, r#"{"cooldown": {}}"#, &Models::Any, 0, &trouble), "c without abd");
}
