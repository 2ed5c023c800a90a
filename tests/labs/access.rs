//! Who may pass, with the policy files of the tour and with keys that are fetched.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use labs::gateway::Start;
use labs::policies::{keyed, route};
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

fn bearer(ask: Ask, token: &str) -> Ask {
    ask.header("authorization", &format!("Bearer {token}"))
}

fn asks_for(path: &str, model: &str) -> Ask {
    Ask::post(path, format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Say hello."}}]}}"#))
}

/// Status and message.
fn says(gateway: &Gateway, ask: &Ask) -> (u16, String) {
    let reply = gateway.send(ask);
    match reply.status {
        200 => (200, String::new()),
        status => (status, reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned()),
    }
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
        assert_eq!(says(&gateway, &Ask::chat(path)), (401, "Jwt is missing".into()), "{path}");
    }
    assert_eq!(says(&gateway, &bearer(Ask::chat("/openai"), &alice)).0, 200);
    assert_eq!(says(&gateway, &bearer(Ask::chat("/mistralai"), &alice)), denied);
    let nemo = |path: &str| asks_for(path, "open-mistral-nemo");
    assert_eq!(says(&gateway, &bearer(nemo("/mistralai"), &bob)).0, 200);
    assert_eq!(says(&gateway, &bearer(nemo("/openai"), &bob)), denied);
    let streamed = gateway.send(&bearer(Ask::chat_stream("/openai"), &alice));
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
        let reply = gateway.send(&bearer(ask, &bob));
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
        assert_ne!(gateway.send(&bearer(own, &bob)).status, 403, "{path}");
    }
    refused(Ask::get("/mistralai/v1/models/mistral-large-latest"));
    refused(
        Ask::post("/mistralai/v1/audio/transcriptions", "x").header("content-type", "multipart/form-data"),
    );
    assert_eq!(gateway.send(&bearer(Ask::get("/mistralai/v1/models"), &bob)).status, 200);
    let twice = Ask::post("/mistralai", r#"{"model":"open-mistral-nemo","model":"mistral-large-latest"}"#);
    assert_eq!(gateway.send(&bearer(twice, &bob)).code(), "duplicate_field");
});

lab!(the_check_of_models_can_be_switched_off, |host: Host| {
    let provider = mock();
    let rbac = "rbac: {modelClaim: '', policies: {v: {nestedClaimDelimiter: ., principals: [{jwtPrincipal: {claims: {llms.openai: gpt-4o-mini}, matcher: LIST_CONTAINS}}]}}}";
    let policies = options("RouteOption", "HTTPRoute", "openai", rbac)
        + &options("VirtualHostOption", "Gateway", "gw", &local_jwt())
        + &doors(&provider);
    let gateway = Gateway::up(host, &policies);
    let alice = issuer().token("EdDSA", ALICE);
    assert_eq!(says(&gateway, &bearer(asks_for("/openai", "gpt-4o"), &alice)).0, 200);
    assert_eq!(says(&gateway, &bearer(Ask::chat("/openai"), &issuer().token("EdDSA", BOB))).0, 403);
});

/// A gateway and one route to a provider.
fn doors(provider: &Mock) -> String {
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: lab}\nspec: {listeners: [{name: http, port: 80}]}\n---\n";
    let route = route("/openai", "openai", "").replace("spec:\n", "spec:\n  parentRefs: [{name: gw}]\n");
    gateway.to_owned() + &keyed("openai", provider.address(), "sk-lab") + &route
}

fn options(kind: &str, target: &str, name: &str, options: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: {kind}\nmetadata: {{name: access, namespace: lab}}\nspec: {{targetRefs: [{{kind: {target}, name: {name}}}], options: {{{options}}}}}\n---\n"
    )
}

fn local_jwt() -> String {
    let jwks = issuer().jwks("EdDSA", "e");
    format!("jwt: {{providers: {{solo: {{issuer: solo.io, jwks: {{local: {{key: '{jwks}'}}}}}}}}}}")
}

/// Policies that fetch keys from a server.
fn fetched(provider: &Mock, idp: &Mock, cache: &str) -> String {
    let (ip, port) = (idp.address().ip(), idp.address().port());
    let jwt = format!(
        "jwt: {{providers: {{idp: {{issuer: solo.io, jwks: {{remote: {{url: 'http://idp.example.com/jwks.json', cacheDuration: {cache}, upstreamRef: {{name: idp, namespace: lab}}}}}}}}}}}}"
    );
    format!(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: idp, namespace: lab}}\nspec: {{static: {{hosts: [{{addr: {ip}, port: {port}}}]}}}}\n---\n"
    ) + &options("VirtualHostOption", "Gateway", "gw", &jwt)
        + &doors(provider)
}

fn page(keys: String) -> Script {
    Script { page: Some(keys), ..Script::default() }
}

fn idp(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

/// A token that names its key.
fn named(kid: &str) -> String {
    issuer().sign("EdDSA", &format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#), ALICE)
}

lab!(keys_are_fetched_and_their_rotation_loses_no_request, |host: Host| {
    let (provider, idp) = (mock(), idp(page(issuer().jwks("EdDSA", "one"))));
    let gateway = Gateway::up(host, &fetched(&provider, &idp, "3600s"));
    assert_eq!(says(&gateway, &bearer(Ask::chat("/openai"), &named("one"))).0, 200);
    assert_eq!(idp.requests()[0].path, "/jwks.json");
    assert_eq!(idp.requests()[0].host, "idp.example.com");
    let asked = idp.requests().len();
    let (old, new) = (issuer().jwk("EdDSA", "one"), issuer().jwk("EdDSA", "two"));
    idp.play(page(serde_json::json!({"keys": [old, new]}).to_string()));
    // All at once, and all of them before anybody has the new key.
    let refused = thread::scope(|scope| {
        let ask = |i: usize| {
            let token = named(["two", "one"][i % 2]);
            let gateway = &gateway;
            scope.spawn(move || says(gateway, &bearer(Ask::chat("/openai"), &token)))
        };
        let asked: Vec<_> = (0..40).map(ask).collect();
        asked
            .into_iter()
            .map(|it| it.join().unwrap())
            .filter(|(status, _)| *status != 200)
            .collect::<Vec<_>>()
    });
    assert_eq!(refused, []);
    // One for each worker that has seen the new key, and no more within the cool-down.
    let more = idp.requests().len() - asked;
    assert!((1..=4).contains(&more), "{more} fetches for one new key");
});

lab!(an_unknown_key_does_not_become_a_flood_of_fetches, |host: Host| {
    let (provider, idp) = (mock(), idp(page(issuer().jwks("EdDSA", "one"))));
    let gateway = Start::new(host, &fetched(&provider, &idp, "3600s")).up();
    assert_eq!(says(&gateway, &bearer(Ask::chat("/openai"), &named("one"))).0, 200);
    let before = idp.requests().len();
    for i in 0..50 {
        let (status, message) = says(&gateway, &bearer(Ask::chat("/openai"), &named(&format!("none-{i}"))));
        assert_eq!((status, message.as_str()), (401, "Jwks doesn't have key to match kid or alg from Jwt"));
    }
    let fetches = idp.requests().len() - before;
    assert!(fetches <= 4, "{fetches} fetches");
    assert_eq!(says(&gateway, &bearer(Ask::chat("/openai"), &impostor().token("EdDSA", ALICE))).0, 401);
});

lab!(a_request_before_the_first_key_waits_a_bounded_time, |host: Host| {
    let slow = Script { delay: Duration::from_millis(1500), ..page(issuer().jwks("EdDSA", "one")) };
    let (provider, idp) = (mock(), idp(slow));
    let gateway = Gateway::up(host, &fetched(&provider, &idp, "3600s"));
    assert_eq!(says(&gateway, &bearer(Ask::chat("/openai").chunked(), &named("one"))).0, 200);
    assert_eq!(provider.requests().len(), 1);
});

lab!(without_any_key_the_answer_is_a_503_that_says_so, |host: Host| {
    let (provider, idp) = (mock(), idp(Script { status: 500, ..Script::default() }));
    let gateway = Gateway::up(host, &fetched(&provider, &idp, "3600s"));
    let begun = Instant::now();
    let reply = gateway.send(&bearer(Ask::chat("/openai"), &named("one")));
    assert_eq!((reply.status, reply.code().as_str()), (503, "jwks_unavailable"));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(says(&gateway, &Ask::chat("/openai")).0, 401, "without a token there is nothing to wait for");
    assert!(gateway.log().contains("the answer has status 500"), "{}", gateway.log());
    // The server recovers, and so does the gateway.
    idp.play(page(issuer().jwks("EdDSA", "one")));
    assert_eq!(says(&gateway, &bearer(Ask::chat("/openai"), &named("one"))).0, 200);
    assert_eq!(provider.requests().len(), 1);
});

lab!(keys_are_fetched_again_on_time_and_kept_when_that_fails, |host: Host| {
    let (provider, idp) = (mock(), idp(page(issuer().jwks("EdDSA", "one"))));
    let gateway = Gateway::up(host, &fetched(&provider, &idp, "1s"));
    let ask = bearer(Ask::chat("/openai"), &named("one"));
    assert_eq!(says(&gateway, &ask).0, 200);
    for script in [
        Script { status: 503, ..Script::default() },
        page("{}".into()),
        page(r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#.into()),
        page("x".repeat(3 << 20)),
    ] {
        idp.forget();
        idp.play(script);
        let begun = Instant::now();
        // Every worker has asked for new keys, in vain.
        while idp.requests().len() < 3 && begun.elapsed() < Duration::from_secs(15) {
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(says(&gateway, &ask).0, 200, "old keys are better than none");
    }
});

lab!(a_body_that_comes_while_keys_are_waited_for_is_not_lost, |host: Host| {
    let slow = Script { delay: Duration::from_millis(800), ..page(issuer().jwks("EdDSA", "one")) };
    let (provider, idp) = (mock(), idp(slow));
    let gateway = Gateway::up(host, &fetched(&provider, &idp, "3600s"));
    let text = "x".repeat(300_000);
    let body = format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let reply = gateway.send(&bearer(Ask::post("/openai", body.clone()), &named("one")));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(provider.requests()[0].body, body.as_bytes());
});

lab!(a_route_may_ask_for_nothing_and_the_gateway_for_rules_everywhere, |host: Host| {
    let provider = mock();
    let host_options = options("VirtualHostOption", "Gateway", "gw", &local_jwt());
    let open = options("RouteOption", "HTTPRoute", "openai", "jwt: {disable: true}");
    let gateway = Gateway::up(host, &(open + &host_options + &doors(&provider)));
    assert_eq!(says(&gateway, &Ask::chat("/openai")).0, 200);
    let settings = "apiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {name: default, namespace: lab}\nspec: {rbac: {requireRbac: true}}\n---\n";
    let gateway = Gateway::up(host, &(settings.to_owned() + &host_options + &doors(&provider)));
    let alice = issuer().token("EdDSA", &with(r#""admin":true"#, ALICE));
    assert_eq!(says(&gateway, &bearer(Ask::chat("/openai"), &alice)), (403, "RBAC: access denied".into()));
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
        + &doors(&provider)
        + &guarded("/exact", &principal("team: dev, sub: alice", "EXACT_STRING"))
        + &guarded("/bool", &principal("admin: 'true'", "BOOLEAN"))
        + &guarded("/list", &principal("groups: a", "LIST_CONTAINS"))
        + &guarded("/regex", &principal("team: 'd.v|qa'", "REGEX_MATCH"))
        + &guarded("/nested", nested)
        + &guarded("/narrow", narrow);
    let gateway = Gateway::up(host, &policies);
    let status = |path: &str, more: &str| {
        let claims = with(more, r#"{"iss":"solo.io","sub":"alice"}"#);
        gateway.send(&bearer(Ask::chat(path), &issuer().token("EdDSA", &claims))).status
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
    let get = |path: &str| gateway.send(&bearer(Ask::get(path), &dev)).status;
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
    let policies =
        options("VirtualHostOption", "Gateway", "gw", &jwt) + &doors(&provider) + &guarded("/two", only_two);
    let gateway = Gateway::up(host, &policies);
    let first = issuer().token("EdDSA", r#"{"iss":"one"}"#);
    let second = impostor().token("ES256", r#"{"iss":"two"}"#);
    let crossed = issuer().token("EdDSA", r#"{"iss":"two"}"#);
    let ask = |path: &str, token: &str| says(&gateway, &bearer(Ask::chat(path), token));
    assert_eq!(ask("/openai", &first).0, 200);
    assert_eq!(ask("/openai", &second).0, 200);
    assert_eq!(ask("/openai", &crossed), (401, "Jwks doesn't have key to match kid or alg from Jwt".into()));
    assert_eq!(says(&gateway, &Ask::chat("/openai")).0, 200, "as nobody");
    assert_eq!(ask("/two", &second).0, 200);
    assert_eq!(ask("/two", &first).0, 403);
    assert_eq!(says(&gateway, &Ask::chat("/two")).0, 403, "nobody is nobody's caller");
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
