//! Tokens: every algorithm, and everything that a token can be that it must not be.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use labs::bench::Bench;
use labs::tokens::{ALGORITHMS, ALICE, BOB, hs256, impostor, issuer, now, with};
use labs::{Ask, Host, lab, project};
use mock_provider::{Mock, Script};
use serde_json::{Value, json};

/// The module by itself, with one route, whose provider of JWTs has these keys and these further fields.
fn bench(host: Host, keys: &str, more: Value) -> (Bench, Mock) {
    let provider = Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap();
    let mut jwt = json!({"keys": {"local": keys}, "issuer": "solo.io"});
    jwt.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let configuration = json!({"downstream": {
        "jwtProviders": {"solo": jwt},
        "routes": [{
            "name": "openai",
            "matches": [{"path": {"prefix": "/openai"}}],
            "jwt": [{"providers": ["solo"]}],
            "target": {"provider": "openai", "credential": {"env": "KEY"}}
        }]
    }});
    let bench = Bench::with_module(
        host,
        &project::module(),
        &configuration.to_string(),
        &[("KEY", "sk-lab")],
        provider.address(),
    );
    (bench, provider)
}

fn ask(token: &str) -> Ask {
    Ask::chat("/openai").bearer(token)
}

/// Status and message. What refuses a token is an error of the gateway's own.
fn says(bench: &Bench, ask: &Ask) -> (u16, String) {
    let reply = bench.send(ask);
    if reply.status != 200 {
        reply.code();
    }
    reply.said()
}

lab!(every_algorithm_is_known, |host| {
    let keys: Vec<Value> = ALGORITHMS.iter().map(|it| issuer().jwk(it, it)).collect();
    let (bench, provider) = bench(host, &json!({"keys": keys}).to_string(), json!({}));
    for algorithm in ALGORITHMS {
        let named =
            issuer().sign(algorithm, &format!(r#"{{"alg":"{algorithm}","kid":"{algorithm}"}}"#), ALICE);
        for token in [named, issuer().token(algorithm, ALICE)] {
            assert_eq!(says(&bench, &ask(&token)), (200, String::new()), "{algorithm}");
            assert_eq!(says(&bench, &ask(&token)).0, 200, "{algorithm}, known by now");
        }
        let forged = impostor().token(algorithm, ALICE);
        assert_eq!(says(&bench, &ask(&forged)), (401, "Jwt verification fails".into()), "{algorithm}");
    }
    assert_eq!(provider.requests().len(), 4 * ALGORITHMS.len());
});

lab!(a_shared_secret_is_a_key_where_it_is_said_to_be_one, |host| {
    let (bench, _provider) = bench(host, &issuer().jwks("HS256", "s"), json!({}));
    assert_eq!(says(&bench, &ask(&issuer().token("HS256", ALICE))).0, 200);
    assert_eq!(says(&bench, &ask(&impostor().token("RS256", ALICE))).0, 401);
});

lab!(a_pem_key_is_enough, |host| {
    let (bench, provider) = bench(host, &issuer().pem(), json!({}));
    let reply = bench.send(&ask(&issuer().token("RS256", ALICE)));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(provider.requests()[0].header("authorization"), Some("Bearer sk-lab"), "the token stays here");
});

/// Tokens that are signed, or not, in ways that must not be believed, and what is said of them.
fn forged() -> Vec<(String, &'static str)> {
    let good = issuer().token("RS256", ALICE);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let none = |alg: &str| BASE64.encode(format!(r#"{{"alg":"{alg}"}}"#));
    let pem = issuer().pem();
    let confused = format!("{}.{claims}", BASE64.encode(r#"{"alg":"HS256"}"#));
    let confused = format!("{confused}.{}", BASE64.encode(hs256(pem.as_bytes(), confused.as_bytes())));
    let changed = BASE64.encode(ALICE.replace("alice", "admin"));
    let bits = BASE64.decode(signature).unwrap();
    let fails = "Jwt verification fails";
    let unsupported = "Jwt header [alg] is not supported";
    vec![
        (impostor().token("RS256", ALICE), fails),
        (format!("{header}.{changed}.{signature}"), fails),
        (format!("{header}.{claims}.{}", BASE64.encode(&bits[1..])), fails),
        (format!("{header}.{claims}.{}", BASE64.encode([&bits[..], &[0]].concat())), fails),
        (format!("{header}.{claims}.{}", BASE64.encode([0; 256])), fails),
        (format!("{header}.{claims}.{}", BASE64.encode([0; 1])), fails),
        (format!("{}.{claims}.{signature}", none("none")), unsupported),
        (format!("{}.{claims}.{signature}", none("None")), unsupported),
        (format!("{}.{claims}.{signature}", none("nOnE")), unsupported),
        (format!("{}.{claims}.{signature}", none("")), unsupported),
        (format!("{}.{claims}.{signature}", none("RS256 ")), unsupported),
        (format!("{}.{claims}.{signature}", none("rs256")), unsupported),
        (confused, "Jwks doesn't have key to match kid or alg from Jwt"),
    ]
}

lab!(a_forged_token_opens_nothing, |host| {
    let (bench, provider) = bench(host, &issuer().pem(), json!({}));
    for (token, expected) in forged() {
        assert_eq!(says(&bench, &ask(&token)), (401, expected.to_owned()), "{token}");
    }
    assert_eq!(provider.requests().len(), 0);
});

lab!(no_bit_of_a_token_can_be_changed, |host| {
    let (bench, provider) = bench(host, &issuer().jwks("EdDSA", "e"), json!({}));
    let good = issuer().token("EdDSA", ALICE);
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert_eq!(says(&bench, &ask(&changed)).0, 401, "at {at}");
    }
    assert_eq!(provider.requests().len(), 0);
    assert_eq!(says(&bench, &ask(&good)).0, 200);
});

/// Tokens that are no tokens, signed well where they can be.
fn malformed() -> Vec<String> {
    let sign = |header: &str, claims: &str| issuer().sign("EdDSA", header, claims);
    let good = sign(r#"{"alg":"EdDSA"}"#, ALICE);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut tokens: Vec<String> =
        ["abc", "a.b", "a.b.c", "...", "..", ".", "a.b.c.d", "....", "{}.{}.{}"].map(str::to_owned).to_vec();
    tokens.extend([
        format!("{good}."),
        format!(".{good}"),
        format!("{good}="),
        format!("{good}=="),
        format!("{signed}."),
        format!("{signed}.{}", signature.replacen(char::is_alphanumeric, "+", 1)),
        good.replacen('.', "..", 1),
        good.replacen('.', ". ", 1),
        good.replacen('.', "%2e", 1),
        format!("{}.{}", &good, &signature),
        json!({"payload": signed, "signature": signature}).to_string(),
    ]);
    for header in [
        r#"{"alg":"EdDSA","crit":["exp"]}"#,
        r#"{"alg":"EdDSA","crit":[]}"#,
        r#"{"alg":"EdDSA","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"EdDSA","b64":false}"#,
        r#"{"alg":"EdDSA","jwk":{"kty":"OKP"}}"#,
        r#"{"alg":"EdDSA","jku":"https://example.com/keys"}"#,
        r#"{"alg":"EdDSA","x5u":"https://example.com/keys"}"#,
        r#"{"alg":"EdDSA","x5c":["x"]}"#,
        r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
        r#"{"alg":"none","\u0061lg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","kid":7}"#,
        r#"{"alg":["EdDSA"]}"#,
        r#"{"typ":"JWT"}"#,
        r#"["EdDSA"]"#,
        r#""EdDSA""#,
        "null",
        "{",
        "",
    ] {
        tokens.push(sign(header, ALICE));
    }
    for claims in [
        r#"["alice"]"#.to_owned(),
        r#""alice""#.to_owned(),
        "{".to_owned(),
        String::new(),
        format!("{ALICE}{ALICE}"),
        with(r#""sub":"admin""#, ALICE),
        with(r#""s\u0075b":"admin""#, ALICE),
        with(r#""x":{"a":1,"a":2}"#, ALICE),
        with(r#""exp":"4000000000""#, ALICE),
        with(r#""exp":null"#, ALICE),
        with(r#""exp":1e400"#, ALICE),
        with(r#""exp":-1"#, ALICE),
        with(r#""exp":{}"#, ALICE),
        with(r#""nbf":"0""#, ALICE),
        with(r#""aud":7"#, ALICE),
        with(r#""aud":[7]"#, ALICE),
        ALICE.replace(r#""solo.io""#, r#"["solo.io"]"#),
        ALICE.replace("alice", "al\u{0}ice"),
        with(&format!(r#""deep":{}"#, "[".repeat(3000) + &"]".repeat(3000)), ALICE),
        with(&format!(r#""long":"{}""#, "x".repeat(8192)), ALICE),
    ] {
        tokens.push(sign(r#"{"alg":"EdDSA"}"#, &claims));
    }
    tokens
}

lab!(a_malformed_token_is_refused_whoever_has_signed_it, |host| {
    let (bench, provider) = bench(host, &issuer().jwks("EdDSA", "e"), json!({}));
    let tokens = malformed();
    assert!(tokens.len() > 50);
    for token in tokens {
        let (status, message) = says(&bench, &ask(&token));
        assert_eq!(status, 401, "{token}");
        assert!(message.starts_with("Jwt "), "{message}: {token}");
        assert_ne!(message, "Jwt verification fails", "{token}");
    }
    let invalid_text = issuer().sign("EdDSA", r#"{"alg":"EdDSA"}"#, ALICE).replacen('.', ".\u{e9}", 1);
    assert_eq!(says(&bench, &ask(&invalid_text)).0, 401);
    assert_eq!(provider.requests().len(), 0);
});

lab!(the_times_of_a_token_are_kept, |host| {
    let (bench, _provider) = bench(host, &issuer().jwks("EdDSA", "e"), json!({}));
    let at = |claim: &str, offset: i64| {
        let time = now().saturating_add_signed(offset);
        says(&bench, &ask(&issuer().token("EdDSA", &with(&format!(r#""{claim}":{time}"#), ALICE))))
    };
    assert_eq!(at("exp", 3600).0, 200);
    assert_eq!(at("exp", -30).0, 200, "clocks may differ by a minute");
    assert_eq!(at("exp", -90), (401, "Jwt is expired".into()));
    assert_eq!(at("nbf", -3600).0, 200);
    assert_eq!(at("nbf", 30).0, 200);
    assert_eq!(at("nbf", 120), (401, "Jwt not yet valid".into()));
    let fraction = with(&format!(r#""exp":{}.5"#, now() + 5), ALICE);
    assert_eq!(says(&bench, &ask(&issuer().token("EdDSA", &fraction))).0, 200);
});

lab!(a_known_token_expires_like_any_other, |host| {
    let (bench, _provider) = bench(host, &issuer().jwks("EdDSA", "e"), json!({"clockSkewSeconds": 0}));
    let token = issuer().token("EdDSA", &with(&format!(r#""exp":{}"#, now() + 2), ALICE));
    assert_eq!(says(&bench, &ask(&token)).0, 200);
    std::thread::sleep(std::time::Duration::from_millis(3100));
    assert_eq!(says(&bench, &ask(&token)), (401, "Jwt is expired".into()));
});

lab!(a_token_has_to_end_where_the_policy_says_so, |host| {
    let (bench, _provider) = bench(host, &issuer().jwks("EdDSA", "e"), json!({"requireExpiry": true}));
    let reply = bench.send(&ask(&issuer().token("EdDSA", ALICE)));
    assert_eq!((reply.status, reply.code().as_str()), (401, "jwt_expiry_required"));
    let ends = with(&format!(r#""exp":{}"#, now() + 60), ALICE);
    assert_eq!(says(&bench, &ask(&issuer().token("EdDSA", &ends))).0, 200);
});

lab!(who_has_issued_a_token_and_for_whom, |host| {
    let fields = json!({"audiences": ["llm-gateway", "everybody"]});
    let (bench, _provider) = bench(host, &issuer().jwks("EdDSA", "e"), fields);
    let with_audience = |audience: &str| {
        says(&bench, &ask(&issuer().token("EdDSA", &with(&format!(r#""aud":{audience}"#), ALICE))))
    };
    assert_eq!(with_audience(r#""llm-gateway""#).0, 200);
    assert_eq!(with_audience(r#"["else","everybody"]"#).0, 200);
    for audience in [r#""else""#, "[]", r#""llm-gateway ""#, r#"["LLM-gateway"]"#] {
        assert_eq!(with_audience(audience), (403, "Audiences in Jwt are not allowed".into()), "{audience}");
    }
    assert_eq!(says(&bench, &ask(&issuer().token("EdDSA", ALICE))).0, 403);
    for issuer_claim in [r#""iss":"solo.io/""#, r#""iss":"else""#] {
        let claims = ALICE.replace(r#""iss": "solo.io""#, issuer_claim);
        assert_eq!(
            says(&bench, &ask(&issuer().token("EdDSA", &claims))),
            (401, "Jwt issuer is not configured".into())
        );
    }
});

lab!(the_client_is_told_what_to_bring, |host| {
    let (bench, _provider) = bench(host, &issuer().jwks("EdDSA", "e"), json!({}));
    let missing = bench.send(&Ask::chat("/openai?q=1").header("host", "llm.example.com"));
    assert_eq!((missing.status, missing.code().as_str()), (401, "jwt_missing"));
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"http://llm.example.com/openai\""));
    let bad = bench.send(&ask("x").header("host", "llm.example.com"));
    assert_eq!(
        bad.header("www-authenticate"),
        Some("Bearer realm=\"http://llm.example.com/openai\", error=\"invalid_token\"")
    );
    assert_eq!(bench.send(&Ask::chat("/openai").header("authorization", "Basic YTpi")).code(), "jwt_missing");
    let query = Ask::chat(&format!("/openai?access_token={}", issuer().token("EdDSA", ALICE)));
    assert_eq!(bench.send(&query).code(), "jwt_missing", "only where the policy names it");
});

lab!(two_credentials_are_none, |host| {
    let from = json!({"from": [{"header": {"name": "authorization", "prefix": "Bearer "}}, {"header": {"name": "x-jwt"}}, {"query": "token"}]});
    let (bench, provider) = bench(host, &issuer().jwks("EdDSA", "e"), from);
    let good = issuer().token("EdDSA", ALICE);
    let query = |ask: &str| Ask::chat(&format!("/openai?{ask}"));
    for both in [
        ask(&good).header("authorization", &format!("Bearer {good}")),
        ask(&good).header("authorization", "Bearer a.b.c"),
        ask("a.b.c").header("authorization", &format!("Bearer {good}")),
        ask(&good).header("authorization", "Basic YTpi"),
        ask(&good).header("x-jwt", "a.b.c"),
        query(&format!("token={good}")).header("x-jwt", &good),
        query(&format!("token={good}&token=a.b.c")),
    ] {
        // Hosts join what stands in two lines; then it is one token, and none that anybody could have signed.
        let reply = bench.send(&both);
        assert!([400, 401].contains(&reply.status), "{}", reply.text());
        assert!(reply.code().starts_with("jwt_"));
    }
    assert_eq!(provider.requests().len(), 0);
    for one in
        [ask(&good), Ask::chat("/openai").header("x-jwt", &good), query(&format!("a=b&token={good}&c"))]
    {
        assert_eq!(says(&bench, &one).0, 200);
        let got = provider.requests().pop().unwrap();
        assert_eq!(got.header("x-jwt"), None);
        assert!(!got.path.contains("token"), "{}", got.path);
    }
    assert_eq!(provider.requests()[2].path, "/v1/chat/completions?a=b&c");
});

lab!(a_token_goes_on_and_an_audience_is_refused_as_the_policy_says, |host| {
    let fields = json!({
        "keepToken": true,
        "from": [{"header": {"name": "x-jwt", "prefix": "JWT "}}, {"query": "token"}],
        "audiences": ["llm-gateway"],
        "wrongAudience": "unauthorized"
    });
    let (bench, provider) = bench(host, &issuer().jwks("EdDSA", "e"), fields);
    let good = issuer().token("EdDSA", &with(r#""aud":"llm-gateway""#, ALICE));
    assert_eq!(says(&bench, &Ask::chat("/openai").header("x-jwt", &format!("jwt {good}"))).0, 200);
    assert_eq!(says(&bench, &Ask::chat(&format!("/openai?token={good}"))).0, 200);
    let got = provider.requests();
    assert_eq!(got[0].header("x-jwt"), Some(format!("jwt {good}").as_str()));
    assert_eq!(got[1].path, format!("/v1/chat/completions?token={good}"));
    let other = Ask::chat("/openai").header("x-jwt", &format!("JWT {}", issuer().token("EdDSA", ALICE)));
    assert_eq!(says(&bench, &other), (401, "Audiences in Jwt are not allowed".into()));
    assert_eq!(bench.send(&ask(&good)).code(), "jwt_missing", "only where the policy names it");
});

lab!(claims_go_on_in_headers_that_no_client_can_set, |host| {
    let fields = json!({"claimsToHeaders": [
        {"claim": "team", "header": "X-Team"},
        {"claim": ["llms", "openai"], "header": "x-models"},
        {"claim": "missing", "header": "x-missing"}
    ]});
    let (bench, provider) = bench(host, &issuer().jwks("EdDSA", "e"), fields);
    let good = issuer().token("EdDSA", ALICE);
    let lies = ask(&good)
        .header("X-TEAM", "admin")
        .header("x_team", "admin")
        .header("X_Models", "all")
        .header("x-missing", "me")
        .header("x-else", "mine");
    assert_eq!(says(&bench, &lies).0, 200);
    let got = &provider.requests()[0];
    let names = ["x-else", "x-models", "x_models", "x-team", "x_team", "x-missing"];
    let mut ours: Vec<_> =
        got.headers.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let models = pair("x-models", "WyJncHQtNG8tbWluaSJd");
    let mut expected = [pair("x-else", "mine"), models, pair("x-team", "dev")];
    expected.sort();
    ours.sort();
    assert_eq!(ours, expected);
});

#[test]
fn what_comes_after_the_module_in_envoy_knows_the_caller() {
    if !labs::gateway::envoy_is_here("what_comes_after_the_module_in_envoy_knows_the_caller") {
        return;
    }
    let (bench, _provider) = bench(Host::Envoy, &issuer().jwks("EdDSA", "e"), json!({}));
    let reply = bench.send(&ask(&issuer().token("EdDSA", BOB)));
    let caller: Value = serde_json::from_str(reply.header("x-caller").unwrap()).unwrap();
    assert_eq!(caller, json!({"solo": serde_json::from_str::<Value>(BOB).unwrap()}));
}
