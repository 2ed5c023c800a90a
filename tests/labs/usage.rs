//! What requests have used, by provider and model, and what is said of each in the access log.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use labs::gateway::Start;
use labs::policies::{doors, keyed, local_jwt, options, route, simple, upstream};
use labs::tokens::{ALICE, BOB, issuer, with};
use labs::{Ask, Gateway, Host, lab};
use mock_provider::{Mock, Script};
use serde_json::{Value, json};

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

/// A label from a claim, and an access log.
const TOLD: &str = r#"apiVersion: gateway.gloo.solo.io/v1alpha1
kind: GatewayParameters
metadata: {name: labels, namespace: lab}
spec: {kube: {aiExtension: {enabled: true, stats: {customLabels: [{name: team, metadataKey: "principal:team"}]}}}}
---
apiVersion: gloo.solo.io/v1
kind: Settings
metadata: {name: default, namespace: lab}
spec: {accessLog: {caller: sub}}
---
"#;

/// A door that asks for tokens, with labels and an access log in a file.
fn told(host: Host, provider: &Mock) -> Gateway {
    let jwt = options("VirtualHostOption", "Gateway", "gw", &local_jwt());
    let policies = doors(provider.address()) + &jwt + TOLD;
    Start::new(host, &policies).arg("--access-log").arg("access.log").up()
}

fn bearer(claims: &str) -> String {
    issuer().token("EdDSA", &with("\"exp\":4000000000", claims))
}

lab!(tokens_are_counted_for_teams, |host| {
    let provider = three_words();
    let (input, output) = said(&provider, &Ask::chat("/v1/chat/completions"));
    let gateway = told(host, &provider);
    for claims in [ALICE, BOB, r#"{"iss":"solo.io","team":"a;b\"c"}"#, r#"{"iss":"solo.io","team":["dev"]}"#]
    {
        let answer = gateway.send(&Ask::chat("/openai").bearer(&bearer(claims)));
        assert_eq!(answer.status, 200, "{claims}: {}", answer.text());
    }
    for team in ["dev", "ops", "a_b\\\"c", "<unknown>"] {
        for (what, tokens) in [("prompt", input), ("completion", output)] {
            let labels = format!(r#"llm="openai",model="gpt-4o-mini",team="{team}""#);
            gateway.await_metric(&format!("ai_{what}_tokens_total{{{labels}}} {tokens}"));
        }
    }
});

lab!(callers_cannot_grow_the_metrics, |host| {
    let provider = three_words();
    let gateway = told(host, &provider);
    for number in 0..300 {
        let token = bearer(&format!(r#"{{"iss":"solo.io","team":"t{number}"}}"#));
        assert_eq!(gateway.send(&Ask::chat("/openai").bearer(&token)).status, 200);
    }
    let metrics = gateway.admin("/stats/prometheus");
    let series = metrics.lines().filter(|line| line.starts_with("ai_prompt_tokens_total")).count();
    // So many for each of two workers, and what is beyond.
    assert!((129..=260).contains(&series), "{series}");
    assert!(metrics.contains(r#"ai_prompt_tokens_total{llm="openai",model="gpt-4o-mini",team="other"}"#));
});

/// An answer of which much was in the provider's cache, and much was thought and heard.
const DETAILS: &str = r#"{"prompt_tokens":90,"completion_tokens":70,"prompt_tokens_details":{"cached_tokens":40,"audio_tokens":10},"completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":30}}"#;

lab!(tokens_that_cost_otherwise_are_counted_apart, |host| {
    let plain =
        mock(Script { page: Some(format!(r#"{{"choices":[],"usage":{DETAILS}}}"#)), ..Script::default() });
    let event = format!("data: {{\"choices\":[],\"usage\":{DETAILS}}}\n\n");
    let events = ["data: {\"choices\":[{}]}\n\n".to_owned(), event, "data: [DONE]\n\n".to_owned()];
    let events = events.map(String::into_bytes).to_vec();
    let streams = mock(Script { stream: Some(events), ..Script::default() });
    let policies = simple(plain.address())
        + &keyed("streams", streams.address(), "sk-lab")
        + &route("/streams", "streams", "");
    let gateway = Gateway::up(host, &policies);
    let counted = |times: u64| {
        for (kind, tokens) in
            [("cached_input", 40), ("reasoning_output", 20), ("audio_input", 10), ("audio_output", 30)]
        {
            let labels = format!(r#"kind="{kind}",llm="openai",model="gpt-4o-mini""#);
            gateway.await_metric(&format!("turnpike_token_details_total{{{labels}}} {}", times * tokens));
        }
    };
    assert_eq!(gateway.send(&Ask::chat("/openai")).status, 200);
    counted(1);
    assert_eq!(gateway.send(&Ask::chat_stream("/streams")).status, 200);
    counted(2);
});

lab!(the_time_to_the_first_token_is_that_of_the_first_event, |host| {
    let slow = Script {
        text: Some("Hello my friend".into()),
        delay: Duration::from_millis(300),
        chunk_delay: Duration::from_millis(100),
        ..Script::default()
    };
    let provider = mock(slow);
    let gateway = Gateway::up(host, &simple(provider.address()));
    gateway.send(&Ask::chat("/openai"));
    gateway.send(&Ask::chat_stream("/openai"));
    let labels = r#"gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o-mini""#;
    let name = "gen_ai_server_time_to_first_token_milliseconds";
    gateway.await_metric(&format!("{name}_count{{{labels}}} 1"));
    let metrics = gateway.admin("/stats/prometheus");
    let sum = format!("{name}_sum{{{labels}}} ");
    let sum = metrics.lines().find_map(|line| line.strip_prefix(&sum)?.parse::<f64>().ok()).unwrap();
    // The first of six events; the answer as a whole took twice as long.
    assert!((390.0..800.0).contains(&sum), "{sum}");
});

/// A line without what no two requests have in common.
fn constant(line: &Value) -> Value {
    let mut line = line.clone();
    for name in ["time", "duration_ms", "first_token_ms"] {
        line.as_object_mut().unwrap().remove(name);
    }
    line
}

lab!(each_request_has_a_line_in_the_access_log, |host| {
    let provider = three_words();
    let (input, output) = said(&provider, &Ask::chat("/v1/chat/completions"));
    let gateway = told(host, &provider);
    let alice = bearer(ALICE);
    gateway.send(&Ask::chat("/openai").bearer(&alice));
    gateway.send(&Ask::chat_stream("/openai").bearer(&alice));
    let lines = gateway.access_log(2);
    let good = json!({
        "route": "lab/openai", "caller": "alice", "model": "gpt-4o-mini", "answered_model": "gpt-4o-mini",
        "provider": "openai", "input_tokens": input, "cached_tokens": 0, "output_tokens": output,
        "reasoning_tokens": 0, "estimated": false, "outcome": "ok", "status": 200, "attempts": 1,
    });
    assert_eq!([constant(&lines[0]), constant(&lines[1])], [good.clone(), good]);
    assert!(lines[0]["first_token_ms"].is_null() && lines[1]["first_token_ms"].is_u64(), "{lines:?}");
    assert!(lines[1]["duration_ms"].as_u64() >= lines[1]["first_token_ms"].as_u64(), "{lines:?}");
    let time = lines[0]["time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 24, "{time}");
    // What is refused, what fails, and what nobody knows.
    gateway.send(&Ask::chat("/openai"));
    gateway.send(&Ask::post("/openai", "{").bearer(&alice));
    gateway.send(&Ask::chat("/nowhere").bearer(&alice));
    provider.play(Script { status: 500, ..Script::default() });
    gateway.send(&Ask::chat("/openai").bearer(&alice));
    provider.play(Script { hang_up: true, ..Script::default() });
    gateway.send(&Ask::chat("/openai").bearer(&alice));
    let lines = gateway.access_log(7);
    let told = lines[2..]
        .iter()
        .map(|it| json!([it["outcome"], it["status"], it["attempts"], it["provider"], it["caller"]]));
    let expected = [
        json!(["jwt_missing", 401, 0, null, null]),
        json!(["invalid_json", 400, 0, null, "alice"]),
        json!(["route_not_found", 404, 0, null, null]),
        json!(["provider_error", 500, 1, "openai", "alice"]),
        json!(["provider_unreachable", 503, 1, "openai", "alice"]),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let all = lines.iter().map(Value::to_string).collect::<String>();
    for secret in ["Say hello", "Hello", "friend", "sk-lab", &alice] {
        assert!(!all.contains(secret), "{secret} is in the log");
    }
    let labels = r#"llm="openai",model="gpt-4o-mini",team="dev""#;
    gateway.await_metric(&format!("ai_exception_raised_total{{{labels}}} 1"));
});

lab!(a_client_that_leaves_has_its_line_too, |host| {
    let slow = Script { chunk_delay: Duration::from_millis(200), ..Script::default() };
    let provider = mock(slow);
    let gateway = told(host, &provider);
    let (client, begun) = Ask::chat_stream("/openai").bearer(&bearer(BOB)).start(gateway.address);
    while provider.requests().is_empty() && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(client);
    let lines = gateway.access_log(1);
    assert_eq!((&lines[0]["caller"], &lines[0]["input_tokens"]), (&json!("bob"), &Value::Null));
    let outcome = lines[0]["outcome"].as_str().unwrap();
    assert!(["interrupted", "unanswered"].contains(&outcome), "{outcome}");
});

lab!(the_access_log_is_on_the_standard_output_by_default, |host| {
    let provider = three_words();
    let settings = "apiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {name: s, namespace: lab}\nspec: {accessLog: {}}\n---\n";
    let (mut command, _folder) =
        Start::new(host, &(settings.to_owned() + &simple(provider.address()))).command();
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let listening =
        lines.find_map(|line| line.split_once("listening on http://").map(|(_, it)| it.to_owned()));
    let address = listening.unwrap().split([' ', '/']).next().unwrap().parse().unwrap();
    lines.find(|line| line.contains("stop: ")).unwrap();
    Ask::chat("/openai").send(address);
    let begun = Instant::now();
    let line: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!((&line["outcome"], &line["caller"]), (&json!("ok"), &Value::Null));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let pid = rustix::process::Pid::from_raw(process.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    process.wait().unwrap();
});
