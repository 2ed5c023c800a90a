use std::path::PathBuf;

use policy::written::{Budget, BudgetMode, Counts, OnUnavailable, Window};

use crate::compile::rules::tests::short;
use crate::compile::tests::{DOORS, plan, problems};
use crate::plan::Plan;
use crate::{Loaded, Severity, load, read_files};

/// Two routes of one gateway, of which `a` has options.
const ROUTES: &str = "kind: HTTPRoute
metadata: {name: a, namespace: ns}
spec: {parentRefs: [{name: gw}], rules: [{matches: [{path: {value: /a}}], backendRefs: [{name: up, kind: Upstream}]}]}
---
apiVersion: v1
kind: HTTPRoute
metadata: {name: b, namespace: ns}
spec: {parentRefs: [{name: gw}], rules: [{matches: [{path: {value: /b}}], backendRefs: [{name: up, kind: Upstream}]}]}
";

/// An entry for each address.
const ADDRESS: &str = "{actions: [{remoteAddress: {}}]}";

/// So many requests an hour for each address.
fn config(name: &str, max: u32) -> String {
    format!(
        "kind: RateLimitConfig\nmetadata: {{name: {name}, namespace: ns}}\nspec: {{raw: {{descriptors: [{{key: remote_address, rateLimit: {{requestsPerUnit: {max}, unit: HOUR}}}}], rateLimits: [{ADDRESS}]}}}}\n"
    )
}

fn route_option(name: &str, options: &str) -> String {
    format!(
        "kind: RouteOption\nmetadata: {{name: {name}, namespace: ns}}\nspec: {{targetRefs: [{{kind: HTTPRoute, name: a}}], options: {{{options}}}}}\n"
    )
}

fn virtual_host(options: &str) -> String {
    format!(
        "kind: VirtualHostOption\nmetadata: {{name: v, namespace: ns}}\nspec: {{targetRefs: [{{kind: Gateway, name: gw}}], options: {{{options}}}}}\n"
    )
}

fn settings(spec: &str) -> String {
    format!("kind: Settings\nmetadata: {{name: s, namespace: ns}}\nspec: {{{spec}}}\n")
}

fn refs(field: &str, names: &str) -> String {
    let refs: Vec<String> = names.split_whitespace().map(|it| format!("{{name: {it}}}")).collect();
    format!("{field}: {{refs: [{}]}}", refs.join(", "))
}

/// These documents, each with the base before them.
fn planned(documents: &[&str]) -> Plan {
    plan(&[&[DOORS, ROUTES], documents].concat())
}

/// What is said of these documents.
fn said(documents: &[&str]) -> Vec<String> {
    let all = problems(&[&[DOORS, ROUTES], documents].concat());
    all.iter().map(|it| it.splitn(4, ':').nth(3).unwrap_or(it).trim().to_owned()).collect()
}

fn of<'p>(plan: &'p Plan, route: &str) -> &'p [Budget] {
    &plan.routes.iter().find(|it| it.name == format!("ns/{route}")).unwrap().budgets
}

/// The budgets of the route `a`, and of the route `b`.
fn both(documents: &[&str]) -> [Vec<String>; 2] {
    let plan = planned(documents);
    ["a", "b"].map(|route| of(&plan, route).iter().map(short).collect())
}

/// The files of the tour with these beside its gateway.
fn tour(files: &[&str]) -> Loaded {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = vec![folder.join("base"), folder.join("jwt-provider-vho.yaml")];
    paths.extend(files.iter().map(|it| folder.join(it)));
    load(&read_files(&paths).unwrap(), &|_| Some("k".into()))
}

fn of_openai(loaded: &Loaded) -> Vec<Budget> {
    let worse = loaded.problems.iter().filter(|it| it.severity == Severity::Error).collect::<Vec<_>>();
    assert!(worse.is_empty(), "{worse:#?}");
    let routes = &loaded.plan.as_ref().unwrap().routes;
    routes.iter().find(|it| it.name == "gloo-system/openai").unwrap().budgets.clone()
}

#[test]
fn the_tour_s_files_limit_the_tokens_of_each_caller() {
    let files = ["ratelimitconfig.yaml", "openai-routeoption.yaml", "rl-openai-routeoption.yaml"];
    let loaded = tour(&files);
    let budgets = of_openai(&loaded);
    assert_eq!(
        budgets.iter().map(short).collect::<Vec<_>>(),
        ["gloo-system/per-user-counter 70 [{claim:sub}?unknown]"]
    );
    assert_eq!((budgets[0].counts, budgets[0].on_unavailable), (Counts::Prompt, OnUnavailable::Allow));
    let warned: Vec<String> =
        loaded.problems.iter().map(ToString::to_string).filter(|it| it.contains("ratelimit")).collect();
    assert_eq!(warned, [] as [&str; 0]);
    assert!(loaded.plan.as_ref().is_some_and(Plan::needs_sidecar));
    assert!(loaded.plan.unwrap().routes[1].rbac.is_some());
}

#[test]
fn our_own_file_has_budgets_of_every_sort() {
    let loaded = tour(&["budgets-openai-routeoption.yaml"]);
    let budgets = of_openai(&loaded);
    assert_eq!(
        budgets.iter().map(short).collect::<Vec<_>>(),
        [
            "tokens-of-a-team 200000 [{claim:team}?none]",
            "dollars-of-a-user 12.5 [{claim:sub}?unknown]",
            "pace-of-a-user 60 [{claim:sub}?unknown]",
        ]
    );
    assert_eq!((budgets[0].window, budgets[0].headers), (Window::Sliding, true));
    assert_eq!(budgets[1].counts, Counts::Cost);
    assert_eq!((budgets[2].mode, budgets[2].on_unavailable), (BudgetMode::Monitor, OnUnavailable::Allow));
    assert_eq!(loaded.plan.unwrap().prices["gpt-4o-mini"].cached_input, Some(0.075));
}

#[test]
fn one_config_on_two_routes_is_one_budget() {
    let hanging = virtual_host(&refs("rateLimitConfigs", "c"));
    let named = route_option("o", &refs("rateLimitConfigs", "c"));
    assert_eq!(both(&[&config("c", 1), &hanging, &named]), [["ns/c 1 [address]"], ["ns/c 1 [address]"]]);
}

#[test]
fn what_a_route_asks_replaces_what_the_virtual_host_asks_of_the_same_stage() {
    let configs = [config("c", 1), config("d", 2), config("e", 3)];
    let host =
        virtual_host(&[refs("rateLimitConfigs", "c"), refs("rateLimitRegularConfigs", "e")].join(", "));
    let route =
        route_option("o", &[refs("rateLimitConfigs", "d"), refs("rateLimitEarlyConfigs", "d")].join(", "));
    let documents = [&configs[0], &configs[1], &configs[2], &host, &route].map(String::as_str);
    let expected = [["ns/d 2 [address]", "ns/e 3 [address]"], ["ns/c 1 [address]", "ns/e 3 [address]"]];
    assert_eq!(both(&documents), expected, "one that is asked for twice counts once");
    let note = "spec.options.rateLimitEarlyConfigs: note: is looked at when it is known who is calling, as all limits are";
    assert_eq!(said(&documents), [note]);
}

#[test]
fn the_descriptors_of_settings_hold_where_options_lead_to_them() {
    let rules = settings(
        "ratelimit: {descriptors: [{key: remote_address, rateLimit: {requestsPerUnit: 9, unit: DAY}}, {key: generic_key, value: a, rateLimit: {requestsPerUnit: 5, unit: DAY}}]}",
    );
    let host = virtual_host(&format!("ratelimit: {{rateLimits: [{ADDRESS}]}}"));
    let own = |more: &str| {
        route_option(
            "o",
            &format!(
                "ratelimit: {{rateLimits: [{{actions: [{{genericKey: {{descriptorValue: a}}}}]}}]{more}}}"
            ),
        )
    };
    let [a, b] = both(&[&rules, &host, &own("")]);
    assert_eq!((a.join(" "), b.join(" ")), ("ns/s/2 5 ['a']".into(), "ns/s/1 9 [address]".into()));
    let [a, _] = both(&[&rules, &host, &own(", includeVhRateLimits: true")]);
    assert_eq!(a, ["ns/s/1 9 [address]", "ns/s/2 5 ['a']"]);
    let nothing = "spec.options.ratelimit: leads to descriptors in `spec.ratelimit` of the Settings, and there are none among the files: nothing would be limited";
    assert_eq!(said(&[&host]), [nothing]);
    let lost = said(&[&settings("ratelimit: {descriptors: [{key: x}]}"), &host]);
    assert_eq!(
        lost,
        [
            "spec.options.ratelimit.rateLimits[0]: warning: leads to no limit: no descriptor for `remote_address` has a `rateLimit`"
        ]
    );
}

#[test]
fn basic_limits_are_for_those_who_are_known_and_those_who_are_not() {
    let basic = "ratelimitBasic: {anonymousLimits: {unit: MINUTE, requestsPerUnit: 1}, authorized_limits: {unit: 3, requests_per_unit: 2}}";
    let [a, b] = both(&[&route_option("o", basic), &virtual_host(basic)]);
    assert_eq!(
        a,
        [
            "ns/o/anonymous (RouteOption) 1 [{claim:sub}=?, address]",
            "ns/o/authorized (RouteOption) 2 [{claim:sub}!]",
        ]
    );
    assert!(b[0].starts_with("ns/v/anonymous (VirtualHostOption)"), "{b:?}");
}

#[test]
fn settings_say_how_limits_are_enforced() {
    let server = "ratelimitServer: {denyOnFail: true, enableXRatelimitHeaders: true, requestTimeout: 0.2s, rateLimitBeforeAuth: true, ratelimitServerRef: {name: x}}";
    let documents = [settings(server), config("c", 1), route_option("o", &refs("rateLimitConfigs", "c"))];
    let documents = [&documents[0], &documents[1], &documents[2]].map(String::as_str);
    let plan = planned(&documents);
    let budget = &of(&plan, "a")[0];
    assert_eq!((budget.on_unavailable, budget.headers), (OnUnavailable::Deny, true));
    assert_eq!(plan.sidecar_timeout_ms, Some(200));
    assert_eq!(
        said(&documents),
        [
            "spec.ratelimitServer.rateLimitBeforeAuth: warning: has no effect: limits are looked at when it is known who is calling, and a caller who is not let in uses nothing of them"
        ]
    );
    for (spec, expected) in [
        ("ratelimitServer: {requestTimeout: 2m}", "spec.ratelimitServer.requestTimeout: expected 1ms to 1m"),
        (
            "ratelimitServer: {denyOnFial: true}",
            "spec.ratelimitServer.denyOnFial: warning: unknown field, did you mean `denyOnFail`?",
        ),
        (
            "ratelimit: {descriptor: []}",
            "spec.ratelimit.descriptor: unknown field, did you mean `descriptors`?",
        ),
        ("prices: {m: {input: 1}}", "spec.prices.m: `output` is missing"),
        (
            "prices: {m: {input: -1, output: 2}}",
            "spec.prices.m.input: expected dollars for a million tokens, 0 to 1000000",
        ),
        (
            "prices: {m: {input: 1, output: 2, cachedinput: 1}}",
            "spec.prices.m.cachedinput: unknown field, did you mean `cachedInput`?",
        ),
    ] {
        assert_eq!(said(&[&settings(spec)]), [expected]);
    }
}

#[test]
fn a_limit_that_would_not_hold_is_said_to() {
    let (c, d) = (config("c", 1), config("d", 2));
    let to = |names: &str| route_option("o", &refs("rateLimitConfigs", names));
    assert_eq!(
        said(&[&c]),
        [
            "spec: warning: limits nothing: no `rateLimitConfigs` of a RouteOption or VirtualHostOption names it"
        ]
    );
    let missing =
        "spec.options.rateLimitConfigs.refs[0]: there is no RateLimitConfig ns/cc, did you mean `ns/c`?";
    assert!(said(&[&c, &to("cc")]).contains(&missing.to_owned()));
    let younger = route_option("p", &refs("rateLimitConfigs", "d"));
    assert_eq!(
        said(&[&c, &d, &to("c"), &younger]),
        [
            "spec.options.rateLimitConfigs: warning: is not used: RouteOption ns/o says it already, and comes first: its limits do not hold"
        ]
    );
    let replaced = said(&[&c, &to("c"), &route_option("o", "budgets: []")]);
    assert!(
        replaced.iter().any(|it| it.ends_with("its rules with it: options.rateLimitConfigs no longer holds")),
        "{replaced:#?}"
    );
    let empty = "kind: RateLimitConfig\nmetadata: {name: c, namespace: ns}\nspec: {raw: {}}\n";
    let replaced = said(&[&c, &to("c"), empty]);
    assert!(
        replaced.iter().any(|it| it.ends_with("its rules with it: spec.raw no longer holds")),
        "{replaced:#?}"
    );
    let two = route_option("o", &format!("{}, ratelimit: {{}}", refs("rateLimitConfigs", "c")));
    assert_eq!(
        said(&[&c, &two])[0],
        "spec.options: `options.rateLimitConfigs` and `options.ratelimit` exclude each other"
    );
    let unknown = route_option("o", "rateLimitConfigs: {ref: []}");
    assert_eq!(said(&[&unknown]), ["spec.options.rateLimitConfigs.ref: unknown field, did you mean `refs`?"]);
    let host = virtual_host("ratelimit: {includeVhRateLimits: true}");
    assert_eq!(said(&[&host]), ["spec.options.ratelimit.includeVhRateLimits: unknown field"]);
}
