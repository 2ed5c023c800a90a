//! What requests have used, by provider and model.

use labs::policies::{keyed, options, route, simple, upstream};
use labs::{Ask, Gateway, lab};
use mock_provider::{Mock, Script};

fn mock(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

/// A provider whose answers are three words.
fn three_words() -> Mock {
    mock(Script { text: Some("Hello my friend".into()), ..Script::default() })
}

/// Waits until so many tokens of a model have been read and written.
fn await_tokens(gateway: &Gateway, model: &str, input: u64, output: u64) {
    for (what, tokens) in [("prompt", input), ("completion", output)] {
        gateway.await_metric(&format!(r#"ai_{what}_tokens_total{{llm="openai",model="{model}"}} {tokens}"#));
    }
}

/// What the provider says of one request.
fn said(provider: &Mock, ask: &Ask) -> (u64, u64) {
    let usage = ask.send(provider.address()).json()["usage"].clone();
    (usage["prompt_tokens"].as_u64().unwrap(), usage["completion_tokens"].as_u64().unwrap())
}

lab!(tokens_are_counted_as_the_provider_says_plain_and_streamed, |host| {
    let provider = three_words();
    let (input, output) = said(&provider, &Ask::chat("/v1/chat/completions"));
    let gateway = Gateway::up(host, &simple(provider.address()));
    for _ in 0..2 {
        let plain = gateway.send(&Ask::chat("/openai"));
        assert_eq!(plain.json()["usage"]["completion_tokens"], output);
    }
    await_tokens(&gateway, "gpt-4o-mini", 2 * input, 2 * output);
    let reply = gateway.send(&Ask::chat_stream("/openai"));
    assert!(reply.complete && reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    assert!(!reply.text().contains("prompt_tokens"), "nobody asked: {}", reply.text());
    assert_eq!(provider.requests().last().unwrap().json()["stream_options"]["include_usage"], true);
    await_tokens(&gateway, "gpt-4o-mini", 3 * input, 3 * output);
    let body = r#"{"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Say hello."}]}"#;
    let reply = gateway.send(&Ask::post("/openai", body));
    assert_eq!(reply.text().matches("prompt_tokens").count(), 1, "{}", reply.text());
    await_tokens(&gateway, "gpt-4o-mini", 4 * input, 4 * output);
    let metrics = gateway.admin("/stats/prometheus");
    assert!(metrics.contains(r#"gen_ai_client_token_usage_count{gen_ai_token_type="output",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o-mini"} 4"#) || host == labs::Host::Envoy);
});

lab!(every_operation_says_what_it_has_used, |host| {
    let provider = three_words();
    let gateway = Gateway::up(host, &simple(provider.address()));
    let words =
        |text: &str| Ask::post("/openai/embeddings", format!(r#"{{"model":"embed","input":"{text}"}}"#));
    gateway.send(&words("one two three"));
    gateway.send(&Ask::post("/openai/responses", r#"{"model":"resp","stream":true,"input":"hi"}"#));
    gateway.send(&Ask::post("/openai/v1/completions", r#"{"model":"comp","stream":true,"prompt":"hi"}"#));
    for model in ["embed", "resp", "comp"] {
        let counted = |line: &str| {
            line.starts_with("ai_prompt_tokens_total") && line.contains(&format!("model=\"{model}\""))
        };
        let begun = std::time::Instant::now();
        while !gateway.admin("/stats/prometheus").lines().any(|line| counted(line) && !line.ends_with(" 0")) {
            assert!(begun.elapsed() < std::time::Duration::from_secs(10), "nothing of {model}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
});

lab!(a_request_that_fails_over_is_counted_once_for_the_model_that_answers, |host| {
    let (bad, good) = (mock(Script { status: 429, ..Script::default() }), three_words());
    let failover = "ai: {failover: {backups: [{upstreamRef: {name: second}, model: big}]}}";
    let policies = keyed("openai", bad.address(), "a")
        + &upstream("second", good.address(), "authToken: {inline: b}")
        + &options("RouteOption", "HTTPRoute", "openai", failover)
        + &route("/openai", "openai", "");
    let (input, output) = said(&good, &Ask::chat("/v1/chat/completions"));
    let gateway = Gateway::up(host, &policies);
    assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200);
    await_tokens(&gateway, "big", input, output);
    assert_eq!(gateway.send(&Ask::chat_stream("/openai")).status, 200);
    await_tokens(&gateway, "big", 2 * input, 2 * output);
    assert!(!gateway.admin("/stats/prometheus").contains("gpt-4o-mini"));
});

lab!(clients_cannot_grow_the_metrics, |host| {
    let provider = three_words();
    let gateway = Gateway::up(host, &simple(provider.address()));
    for number in 0..400 {
        let body = format!(r#"{{"model":"m{number}","messages":[{{"role":"user","content":"hi"}}]}}"#);
        assert_eq!(gateway.send(&Ask::post("/openai", body)).status, 200);
    }
    let odd = r#"{"model":"a\nb;route=x\u0000","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(gateway.send(&Ask::post("/openai", odd)).status, 200);
    let metrics = gateway.admin("/stats/prometheus");
    let series = metrics.lines().filter(|line| line.starts_with("ai_prompt_tokens_total")).count();
    // So many for each of two workers, and what is beyond.
    assert!((129..=260).contains(&series), "{series}");
    assert!(metrics.contains(r#"ai_prompt_tokens_total{llm="openai",model="other"}"#));
});
