use serde_json::json;

use super::tests::{plan, problems};

const ROUTE: &str = "kind: HTTPRoute\nmetadata: {name: r, namespace: ns}\nspec: {rules: [{backendRefs: [{name: up, kind: Upstream}]}]}\n";
const UPSTREAM: &str = "kind: Upstream\nmetadata: {name: up, namespace: ns}\nspec: {ai: {openai: {authToken: {inline: sk-1}}}}\n";

fn option(ai: &str) -> String {
    format!(
        "kind: RouteOption\nmetadata: {{name: o, namespace: ns}}\nspec:\n  targetRefs: [{{kind: HTTPRoute, name: r}}]\n  options: {{ai: {{{ai}}}}}\n"
    )
}

#[test]
fn messages_and_defaults_come_through() {
    let ai = "promptEnrichment: {prepend: [{role: SYSTEM, content: 'a \"b\"'}], append: [{role: User, content: c}]},
      defaults: [{field: max_tokens, value: 100}, {field: temperature, value: 0.5, override: true},
        {field: response_format, value: {type: json_object, list: [1, true, null, x]}}, {field: user, value: null}], routeType: CHAT";
    let plan = plan(&[UPSTREAM, ROUTE, &option(ai)]);
    let enrich = plan.routes[0].enrich.as_ref().unwrap();
    let message = |it: &policy::written::Message| (it.role.clone(), it.content.clone());
    assert_eq!(message(&enrich.prepend[0]), ("system".into(), "a \"b\"".into()));
    assert_eq!(message(&enrich.append[0]), ("user".into(), "c".into()));
    let values: Vec<(serde_json::Value, bool)> =
        enrich.defaults.iter().map(|it| (serde_json::from_str(&it.value.0).unwrap(), it.overrides)).collect();
    let format = json!({"type": "json_object", "list": [1, true, null, "x"]});
    assert_eq!(values, [(json!(100), false), (json!(0.5), true), (format, false), (json!(null), false)]);
    assert!(self::plan(&[UPSTREAM, ROUTE, &option("")]).routes[0].enrich.is_none());
}

#[test]
fn what_would_not_be_done_is_refused() {
    for (ai, says) in [
        (
            "semanticCache: {}",
            "spec.options.ai.semanticCache: semanticCache is not supported by this version",
        ),
        ("promptEnrichment: {prepnd: []}", "prepnd: unknown field, did you mean `prepend`?"),
        ("promptEnrichment: {prepend: [{role: tool, content: a}]}", "prepend[0].role: `tool` is no role"),
        ("promptEnrichment: {prepend: [{role: user}]}", "prepend[0]: `content` is missing"),
        ("defaults: [{field: a}]", "defaults[0]: `value` is missing"),
        ("defaults: [{field: a, value: .nan}]", "expected a number that JSON has"),
        (
            "defaults: [{field: a, value: 1, overide: true}]",
            "overide: unknown field, did you mean `override`?",
        ),
        ("defaults: [{field: a, value: 1}, {field: a, value: 2}]", "there are two values for `a`"),
        (
            "defaults: [{field: messages, value: []}], promptEnrichment: {append: [{role: user, content: a}]}",
            "`messages`: messages are added to this field, so it cannot be set as well",
        ),
    ] {
        let said = problems(&[UPSTREAM, ROUTE, &option(ai)]);
        assert!(said.iter().any(|it| it.contains(says)), "{says}\n{said:#?}");
    }
}
