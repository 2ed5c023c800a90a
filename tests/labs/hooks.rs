//! Others who are asked about prompts and answers: webhooks, and OpenAI's moderation.

use std::net::SocketAddr;
use std::time::Duration;

use labs::policies::{guarded, options, upstream};
use labs::tokens::{ALICE, issuer};
use labs::{Ask, Gateway, lab};
use mock_provider::{Mock, Script};
use serde_json::{Value, json};

fn mock(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

/// A service that says this of everything.
fn says(action: &Value) -> Script {
    Script { page: Some(json!({"action": action}).to_string()), ..Script::default() }
}

fn webhook(side: &str, at: SocketAddr, more: &str) -> String {
    format!("{side}: {{webhook: {{host: {}, port: {}{more}}}}}", at.ip(), at.port())
}

const CHAT: &str = r#"{"model":"m","messages":[{"role":"system","content":"Be kind."},{"content":[{"type":"text","text":"My \u006eame"},{"type":"text","text":"is Jane"}],"role":"user"}]}"#;

lab!(a_webhook_passes_masks_and_rejects_prompts, |host| {
    let (provider, hook) = (mock(Script::default()), mock(says(&json!({"reason": null}))));
    let policies = guarded(
        provider.address(),
        &webhook(
            "request",
            hook.address(),
            ", forwardHeaders: [{key: x-user-, matchType: PREFIX}, {key: Authorization}]",
        ),
    );
    let gateway = Gateway::up(host, &policies);
    let ask = Ask::post("/openai", CHAT)
        .header("x-user-name", "jane")
        .header("x-other", "a")
        .header("authorization", "Bearer t")
        .header("traceparent", "00-1-2-01");
    assert_eq!(gateway.send(&ask).status, 200);
    let asked = hook.requests().pop().unwrap();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/request"));
    assert_eq!(asked.host, hook.address().to_string());
    assert_eq!(
        asked.json(),
        json!({"body": {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "My name"}, {"role": "user", "content": "is Jane"}]}})
    );
    let headers = ["x-user-name", "authorization", "traceparent", "x-other"].map(|name| asked.header(name));
    assert_eq!(headers, [Some("jane"), Some("Bearer t"), Some("00-1-2-01"), None]);
    assert_eq!(provider.requests().pop().unwrap().body, CHAT.as_bytes());

    let masked = json!([{"role": "user", "content": "Be kind."}, {"role": "user", "content": "My \"name\""}, {"role": "user", "content": "is ****"}]);
    hook.play(says(&json!({"body": {"messages": masked}, "reason": "names"})));
    assert_eq!(gateway.send(&ask).status, 200);
    let body = String::from_utf8(provider.requests().pop().unwrap().body).unwrap();
    assert_eq!(body, CHAT.replace(r"My \u006eame", r#"My \"name\""#).replace("Jane", "****"));

    hook.play(says(&json!({"body": "request blocked", "status_code": 418, "reason": "because"})));
    let refused = gateway.send(&ask);
    assert_eq!(
        (refused.said(), refused.code().as_str()),
        ((418, "request blocked".to_owned()), "prompt_rejected")
    );
    hook.play(says(&json!({"body": "", "status_code": 403})));
    assert_eq!(gateway.send(&ask).said(), (403, "Rejected by guardrails webhook".to_owned()));
    assert_eq!(provider.requests().len(), 2, "a refused prompt reaches no provider");
    gateway.await_metric(
        r#"turnpike_guard_total{route="lab/openai",side="request",rule="webhook",action="reject"} 2"#,
    );
    gateway.await_metric(
        r#"turnpike_guard_total{route="lab/openai",side="request",rule="webhook",action="mask"} 1"#,
    );
});

lab!(a_webhook_that_does_not_answer_denies_or_allows_as_the_policy_says, |host| {
    let (provider, hook) = (mock(Script::default()), mock(Script::default()));
    let nobody = mock(Script::default()).address();
    for (more, status) in [("", 503), (", onError: deny", 503), (", onError: allow", 200)] {
        let gateway = Gateway::up(
            host,
            &guarded(
                provider.address(),
                &webhook("request", hook.address(), &format!("{more}, timeout: 300ms")),
            ),
        );
        let of = |script: Script| {
            hook.play(script);
            let reply = gateway.send(&Ask::chat("/openai"));
            assert_eq!(reply.status, status, "{more}");
            assert!(status == 200 || reply.code() == "guard_unavailable");
        };
        of(Script { status: 500, ..Script::default() });
        of(Script { page: Some("no json".into()), ..Script::default() });
        of(says(&json!({"body": {"messages": []}})));
        of(says(&json!({"body": "no status"})));
        of(Script { delay: Duration::from_secs(2), ..says(&json!({})) });
        let gateway = Gateway::up(host, &guarded(provider.address(), &webhook("request", nobody, more)));
        assert_eq!(gateway.send(&Ask::chat("/openai")).status, status, "{more}");
    }
});

lab!(the_webhook_comes_first_then_patterns_then_moderation, |host| {
    let (provider, hook) = (mock(Script::default()), mock(says(&json!({}))));
    let judge = mock(Script {
        page: Some(r#"{"results":[{"flagged":false},{"flagged":true}]}"#.into()),
        ..Script::default()
    });
    let guard = format!(
        "request: {{customResponse: {{message: No.}}, webhook: {{host: {}, port: {}}}, regex: {{action: REJECT, matches: [{{pattern: plum}}]}}, moderation: {{openai: {{upstream: {{name: judge, namespace: lab}}}}}}}}",
        hook.address().ip(),
        hook.address().port()
    );
    let policies = guarded(provider.address(), &guard)
        + &upstream("judge", judge.address(), "authToken: {inline: sk-judge}");
    let gateway = Gateway::up(host, &policies);
    let ask = |text: &str| {
        gateway.send(&Ask::post(
            "/openai",
            json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string(),
        ))
    };
    assert_eq!(ask("a plum").said(), (403, "No.".into()));
    assert_eq!((hook.requests().len(), judge.requests().len()), (1, 0));
    assert_eq!(ask("violence").said(), (403, "No.".into()));
    let asked = judge.requests().pop().unwrap();
    assert_eq!(
        (asked.path.as_str(), asked.header("authorization")),
        ("/v1/moderations", Some("Bearer sk-judge"))
    );
    assert_eq!(asked.host, judge.address().to_string());
    assert_eq!(asked.json(), json!({"model": "omni-moderation-latest", "input": "role: user:\nviolence"}));
    assert_eq!(asked.header("x-turnpike-path"), None);
    judge.play(Script { page: Some(r#"{"results":[{"flagged":false}]}"#.into()), ..Script::default() });
    assert_eq!(ask("peace").status, 200);
    judge.play(Script { status: 429, ..Script::default() });
    assert_eq!((ask("peace").code(), provider.requests().len()), ("guard_unavailable".into(), 1));
    gateway.await_metric(
        r#"turnpike_guard_total{route="lab/openai",side="request",rule="moderation",action="reject"} 1"#,
    );
});

lab!(a_webhook_is_asked_about_answers_too_and_patterns_come_after_it, |host| {
    let (provider, hook) = (
        mock(Script { text: Some("Hello Jane, plum.".into()), ..Script::default() }),
        mock(says(&json!({}))),
    );
    let guard = webhook("response", hook.address(), "}, regex: {matches: [{pattern: plum}]");
    let gateway = Gateway::up(host, &guarded(provider.address(), &guard));
    let plain = |gateway: &Gateway| {
        gateway.send(&Ask::chat("/openai")).json()["choices"][0]["message"]["content"].clone()
    };
    let streamed = |gateway: &Gateway| -> String {
        let reply = gateway.send(&Ask::chat_stream("/openai"));
        assert!(reply.complete && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
        let text = reply.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: {"));
        let events = data.map(|data| serde_json::from_str::<Value>(&format!("{{{data}")).unwrap());
        events.filter_map(|it| it["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(plain(&gateway), "Hello Jane, <CUSTOM>.");
    let asked = hook.requests().pop().unwrap();
    assert_eq!(asked.path, "/response");
    assert_eq!(
        asked.json(),
        json!({"body": {"choices": [{"message": {"role": "assistant", "content": "Hello Jane, plum."}}]}})
    );
    assert_eq!(streamed(&gateway), "Hello Jane, <CUSTOM>.");
    assert_eq!(
        hook.requests().pop().unwrap().json()["body"]["choices"][0]["message"],
        json!({"role": "", "content": "Hello Jane, plum."})
    );
    hook.play(says(
        &json!({"body": {"choices": [{"message": {"role": "x", "content": "Hello ****, plum."}}]}}),
    ));
    assert_eq!(plain(&gateway), "Hello ****, <CUSTOM>.");
    assert_eq!(streamed(&gateway), "Hello ****, <CUSTOM>.");
    hook.play(says(&json!({"body": "no", "status_code": 409})));
    for ask in [Ask::chat("/openai"), Ask::chat_stream("/openai")] {
        let refused = gateway.send(&ask);
        assert_eq!((refused.said(), refused.code().as_str()), ((409, "no".to_owned()), "answer_rejected"));
    }
    hook.play(Script { status: 500, ..Script::default() });
    assert_eq!(gateway.send(&Ask::chat("/openai")).code(), "guard_unavailable");
});

// The request is woken by the keys, within a callback of the root context, and only then asks.
lab!(a_webhook_is_asked_by_a_request_that_has_waited_for_keys, |host| {
    let (provider, hook) = (mock(Script::default()), mock(says(&json!({}))));
    let keys = mock(Script {
        page: Some(issuer().jwks("EdDSA", "k")),
        delay: Duration::from_millis(700),
        ..Script::default()
    });
    let (ip, port) = (keys.address().ip(), keys.address().port());
    let jwt = "jwt: {providers: {p: {issuer: solo.io, jwks: {remote: {url: 'http://k/keys', upstreamRef: {name: keys, namespace: lab}}}}}}";
    let service = format!(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: keys, namespace: lab}}\nspec: {{static: {{hosts: [{{addr: {ip}, port: {port}}}]}}}}\n---\n"
    );
    let policies = options("VirtualHostOption", "Gateway", "gw", jwt)
        + &service
        + &guarded(provider.address(), &webhook("request", hook.address(), ""));
    let gateway = Gateway::up(host, &policies);
    let token = issuer().sign("EdDSA", r#"{"alg":"EdDSA","kid":"k"}"#, ALICE);
    assert_eq!(gateway.send(&Ask::chat("/openai").bearer(&token)).status, 200);
    assert_eq!(hook.requests().len(), 1);
});
