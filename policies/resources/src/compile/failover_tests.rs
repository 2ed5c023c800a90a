use std::path::PathBuf;
use std::time::Duration;

use policy::written::{Cooldown, NoAnswer, Triggers};

use super::tests::{plan, problems};
use crate::plan::{Failover, Plan};
use crate::{load, read_files};

const ROUTE: &str = "kind: HTTPRoute\nmetadata: {name: r, namespace: ns}\nspec: {rules: [{backendRefs: [{name: up, kind: Upstream}]}]}\n";
const UPSTREAM: &str = "kind: Upstream\nmetadata: {name: up, namespace: ns}\nspec: {ai: {openai: {authToken: {inline: sk-1}}}}\n";
const OTHER: &str = "kind: Upstream\nmetadata: {name: other, namespace: ns}\nspec: {ai: {mistral: {authToken: {inline: sk-2}}}}\n";

fn option(kind: &str, options: &str) -> String {
    let (target, name) = if kind == "RouteOption" { ("HTTPRoute", "r") } else { ("Gateway", "gw") };
    format!(
        "kind: {kind}\nmetadata: {{name: o, namespace: ns}}\nspec:\n  targetRefs: [{{kind: {target}, name: {name}}}]\n  options: {{{options}}}\n"
    )
}

/// An Upstream with these pools.
fn multi(pools: &str) -> String {
    format!(
        "kind: Upstream\nmetadata: {{name: up, namespace: ns}}\nspec: {{ai: {{multi: {{priorities: [{pools}]}}}}}}\n"
    )
}

fn planned(upstream: &str, options: &str) -> Plan {
    plan(&[upstream, OTHER, ROUTE, &option("RouteOption", options)])
}

/// The chain of the first route: targets, models and weights, by priority.
fn chain(plan: &Plan) -> String {
    let mut text = String::new();
    let mut last = 0;
    for backend in &plan.routes[0].backends {
        let target = &plan.targets[backend.target];
        text += if backend.priority > last {
            " | "
        } else if text.is_empty() {
            ""
        } else {
            ", "
        };
        last = backend.priority;
        text += &format!("{}={}*{}", target.name, target.model.as_deref().unwrap_or("-"), backend.weight);
    }
    text
}

fn failover(plan: &Plan) -> &Failover {
    plan.routes[0].failover.as_ref().unwrap()
}

/// What is said of a RouteOption, without its place.
fn said(upstream: &str, options: &str) -> Vec<String> {
    let all = problems(&[upstream, OTHER, ROUTE, &option("RouteOption", options)]);
    all.iter().map(|it| it.splitn(4, ':').nth(3).unwrap_or(it).trim().to_owned()).collect()
}

const POOLS: &str = "{pool: [{openai: {model: a, authToken: {inline: x}}, weight: 3}, {openai: {model: b, authToken: {inline: y}}}]}, {pool: [{mistral: {authToken: {inline: z}}}]}";

#[test]
fn backup_models_are_the_same_upstream_with_other_models() {
    let plan = planned(UPSTREAM, "ai: {backupModels: [gpt-4.0-turbo, gpt-3.5-turbo]}");
    assert_eq!(
        chain(&plan),
        "ns/up=-*1 | ns/up:gpt-4.0-turbo=gpt-4.0-turbo*1 | ns/up:gpt-3.5-turbo=gpt-3.5-turbo*1"
    );
    assert_eq!(failover(&plan).written, policy::written::Failover::default());
    assert_eq!(plan.routes[0].attempts(), 3);
    assert!(plan.missing_keys().next().is_none(), "each has the key");
}

#[test]
fn a_model_that_is_asked_already_is_not_asked_again() {
    assert_eq!(chain(&planned(UPSTREAM, "ai: {backupModels: [a, a]}")), "ns/up=-*1 | ns/up:a=a*1");
    assert_eq!(
        said(UPSTREAM, "ai: {backupModels: [a, a]}"),
        ["spec.options.ai.backupModels: note: `a` is asked already, and is not asked again"]
    );
}

#[test]
fn priorities_and_retries_are_a_chain_of_different_providers() {
    let retries = "retries: {retryOn: retriable-status-codes, retriableStatusCodes: [429], numRetries: 2, previousPriorities: {updateFrequency: 1}}";
    let plan = planned(&multi(POOLS), retries);
    assert_eq!(chain(&plan), "ns/up:a=a*3, ns/up:b=b*1 | ns/up:mistral=-*1");
    let written = &failover(&plan).written;
    let expected = Triggers { statuses: vec![429], server_errors: false, no_answer: NoAnswer::Never };
    assert_eq!(written.on, expected);
    assert_eq!((written.attempts, written.attempts_per_priority), (Some(3), Some(1)));
    assert_eq!(plan.routes[0].attempts(), 3);
}

#[test]
fn without_retries_only_the_first_priority_is_asked_and_that_is_said() {
    let plan = planned(&multi(POOLS), "");
    assert_eq!(chain(&plan), "ns/up:a=a*3, ns/up:b=b*1");
    assert!(plan.routes[0].failover.is_none());
    let all = problems(&[&multi(POOLS), OTHER, ROUTE]);
    assert!(
        all[0].contains("multi.priorities: warning: only the first of its priorities is ever asked"),
        "{all:?}"
    );
}

#[test]
fn targets_of_one_name_are_told_apart() {
    let pools = "{pool: [{openai: {model: 'a,b', customHost: {host: h, port: 1}}}, {openai: {model: 'a,b', customHost: {host: i, port: 1}}}]}";
    assert_eq!(chain(&planned(&multi(pools), "")), "ns/up:a_b=a,b*1, ns/up:a_b#2=a,b*1");
    assert_eq!(
        chain(&planned(UPSTREAM, "ai: {backupModels: ['gr\u{f6}\u{df}er']}")),
        "ns/up=-*1 | ns/up:gr__er=gr\u{f6}\u{df}er*1"
    );
}

#[test]
fn weights_of_the_route_and_of_a_pool_are_multiplied() {
    let route = "kind: HTTPRoute\nmetadata: {name: r, namespace: ns}\nspec: {rules: [{backendRefs: [{name: up, kind: Upstream, weight: 2}, {name: other, kind: Upstream, weight: 1}]}]}\n";
    let both = plan(&[&multi(POOLS), OTHER, route, &option("RouteOption", "ai: {failover: {}}")]);
    // Two thirds to the first, of which three quarters to `a`.
    assert_eq!(chain(&both), "ns/up:a=a*3, ns/up:b=b*1, ns/other=-*2 | ns/up:mistral=-*1");
}

#[test]
fn failover_of_our_own_names_other_upstreams() {
    let ours = "failover: {backups: [{upstreamRef: {name: other}, model: small}, {model: mini}, {upstreamRef: {name: other}}], firstByteTimeout: 1.5s, cooldown: {failures: 2, time: 20s, maxRetryAfter: 1m}, ignoreModelClaim: true}";
    let plan = planned(UPSTREAM, &format!("ai: {{{ours}}}"));
    assert_eq!(chain(&plan), "ns/up=-*1 | ns/other:small=small*1 | ns/up:mini=mini*1 | ns/other=-*1");
    let it = failover(&plan);
    assert_eq!(it.first_byte_timeout, Some(Duration::from_millis(1500)));
    let cooldown = Cooldown { failures: Some(2), time_ms: Some(20_000), max_retry_after_ms: Some(60_000) };
    assert_eq!((it.written.cooldown.clone(), it.written.ignore_model_claim), (Some(cooldown), true));
    assert_eq!((it.written.attempts, it.written.on.clone()), (None, Triggers::default()));
    // A whole Upstream of several priorities is a backup of several priorities.
    let route = ROUTE.replace("{name: up,", "{name: other,");
    let all = super::tests::plan(&[
        &multi(POOLS),
        OTHER,
        &route,
        &option("RouteOption", "ai: {failover: {backups: [{upstreamRef: {name: up}}]}}"),
    ]);
    assert_eq!(chain(&all), "ns/other=-*1 | ns/up:a=a*3, ns/up:b=b*1 | ns/up:mistral=-*1");
}

#[test]
fn the_conditions_are_those_of_envoy() {
    let on =
        |retries: &str| failover(&planned(UPSTREAM, &format!("retries: {{{retries}}}"))).written.on.clone();
    let of = |statuses: &[u16], server_errors, no_answer| Triggers {
        statuses: statuses.to_vec(),
        server_errors,
        no_answer,
    };
    assert_eq!(on("retryOn: 5xx"), of(&[], true, NoAnswer::Any));
    assert_eq!(on("retryOn: 'gateway-error, connect-failure'"), of(&[502, 503, 504], false, NoAnswer::Any));
    assert_eq!(on("retryOn: 'connect-failure,refused-stream'"), of(&[], false, NoAnswer::Connect));
    assert_eq!(on("retryOn: 'reset,retriable-4xx'"), of(&[409], false, NoAnswer::Any));
    assert_eq!(
        on("retryOn: 'retriable-status-codes', retriableStatusCodes: [503, 429, 429, 404]"),
        of(&[429, 503], false, NoAnswer::Never)
    );
}

#[test]
fn retries_at_the_only_model_are_made_there() {
    let plan = planned(
        UPSTREAM,
        "retries: {retryOn: 5xx, numRetries: 4, perTryTimeout: 2s, retryBackOff: {baseInterval: 0.5s}}",
    );
    assert_eq!((chain(&plan).as_str(), plan.routes[0].attempts()), ("ns/up=-*1", 5));
    let it = failover(&plan);
    assert_eq!(it.first_byte_timeout, Some(Duration::from_secs(2)));
    assert_eq!(it.back_off, (Duration::from_millis(500), Duration::from_secs(5)));
    assert_eq!(planned(UPSTREAM, "retries: {retryOn: 5xx}").routes[0].attempts(), 2);
    assert!(planned(UPSTREAM, "retries: {retryOn: 5xx, numRetries: 0}").routes[0].failover.is_none());
}

#[test]
fn retries_of_a_gateway_hold_where_a_route_says_nothing() {
    let gateway =
        "kind: Gateway\nmetadata: {name: gw, namespace: ns}\nspec: {listeners: [{name: http, port: 80}]}\n";
    let all = option("VirtualHostOption", "retries: {retryOn: 5xx, numRetries: 3}");
    let route = ROUTE.replace("spec: {", "spec: {parentRefs: [{name: gw}], ");
    let attempts = |more: &str| {
        let own = option("RouteOption", more);
        plan(&[UPSTREAM, gateway, &route, &all, &own]).routes[0].attempts()
    };
    assert_eq!(attempts(""), 4);
    assert_eq!(attempts("retries: {retryOn: 5xx, numRetries: 1}"), 2);
}

#[test]
fn a_timeout_of_the_options_comes_before_that_of_the_route() {
    let timeout = |text: &str| planned(UPSTREAM, &format!("timeout: {text}")).routes[0].timeout;
    assert_eq!(timeout("90s"), Some(Duration::from_secs(90)));
    assert_eq!((timeout("0"), timeout("'0s'"), timeout("'0'")), (None, None, None));
}

#[test]
fn a_client_s_key_for_several_providers_is_worth_a_warning() {
    let pool = |host: &str| {
        format!("{{pool: [{{openai: {{authToken: {{passthrough: {{}}}}, customHost: {{host: {host}}}}}}}]}}")
    };
    let pools = format!("{}, {}", pool("a.test"), pool("b.test"));
    let said = said(&multi(&pools), "ai: {failover: {}}");
    assert!(
        said.iter().any(|it| it.contains("the client's own key goes to a.test, and to b.test")),
        "{said:?}"
    );
    let mixed = format!("{}, {{pool: [{{mistral: {{authToken: {{inline: k}}}}}}]}}", pool("a.test"));
    let mixed = self::said(&multi(&mixed), "ai: {failover: {}}");
    assert!(mixed.iter().any(|it| it.contains("give all of them the one or the other")), "{mixed:?}");
    let one = self::said(&multi(&pool("a.test")), "ai: {backupModels: [x]}");
    assert!(!one.iter().any(|it| it.contains("own key")), "{one:?}");
}

#[test]
fn what_cannot_be_done_is_said_where_it_is_written() {
    for (options, says) in [
        ("retries: {retryOn: 5xxx}", "options.retries.retryOn: `5xxx` is no condition known here"),
        ("retries: {retryOn: 5xx, retryPriority: {}}", "retryPriority: unknown field"),
        ("retries: {retryOn: 5xx, perTryTimeout: soon}", "perTryTimeout: `soon` is no duration"),
        ("retries: {retryOn: 5xx, retryBackOff: {baseInterval: 0s}}", "baseInterval: expected 1ms or more"),
        ("retries: {numRetries: 1}", "warning: no failure leads to another attempt"),
        ("retries: {retryOn: 5xx, retriableStatusCodes: [429]}", "counts for nothing"),
        (
            "retries: {retryOn: retriable-status-codes, retriableStatusCodes: [401, 429]}",
            "retriableStatusCodes[0]: warning: 401 is left out",
        ),
        ("retries: {retryOn: 5xx, rateLimitedRetryBackOff: {}}", "rateLimitedRetryBackOff: note: is skipped"),
        (
            "retries: {retryOn: retriable-status-codes, retriableStatusCodes: [429]}, ai: {failover: {firstByteTimeout: 1s}}",
            "firstByteTimeout: warning: ends an attempt, but leads to no other one",
        ),
        ("ai: {failover: {backups: [{}]}}", "backups[0]: names nobody else"),
        (
            "ai: {failover: {backups: [{upstreamRef: {name: othr}}]}}",
            "there is no Upstream ns/othr with a model, did you mean",
        ),
        ("ai: {failover: {cooldwn: {}}}", "cooldwn: unknown field, did you mean `cooldown`?"),
        ("ai: {failover: {cooldown: {failures: 0}}}", "failures: "),
    ] {
        let said = said(UPSTREAM, options);
        assert!(said.iter().any(|it| it.contains(says)), "{says}\n{said:#?}");
    }
    let empty = said(&multi(""), "");
    assert!(empty.iter().any(|it| it.contains("`priorities` is empty")), "{empty:?}");
    let nobody = said(&multi("{pool: [{openai: {model: a, authToken: {inline: x}}, weight: 0}]}"), "");
    assert!(nobody.iter().any(|it| it.contains("nobody in this pool is ever asked")), "{nobody:?}");
}

/// The plan that files of `policies` come to.
fn of_files(names: &[&str]) -> Plan {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let files: Vec<PathBuf> = ["base"].iter().chain(names).map(|name| folder.join(name)).collect();
    let loaded = load(&read_files(&files).unwrap(), &|name| Some(format!("{name}-value")));
    loaded.plan.unwrap_or_else(|| panic!("{:#?}", loaded.problems))
}

#[test]
fn the_files_of_the_tour_are_chains_in_both_forms() {
    let models = |names: &[&str]| {
        let plan = of_files(names);
        let route = plan.routes.iter().find(|it| it.name == "gloo-system/openai").unwrap();
        let model = |it: &crate::plan::Target| it.model.clone().unwrap_or_default();
        (route.targets(&plan).map(model).collect::<Vec<_>>().join(","), route.attempts())
    };
    let old = ["openai-upstream-model-failover.yaml", "model-failover-openai-routeoption.yaml"];
    assert_eq!(models(&old), (",gpt-4.0-turbo,gpt-3.5-turbo".into(), 3));
    let new = old.map(|it| format!("released/{it}"));
    assert_eq!(models(&new.each_ref().map(String::as_str)), ("gpt-4o,gpt-4.0-turbo,gpt-3.5-turbo".into(), 3));
    assert_eq!(models(&["failover-across-providers.yaml"]), (",mistral-small-latest".into(), 2));
}
