use policy::written::Budget;
use serde_json::Value;

use super::tests::{DOORS, plan, problems};

const ROUTE: &str = "kind: HTTPRoute
metadata: {name: a, namespace: ns}
spec: {rules: [{backendRefs: [{name: up, kind: Upstream}]}]}
";

fn option(budgets: &str) -> String {
    format!(
        "kind: RouteOption\nmetadata: {{name: o, namespace: ns}}\nspec: {{targetRefs: [{{kind: HTTPRoute, name: a}}], options: {{budgets: {budgets}}}}}\n"
    )
}

fn settings(prices: &str) -> String {
    format!("kind: Settings\nmetadata: {{name: s, namespace: ns}}\nspec: {{prices: {{{prices}}}}}\n")
}

/// What is said of a list of budgets, from the line on.
fn said(budgets: &str, more: &[&str]) -> Vec<String> {
    let option = option(budgets);
    let all = problems(&[&[DOORS, ROUTE, &option], more].concat());
    all.iter().map(|it| it.splitn(4, ':').nth(3).unwrap_or(it).trim().to_owned()).collect()
}

/// What is said of a budget whose other fields are as they should be.
fn said_of(fields: &str) -> Vec<String> {
    said(&format!("[{{name: b, counts: total, max: 1, per: hour, {fields}}}]"), &[])
}

#[test]
fn every_field_of_the_plugin_configuration_can_be_written() {
    let json = r#"{"name":"b","counts":"output","max":70.0,"per":90,"window":"sliding",
        "key":[{"of":{"claim":["llms","openai"]},"default":"d","unless":["x"]},{"of":{"claim":"sub"},"is":"bob"},
               {"of":{"header":"x-team"}},{"of":"address"},{"of":"route"},{"of":"provider"},{"of":"model"},{"of":{"text":"t"}},
               {"of":{"matching":{"value":"v","headers":[
                   {"name":"a","must":{"equal":"x"}},{"name":"b","must":{"match":"x+"},"invert":true},
                   {"name":"c","must":{"start":"x"}},{"name":"d","must":{"end":"x"}},
                   {"name":"e","must":{"lie":[1,5]}},{"name":"f","must":{"exist":false}}],"expect":false}}}],
        "mode":"monitor","onUnavailable":"allow","headers":true,"estimate":200,"maxFrom":"quota",
        "group":"g","weight":3,"always":true}"#;
    let expected: Budget = serde_json::from_str(json).unwrap();
    let plan = plan(&[DOORS, ROUTE, &option(&format!("[{json}]"))]);
    assert_eq!(plan.routes[0].budgets, [expected]);
    let fields: Value = serde_json::from_str(json).unwrap();
    let written: Value = serde_json::to_value(&plan.routes[0].budgets[0]).unwrap();
    assert_eq!(written, fields, "nothing that the plugin configuration knows is left out here");
}

#[test]
fn what_is_wrong_with_a_budget_is_said_at_its_place() {
    let at = "spec.options.budgets[0]";
    for (fields, expected) in [
        ("widnow: fixed", format!("{at}.widnow: unknown field, did you mean `window`?")),
        ("window: rolling", format!("{at}.window: `rolling` is unknown, expected one of fixed, sliding")),
        ("mode: 1", format!("{at}.mode: found a number, expected one of enforce, monitor")),
        ("weight: 2", format!("{at}.weight: without `group` there is nothing that it could be heavier than")),
        (
            "estimate: -1",
            format!("{at}.estimate: found a number, expected a whole number from 0 to 9007199254740992"),
        ),
        ("maxFrom: ['']", format!("{at}.maxFrom: a claim needs a name")),
        (
            "key: [{of: adress}]",
            format!(
                "{at}.key[0].of: `adress` is unknown, expected one of address, route, provider, model, did you mean `address`?"
            ),
        ),
        (
            "key: [{of: {claim: a, header: b}}]",
            format!(
                "{at}.key[0].of: expected one of claim, header, text and matching, or address, route, provider or model"
            ),
        ),
        ("key: [{of: {header: 'a b'}}]", format!("{at}.key[0].of.header: `a b` is no header name")),
        (
            "key: [{of: route, is: a, unless: [b]}]",
            format!("{at}.key[0].unless: `is` and `unless` exclude each other"),
        ),
        (
            "key: [{of: {matching: {value: v, headers: [{name: a, must: {match: '('}}]}}}]",
            format!(
                "{at}.key[0].of.matching.headers[0].must.match: `(`: found open group without closing ')'"
            ),
        ),
        (
            "key: [{of: {matching: {value: v, headers: [{name: a, must: {lie: [1]}}]}}}]",
            format!(
                "{at}.key[0].of.matching.headers[0].must.lie: expected two numbers: the first that fits and the first that fits no longer"
            ),
        ),
        (
            "key: [{of: {matching: {value: v, headers: [{name: a, must: {}}]}}}]",
            format!(
                "{at}.key[0].of.matching.headers[0].must: expected one of equal, match, start, end, lie, exist"
            ),
        ),
    ] {
        assert_eq!(said_of(fields), [expected], "{fields}");
    }
    let at = "spec.options.budgets";
    for (budgets, expected) in [
        ("{}", vec![format!("{at}: found a mapping, expected a list")]),
        (
            "[{name: '', counts: total, max: 1, per: hour}]",
            vec![format!("{at}[0].name: expected a text that is not empty")],
        ),
        (
            "[{name: b, counts: total, max: 1.5, per: hour}]",
            vec![format!("{at}[0].max: expected a whole number: only costs have fractions")],
        ),
        (
            "[{name: b, counts: total, max: x, per: hour}]",
            vec![format!("{at}[0].max: found a text, expected a number")],
        ),
        (
            "[{name: b, counts: total, max: 1, per: 0}]",
            vec![format!("{at}[0].per: found a number, expected a whole number from 1 to 31536000")],
        ),
        (
            "[{name: b, counts: tokens, max: 1, per: fortnight}]",
            vec![
                format!(
                    "{at}[0].counts: `tokens` is unknown, expected one of requests, prompt, input, output, total, cost"
                ),
                format!(
                    "{at}[0].per: `fortnight` is unknown, expected one of second, minute, hour, day, week, month, year"
                ),
            ],
        ),
        (
            "[{name: b, counts: total, max: 1, per: hour}, {name: b, counts: input, max: 1, per: day}]",
            vec![format!("{at}[1].name: there are two budgets `b`, and a name has to tell them apart")],
        ),
    ] {
        assert_eq!(said(budgets, &[]), expected, "{budgets}");
    }
}

#[test]
fn costs_need_prices_of_the_models_of_the_route() {
    let cost = "[{name: b, counts: cost, max: 0.25, per: day}]";
    assert_eq!(
        said(cost, &[]),
        [
            "spec.options.budgets[0].counts: costs cannot be counted: no Settings says in `spec.prices` what models cost"
        ]
    );
    assert_eq!(
        said(cost, &[&settings("n: {input: 1, output: 2}")]),
        [
            "spec.options.budgets[0].counts: costs cannot be counted: `spec.prices` of the Settings has neither the model `m` of route ns/a nor `*`"
        ]
    );
    for prices in ["m: {input: 1, output: 2}", "'*': {input: 0.15, cachedInput: 0, output: 0.6}"] {
        assert_eq!(said(cost, &[&settings(prices)]), [] as [&str; 0]);
    }
}

#[test]
fn two_budgets_of_one_name_are_refused_wherever_they_come_from() {
    let config = "kind: RateLimitConfig\nmetadata: {name: c, namespace: ns}\nspec: {raw: {descriptors: [{key: remote_address, rateLimit: {requestsPerUnit: 1, unit: HOUR}}], rateLimits: [{actions: [{remoteAddress: {}}]}]}}\n";
    let budgets = "[{name: ns/c, counts: total, max: 1, per: hour}], rateLimitConfigs: {refs: [{name: c}]}";
    assert_eq!(
        said(budgets, &[config]),
        ["spec.raw.descriptors[0]: there are two budgets `ns/c`, and a name has to tell them apart"]
    );
}

#[test]
fn a_budget_of_those_who_have_a_claim_holds_for_nobody_without_tokens() {
    assert_eq!(
        said_of("key: [{of: {claim: sub}}]"),
        [
            "spec.options.budgets[0]: warning: holds for nobody: a route of this budget asks for no JWT, so no caller has claims there"
        ]
    );
    assert_eq!(said_of("key: [{of: {claim: sub}, default: unknown}]"), [] as [&str; 0]);
}

#[test]
fn a_route_s_own_list_replaces_that_of_the_virtual_host() {
    let host = "kind: VirtualHostOption\nmetadata: {name: v, namespace: ns}\nspec: {targetRefs: [{kind: Gateway, name: gw}], options: {budgets: [{name: h, counts: total, max: 1, per: hour}]}}\n";
    let route = ROUTE.replace("spec: {rules", "spec: {parentRefs: [{name: gw}], rules");
    let names = |documents: &[&str]| -> Vec<String> {
        plan(&[&[DOORS, &route, host], documents].concat())
            .routes
            .remove(0)
            .budgets
            .into_iter()
            .map(|it| it.name)
            .collect()
    };
    assert_eq!(names(&[]), ["h"]);
    assert_eq!(names(&[&option("[{name: r, counts: total, max: 1, per: hour}]")]), ["r"]);
    assert_eq!(names(&[&option("[]")]), [] as [&str; 0]);
}
