//! What it costs to know a caller: JWT and RBAC, with a token that has been seen before and with one that has not,
//! in this module and in Envoy's own filters.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use gateway::{Access, Headers};
use labs::tokens::{ALICE, Issuer, issuer, now, with};
use policy::Plugin;
use serde_json::{Value, json};

use crate::envoys::{Envoys, module};
use crate::instructions;
use crate::rounds::{ROUNDS, medians};

const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256"];

/// More than either cache holds, so that none of them has been seen when its turn comes again.
const TOKENS: usize = 1100;
/// So many natively.
const CHECKS: usize = 8;

/// Keys of public algorithms have one issuer, the secret has another: they never go together in one set.
const ISSUERS: [&str; 2] = ["solo.io", "secret.solo.io"];

/// Prints the tables.
pub fn report() {
    let tokens: Vec<Vec<String>> = ALGORITHMS.iter().map(|it| tokens(it, TOKENS)).collect();
    in_envoy(&tokens);
    natively(&tokens);
}

/// Tokens of the tour's caller, no two of them the same.
fn tokens(algorithm: &str, count: usize) -> Vec<String> {
    let claims = ALICE.replace("\"solo.io\",", &format!("{:?},", issuer_of(algorithm)));
    let end = now() + 86_400;
    let claims = |i: usize| with(&format!(r#""exp":{end},"jti":"{i}""#), &claims);
    (0..count).map(|i| issuer().token(algorithm, &claims(i))).collect()
}

fn issuer_of(algorithm: &str) -> &'static str {
    ISSUERS[usize::from(algorithm == "HS256")]
}

/// The keys of one of the issuers.
fn keys(issuer: &Issuer, name: &str) -> String {
    let own = ALGORITHMS.iter().filter(|it| issuer_of(it) == name);
    json!({"keys": own.map(|it| issuer.jwk(it, it)).collect::<Vec<_>>()}).to_string()
}

// --- in Envoy

const BARE: usize = 0;
const OURS: usize = 1;
const THEIRS: usize = 2;
const THEIRS_CACHED: usize = 3;
const OPEN: usize = 4;

fn in_envoy(tokens: &[Vec<String>]) {
    let envoys = Envoys::start(&[
        vec![],
        vec![module(&configuration())],
        jwt_authn(false),
        jwt_authn(true),
        vec![module(&open())],
    ]);
    let [bare] = medians([&|| envoys.cost(BARE, 4000, &[])]);
    println!(
        "\nmicroseconds of Envoy's processor time for a chat of 1 KB, one worker, 16 connections, medians of {ROUNDS}\n"
    );
    let [open] = medians([&|| envoys.cost(OPEN, 4000, &[])]);
    println!(
        "without any filter: {bare:.0}; the module with a route that asks for nothing: {open:.0} ({:.1} x)\n",
        open / bare
    );
    println!(
        "| token | turnpike, first | turnpike, known | jwt_authn + rbac, first | jwt_authn + rbac, known |"
    );
    println!("|---|---|---|---|---|");
    for (algorithm, tokens) in ALGORITHMS.iter().zip(tokens) {
        let one = &tokens[..1];
        let costs = medians([
            &|| envoys.cost(OURS, TOKENS, tokens),
            &|| envoys.cost(OURS, 3000, one),
            &|| envoys.cost(THEIRS, TOKENS, tokens),
            &|| envoys.cost(THEIRS_CACHED, 3000, one),
        ]);
        let shown = costs.map(|cost| format!("{cost:.0} ({:.1} x)", cost / bare));
        println!("| {algorithm} | {} |", shown.join(" | "));
    }
}

/// The module's configuration: the tour's access policies, and nothing else.
fn configuration() -> Value {
    let provider = |name: &str| json!({"keys": {"local": keys(issuer(), name)}, "issuer": name});
    json!({"downstream": {
        "jwtProviders": {"public": provider(ISSUERS[0]), "secret": provider(ISSUERS[1])},
        "routes": [{
            "name": "openai",
            "jwt": [{"providers": ["public", "secret"]}],
            "rbac": {"policies": [{"name": "viewer", "principals": [{
                "claims": [{"claim": ["llms", "openai"], "must": {"contain": "gpt-4o-mini"}}],
                "models": ["llms", "openai"],
            }]}]},
            "target": {"provider": "openai", "credential": "injected"},
        }],
    }})
}

/// The same without any of them.
fn open() -> Value {
    let route = json!({"name": "openai", "target": {"provider": "openai", "credential": "injected"}});
    json!({"downstream": {"routes": [route]}})
}

/// Envoy's own filters for the same.
fn jwt_authn(cached: bool) -> Vec<Value> {
    let provider = |name: &str| {
        let mut provider = json!({
            "issuer": name,
            "local_jwks": {"inline_string": keys(issuer(), name)},
            "payload_in_metadata": "principal",
        });
        if cached {
            provider["jwt_cache_config"] = json!({"jwt_cache_size": 1024});
        }
        provider
    };
    let principal = json!({"metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "principal"}, {"key": "llms"}, {"key": "openai"}],
        "value": {"list_match": {"one_of": {"string_match": {"exact": "gpt-4o-mini"}}}},
    }});
    vec![
        json!({"name": "jwt", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"public": provider(ISSUERS[0]), "secret": provider(ISSUERS[1])},
            "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
                {"provider_name": "public"}, {"provider_name": "secret"},
            ]}}}],
        }}),
        json!({"name": "rbac", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {"viewer": {
                "permissions": [{"any": true}], "principals": [principal],
            }}},
        }}),
    ]
}

// --- natively

fn natively(tokens: &[Vec<String>]) {
    println!("\ninstructions of native code for one check, JWT and RBAC, means of {CHECKS}\n");
    println!("| token | first | known |\n|---|---|---|");
    for (algorithm, tokens) in ALGORITHMS.iter().zip(tokens) {
        let count = |tokens: &[String]| {
            let task = tempfile::NamedTempFile::new().unwrap();
            let text = json!({"configuration": configuration().to_string(), "tokens": tokens});
            fs::write(task.path(), text.to_string()).unwrap();
            instructions::count("one_native_check", task.path())
        };
        let first = count(&tokens[..CHECKS]);
        let again: Vec<String> = std::iter::repeat_n(tokens[0].clone(), CHECKS + 1).collect();
        let known = count(&again).zip(count(&again[..1])).map(|(all, one)| all - one);
        let (Some(first), Some(known)) = (first, known) else {
            println!("\nthere is no valgrind to count with");
            return;
        };
        println!("| {algorithm} | {} | {} |", first / CHECKS as u64, known / CHECKS as u64);
    }
}

/// What is counted: checks each token of a task, in a process of its own.
pub fn check_natively(task: &Path) {
    let task: Value = serde_json::from_slice(&fs::read(task).unwrap()).unwrap();
    let configuration = task["configuration"].as_str().unwrap();
    let plugin = Plugin::read(configuration.as_bytes(), &|_| None).unwrap();
    let Plugin::Downstream(gateway) = plugin else { panic!("not downstream") };
    let access = Access::new(Rc::new(gateway), [0; 16]);
    for token in task["tokens"].as_array().unwrap() {
        let authorization = format!("Bearer {}", token.as_str().unwrap());
        one_native_check(&access, &authorization);
    }
}

#[inline(never)]
fn one_native_check(access: &Access, authorization: &str) {
    let headers = Headers::new(vec![
        (":method", b"POST".as_slice()),
        (":path", b"/openai"),
        (":authority", b"bench"),
        ("authorization", authorization.as_bytes()),
    ]);
    let time = std::time::Duration::from_secs(now());
    let verdict = access.decide(&access.policy().routes[0], &headers, time);
    assert!(verdict.is_ok(), "{verdict:?}");
}
