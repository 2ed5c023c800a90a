//! When a model fails, the next one answers: within a provider and across providers.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use labs::policies::{keyed, options, route, upstream};
use labs::{Ask, Gateway, Reply, lab};
use mock_provider::{Mock, Script};
use serde_json::Value;

fn mock(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

fn failing(status: u16) -> Script {
    Script { status, ..Script::default() }
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// An Upstream with these targets, one priority each: provider, model, address, key.
fn chain(targets: &[(&str, &str, SocketAddr, &str)]) -> String {
    let pool = |(provider, model, address, key): &(&str, &str, SocketAddr, &str)| {
        let (host, port) = (address.ip(), address.port());
        let model = if model.is_empty() { String::new() } else { format!("model: {model}, ") };
        format!(
            "{{pool: [{{{provider}: {{{model}customHost: {{host: {host}, port: {port}}}, authToken: {{inline: {key}}}}}}}]}}"
        )
    };
    let priorities: Vec<String> = targets.iter().map(pool).collect();
    format!(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: openai, namespace: lab}}\nspec: {{ai: {{multi: {{priorities: [{}]}}}}}}\n---\n",
        priorities.join(", ")
    )
}

/// A route to the upstream `openai` with these options.
fn with(more: &str) -> String {
    options("RouteOption", "HTTPRoute", "openai", more) + &route("/openai", "openai", "")
}

/// What failover there is where nothing is said of it.
fn plain() -> String {
    with("ai: {failover: {}}")
}

/// The models that a provider was asked for.
fn models(provider: &Mock) -> Vec<String> {
    let model = |body: Value| body["model"].as_str().unwrap_or_default().to_owned();
    provider.requests().iter().map(|it| model(it.json())).collect()
}

fn signed(reply: &Reply) -> (Option<&str>, Option<&str>, Option<&str>) {
    let header = |name| reply.header(name);
    (header("x-turnpike-provider"), header("x-turnpike-model"), header("x-turnpike-attempts"))
}

const BACKUPS: &str = "ai: {backupModels: [gpt-4.0-turbo, gpt-3.5-turbo]}";

lab!(backup_models_are_tried_in_their_order_and_the_last_failure_is_the_answer, |host| {
    let busy = Script { headers: vec![("retry-after".into(), "7".into())], ..failing(429) };
    let provider = mock(busy);
    let gateway = Gateway::up(host, &(keyed("openai", provider.address(), "sk-lab") + &with(BACKUPS)));
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")));
    assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(reply.header("x-turnpike-reason"), None);
    assert_eq!(models(&provider), ["gpt-4o-mini", "gpt-4.0-turbo", "gpt-3.5-turbo"]);
    assert_eq!(signed(&reply), (Some("openai"), Some("gpt-3.5-turbo"), Some("3")));
    // One after the other, once each, by everybody who asks.
    gateway.send(&Ask::chat("/openai"));
    assert_eq!(models(&provider).len(), 6);
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="provider_error"} 2"#);
});

lab!(the_answer_is_that_of_the_first_model_that_works, |host| {
    let provider = mock(Script { times: Some(2), ..failing(429) });
    let gateway = Gateway::up(host, &(keyed("openai", provider.address(), "sk-lab") + &with(BACKUPS)));
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!((reply.status, reply.json()["model"].as_str()), (200, Some("gpt-3.5-turbo")));
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!(signed(&reply), (Some("openai"), Some("gpt-4o-mini"), Some("1")));
    assert_eq!(models(&provider).len(), 4);
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="ok"} 2"#);
});

lab!(today_s_policy_files_say_the_same, |host| {
    let provider = mock(Script { times: Some(2), ..failing(429) });
    let one = |model| ("openai", model, provider.address(), "sk-lab");
    let retries = "retries: {retryOn: 'retriable-status-codes', retriableStatusCodes: [429], numRetries: 2, previousPriorities: {updateFrequency: 1}}";
    let policies = chain(&[one("gpt-4o"), one("gpt-4.0-turbo"), one("gpt-3.5-turbo")]) + &with(retries);
    let gateway = Gateway::up(host, &policies);
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!(signed(&reply), (Some("openai"), Some("gpt-3.5-turbo"), Some("3")));
    assert_eq!(models(&provider), ["gpt-4o", "gpt-4.0-turbo", "gpt-3.5-turbo"]);
    // Only what the policy lists leads on.
    provider.play(failing(503));
    assert_eq!(signed(&gateway.send(&Ask::chat("/openai"))).2, Some("1"));
});

lab!(every_failure_of_a_model_leads_to_the_next, |host| {
    let (bad, good) = (mock(Script::default()), mock(Script::default()));
    let slow = "ai: {failover: {firstByteTimeout: 300ms}}";
    let targets = [("openai", "a", bad.address(), "sk-a"), ("openai", "b", good.address(), "sk-b")];
    let gateway = Gateway::up(host, &(chain(&targets) + &with(slow)));
    let troubles = [429, 500, 502, 503, 504, 529].map(failing);
    let silent = [
        Script { hang_up: true, ..Script::default() },
        Script { delay: Duration::from_secs(3), ..Script::default() },
    ];
    for trouble in troubles.into_iter().chain(silent) {
        let what = format!("{} {} {:?}", trouble.status, trouble.hang_up, trouble.delay);
        bad.play(trouble);
        let reply = gateway.send(&Ask::chat("/openai"));
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        assert_eq!(signed(&reply), (Some("openai"), Some("b"), Some("2")), "{what}");
    }
    assert_eq!(models(&good), ["b"; 8]);
});

lab!(where_nobody_is_the_next_model_answers, |host| {
    let good = mock(Script::default());
    let targets = [("openai", "a", nobody(), "sk-a"), ("openai", "b", good.address(), "sk-b")];
    let gateway = Gateway::up(host, &(chain(&targets) + &plain()));
    assert_eq!(signed(&gateway.send(&Ask::chat("/openai"))).1, Some("b"));
    // A name that leads nowhere: Envoy has no server for it and makes no further attempt, so the module does.
    let lost = chain(&targets).replacen("host: 127.0.0.1", "host: nowhere.invalid", 1);
    let gateway = Gateway::up(host, &(lost + &plain()));
    let begun = Instant::now();
    let reply = loop {
        let reply = gateway.send(&Ask::chat("/openai"));
        // Until the name has been looked for, which takes Envoy a moment.
        if reply.status == 200 || begun.elapsed() > Duration::from_secs(10) {
            break reply;
        }
    };
    assert_eq!(signed(&reply), (Some("openai"), Some("b"), Some("2")), "{}", reply.text());
    let stream = gateway.send(&Ask::chat_stream("/openai"));
    assert!(stream.text().ends_with("data: [DONE]\n\n"), "{}", stream.text());
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
});

lab!(what_is_the_request_s_own_fault_stays_where_it_is, |host| {
    let (first, second) = (mock(Script::default()), mock(Script::default()));
    let targets = [("openai", "a", first.address(), "sk-a"), ("openai", "b", second.address(), "sk-b")];
    let gateway = Gateway::up(host, &(chain(&targets) + &plain()));
    for (status, told) in [(400, 400), (401, 502), (403, 403), (404, 404), (422, 422)] {
        first.play(failing(status));
        assert_eq!(gateway.send(&Ask::chat("/openai")).status, told);
    }
    assert_eq!(second.requests().len(), 0);
});

lab!(each_provider_gets_its_own_host_path_model_and_key, |host| {
    let (openai, mistral, last) = (mock(failing(429)), mock(failing(503)), mock(Script::default()));
    let targets = [
        ("openai", "", openai.address(), "sk-openai"),
        ("mistral", "mistral-small-latest", mistral.address(), "sk-mistral"),
        ("openai", "gpt-long-name-of-a-model", last.address(), "sk-last"),
    ];
    // The first writes the longest body, so that the second one's is shorter than what the headers have said.
    for order in [[0, 1, 2], [2, 0, 1]] {
        let [first, second, third] = order.map(|i| targets[i]);
        let gateway = Gateway::up(host, &(chain(&[first, second, third]) + &plain()));
        let mocks = [&openai, &mistral, &last];
        mocks[order[0]].play(failing(429));
        mocks[order[1]].play(failing(503));
        mocks[order[2]].play(Script::default());
        let reply = gateway.send(&Ask::chat("/openai").bearer("alice"));
        assert_eq!((reply.status, signed(&reply).2), (200, Some("3")), "{}", reply.text());
        assert_eq!(signed(&reply).0, Some(third.0));
        for (i, (_, model, address, key)) in targets.iter().enumerate() {
            let got = mocks[i].requests().pop().unwrap();
            assert_eq!(got.header("authorization"), Some(format!("Bearer {key}").as_str()));
            assert_eq!(
                (got.host.as_str(), got.path.as_str()),
                (address.to_string().as_str(), "/v1/chat/completions")
            );
            let model = if model.is_empty() { "gpt-4o-mini" } else { model };
            assert_eq!(got.json()["model"], model, "{}", String::from_utf8_lossy(&got.body));
            let own = got
                .headers
                .iter()
                .find(|(name, _)| name.starts_with("x-turnpike") || name.starts_with("x-envoy"));
            assert_eq!(own, None);
        }
    }
});

lab!(the_stream_of_the_third_attempt_comes_as_it_comes, |host| {
    let [a, b] = [mock(failing(429)), mock(Script { hang_up: true, ..Script::default() })];
    let chunks = Some(["one ", "two ", "three "].map(str::to_owned).to_vec());
    let good = mock(Script { chunks, chunk_delay: Duration::from_millis(150), ..Script::default() });
    let one = |model, provider: &Mock| ("openai", model, provider.address(), "sk");
    let policies = chain(&[one("a", &a), one("b", &b), one("c", &good)]) + &plain();
    let gateway = Gateway::up(host, &policies);
    let reply = gateway.send(&Ask::chat_stream("/openai"));
    assert!(reply.complete && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    assert_eq!(signed(&reply).2, Some("3"));
    let (first, last) = (reply.pieces[0].0, reply.pieces.last().unwrap().0);
    assert!(last - first > Duration::from_millis(400), "{first:?} to {last:?}: it came in one piece");
});

lab!(an_error_in_the_first_event_of_a_stream_is_a_failure, |host| {
    let event = |text: &str| Some(vec![format!("data: {text}\n\n").into_bytes()]);
    let failing = |text: &str| Script { stream: event(text), ..Script::default() };
    let (bad, good) = (mock(failing(r#"{"error":{"message":"x"}}"#)), mock(Script::default()));
    let targets = [("openai", "a", bad.address(), "sk"), ("openai", "b", good.address(), "sk")];
    let gateway = Gateway::up(host, &(chain(&targets) + &plain()));
    let reply = gateway.send(&Ask::chat_stream("/openai"));
    assert_eq!((reply.status, signed(&reply).2), (200, Some("2")));
    assert!(!reply.text().contains("error") && reply.text().ends_with("data: [DONE]\n\n"));
    // The last one's is the answer, as it is.
    good.play(failing(r#"{"error":{"message":"y"}}"#));
    let reply = gateway.send(&Ask::chat_stream("/openai"));
    assert_eq!(reply.status, 200);
    assert!(reply.text().starts_with("data: {\"error\":{\"message\":\"y\"}}\n\n"), "{}", reply.text());
    let attempts = |target: &str, outcome: &str, count: usize| {
        gateway.await_metric(&format!(
            r#"turnpike_attempts_total{{target="lab/openai:{target}",outcome="{outcome}"}} {count}"#
        ));
    };
    attempts("a", "error_event", 2);
    attempts("b", "error_event", 1);
    attempts("b", "ok", 1);
});

lab!(a_stream_that_does_not_begin_is_left_for_the_next_model, |host| {
    let stalled = Script { chunk_delay: Duration::from_secs(3), ..Script::default() };
    let (bad, good) = (mock(stalled), mock(Script::default()));
    let targets = [("openai", "a", bad.address(), "sk"), ("openai", "b", good.address(), "sk")];
    let policies = chain(&targets) + &with("ai: {failover: {firstByteTimeout: 300ms}}");
    let gateway = Gateway::up(host, &policies);
    let reply = gateway.send(&Ask::chat_stream("/openai"));
    assert_eq!((reply.status, signed(&reply).2), (200, Some("2")), "{}", reply.text());
    assert!(reply.pieces[0].0 < Duration::from_secs(2));
    // A stream that has begun may take its time.
    let chunks = Some(["a ", "b ", "c "].map(str::to_owned).to_vec());
    good.play(Script { chunks, chunk_delay: Duration::from_millis(200), ..Script::default() });
    let reply = gateway.send(&Ask::chat_stream("/openai"));
    assert!(reply.complete && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
});

lab!(a_client_that_leaves_ends_the_chain, |host| {
    let slow = Script { delay: Duration::from_millis(800), ..failing(429) };
    let (first, second) = (mock(slow), mock(Script::default()));
    let targets = [("openai", "a", first.address(), "sk"), ("openai", "b", second.address(), "sk")];
    let gateway = Gateway::up(host, &(chain(&targets) + &plain()));
    let (stream, _) = Ask::chat("/openai").start(gateway.address);
    while first.requests().is_empty() {
        std::thread::yield_now();
    }
    drop(stream);
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="unanswered"} 1"#);
    gateway.await_metric(r#"turnpike_attempts_total{target="lab/openai:a",outcome="abandoned"} 1"#);
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(second.requests().len(), 0);
});

lab!(the_backends_of_one_priority_share_as_their_weights_say, |host| {
    let (big, small) = (mock(Script::default()), mock(Script::default()));
    let pool = |model: &str, provider: &Mock, weight: u32| {
        let port = provider.address().port();
        format!(
            "{{openai: {{model: {model}, customHost: {{host: 127.0.0.1, port: {port}}}, authToken: {{inline: k}}}}, weight: {weight}}}"
        )
    };
    let pools = [pool("a", &big, 3), pool("b", &small, 1)].join(", ");
    let upstream = format!(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: openai, namespace: lab}}\nspec: {{ai: {{multi: {{priorities: [{{pool: [{pools}]}}]}}}}}}\n---\n"
    );
    let gateway = Gateway::up(host, &(upstream + &plain()));
    for _ in 0..200 {
        assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200);
    }
    let share = small.requests().len();
    assert!((25..=80).contains(&share), "{share} of 200, where 50 are its share");
    // If one of them fails, the other answers.
    big.play(failing(500));
    for _ in 0..10 {
        assert_eq!(signed(&gateway.send(&Ask::chat("/openai"))).1, Some("b"));
    }
});

lab!(callers_are_led_to_their_own_models_only, |host| {
    let (first, second) = (mock(failing(429)), mock(Script::default()));
    let targets = [
        ("openai", "", first.address(), "sk"),
        ("openai", "gpt-4o", first.address(), "sk"),
        ("openai", "gpt-4o-mini", second.address(), "sk"),
    ];
    let rbac = "rbac: {policies: {v: {nestedClaimDelimiter: ., principals: [{jwtPrincipal: {claims: {llms.openai: gpt-4o-mini}, matcher: LIST_CONTAINS}}]}}}";
    let token =
        labs::tokens::issuer().token("EdDSA", r#"{"iss":"solo.io","llms":{"openai":["gpt-4o-mini"]}}"#);
    let ask = Ask::chat("/openai").bearer(&token);
    let gateway_with = |failover: &str| {
        let jwt = options("VirtualHostOption", "Gateway", "gw", &labs::policies::local_jwt());
        let doors = labs::policies::doors(first.address());
        let (gateway, _) = doors.split_once("apiVersion: gloo.solo.io").unwrap();
        let route = route("/openai", "openai", "").replace("spec:\n", "spec:\n  parentRefs: [{name: gw}]\n");
        let options = options(
            "RouteOption",
            "HTTPRoute",
            "openai",
            &format!("{rbac}, ai: {{failover: {{{failover}}}}}"),
        );
        Gateway::up(
            host,
            &(gateway.to_owned()
                + &jwt.replace("name: access", "name: jwt")
                + &options
                + &chain(&targets)
                + &route),
        )
    };
    let gateway = gateway_with("");
    let reply = gateway.send(&ask);
    assert_eq!(
        (reply.status, signed(&reply)),
        (200, (Some("openai"), Some("gpt-4o-mini"), Some("2"))),
        "{}",
        reply.text()
    );
    assert_eq!(models(&first), ["gpt-4o-mini"]);
    first.forget();
    let reply = gateway_with("ignoreModelClaim: true").send(&ask);
    assert_eq!((reply.status, signed(&reply).2), (200, Some("3")));
    assert_eq!(models(&first), ["gpt-4o-mini", "gpt-4o"]);
});

lab!(a_client_s_own_key_goes_to_every_model_of_its_chain, |host| {
    let provider = mock(failing(429));
    let policies = upstream("openai", provider.address(), "authToken: {passthrough: {}}") + &with(BACKUPS);
    let gateway = Gateway::up(host, &policies);
    assert_eq!(gateway.send(&Ask::chat("/openai").bearer("sk-alice")).status, 429);
    let requests = provider.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|it| it.header("authorization") == Some("Bearer sk-alice")));
});

lab!(a_client_cannot_ask_for_attempts, |host| {
    let provider = mock(failing(503));
    let gateway = Gateway::up(host, &labs::policies::simple(provider.address()));
    for forwarded in [false, true] {
        let ask = Ask::chat("/openai").header("x-envoy-max-retries", "3").header("x-envoy-retry-on", "5xx");
        // From afar, and from the same machine.
        let ask = if forwarded { ask.header("x-forwarded-for", "192.0.2.1") } else { ask };
        assert_eq!(gateway.send(&ask).status, 503);
    }
    assert_eq!(provider.requests().len(), 2);
});

lab!(a_client_cannot_choose_whom_it_is_led_to, |host| {
    let (first, second) = (mock(Script::default()), mock(Script::default()));
    let targets = [("openai", "a", first.address(), "sk"), ("openai", "b", second.address(), "sk")];
    let other = upstream("other", second.address(), "authToken: {inline: other}");
    let policies = chain(&targets) + &plain() + &other + &route("/other", "other", "");
    let gateway = Gateway::up(host, &policies);
    for path in ["/openai", "/other"] {
        let ask =
            Ask::chat(path).header("x-turnpike-chain", "lab/openai:b").header("x-envoy-max-retries", "9");
        assert_eq!(gateway.send(&ask).status, 200);
    }
    assert_eq!(models(&first), ["a"]);
    assert_eq!(second.requests()[0].header("authorization"), Some("Bearer other"));
});
