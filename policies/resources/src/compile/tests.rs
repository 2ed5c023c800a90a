use std::path::PathBuf;

use policy::{PathMatch, Rewrite};

use crate::plan::{Key, Plan, Tls};
use crate::{Source, load, read_files};

const GATEWAY: &str =
    "kind: Gateway\nmetadata: {name: gw, namespace: ns}\nspec: {listeners: [{name: http, port: 80}]}\n";
const UPSTREAM: &str = "kind: Upstream\nmetadata: {name: up, namespace: ns}\nspec: {ai: {openai: {authToken: {inline: sk-1}}}}\n";

/// A gateway, and a provider with a model and a key.
pub const DOORS: &str = "kind: Gateway
metadata: {name: gw, namespace: ns}
spec: {listeners: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Upstream
metadata: {name: up, namespace: ns}
spec: {ai: {openai: {model: m, authToken: {inline: sk-1}}}}
";

/// A file with these documents. Each gets an `apiVersion`, so that the tests need not.
fn file(documents: &[&str]) -> Source {
    let text: Vec<String> = documents.iter().map(|it| format!("apiVersion: v1\n{it}")).collect();
    Source { name: "a.yaml".into(), text: text.join("---\n") }
}

pub fn plan(documents: &[&str]) -> Plan {
    let loaded =
        load(&[file(documents)], &|name| (name == "OPENAI_API_KEY").then(|| "Bearer sk-env".to_owned()));
    loaded.plan.unwrap_or_else(|| panic!("{:#?}", loaded.problems))
}

pub fn problems(documents: &[&str]) -> Vec<String> {
    load(&[file(documents)], &|_| None).problems.iter().map(ToString::to_string).collect()
}

fn upstream(settings: &str) -> String {
    format!(
        "kind: Upstream\nmetadata: {{name: up, namespace: ns}}\nspec: {{ai: {{openai: {{{settings}}}}}}}\n"
    )
}

fn route(name: &str, spec: &str) -> String {
    format!("kind: HTTPRoute\nmetadata: {{name: {name}, namespace: ns}}\nspec: {{{spec}}}\n")
}

fn rule(more: &str) -> String {
    format!("rules: [{{{more} backendRefs: [{{name: up, kind: Upstream}}]}}]")
}

fn key(settings: &str) -> String {
    match &plan(&[&upstream(settings)]).targets[0].key {
        Key::Known(secret) => secret.expose().to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_tour_s_files_make_two_routes_to_two_providers() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../base");
    let loaded = load(&read_files(&[folder]).unwrap(), &|name| Some(format!("{name}-value")));
    assert_eq!(loaded.problems, []);
    let plan = loaded.plan.unwrap();
    let names: Vec<&str> = plan.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["gloo-system/mistralai", "gloo-system/openai"]);
    assert_eq!(plan.targets[1].authority, "api.openai.com");
    assert_eq!(plan.targets[1].tls, Some(Tls { name: "api.openai.com".into(), ca_file: None }));
    assert!(matches!(&plan.targets[0].key, Key::Known(key) if key.expose() == "MISTRAL_API_KEY-value"));
}

#[test]
fn by_hostname_the_rewrite_counts() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let both = [folder.join("base"), folder.join("by-hostname")];
    let plan = load(&read_files(&both).unwrap(), &|_| Some("k".into())).plan.unwrap();
    assert_eq!(plan.routes.len(), 2, "a route of the same name replaces the other");
    assert_eq!(plan.entries[0].host.as_deref(), Some("mistralai.example.com"));
    assert_eq!(plan.routes[0].rewrite, Some(Rewrite::FullPath("/v1/chat/completions".into())));
}

#[test]
fn a_key_is_found_wherever_it_may_be() {
    let secret = |data: &str| format!("kind: Secret\nmetadata: {{name: s, namespace: ns}}\n{data}\n");
    let upstream_of = upstream("authToken: {secretRef: {name: s}}");
    let key_of = |data: &str| match &plan(&[&secret(data), &upstream_of]).targets[0].key {
        Key::Known(key) => key.expose().to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!(key_of("stringData: {Authorization: Bearer sk-2}"), "sk-2");
    assert_eq!(key_of("stringData: {Authorization: \"sk-2\\n\"}"), "sk-2");
    assert_eq!(key_of("data: {Authorization: QmVhcmVyIHNrLTM=}"), "sk-3");
    assert_eq!(key_of("stringData: {Authorization: \"${OPENAI_API_KEY}\"}"), "sk-env");
    assert_eq!(key("authToken: {inline: sk-1}"), "sk-1");
    assert_eq!(key("authToken: {inline: \"${OPENAI_API_KEY}\"}"), "sk-env");
    assert_eq!(key("auth_token: {secret_ref: {name: none}}"), "sk-env", "no such secret: the usual variable");
    assert_eq!(key("authToken: {passthrough: {}}"), "Passthrough");
    assert_eq!(key("authToken: {passthrough: }"), "Passthrough");
}

#[test]
fn a_key_that_is_nowhere_is_missing_and_it_is_known_where() {
    let loaded = load(&[file(&[&upstream("authToken: {secretRef: {name: s}}")])], &|_| None);
    assert_eq!(loaded.problems, []);
    let plan = loaded.plan.unwrap();
    let said: Vec<String> = plan.missing_keys().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "a.yaml:4:45: spec.ai.openai.authToken.secretRef: warning: no Secret ns/s among the files, and OPENAI_API_KEY is not set: there is no key for this provider"
        ]
    );
}

#[test]
fn no_secret_is_ever_shown() {
    let loaded = load(&[file(&[UPSTREAM])], &|_| None);
    assert!(!format!("{loaded:?}").contains("sk-1"));
    let said = problems(&[&upstream("authToken: {inline: sk secret}")]);
    assert!(!said.join("").contains("sk secret") && said[0].contains("no key"), "{said:?}");
}

#[test]
fn an_address_of_one_s_own_decides_about_tls_and_host() {
    let address = |host: &str| {
        let plan = plan(&[&upstream(&format!("authToken: {{inline: k}}, customHost: {{{host}}}"))]);
        let target = &plan.targets[0];
        let tls = target.tls.as_ref().map_or("", |tls| tls.name.as_str());
        format!("{}:{} {} {tls}", target.host, target.port, target.authority)
    };
    assert_eq!(address("host: a.b"), "a.b:443 a.b a.b");
    assert_eq!(address("host: a.b, port: 80"), "a.b:80 a.b ");
    assert_eq!(address("host: a.b, port: 8000"), "a.b:8000 a.b:8000 ");
    assert_eq!(address("host: 10.0.0.1, port: 443, hostname: c.d"), "10.0.0.1:443 c.d c.d");
    let with_tls = "kind: Upstream\nmetadata: {name: up}\nspec: {sslConfig: {sni: e.f, sslFiles: {rootCa: /ca.pem}}, ai: {mistral: {customHost: {host: a.b, port: 8443}}}}\n";
    let tls = plan(&[with_tls]).targets.remove(0).tls;
    assert_eq!(tls, Some(Tls { name: "e.f".into(), ca_file: Some("/ca.pem".into()) }));
}

#[test]
fn matches_are_tried_from_the_most_to_the_least_particular() {
    let plan = plan(&[
        UPSTREAM,
        &route(
            "any",
            &rule("matches: [{path: {value: /a}}, {path: {value: /a/b}}, {path: {type: Exact, value: /a}}],"),
        ),
        &route("wild", &format!("hostnames: ['*.x.com'], {}", rule(""))),
        &route("host", &format!("hostnames: [H.x.com], {}", rule("matches: [{path: {value: /z}}],"))),
    ]);
    let order: Vec<String> = plan
        .entries
        .iter()
        .map(|it| {
            format!("{} {:?} {}", it.host.as_deref().unwrap_or("any"), it.path, plan.routes[it.route].name)
        })
        .collect();
    assert_eq!(
        order,
        [
            "h.x.com Prefix(\"/z\") ns/host",
            "*.x.com Prefix(\"/\") ns/wild",
            "any Exact(\"/a\") ns/any",
            "any Prefix(\"/a/b\") ns/any",
            "any Prefix(\"/a\") ns/any",
        ]
    );
}

#[test]
fn several_rules_are_told_apart_by_name_or_number() {
    let spec = "rules: [{name: chat, backendRefs: [{name: up, kind: Upstream}]}, {backendRefs: [{name: up, kind: Upstream}]}]";
    let plan = plan(&[UPSTREAM, &route("r", spec)]);
    let names: Vec<&str> = plan.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["ns/r/chat", "ns/r/1"]);
}

#[test]
fn a_route_serves_the_hosts_that_its_listener_takes() {
    let gateway = "kind: Gateway\nmetadata: {name: gw, namespace: ns}\nspec: {listeners: [{name: a, port: 80, hostname: '*.a.com'}, {name: b, port: 81, hostname: b.com}]}\n";
    let hosts = |parent: &str, own: &str| {
        let spec = format!("parentRefs: [{{name: gw{parent}}}], hostnames: [{own}], {}", rule(""));
        let plan = plan(&[gateway, UPSTREAM, &route("r", &spec)]);
        plan.entries.iter().map(|it| it.host.clone().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(hosts("", ""), ["b.com", "*.a.com"]);
    assert_eq!(hosts(", sectionName: a", ""), ["*.a.com"]);
    assert_eq!(hosts(", port: 81", ""), ["b.com"]);
    assert_eq!(hosts("", "x.a.com"), ["x.a.com"]);
    assert_eq!(hosts("", "other.com"), [] as [&str; 0]);
}

#[test]
fn references_that_lead_nowhere_are_named() {
    let spec = "parentRefs: [{name: gv}], rules: [{backendRefs: [{name: upp, kind: Upstream}, {name: svc}]}]";
    assert_eq!(
        problems(&[GATEWAY, UPSTREAM, &route("r", spec)]),
        [
            "a.yaml:14:21: spec.parentRefs[0]: there is no Gateway ns/gv, did you mean `gw`?",
            "a.yaml:14:57: spec.rules[0].backendRefs[0]: there is no Upstream ns/upp with a model, did you mean `ns/up`?",
            "a.yaml:14:86: spec.rules[0].backendRefs[1]: a backend of kind Service is not supported, expected Upstream",
        ]
    );
}

#[test]
fn kinds_and_fields_that_are_not_known_are_not_passed_over_in_silence() {
    let said = problems(&[
        "kind: HTTPRout\nmetadata: {name: a}\n",
        "kind: RateLimitConfg\nmetadata: {name: a}\n",
        "kind: ConfigMap\nmetadata: {name: a}\n",
        "kind: Widget\nmetadata: {name: a}\n",
        "kind: Upstream\nmetadata: {name: a}\nspec: {ai: {openai: {modle: x, authToken: {secretref: {}}}}}\n",
        "kind: Upstream\nmetadata: {name: b}\nspec: {ai: {gemini: {}}}\n",
    ]);
    assert_eq!(
        said,
        [
            "a.yaml:2:7: kind: HTTPRout is an unknown kind, did you mean `HTTPRoute`?",
            "a.yaml:6:7: kind: RateLimitConfg is an unknown kind, did you mean `RateLimitConfig`?",
            "a.yaml:10:7: kind: note: ConfigMap is none of the gateway's business and is skipped",
            "a.yaml:14:7: kind: warning: Widget is an unknown kind and is skipped",
            "a.yaml:20:22: spec.ai.openai.modle: warning: unknown field, did you mean `model`?",
            "a.yaml:20:43: spec.ai.openai.authToken: expected one of inline, secretRef and passthrough",
            "a.yaml:20:44: spec.ai.openai.authToken.secretref: unknown field, did you mean `secretRef`?",
            "a.yaml:25:21: spec.ai.gemini: gemini is not supported by this version, expected openai or mistral",
        ]
    );
}

#[test]
fn a_condition_that_cannot_be_checked_is_not_left_out() {
    let said = problems(&[UPSTREAM, &route("r", &rule("matches: [{headers: [{name: a, value: b}]}],"))]);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("spec.rules[0].matches[0].headers: only paths can be matched"), "{said:?}");
    let said =
        problems(&[UPSTREAM, &route("r", &rule("matches: [{path: {type: RegularExpression, value: /a}}],"))]);
    assert!(said[0].contains("`RegularExpression` is not supported"), "{said:?}");
}

#[test]
fn rewrites_and_timeouts_are_read() {
    let more = "matches: [{path: {value: /a}}], timeouts: {request: 30s, backendRequest: 10s}, \
                filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}],";
    let plan = plan(&[UPSTREAM, &route("r", &rule(more))]);
    assert_eq!(plan.routes[0].rewrite, Some(Rewrite::Prefix("/b".into())));
    assert_eq!(plan.routes[0].timeout, Some(std::time::Duration::from_secs(10)));
    assert_eq!(plan.routes[0].matches, [(None, PathMatch::Prefix("/a".into()))]);
}

#[test]
fn of_two_resources_with_one_name_the_last_counts() {
    let other = upstream("authToken: {inline: sk-2}");
    let loaded = load(&[file(&[UPSTREAM, &other])], &|_| None);
    assert_eq!(
        loaded.problems[0].to_string(),
        "a.yaml:1:1: note: Upstream ns/up is replaced by the one in a.yaml:6:1"
    );
    let plan = loaded.plan.unwrap();
    assert!(
        matches!(&plan.targets[..], [target] if matches!(&target.key, Key::Known(key) if key.expose() == "sk-2"))
    );
}
