use policy::written::{Budget, Counts, OnUnavailable, Part, Period, Source, Unit};

use crate::compile::tests::{plan, problems};

pub const BASE: &str = "kind: Upstream
metadata: {name: up, namespace: ns}
spec: {ai: {openai: {authToken: {inline: sk-1}}}}
---
apiVersion: v1
kind: HTTPRoute
metadata: {name: r, namespace: ns}
spec: {rules: [{backendRefs: [{name: up, kind: Upstream}]}]}
---
apiVersion: v1
kind: RouteOption
metadata: {name: o, namespace: ns}
spec: {targetRefs: [{kind: HTTPRoute, name: r}], options: {rateLimitConfigs: {refs: [{name: c}]}}}
";

/// A claim as the tour writes it, without its braces.
const SUB: &str = "metadata: {descriptorKey: sub, metadataKey: {key: envoy.filters.http.jwt_authn, path: [{key: principal}, {key: sub}]}}";

pub fn config(raw: &str) -> String {
    format!("kind: RateLimitConfig\nmetadata: {{name: c, namespace: ns}}\nspec: {{raw: {{{raw}}}}}\n")
}

fn budgets(raw: &str) -> Vec<Budget> {
    plan(&[BASE, &config(raw)]).routes.remove(0).budgets
}

/// A part of a key in short: where from, `=` its only value, `!` those that it is not, `?` what it is without one.
fn part(it: &Part) -> String {
    let mut text = match &it.of {
        Source::Text(text) => format!("'{text}'"),
        of => serde_json::to_string(of).unwrap().replace('"', ""),
    };
    text += &it.is.iter().map(|is| format!("={is}")).collect::<String>();
    text += &it.unless.iter().map(|value| format!("!{value}")).collect::<String>();
    text + &it.default.iter().map(|value| format!("?{value}")).collect::<String>()
}

/// A budget in short: its name, how much, whose.
pub fn short(it: &Budget) -> String {
    let weight = it
        .group
        .as_ref()
        .map(|group| format!(" in {group}*{}{}", it.weight, if it.always { " always" } else { "" }));
    let key: Vec<String> = it.key.iter().map(part).collect();
    format!("{} {} [{}]{}", it.name, it.max, key.join(", "), weight.unwrap_or_default())
}

fn all(raw: &str) -> Vec<String> {
    budgets(raw).iter().map(short).collect()
}

/// What is said of a config, without its place and the warning that there is no JWT.
pub fn said(raw: &str) -> Vec<String> {
    let all = problems(&[BASE, &config(raw)]);
    let texts = all.iter().map(|it| it.splitn(4, ':').nth(3).unwrap_or(it).trim().to_owned());
    texts.filter(|it| !it.contains("no caller has claims")).collect()
}

/// A descriptor without its braces, and its limit.
pub fn limited(descriptor: &str, max: u32) -> String {
    format!("{{{descriptor}, rateLimit: {{requestsPerUnit: {max}, unit: HOUR}}}}")
}

/// The key that an action makes where any value has a limit.
fn key_of(key: &str, action: &str) -> String {
    let raw = format!(
        "descriptors: [{}], rateLimits: [{{actions: [{{{action}}}]}}]",
        limited(&format!("key: {key}"), 1)
    );
    let budgets = budgets(&raw);
    assert_eq!(budgets.len(), 1, "{action}");
    budgets[0].key.iter().map(part).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_tour_s_limit_is_tokens_of_prompts_for_each_caller() {
    let raw = "descriptors: [{key: user-id, rateLimit: {requestsPerUnit: 70, unit: HOUR}}],
  rateLimits: [{actions: [{metadata: {descriptorKey: user-id, source: DYNAMIC, default: unknown,
    metadataKey: {key: envoy.filters.http.jwt_authn, path: [{key: principal}, {key: sub}]}}}]}]";
    let budgets = budgets(raw);
    assert_eq!(all(raw), ["ns/c 70 [{claim:sub}?unknown]"]);
    assert_eq!((budgets[0].counts, budgets[0].per), (Counts::Prompt, Period::Unit(Unit::Hour)));
    assert_eq!((budgets[0].on_unavailable, budgets[0].headers), (OnUnavailable::Allow, false));
    assert_eq!(
        said(raw),
        [
            "spec.raw.rateLimits[0].actions[0].metadata.default: warning: counts here as `defaultValue`, which is the field's name: Gloo does not know `default`, and limits nobody who lacks the value"
        ]
    );
}

#[test]
fn every_action_yields_a_value() {
    for (key, action, expected) in [
        ("source_cluster", "sourceCluster: {}", "'turnpike'"),
        ("destination_cluster", "destinationCluster: ", "'up_ns'"),
        ("h", "requestHeaders: {headerName: X-Team, descriptorKey: h}", "{header:X-Team}"),
        ("h", "request_headers: {header_name: X-Team, descriptor_key: h}", "{header:X-Team}"),
        ("remote_address", "remoteAddress: {}", "address"),
        ("generic_key", "genericKey: {descriptorValue: v}", "'v'"),
        ("k", "genericKey: {descriptorValue: v, descriptorKey: k}", "'v'"),
        ("sub", SUB, "{claim:sub}"),
        (
            "k",
            "metadata: {descriptorKey: k, source: 0, defaultValue: d, metadataKey: {key: envoy.filters.http.jwt_authn, path: [{key: principal}, {key: a}, {key: b}]}}",
            "{claim:[a,b]}?d",
        ),
        (
            "k",
            "metadata: {descriptorKey: k, defaultValue: d, metadataKey: {key: my.filter, path: [{key: x}]}}",
            "'d'",
        ),
        (
            "k",
            "metadata: {descriptorKey: k, source: ROUTE_ENTRY, defaultValue: d, metadataKey: {key: my.filter}}",
            "'d'",
        ),
        ("header_match", "headerValueMatch: {descriptorValue: v}", "{matching:{value:v,headers:[]}}"),
        (
            "header_match",
            "headerValueMatch: {descriptorValue: v, expectMatch: false, headers: [{name: a}]}",
            "{matching:{value:v,headers:[{name:a,must:{exist:true}}],expect:false}}",
        ),
    ] {
        assert_eq!(key_of(key, action), expected, "{action}");
    }
}

#[test]
fn every_matcher_of_a_header_is_known() {
    for (matcher, expected) in [
        ("exactMatch: x", "{equal:x}}"),
        ("regexMatch: x+", "{match:x+}}"),
        ("prefixMatch: x", "{start:x}}"),
        ("suffixMatch: x", "{end:x}}"),
        ("rangeMatch: {start: -1, end: 9}", "{lie:[-1,9]}}"),
        ("presentMatch: false", "{exist:false}}"),
        ("invertMatch: true", "{exist:true},invert:true}"),
        ("exact_match: x, invert_match: true", "{equal:x},invert:true}"),
    ] {
        let action = format!("headerValueMatch: {{descriptorValue: v, headers: [{{name: a, {matcher}}}]}}");
        let key = key_of("header_match", &action);
        assert!(key.contains(&format!("{{name:a,must:{expected}")), "{matcher}: {key}");
    }
}

#[test]
fn units_and_types_have_names_and_numbers() {
    for (unit, expected) in [
        ("SECOND", Unit::Second),
        ("2", Unit::Minute),
        ("hour", Unit::Hour),
        ("4", Unit::Day),
        ("Month", Unit::Month),
        ("6", Unit::Year),
        ("7", Unit::Week),
    ] {
        let raw = format!(
            "descriptors: [{{key: k, rate_limit: {{requests_per_unit: 5, unit: {unit}}}}}], rate_limits: [{{actions: [{{genericKey: {{descriptorValue: v, descriptorKey: k}}}}], type: 0}}]"
        );
        let budget = budgets(&raw).remove(0);
        assert_eq!((budget.per, budget.counts), (Period::Unit(expected), Counts::Requests), "{unit}");
    }
    for (kind, expected) in [("TOKEN", Counts::Prompt), ("1", Counts::Prompt), ("request", Counts::Requests)]
    {
        let raw = format!(
            "descriptors: [{}], rateLimits: [{{actions: [{{{SUB}}}], type: {kind}}}]",
            limited("key: sub", 1)
        );
        assert_eq!(budgets(&raw)[0].counts, expected, "{kind}");
    }
}

#[test]
fn a_path_of_descriptors_is_a_key_and_its_depth_that_of_the_actions() {
    let inner = [limited("key: sub", 3), limited("key: sub, value: bob", 9)].join(", ");
    let raw = format!(
        "descriptors: [{{key: tier, value: gold, descriptors: [{inner}]}}, {}, {{key: tier, descriptors: [{}]}}],
  rateLimits: [{{actions: [{{requestHeaders: {{headerName: x-tier, descriptorKey: tier}}}}, {{{SUB}}}]}}, {{actions: [{{genericKey: {{descriptorKey: tier, descriptorValue: free}}}}]}}]",
        limited("key: tier, value: free", 1),
        limited("key: sub", 2),
    );
    assert_eq!(
        all(&raw),
        [
            "ns/c/1 3 [{header:x-tier}=gold, {claim:sub}!bob]",
            "ns/c/2 9 [{header:x-tier}=gold, {claim:sub}=bob]",
            // What is gold or free does not fall back to the others, also where nothing below fits.
            "ns/c/4 2 [{header:x-tier}!gold!free, {claim:sub}]",
            "ns/c/3 1 ['free']",
        ]
    );
    assert_eq!(said(&raw), [] as [&str; 0]);
}

#[test]
fn a_descriptor_without_a_limit_is_an_exception() {
    let raw = format!(
        "descriptors: [{}, {{key: sub, value: admin}}], rateLimits: [{{actions: [{{{SUB}}}]}}]",
        limited("key: sub", 1)
    );
    assert_eq!(all(&raw), ["ns/c 1 [{claim:sub}!admin]"]);
}

#[test]
fn what_never_fits_is_left_out_and_what_always_fits_is_not_asked() {
    let raw = |value: &str| {
        format!(
            "descriptors: [{}, {}], rateLimits: [{{actions: [{{genericKey: {{descriptorValue: {value}}}}}]}}]",
            limited("key: generic_key, value: a", 1),
            limited("key: generic_key", 2)
        )
    };
    assert_eq!(all(&raw("a")), ["ns/c/1 1 ['a']"]);
    assert_eq!(all(&raw("b")), ["ns/c/2 2 ['b']"]);
    let unused =
        "spec.raw.descriptors[1]: warning: this limit never holds: no entry of `rateLimits` leads here";
    assert_eq!(said(&raw("a")), [unused]);
}

#[test]
fn a_name_does_not_depend_on_the_route() {
    let raw = format!(
        "descriptors: [{}, {}], rateLimits: [{{actions: [{{destinationCluster: {{}}}}]}}]",
        limited("key: destination_cluster, value: other_ns", 1),
        limited("key: destination_cluster, value: up_ns", 2)
    );
    assert_eq!(all(&raw), ["ns/c/2 2 ['up_ns']"]);
    assert_eq!(said(&raw), [] as [&str; 0], "the other one holds on other routes");
}

#[test]
fn entries_that_lead_to_one_limit_do_not_share_a_name() {
    let same = format!("{{actions: [{{{SUB}}}]}}");
    let raw = format!("descriptors: [{}], rateLimits: [{same}, {same}]", limited("key: sub", 1));
    assert_eq!(all(&raw), ["ns/c 1 [{claim:sub}]", "ns/c#2 1 [{claim:sub}]"]);
    assert_eq!(
        said(&raw),
        [
            "spec.raw.rateLimits[1]: warning: leads to a limit that an entry before it leads to as well: each of them counts on its own"
        ]
    );
}

#[test]
fn of_weighed_descriptors_only_the_heaviest_count() {
    let raw = format!(
        "descriptors: [{}, {{key: tier, value: gold, weight: 5, descriptors: [{}, {}]}}, {}],
  rateLimits: [{{actions: [{{{SUB}}}]}}, {{actions: [{{genericKey: {{descriptorKey: tier, descriptorValue: gold}}}}, {{remoteAddress: {{}}}}]}}, {{actions: [{{remoteAddress: {{}}}}]}}]",
        limited("key: sub", 1),
        limited("key: remote_address", 2),
        limited("key: remote_address, value: 10.0.0.1, weight: 7", 3),
        limited("key: remote_address, alwaysApply: true", 4),
    );
    assert_eq!(
        all(&raw),
        [
            "ns/c/1 1 [{claim:sub}] in ns/c*0",
            "ns/c/2 2 ['gold', address!10.0.0.1] in ns/c*5",
            "ns/c/3 3 ['gold', address=10.0.0.1] in ns/c*7",
            "ns/c/4 4 [address] in ns/c*0 always",
        ]
    );
}

#[test]
fn of_sets_the_first_that_fits_counts_whatever_the_order_of_values() {
    let raw = format!(
        "setDescriptors: [{}, {}, {}, {}],
  rateLimits: [{{setActions: [{{genericKey: {{descriptorValue: a}}}}, {{genericKey: {{descriptorValue: b}}}}, {{requestHeaders: {{headerName: x-type, descriptorKey: type}}}}, {{{SUB}}}]}}]",
        limited("simpleDescriptors: [{key: sub}, {key: type, value: m}]", 1),
        limited("simpleDescriptors: [{key: generic_key, value: b}], alwaysApply: true", 2),
        limited("simpleDescriptors: [{key: generic_key, value: z}]", 3),
        limited("simple_descriptors: []", 4),
    );
    assert_eq!(
        all(&raw),
        [
            "ns/c/1 1 [{claim:sub}, {header:x-type}=m] in ns/c/sets/1*4",
            "ns/c/2 2 ['b'] in ns/c/sets/1*3 always",
            "ns/c/4 4 [] in ns/c/sets/1*1",
        ]
    );
    let unused =
        "spec.raw.setDescriptors[2]: warning: this limit never holds: no entry of `rateLimits` leads here";
    assert_eq!(said(&raw), [unused]);
    let unclear = raw.replace("{key: generic_key, value: z}", "{key: generic_key}");
    assert_eq!(
        said(&unclear),
        [
            "spec.raw.rateLimits[0]: more than one of its `setActions` yields a `generic_key` that fits one set descriptor: make an entry of each"
        ]
    );
}

#[test]
fn a_claim_can_say_another_limit() {
    let of = |key: &str, descriptor: &str| {
        format!(
            "descriptors: [{}], rateLimits: [{{actions: [{{{SUB}}}], limit: {{dynamicMetadata: {{metadataKey: {{key: {key}, path: [{{key: principal}}, {{key: quota}}]}}}}}}}}]",
            limited(descriptor, 1)
        )
    };
    let budget = budgets(&of("envoy.filters.http.jwt_authn", "key: sub")).remove(0);
    assert_eq!(serde_json::to_string(&budget.max_from).unwrap(), "\"quota\"");
    assert_eq!(
        said(&of("my.filter", "key: sub")),
        [
            "spec.raw.rateLimits[0].limit.dynamicMetadata.metadataKey: only a claim of the caller's token can say another limit, expected the key envoy.filters.http.jwt_authn"
        ]
    );
    assert_eq!(
        said(&of("envoy.filters.http.jwt_authn", "key: user"))[1],
        "spec.raw.rateLimits[0]: leads to no limit: no descriptor for `sub` has a `rateLimit`; `limit` needs one, which holds for callers without that claim"
    );
}

#[test]
fn an_entry_that_limits_nothing_is_said_to() {
    let raw = format!(
        "descriptors: [{}], rateLimits: [{{actions: [{{{SUB}}}]}}, {{setActions: [{{{SUB}}}]}}]",
        limited("key: subs", 1)
    );
    assert_eq!(
        said(&raw),
        [
            "spec.raw.descriptors[0]: warning: this limit never holds: no entry of `rateLimits` leads here",
            "spec.raw.rateLimits[0]: warning: leads to no limit: no descriptor for `sub` has a `rateLimit`, did you mean `subs`?",
            "spec.raw.rateLimits[1]: warning: leads to no limit: no set descriptor has only keys and values that its `setActions` yield",
        ]
    );
}
