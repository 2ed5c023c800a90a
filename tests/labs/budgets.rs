//! What may be used of what, and what a client is told when that is all gone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use labs::gateway::Start;
use labs::policies::{budgets, doors, options};
use labs::sidecar::Sidecar;
use labs::tokens::issuer;
use labs::{Ask, Gateway, Host, lab};
use mock_provider::{Mock, Script};
use rustix::process::Signal;

/// A provider whose answers are three words.
fn three_words() -> Mock {
    let script = Script { text: Some("Hello my friend".into()), ..Script::default() };
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

/// A gateway with these budgets before a provider.
fn gateway(host: Host, provider: &Mock, list: &str) -> Gateway {
    Start::new(host, &budgets(provider.address(), list)).up()
}

/// What a provider says of the tokens of one request.
fn used(provider: &Mock, ask: &Ask) -> u64 {
    ask.send(provider.address()).json()["usage"]["total_tokens"].as_u64().unwrap()
}

/// Waits until what is left is so much.
fn await_left(gateway: &Gateway, ask: &Ask, left: u64) {
    let begun = Instant::now();
    loop {
        let said = gateway.send(ask).header("x-ratelimit-remaining").map(str::to_owned);
        if said == Some(left.to_string()) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{said:?} is left, and not {left}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

lab!(a_rate_limit_config_counts_prompts_for_each_of_its_subjects, |host| {
    let provider = three_words();
    let config = "apiVersion: ratelimit.solo.io/v1alpha1
kind: RateLimitConfig
metadata: {name: per-user, namespace: lab}
spec:
  raw:
    descriptors: [{key: user-id, rateLimit: {requestsPerUnit: 20, unit: YEAR}}]
    rateLimits:
    - actions: [{metadata: {descriptorKey: user-id, source: DYNAMIC, defaultValue: unknown, metadataKey: {key: envoy.filters.http.jwt_authn, path: [{key: principal}, {key: sub}]}}}]
---
";
    let jwt = labs::policies::local_jwt();
    let policies = config.to_owned()
        + &options("VirtualHostOption", "Gateway", "gw", &jwt)
        + &options("RouteOption", "HTTPRoute", "openai", "rateLimitConfigs: {refs: [{name: per-user}]}")
        + &doors(provider.address());
    let gateway = Start::new(host, &policies).up();
    let token = |sub: &str| issuer().token("EdDSA", &format!(r#"{{"iss":"solo.io","sub":"{sub}"}}"#));
    let ask = |sub: &str| gateway.send(&Ask::chat("/openai").bearer(&token(sub)));
    // "Say hello." has 12 tokens by Gloo's formula.
    assert_eq!([ask("alice").status, ask("alice").status, ask("bob").status], [200, 429, 200]);
    let refused = ask("alice");
    assert_eq!(refused.header("x-envoy-ratelimited"), Some("true"));
    assert_eq!(refused.header("x-ratelimit-limit"), Some("20, 20;w=31536000"));
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("8"));
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(refused.header("x-turnpike-reason"), Some("budget_exceeded"));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("the budget `lab/per-user` allows 20 tokens of prompts per year: 8 are left, this request takes 12;"), "{message}");
    assert_eq!(provider.requests().len(), 2);
    gateway.await_metric(
        r#"turnpike_budget_total{route="lab/openai",budget="lab/per-user",outcome="allowed"} 2"#,
    );
    gateway.await_metric(
        r#"turnpike_budget_total{route="lab/openai",budget="lab/per-user",outcome="exceeded"} 2"#,
    );
    gateway.await_metric(r#"ai_rate_limited_tokens_total{llm="openai",model="gpt-4o-mini"} 24"#);
});

lab!(what_was_used_takes_the_place_of_what_was_reserved_plain_and_streamed, |host| {
    let provider = three_words();
    let ask = Ask::chat("/v1/chat/completions");
    let each = used(&provider, &ask);
    let gateway = gateway(
        host,
        &provider,
        "{name: b, counts: total, max: 1000, per: year, headers: true, estimate: 100}",
    );
    let first = gateway.send(&Ask::chat("/openai"));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("888"), "12 and the estimate are reserved");
    await_left(&gateway, &Ask::get("/openai/v1/models"), 1000 - each);
    gateway.send(&Ask::chat_stream("/openai"));
    await_left(&gateway, &Ask::get("/openai/v1/models"), 1000 - 2 * each);
});

lab!(several_budgets_are_taken_from_together_or_not_at_all, |host| {
    let provider = three_words();
    let list = "{name: wide, counts: requests, max: 10, per: year, headers: true},
                {name: narrow, counts: requests, max: 1, per: year, key: [{of: {header: x-user}}]}";
    let gateway = gateway(host, &provider, list);
    let ask = |user: &str| gateway.send(&Ask::chat("/openai").header("x-user", user));
    assert_eq!([ask("a").status, ask("a").status, ask("a").status, ask("b").status], [200, 429, 429, 200]);
    let nobody = gateway.send(&Ask::chat("/openai"));
    assert_eq!(nobody.header("x-ratelimit-remaining"), Some("7"), "two refusals have taken nothing");
    let models = gateway.send(&Ask::get("/openai/v1/models").header("x-user", "c"));
    assert_eq!((models.status, models.header("x-ratelimit-remaining")), (200, Some("6")));
});

lab!(costs_are_counted_in_dollars_and_a_budget_may_only_watch, |host| {
    let provider = three_words();
    let settings = "apiVersion: gloo.solo.io/v1
kind: Settings
metadata: {name: default, namespace: lab}
spec: {prices: {gpt-4o-mini: {input: 1000, output: 1000}}}
---
";
    let list = "{name: money, counts: cost, max: 0.05, per: year, estimate: 10, headers: true},
                {name: watch, counts: requests, max: 1, per: year, mode: monitor}";
    let policies = settings.to_owned() + &budgets(provider.address(), list);
    let gateway = Start::new(host, &policies).up();
    let reply = gateway.send(&Ask::chat("/openai"));
    assert_eq!(reply.header("x-ratelimit-remaining"), Some("0.028"), "12 and 10 tokens at a tenth of a cent");
    let dear = Ask::post("/openai", r#"{"model":"gpt-9","messages":[]}"#);
    assert_eq!(gateway.send(&dear).header("x-turnpike-reason"), Some("model_unpriced"));
    assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200, "the other budget only watches");
    gateway.await_metric(r#"turnpike_budget_total{route="lab/openai",budget="watch",outcome="monitored"} 1"#);
});

lab!(when_the_sidecar_is_away_the_policy_decides_and_nobody_waits_for_long, |host| {
    let provider = three_words();
    let sidecar = Sidecar::start("127.0.0.1:0", &[]);
    let policies = |list: &str| budgets(provider.address(), list);
    let up = |list: &str| Start::new(host, &policies(list)).arg("--sidecar").arg(&sidecar.address).up();
    let deny = up("{name: b, counts: requests, max: 9, per: year}");
    let allow = up("{name: b, counts: requests, max: 9, per: year, onUnavailable: allow}");
    assert_eq!(
        [deny.send(&Ask::chat("/openai")).status, allow.send(&Ask::chat("/openai")).status],
        [200, 200]
    );
    labs::gateway::send_signal(sidecar.pid(), Signal::STOP);
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", sidecar.pid())).unwrap();
    while !stat().contains(") T ") {
        std::thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    let refused = deny.send(&Ask::chat("/openai"));
    assert_eq!((refused.status, refused.header("x-turnpike-reason")), (503, Some("budget_unavailable")));
    assert_eq!(allow.send(&Ask::chat("/openai")).status, 200);
    // Twice the half second that a request waits, and a worker's second one is told at once.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(allow.send(&Ask::chat("/openai")).status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    labs::gateway::send_signal(sidecar.pid(), Signal::CONT);
    let begun = Instant::now();
    while deny.send(&Ask::chat("/openai")).status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the sidecar is not asked again");
        std::thread::sleep(Duration::from_millis(100));
    }
});

/// Somebody who answers every request with this.
fn somebody_else(says: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let says = says.clone();
            std::thread::spawn(move || {
                while stream.read(&mut [0; 65536]).is_ok_and(|read| read > 0)
                    && stream.write_all(says.as_bytes()).is_ok()
                {}
            });
        }
    });
    address
}

lab!(whoever_listens_but_is_no_sidecar_is_not_believed, |host| {
    let provider = three_words();
    let list = "{name: b, counts: requests, max: 9, per: year}";
    let answer =
        |head: &str, body: &str| format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for says in [
        answer("200 OK", r#"{"allowed":true,"reservation":"r","limits":[]}"#),
        answer("200 OK\r\nx-turnpike-sidecar: 1", "garbage"),
        answer("500 Oh\r\nx-turnpike-sidecar: 1", ""),
        "garbage\r\n\r\n".to_owned(),
    ] {
        let address = somebody_else(says.clone()).to_string();
        let gateway =
            Start::new(host, &budgets(provider.address(), list)).arg("--sidecar").arg(&address).up();
        let refused = gateway.send(&Ask::chat("/openai"));
        let reason = refused.header("x-turnpike-reason");
        assert_eq!((refused.status, reason), (503, Some("budget_unavailable")), "{says}");
    }
    assert!(provider.requests().is_empty());
});

lab!(a_window_of_a_second_lets_pass_again_in_the_next, |host| {
    let provider = three_words();
    let gateway = gateway(host, &provider, "{name: b, counts: requests, max: 2, per: second}");
    let begun = Instant::now();
    let (mut passed, mut refused) = (0, 0);
    while begun.elapsed() < Duration::from_secs(3) {
        let reply = gateway.send(&Ask::chat("/openai"));
        if reply.status == 200 {
            passed += 1;
        } else {
            assert_eq!((reply.status, reply.header("retry-after")), (429, Some("1")));
            refused += 1;
        }
    }
    let windows = begun.elapsed().as_secs() + 2;
    assert!((4..=2 * windows).contains(&passed), "{passed} in {windows} windows");
    assert!(refused > 0);
});
