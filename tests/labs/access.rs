//! Who may pass, with the policy files of the tour and with keys that are fetched.

use std::fs;
use std::process::Command;

use labs::gateway::Start;
use labs::policies::{doors, local_jwt, options, route};
use labs::tokens::{ALICE, BOB, impostor, issuer, with};
use labs::{Ask, Gateway, Host, lab, project};
use mock_provider::{Mock, Script};

fn mock() -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap()
}

/// The gateway of the tour with its access policies, and mock providers.
fn tour(host: Host) -> Gateway {
    let policies = project::root().join("policies");
    let file = |name: &str| policies.join(name).to_str().unwrap().to_owned();
    ["base", "jwt-provider-vho.yaml", "openai-routeoption.yaml", "mistralai-routeoption.yaml"]
        .iter()
        .fold(Start::new(host, ""), |start, name| start.arg("-f").arg(&file(name)))
        .arg("--mock")
        .up()
}

/// What `turnpike token` prints.
fn token(args: &[&str]) -> String {
    let output = Command::new(project::turnpike()).arg("token").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn example_key() -> String {
    project::root().join("policies/example-private-key.pem").to_str().unwrap().to_owned()
}

fn asks_for(path: &str, model: &str) -> Ask {
    Ask::post(path, format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Say hello."}}]}}"#))
}

lab!(alice_and_bob_have_a_door_each, |host| {
    let gateway = tour(host);
    let key = example_key();
    let alice = token(&[
        "sign",
        "--key",
        &key,
        "--sub",
        "alice",
        "--team",
        "dev",
        "--llm",
        "openai",
        "--model",
        "gpt-4o-mini",
    ]);
    let bob = token(&["sign", &key, "bob", "ops", "mistralai", "open-mistral-nemo"]);
    let denied = (403, "RBAC: access denied".to_owned());
    for path in ["/openai", "/mistralai"] {
        assert_eq!(gateway.send(&Ask::chat(path)).said(), (401, "Jwt is missing".into()), "{path}");
    }
    assert_eq!(gateway.send(&Ask::chat("/openai").bearer(&alice)).said().0, 200);
    assert_eq!(gateway.send(&Ask::chat("/mistralai").bearer(&alice)).said(), denied);
    let nemo = |path: &str| asks_for(path, "open-mistral-nemo");
    assert_eq!(gateway.send(&nemo("/mistralai").bearer(&bob)).said().0, 200);
    assert_eq!(gateway.send(&nemo("/openai").bearer(&bob)).said(), denied);
    let streamed = gateway.send(&Ask::chat_stream("/openai").bearer(&alice));
    assert!(streamed.text().ends_with("data: [DONE]\n\n"), "{}", streamed.text());
    gateway.await_metric(
        r#"turnpike_requests_total{route="gloo-system/mistralai",reason="rbac_access_denied"} 1"#,
    );
    let log = gateway.log();
    assert!(
        log.contains("policy viewer asks for `llms.mistralai` to contain `open-mistral-nemo`"),
        "the log knows which rule would have let Alice pass: {log}"
    );
    assert!(!log.contains(alice.split('.').nth(1).unwrap()), "a token is in the log");
});

lab!(the_body_names_a_model_of_the_caller_s_own_list, |host| {
    let gateway = tour(host);
    let key = example_key();
    let bob = token(&["sign", &key, "bob", "ops", "mistralai", "open-mistral-nemo"]);
    let refused = |ask: Ask| {
        let reply = gateway.send(&ask.bearer(&bob));
        assert_eq!((reply.status, reply.code().as_str()), (403, "model_not_allowed"), "{}", reply.text());
        reply.json()["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        refused(asks_for("/mistralai", "mistral-large-latest")),
        "the model `mistral-large-latest` is not one that this caller may use; its token lists open-mistral-nemo"
    );
    for body in [
        r#"{"model":"open-mistral-nemo","models":["mistral-large-latest"],"messages":[]}"#,
        r#"{"model":"open-mistral-nemo","fallbacks":[{"model":"mistral-large-latest"}],"messages":[]}"#,
        r#"{"messages":[{"role":"user","content":"hi"}]}"#,
        r#"{"model":"open-mistral-nemo","MODEL":"mistral-large-latest"}"#,
    ] {
        refused(Ask::post("/mistralai", body));
    }
    for path in ["/mistralai/v1/embeddings", "/mistralai/v1/completions", "/mistralai/v1/responses"] {
        refused(Ask::post(path, r#"{"model":"mistral-embed","input":"hi","prompt":"hi"}"#));
        let own = Ask::post(path, r#"{"model":"open-mistral-nemo","input":"hi","prompt":"hi"}"#);
        assert_ne!(gateway.send(&own.bearer(&bob)).status, 403, "{path}");
    }
    refused(Ask::get("/mistralai/v1/models/mistral-large-latest"));
    refused(
        Ask::post("/mistralai/v1/audio/transcriptions", "x").header("content-type", "multipart/form-data"),
    );
    assert_eq!(gateway.send(&Ask::get("/mistralai/v1/models").bearer(&bob)).status, 200);
    let twice = Ask::post("/mistralai", r#"{"model":"open-mistral-nemo","model":"mistral-large-latest"}"#);
    assert_eq!(gateway.send(&twice.bearer(&bob)).code(), "duplicate_field");
});

lab!(the_check_of_models_can_be_switched_off, |host: Host| {
    let provider = mock();
    let rbac = "rbac: {modelClaim: '', policies: {v: {nestedClaimDelimiter: ., principals: [{jwtPrincipal: {claims: {llms.openai: gpt-4o-mini}, matcher: LIST_CONTAINS}}]}}}";
    let policies = options("RouteOption", "HTTPRoute", "openai", rbac)
        + &options("VirtualHostOption", "Gateway", "gw", &local_jwt())
        + &doors(provider.address());
    let gateway = Gateway::up(host, &policies);
    let alice = issuer().token("EdDSA", ALICE);
    assert_eq!(gateway.send(&asks_for("/openai", "gpt-4o").bearer(&alice)).said().0, 200);
    assert_eq!(gateway.send(&Ask::chat("/openai").bearer(&issuer().token("EdDSA", BOB))).said().0, 403);
});

lab!(a_route_may_ask_for_nothing_and_the_gateway_for_rules_everywhere, |host: Host| {
    let provider = mock();
    let host_options = options("VirtualHostOption", "Gateway", "gw", &local_jwt());
    let open = options("RouteOption", "HTTPRoute", "openai", "jwt: {disable: true}");
    let gateway = Gateway::up(host, &(open + &host_options + &doors(provider.address())));
    assert_eq!(gateway.send(&Ask::chat("/openai")).said().0, 200);
    let settings = "apiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {name: default, namespace: lab}\nspec: {rbac: {requireRbac: true}}\n---\n";
    let gateway = Gateway::up(host, &(settings.to_owned() + &host_options + &doors(provider.address())));
    let alice = issuer().token("EdDSA", &with(r#""admin":true"#, ALICE));
    assert_eq!(
        gateway.send(&Ask::chat("/openai").bearer(&alice)).said(),
        (403, "RBAC: access denied".into())
    );
});

/// One rule of a route, which only some callers may use.
fn guarded(path: &str, rbac: &str) -> String {
    let name = path.trim_matches('/');
    let rbac = format!("rbac: {{policies: {{p: {rbac}}}}}");
    let route = route(path, "openai", "").replace("spec:\n", "spec:\n  parentRefs: [{name: gw}]\n");
    let option = options("RouteOption", "HTTPRoute", name, &rbac);
    route + &option.replace("name: access,", &format!("name: {name},"))
}

lab!(claims_are_matched_as_the_policy_says, |host: Host| {
    let provider = mock();
    let principal = |claims: &str, matcher: &str| {
        format!("{{principals: [{{jwtPrincipal: {{claims: {{{claims}}}, matcher: {matcher}}}}}]}}")
    };
    let narrow = "{principals: [{jwtPrincipal: {claims: {team: dev}}}], permissions: {pathPrefix: /narrow/v1/models, methods: [GET]}}";
    let nested = "{nestedClaimDelimiter: '/', principals: [{jwtPrincipal: {claims: {org/unit: x}}}, {jwtPrincipal: {claims: {team: ops}}}]}";
    let policies = options("VirtualHostOption", "Gateway", "gw", &local_jwt())
        + &doors(provider.address())
        + &guarded("/exact", &principal("team: dev, sub: alice", "EXACT_STRING"))
        + &guarded("/bool", &principal("admin: 'true'", "BOOLEAN"))
        + &guarded("/list", &principal("groups: a", "LIST_CONTAINS"))
        + &guarded("/regex", &principal("team: 'd.v|qa'", "REGEX_MATCH"))
        + &guarded("/nested", nested)
        + &guarded("/narrow", narrow);
    let gateway = Gateway::up(host, &policies);
    let status = |path: &str, more: &str| {
        let claims = with(more, r#"{"iss":"solo.io","sub":"alice"}"#);
        gateway.send(&Ask::chat(path).bearer(&issuer().token("EdDSA", &claims))).status
    };
    for (path, claims, expected) in [
        ("/exact", r#""team":"dev""#, 200),
        ("/exact", r#""team":"devs""#, 403),
        ("/exact", r#""team":["dev"]"#, 403),
        ("/bool", r#""admin":true"#, 200),
        ("/bool", r#""admin":false"#, 403),
        ("/bool", r#""admin":"true""#, 403),
        ("/list", r#""groups":["b","a"]"#, 200),
        ("/list", r#""groups":["b","ab"]"#, 403),
        ("/list", r#""groups":"a""#, 403),
        ("/regex", r#""team":"dev""#, 200),
        ("/regex", r#""team":"qa""#, 200),
        ("/regex", r#""team":"dev2""#, 403),
        ("/nested", r#""org":{"unit":"x"}"#, 200),
        ("/nested", r#""org/unit":"x""#, 403),
        ("/nested", r#""team":"ops""#, 200),
        ("/narrow/v1/models", r#""team":"dev""#, 403),
    ] {
        assert_eq!(status(path, claims), expected, "{path} {claims}");
    }
    let dev = issuer().token("EdDSA", &with(r#""team":"dev""#, r#"{"iss":"solo.io"}"#));
    let get = |path: &str| gateway.send(&Ask::get(path).bearer(&dev)).status;
    assert_eq!(get("/narrow/v1/models"), 200);
    assert_eq!(get("/narrow/v1/models?x=/narrow/v1/files"), 200);
    assert_eq!(get("/narrow/v1/files"), 403);
    assert_ne!(get("/narrow/v1/models/../files"), 200);
    assert_ne!(get("/narrow/v1/models/%2e%2e/files"), 200);
    assert_ne!(get("/narrow/v1/models%2f..%2ffiles"), 200);
});

lab!(any_of_several_issuers_will_do_and_a_policy_may_let_strangers_in, |host: Host| {
    let provider = mock();
    let (one, two) = (issuer().jwks("EdDSA", "e"), impostor().jwks("ES256", "e"));
    let jwt = format!(
        "jwt: {{validationPolicy: ALLOW_MISSING, providers: {{one: {{issuer: one, jwks: {{local: {{key: '{one}'}}}}}}, two: {{issuer: two, jwks: {{local: {{key: '{two}'}}}}}}}}}}"
    );
    let only_two = "{principals: [{jwtPrincipal: {provider: two}}]}";
    let policies = options("VirtualHostOption", "Gateway", "gw", &jwt)
        + &doors(provider.address())
        + &guarded("/two", only_two);
    let gateway = Gateway::up(host, &policies);
    let first = issuer().token("EdDSA", r#"{"iss":"one"}"#);
    let second = impostor().token("ES256", r#"{"iss":"two"}"#);
    let crossed = issuer().token("EdDSA", r#"{"iss":"two"}"#);
    let ask = |path: &str, token: &str| gateway.send(&Ask::chat(path).bearer(token)).said();
    assert_eq!(ask("/openai", &first).0, 200);
    assert_eq!(ask("/openai", &second).0, 200);
    assert_eq!(ask("/openai", &crossed), (401, "Jwks doesn't have key to match kid or alg from Jwt".into()));
    assert_eq!(gateway.send(&Ask::chat("/openai")).said().0, 200, "as nobody");
    assert_eq!(ask("/two", &second).0, 200);
    assert_eq!(ask("/two", &first).0, 403);
    assert_eq!(gateway.send(&Ask::chat("/two")).said().0, 403, "nobody is nobody's caller");
});

#[test]
fn check_says_which_resource_has_lost_which_key() {
    let folder = tempfile::tempdir().unwrap();
    let policies = project::root().join("policies");
    let younger = fs::read_to_string(policies.join("openai-routeoption.yaml")).unwrap();
    fs::write(folder.path().join("b.yaml"), younger.replace("name: openai-opt", "name: younger-opt"))
        .unwrap();
    let output = Command::new(project::turnpike())
        .arg("check")
        .args(
            ["base", "jwt-provider-vho.yaml", "openai-routeoption.yaml"]
                .iter()
                .flat_map(|name| ["-f".to_owned(), policies.join(name).to_str().unwrap().to_owned()]),
        )
        .args(["-f", folder.path().to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lost = "spec.options.rbac: note: is not used: RouteOption gloo-system/openai-opt says it already, and comes first";
    assert!(output.status.success() && said.contains(lost), "{said}");
}

#[test]
fn token_makes_keys_and_tokens_and_says_what_policies_make_of_them() {
    let folder = tempfile::tempdir().unwrap();
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let key = folder.path().join(algorithm);
        fs::write(&key, token(&["keygen", "--alg", algorithm]) + "\n").unwrap();
        let key = key.to_str().unwrap();
        let public = token(&["public", "--key", key]);
        let policy = folder.path().join("policy.yaml");
        let base = fs::read_to_string(project::root().join("policies/jwt-provider-vho.yaml")).unwrap();
        let (before, rest) = base.split_once("                -----BEGIN").unwrap();
        let (_, after) = rest.split_once("-----END PUBLIC KEY-----").unwrap();
        let indented = public.lines().map(|line| format!("                {line}\n")).collect::<String>();
        fs::write(&policy, format!("{before}{indented}{after}")).unwrap();
        let alice = token(&["sign", key, "alice", "dev", "openai", "gpt-4o-mini"]);
        let policies = project::root().join("policies");
        let file = |name: &str| policies.join(name).to_str().unwrap().to_owned();
        let said = token(&[
            "inspect",
            &format!("Bearer {alice}"),
            "-f",
            &file("base"),
            "-f",
            policy.to_str().unwrap(),
            "-f",
            &file("openai-routeoption.yaml"),
            "-f",
            &file("mistralai-routeoption.yaml"),
        ]);
        for line in [
            "never expires: it has no `exp`",
            "route gloo-system/openai: passes, with gpt-4o-mini",
            "route gloo-system/mistralai: 403 RBAC: access denied (policy viewer asks for `llms.mistralai` to contain `open-mistral-nemo`)",
        ] {
            assert!(said.contains(line), "{said}");
        }
        let other = token(&["inspect", &alice, "-f", &file("base"), "-f", &file("jwt-provider-vho.yaml")]);
        let refused = if algorithm == "RS256" {
            "route gloo-system/openai: 401 Jwt verification fails"
        } else {
            "route gloo-system/openai: 401 Jwks doesn't have key to match kid or alg from Jwt"
        };
        assert!(other.contains(refused), "{other}");
    }
}
