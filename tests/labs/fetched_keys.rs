//! Keys that are fetched: waited for, kept, rotated, and not asked for too often.

use std::thread;
use std::time::{Duration, Instant};

use labs::gateway::Start;
use labs::policies::{doors, options};
use labs::tokens::{ALICE, impostor, issuer};
use labs::{Ask, Gateway, Host, lab};
use mock_provider::{Mock, Script};

fn mock() -> Mock {
    idp(Script::default())
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
        + &doors(provider.address())
}

fn page(keys: String) -> Script {
    Script { page: Some(keys), ..Script::default() }
}

fn idp(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

/// Waits until every VM has the keys: one for each of the two workers, and in Envoy one more.
fn await_keys(host: Host, gateway: &Gateway) {
    let vms = if host == Host::Envoy { 3 } else { 2 };
    let begun = Instant::now();
    while gateway.log().matches("its keys have come").count() < vms {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", gateway.log());
        thread::sleep(Duration::from_millis(20));
    }
}

/// A token that names its key.
fn named(kid: &str) -> String {
    issuer().sign("EdDSA", &format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#), ALICE)
}

lab!(keys_are_fetched_and_their_rotation_loses_no_request, |host: Host| {
    let (provider, idp) = (mock(), idp(page(issuer().jwks("EdDSA", "one"))));
    let gateway = Gateway::up(host, &fetched(&provider, &idp, "3600s"));
    assert_eq!(gateway.send(&Ask::chat("/openai").bearer(&named("one"))).said().0, 200);
    await_keys(host, &gateway);
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
            scope.spawn(move || gateway.send(&Ask::chat("/openai").bearer(&token)).said())
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
    assert_eq!(gateway.send(&Ask::chat("/openai").bearer(&named("one"))).said().0, 200);
    await_keys(host, &gateway);
    let before = idp.requests().len();
    for i in 0..50 {
        let (status, message) =
            gateway.send(&Ask::chat("/openai").bearer(&named(&format!("none-{i}")))).said();
        assert_eq!((status, message.as_str()), (401, "Jwks doesn't have key to match kid or alg from Jwt"));
    }
    let fetches = idp.requests().len() - before;
    assert!(fetches <= 4, "{fetches} fetches");
    assert_eq!(gateway.send(&Ask::chat("/openai").bearer(&impostor().token("EdDSA", ALICE))).said().0, 401);
});

lab!(a_request_before_the_first_key_waits_a_bounded_time, |host: Host| {
    let slow = Script { delay: Duration::from_millis(1500), ..page(issuer().jwks("EdDSA", "one")) };
    let (provider, idp) = (mock(), idp(slow));
    let gateway = Gateway::up(host, &fetched(&provider, &idp, "3600s"));
    assert_eq!(gateway.send(&Ask::chat("/openai").chunked().bearer(&named("one"))).said().0, 200);
    assert_eq!(provider.requests().len(), 1);
});

lab!(without_any_key_the_answer_is_a_503_that_says_so, |host: Host| {
    let (provider, idp) = (mock(), idp(Script { status: 500, ..Script::default() }));
    let gateway = Gateway::up(host, &fetched(&provider, &idp, "3600s"));
    let begun = Instant::now();
    let reply = gateway.send(&Ask::chat("/openai").bearer(&named("one")));
    assert_eq!((reply.status, reply.code().as_str()), (503, "jwks_unavailable"));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(
        gateway.send(&Ask::chat("/openai")).said().0,
        401,
        "without a token there is nothing to wait for"
    );
    assert!(gateway.log().contains("the answer has status 500"), "{}", gateway.log());
    // The server recovers, and so does the gateway.
    idp.play(page(issuer().jwks("EdDSA", "one")));
    assert_eq!(gateway.send(&Ask::chat("/openai").bearer(&named("one"))).said().0, 200);
    assert_eq!(provider.requests().len(), 1);
});

lab!(keys_are_fetched_again_on_time_and_kept_when_that_fails, |host: Host| {
    let (provider, idp) = (mock(), idp(page(issuer().jwks("EdDSA", "one"))));
    let gateway = Gateway::up(host, &fetched(&provider, &idp, "1s"));
    let ask = Ask::chat("/openai").bearer(&named("one"));
    assert_eq!(gateway.send(&ask).said().0, 200);
    await_keys(host, &gateway);
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
        assert_eq!(gateway.send(&ask).said().0, 200, "old keys are better than none");
    }
});

lab!(a_body_that_comes_while_keys_are_waited_for_is_not_lost, |host: Host| {
    let slow = Script { delay: Duration::from_millis(800), ..page(issuer().jwks("EdDSA", "one")) };
    let (provider, idp) = (mock(), idp(slow));
    let gateway = Gateway::up(host, &fetched(&provider, &idp, "3600s"));
    let text = "x".repeat(300_000);
    let body = format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let reply = gateway.send(&Ask::post("/openai", body.clone()).bearer(&named("one")));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(provider.requests()[0].body, body.as_bytes());
});
