use policy::written::{
    Action, AppliesTo, Builtin, Format, Guard, HeaderMatch, MaskStyle, Mode, OnError, Pattern, Patterns,
    Scope,
};

use super::tests::{plan, problems};
use crate::plan::{Key, Plan};

pub const ROUTE: &str = "kind: HTTPRoute\nmetadata: {name: r, namespace: ns}\nspec: {rules: [{backendRefs: [{name: up, kind: Upstream}]}]}\n";
pub const UPSTREAM: &str = "kind: Upstream\nmetadata: {name: up, namespace: ns}\nspec: {ai: {openai: {authToken: {inline: sk-1}}}}\n";

/// A RouteOption on the route, its guard in flow style.
pub fn option(name: &str, guard: &str) -> String {
    format!(
        "kind: RouteOption\nmetadata: {{name: {name}, namespace: ns}}\nspec:\n  targetRefs: [{{kind: HTTPRoute, name: r}}]\n  options: {{ai: {{promptGuard: {{{guard}}}}}}}\n"
    )
}

fn planned(guard: &str) -> Plan {
    plan(&[UPSTREAM, ROUTE, &option("o", guard)])
}

pub fn guard(written: &str) -> Guard {
    planned(written).routes.remove(0).guard.unwrap()
}

fn request_patterns(regex: &str) -> Patterns {
    guard(&format!("request: {{regex: {{{regex}}}}}")).request.unwrap().patterns.unwrap()
}

/// What is said of a guard; where the guard begins is cut off.
pub fn said(guard: &str) -> Vec<String> {
    said_of(&[UPSTREAM, ROUTE, &option("o", guard)])
}

pub fn said_of(documents: &[&str]) -> Vec<String> {
    let short = |it: &String| it.replace("spec.options.ai.promptGuard", "guard");
    problems(documents).iter().map(short).collect()
}

/// The same without the place.
pub fn what_is_said(guard: &str) -> Vec<String> {
    said(guard).iter().map(|it| it.splitn(4, ':').nth(3).unwrap_or(it).trim().to_owned()).collect()
}

fn pattern(text: &str) -> Pattern {
    Pattern { pattern: text.into(), name: None, max_length: None }
}

#[test]
fn a_message_that_is_json_is_sent_as_it_is_unless_the_policy_says_otherwise() {
    let format = |more: &str| {
        let custom = format!(
            "request: {{customResponse: {{message: '{{\"a\": 1}}'{more}}}, regex: {{builtins: [SSN]}}}}"
        );
        guard(&custom).request.unwrap().refusal.format
    };
    assert_eq!(format(""), Format::Raw);
    assert_eq!(format(", format: openai"), Format::Openai);
}

#[test]
fn the_older_form_refuses_prompts_and_writes_x_over_answers() {
    let guard = guard(
        "request: {customResponseMessage: No., matches: [credit card]}, response: {matches: ['5[1-5]'], builtins: [2]}",
    );
    let (request, response) = (guard.request.unwrap(), guard.response.unwrap());
    assert_eq!(request.refusal.message.as_deref(), Some("No."));
    let expected =
        Patterns { matches: vec![pattern("credit card")], action: Action::Reject, ..Patterns::default() };
    assert_eq!(request.patterns.unwrap(), expected);
    let masked = response.patterns.unwrap();
    assert_eq!((masked.action, masked.mask_style), (Action::Mask, MaskStyle::X));
    assert_eq!((masked.matches, masked.builtins), (vec![pattern("5[1-5]")], vec![Builtin::Email]));
}

#[test]
fn every_field_of_a_request_comes_through() {
    let guard = guard(
        "request: {customResponse: {message: '{\"a\": 1}', statusCode: 400, format: raw},
          regex: {matches: [{pattern: a+b, name: ab}], builtins: [SSN, CREDIT_CARD, PHONE_NUMBER, EMAIL, IBAN, IP_ADDRESS, API_KEY],
            action: REJECT, maskStyle: x},
          mode: monitor, scope: [system, user, assistant, tool, tools], appliesTo: last_turn}",
    );
    let request = guard.request.unwrap();
    assert_eq!((request.refusal.status, request.refusal.format), (Some(400), Format::Raw));
    assert_eq!(request.refusal.message.as_deref(), Some("{\"a\": 1}"));
    let patterns = request.patterns.unwrap();
    assert_eq!(patterns.matches, [Pattern { name: Some("ab".into()), ..pattern("a+b") }]);
    assert_eq!(patterns.builtins.len(), 7);
    assert_eq!((patterns.action, patterns.mask_style), (Action::Reject, MaskStyle::X));
    assert_eq!((request.mode, request.applies_to), (Mode::Monitor, AppliesTo::LastTurn));
    assert_eq!(request.scope, [Scope::System, Scope::User, Scope::Assistant, Scope::Tool, Scope::Tools]);
    assert_eq!(guard.response, None);
}

#[test]
fn every_field_of_a_response_comes_through() {
    let guard = guard(
        "response: {customResponse: {message: No., statusCode: 422, format: openai}, mode: enforce,
          regex: {matches: [{pattern: a+b, maxLength: 50}], builtins: [EMAIL], action: REJECT},
          webhook: {host: guard, port: 8000}}",
    );
    let response = guard.response.unwrap();
    assert_eq!((response.refusal.message.as_deref(), response.refusal.status), (Some("No."), Some(422)));
    let patterns = response.patterns.unwrap();
    assert_eq!((patterns.action, patterns.mask_style), (Action::Reject, MaskStyle::Placeholder));
    assert_eq!(patterns.matches[0].max_length, Some(50));
    assert_eq!(response.webhook.unwrap().cluster, "webhook/guard:8000");
    assert_eq!(guard.request, None);
}

#[test]
fn what_is_not_said_is_left_to_the_module() {
    for custom in ["", "customResponse: {}, ", "customResponse: {message: '', statusCode: 0}, "] {
        let request = guard(&format!("request: {{{custom}regex: {{builtins: [SSN]}}}}")).request.unwrap();
        assert_eq!((request.refusal.message, request.refusal.status), (None, None));
        assert_eq!(request.patterns.unwrap().action, Action::Mask);
    }
}

#[test]
fn names_may_be_written_as_numbers_and_fields_as_in_protobuf() {
    assert_eq!(
        request_patterns("builtins: [0, 1, 2, 3], action: 1").builtins,
        [Builtin::Ssn, Builtin::CreditCard, Builtin::PhoneNumber, Builtin::Email]
    );
    assert_eq!(request_patterns("builtins: [SSN], action: 1").action, Action::Reject);
    let guard = guard(
        "request: {custom_response: {status_code: 400}, applies_to: lastTurn, regex: {builtins: [SSN], mask_style: x},
          webhook: {host: h, port: 80, forward_headers: [{key: a, match_type: 1}], on_error: allow}}",
    );
    let request = guard.request.unwrap();
    assert_eq!((request.refusal.status, request.applies_to), (Some(400), AppliesTo::LastTurn));
    assert_eq!(request.patterns.unwrap().mask_style, MaskStyle::X);
    let webhook = request.webhook.unwrap();
    assert_eq!(
        (webhook.on_error, webhook.forward_headers.as_slice()),
        (OnError::Allow, &[HeaderMatch::Prefix("a".into())][..])
    );
}

#[test]
fn a_webhook_is_a_service_of_the_plan_and_the_same_one_is_one() {
    let plan = planned(
        "request: {webhook: {host: guard.ns, port: 8000, timeout: 1500ms, forwardHeaders: [{key: X-Team},
          {key: x-, matchType: PREFIX}, {key: -ID, matchType: SUFFIX}, {key: user, matchType: CONTAINS}, {key: 'x-\\d', matchType: REGEX}]}},
        response: {webhook: {host: guard.ns, port: 8000, onError: deny}}",
    );
    let webhook = plan.routes[0].guard.as_ref().unwrap().request.as_ref().unwrap().webhook.clone().unwrap();
    assert_eq!((webhook.cluster.as_str(), webhook.host.as_str()), ("webhook/guard.ns:8000", "guard.ns:8000"));
    assert_eq!((webhook.timeout_ms, webhook.on_error), (Some(1500), OnError::Deny));
    assert_eq!(
        webhook.forward_headers,
        [
            HeaderMatch::Exact("x-team".into()),
            HeaderMatch::Prefix("x-".into()),
            HeaderMatch::Suffix("-id".into()),
            HeaderMatch::Contains("user".into()),
            HeaderMatch::Regex("(?i)x-\\d".into()),
        ]
    );
    let services: Vec<_> =
        plan.services.iter().map(|it| (it.name.as_str(), it.hosts[0].1, &it.tls)).collect();
    assert_eq!(services, [("webhook/guard.ns:8000", 8000, &None)]);
}

#[test]
fn the_port_of_a_webhook_decides_about_tls_and_host() {
    let address = |host: &str, port: u16| {
        let plan = planned(&format!("response: {{webhook: {{host: '{host}', port: {port}}}}}"));
        let tls = plan.services[0].tls.as_ref().map_or("", |it| it.name.as_str());
        let guard = plan.routes[0].guard.as_ref().unwrap().response.as_ref().unwrap();
        format!("{} {tls}", guard.webhook.as_ref().unwrap().host)
    };
    assert_eq!(address("a.b", 443), "a.b a.b");
    assert_eq!(address("a.b", 80), "a.b ");
    assert_eq!(address("a.b", 8443), "a.b:8443 ");
    assert_eq!(address("::1", 8000), "[::1]:8000 ");
}

/// The targets that moderation adds: name, `:authority` and key.
fn moderators(openai: &str) -> Vec<String> {
    let plan = planned(&format!("request: {{moderation: {{openai: {{{openai}}}}}}}"));
    let key = |key: &Key| match key {
        Key::Known(key) => key.expose().to_owned(),
        other => format!("{other:?}"),
    };
    let show =
        |it: &crate::plan::Target| format!("{} {}:{} {}", it.name, it.authority, it.port, key(&it.key));
    plan.targets.iter().skip(1).map(show).collect()
}

#[test]
fn moderation_is_a_target_of_the_plan_with_a_key_of_its_own() {
    assert_eq!(moderators(""), ["moderation/ns/o api.openai.com:443 sk-env"]);
    assert_eq!(moderators("authToken: {inline: sk-2}"), ["moderation/ns/o api.openai.com:443 sk-2"]);
    assert_eq!(
        moderators("authToken: {secretRef: {name: none}}"),
        ["moderation/ns/o api.openai.com:443 sk-env"]
    );
    let secret = "kind: Secret\nmetadata: {name: s, namespace: ns}\nstringData: {Authorization: sk-3}\n";
    let with_secret = option("o", "request: {moderation: {openai: {authToken: {secretRef: {name: s}}}}}");
    let plan = plan(&[UPSTREAM, ROUTE, secret, &with_secret]);
    assert!(matches!(&plan.targets[1].key, Key::Known(key) if key.expose() == "sk-3"));
}

#[test]
fn every_field_of_moderation_comes_through() {
    let guard = guard(
        "request: {moderation: {openai: {model: text-moderation-latest, timeout: 2s, onError: allow}}}",
    );
    let it = guard.request.unwrap().moderation.unwrap();
    assert_eq!(
        (it.cluster.as_str(), it.model.as_deref()),
        ("moderation/ns/o", Some("text-moderation-latest"))
    );
    assert_eq!((it.timeout_ms, it.on_error), (Some(2000), OnError::Allow));
}

#[test]
fn moderation_without_a_key_is_missing_one_and_it_is_known_where() {
    let source = crate::Source {
        name: "a.yaml".into(),
        text: [UPSTREAM, ROUTE, &option("o", "request: {moderation: {openai: {}}}")]
            .map(|it| format!("apiVersion: v1\n{it}"))
            .join("---\n"),
    };
    let plan = crate::load(&[source], &|_| None).plan.unwrap();
    let said: Vec<String> = plan.missing_keys().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "a.yaml:16:63: spec.options.ai.promptGuard.request.moderation.openai: warning: no `authToken`, and OPENAI_API_KEY is not set: there is no key for this provider"
        ]
    );
}

#[test]
fn an_upstream_of_the_files_can_moderate() {
    let own = "kind: Upstream\nmetadata: {name: local, namespace: ai}\nspec: {ai: {openai: {customHost: {host: 10.0.0.1, port: 8000}}}}\n";
    let asks = option("o", "request: {moderation: {openai: {upstream: {name: local, namespace: ai}}}}");
    let plan = plan(&[UPSTREAM, ROUTE, own, &asks]);
    let request = plan.routes[0].guard.as_ref().unwrap().request.as_ref().unwrap();
    assert_eq!(request.moderation.as_ref().unwrap().cluster, "ai/local");
    assert_eq!(plan.targets.len(), 2, "it is there already");
}

const REJECTS_A: &str = "request: {matches: [a]}";

#[test]
fn of_two_options_the_older_one_s_ai_counts_as_a_whole() {
    let enriches = option("older", "")
        .replace("promptGuard: {}", "promptEnrichment: {prepend: [{role: user, content: a}]}");
    let documents =
        [UPSTREAM, ROUTE, &enriches, &option("younger", &format!("{REJECTS_A}, response: {{matches: [a]}}"))];
    assert!(plan(&documents).routes[0].guard.is_none());
    let at = "a.yaml:23:17: spec.options.ai";
    let kept = "is not used: RouteOption ns/older says it already, and comes first";
    assert_eq!(said_of(&documents), [format!("{at}: warning: {kept}: prompts and answers are not guarded")]);
    let both = [UPSTREAM, ROUTE, &option("older", REJECTS_A), &option("younger", "request: {matches: [b]}")];
    assert_eq!(said_of(&both), [format!("{at}: note: {kept}")], "prompts are guarded, as the older one says");
}

#[test]
fn a_guard_that_vanishes_with_the_resource_that_is_replaced_is_said_to() {
    let both = option("o", &format!("{REJECTS_A}, response: {{matches: [a]}}"));
    let only = option("o", REJECTS_A);
    let enriches = both.replace("promptGuard", "defaults: [], routeType: CHAT, #");
    let enriches = enriches.split('#').next().unwrap().to_owned() + "}}\n";
    let replaced = "a.yaml:11:1: RouteOption ns/o is replaced by the one in a.yaml:18:1";
    for (first, then, lost) in [
        (&both, &only, "options.ai.promptGuard.response no longer holds"),
        (&only, &enriches, "options.ai.promptGuard.request no longer holds"),
    ] {
        let said = said_of(&[UPSTREAM, ROUTE, first, then]);
        let expected = format!("{}, and its rules with it: {lost}", replaced.replace(": R", ": warning: R"));
        assert!(said.contains(&expected), "{expected}\n{said:#?}");
    }
    let said = said_of(&[UPSTREAM, ROUTE, &only, &both]);
    assert_eq!(said, [replaced.replace(": R", ": note: R")]);
}

#[test]
fn a_guard_that_nothing_uses_asks_nobody() {
    let elsewhere =
        option("o", "request: {moderation: {openai: {}}}").replace("name: r}]", "name: r, sectionName: x}]");
    let rule = ROUTE.replace("[{backendRefs", "[{name: x, backendRefs");
    let older = option("older", "request: {webhook: {host: h, port: 80}}")
        .replace("name: r}]", "name: r, sectionName: x}]");
    let plan = plan(&[UPSTREAM, &rule, &older, &elsewhere]);
    assert_eq!((plan.targets.len(), plan.services.len()), (1, 1));
}

/// The tour's files: the base, and these of the folder above it.
fn tour(files: &[&str]) -> crate::Loaded {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let paths: Vec<_> = std::iter::once(&"base").chain(files).map(|it| folder.join(it)).collect();
    crate::load(&crate::read_files(&paths).unwrap(), &|_| Some("k".into()))
}

#[test]
fn in_the_tour_what_guards_a_route_and_what_says_who_may_use_it_both_hold() {
    let names = ["jwt-provider-vho", "mistralai-routeoption", "prompt-guard-mistralai-routeoption"];
    let files = names.map(|it| format!("{it}.yaml"));
    let plan = tour(&files.each_ref().map(String::as_str)).plan.unwrap();
    let route = plan.routes.iter().find(|it| it.name == "gloo-system/mistralai").unwrap();
    assert!(route.rbac.is_some() && route.guard.is_some());
}

#[test]
fn the_tour_s_guards_are_nothing_to_talk_about_and_its_two_forms_say_nearly_the_same() {
    for name in ["prompt-guard-mistralai", "prompt-guard-responses-mistralai"] {
        let of = |folder: &str| {
            let loaded = tour(&[&format!("{folder}{name}-routeoption.yaml")]);
            assert_eq!(loaded.problems, []);
            let guard = loaded.plan.unwrap().routes.remove(0).guard.unwrap();
            let patterns =
                [guard.request.and_then(|it| it.patterns), guard.response.and_then(|it| it.patterns)];
            patterns.map(|it| it.map(|it| (it.matches[0].pattern.clone(), it.action)))
        };
        assert_eq!(of(""), of("released/"));
    }
    assert_eq!(tour(&["released/prompt-guard-builtins-openai-routeoption.yaml"]).problems, []);
}
