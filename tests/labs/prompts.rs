//! What the gateway adds to prompts.

use labs::gateway::Start;
use labs::policies::{doors, local_jwt, options};
use labs::tokens::{ALICE, issuer};
use labs::{Ask, Gateway, Host, lab, project};
use mock_provider::{Mock, Script};
use serde_json::{Value, json};

fn mock() -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), Script::default()).unwrap()
}

fn gateway(host: Host, provider: &Mock, ai: &str) -> Gateway {
    let option = options("RouteOption", "HTTPRoute", "openai", &format!("ai: {{{ai}}}"));
    Gateway::up(host, &(option + &doors(provider.address())))
}

/// The body that the provider gets of one that is sent.
fn got(gateway: &Gateway, provider: &Mock, path: &str, body: &str) -> String {
    let reply = gateway.send(&Ask::post(path, body));
    assert_eq!(reply.status, 200, "{}", reply.text());
    String::from_utf8(provider.requests().pop().unwrap().body).unwrap()
}

const NASTY: &str = r#"say: "no", \\n, or {{ this }}, é"#;

lab!(messages_are_added_around_the_client_s, |host: Host| {
    let provider = mock();
    let ai = format!(
        "promptEnrichment: {{prepend: [{{role: SYSTEM, content: '{NASTY}'}}], append: [{{role: user, content: Rhyme.}}]}}"
    );
    let gateway = gateway(host, &provider, &ai);
    let content = Value::from(NASTY);
    let chat = got(
        &gateway,
        &provider,
        "/openai",
        r#"{"model":"m", "messages" : [{"role":"user","content":"\u0048i"}],"seed":12345678901234567890123}"#,
    );
    assert_eq!(
        chat,
        format!(
            r#"{{"model":"m", "messages" : [{{"role":"system","content":{content}}},{{"role":"user","content":"\u0048i"}},{{"role":"user","content":"Rhyme."}}],"seed":12345678901234567890123}}"#
        )
    );
    let responses = got(&gateway, &provider, "/openai/v1/responses", r#"{"model":"m","input":"Hi"}"#);
    let responses: Value = serde_json::from_str(&responses).unwrap();
    assert_eq!(responses["instructions"], NASTY);
    assert_eq!(
        responses["input"],
        json!([{"role": "user", "content": "Hi"}, {"role": "user", "content": "Rhyme."}])
    );
    let completion = got(&gateway, &provider, "/openai/v1/completions", r#"{"model":"m","prompt":"Hi"}"#);
    let completion: Value = serde_json::from_str(&completion).unwrap();
    assert_eq!(completion["prompt"], format!("{NASTY}\n\nHi\n\nRhyme."));
    let embeddings = r#"{"model":"m","input":["a"]}"#;
    assert_eq!(got(&gateway, &provider, "/openai/v1/embeddings", embeddings), embeddings);
    let refused = gateway.send(&Ask::post("/openai/v1/completions", r#"{"model":"m","prompt":[1,2,3]}"#));
    assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_field"));
    let streamed = gateway.send(&Ask::chat_stream("/openai").chunked());
    assert!(streamed.text().ends_with("data: [DONE]\n\n"), "{}", streamed.text());
});

lab!(defaults_fill_what_the_client_leaves_out, |host: Host| {
    let provider = mock();
    let ai = "defaults: [{field: max_tokens, value: 100}, {field: temperature, value: 0.5, override: true}, {field: model, value: gpt-4o-mini}]";
    let gateway = gateway(host, &provider, ai);
    let body = got(&gateway, &provider, "/openai", r#"{"messages":[],"temperature":1.9}"#);
    assert_eq!(body, r#"{"max_tokens":100,"model":"gpt-4o-mini","messages":[],"temperature":0.5}"#);
    let body = got(&gateway, &provider, "/openai", r#"{"model":"m","max_tokens":7,"messages":[]}"#);
    assert_eq!(body, r#"{"temperature":0.5,"model":"m","max_tokens":7,"messages":[]}"#);
});

lab!(a_model_of_the_upstream_s_own_is_written_as_well, |host: Host| {
    let provider = mock();
    let policies = options(
        "RouteOption",
        "HTTPRoute",
        "openai",
        "ai: {promptEnrichment: {prepend: [{role: system, content: s}]}}",
    ) + &doors(provider.address()).replace("authToken:", "model: gpt-4o, authToken:");
    let gateway = Gateway::up(host, &policies);
    let body = got(&gateway, &provider, "/openai", r#"{"model":"m","messages":[]}"#);
    assert_eq!(body, r#"{"model":"gpt-4o","messages":[{"role":"system","content":"s"}]}"#);
});

lab!(nothing_is_added_for_a_caller_who_may_not_pass, |host: Host| {
    let provider = mock();
    let option = "ai: {promptEnrichment: {prepend: [{role: system, content: s}]}}, rbac: {policies: {p: {nestedClaimDelimiter: ., principals: [{jwtPrincipal: {claims: {llms.openai: gpt-4o-mini}, matcher: LIST_CONTAINS}}]}}}";
    let policies = options("RouteOption", "HTTPRoute", "openai", option)
        + &options("VirtualHostOption", "Gateway", "gw", &local_jwt())
        + &doors(provider.address());
    let gateway = Gateway::up(host, &policies);
    let alice = issuer().token("EdDSA", ALICE);
    let other = Ask::post("/openai", r#"{"model":"gpt-4o","messages":[]}"#).bearer(&alice);
    assert_eq!(gateway.send(&other).code(), "model_not_allowed");
    assert_eq!(gateway.send(&Ask::chat("/openai").bearer(&alice)).status, 200);
    let body = provider.requests().pop().unwrap().body;
    assert!(String::from_utf8(body).unwrap().contains(r#""messages":[{"role":"system","content":"s"},"#));
    assert_eq!(provider.requests().len(), 1);
});

/// The most memory that a process has had, in MiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

lab!(many_small_things_in_a_body_take_no_more_than_their_share_of_memory, |host: Host| {
    let provider = mock();
    let option = "ai: {promptEnrichment: {prepend: [{role: system, content: \"Respond with the CSV data only, and with nothing else.\"}]}}, rbac: {policies: {p: {nestedClaimDelimiter: ., principals: [{jwtPrincipal: {claims: {llms.openai: gpt-4o-mini}, matcher: LIST_CONTAINS}}]}}}";
    let policies = options("RouteOption", "HTTPRoute", "openai", option)
        + &options("VirtualHostOption", "Gateway", "gw", &local_jwt())
        + &doors(provider.address());
    let gateway = Gateway::up(host, &policies);
    let alice = issuer().token("EdDSA", ALICE);
    let full = |field: &str, thing: &str| {
        let things = vec![thing; (8 << 20) / (thing.len() + 1) - 100].join(",");
        format!(r#"{{"model":"gpt-4o-mini","{field}":[{things}]}}"#)
    };
    for (path, body, code) in [
        ("/openai/v1/completions", full("prompt", r#""""#), "invalid_field"),
        ("/openai", full("tools", r#"{"a":0}"#), "body_too_large"),
        ("/openai", full("fallbacks", r#"{"model":"gpt-4o-mini"}"#), "body_too_large"),
    ] {
        assert_eq!(gateway.send(&Ask::post(path, body).bearer(&alice)).code(), code);
        assert_eq!(gateway.send(&Ask::chat("/openai").bearer(&alice)).status, 200);
    }
    let peak = peak(gateway.worker_pid());
    assert!(peak < 400, "{peak} MiB");
});

lab!(the_tour_s_file_for_prompts, |host: Host| {
    let provider = mock();
    let file = |name: &str| project::root().join("policies").join(name).to_str().unwrap().to_owned();
    let (ip, port) = (provider.address().ip(), provider.address().port());
    let here = format!(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: openai, namespace: gloo-system}}\nspec: {{ai: {{openai: {{customHost: {{host: {ip}, port: {port}}}}}}}}}\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let upstream = folder.path().join("upstream.yaml");
    std::fs::write(&upstream, here).unwrap();
    let gateway = ["base", "prompt-enrichment-openai-routeoption.yaml"]
        .iter()
        .fold(Start::new(host, ""), |start, name| start.arg("-f").arg(&file(name)))
        .arg("-f")
        .arg(upstream.to_str().unwrap())
        .arg("--mock")
        .up();
    let body = got(
        &gateway,
        &provider,
        "/openai",
        r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Recipe: 2 eggs"}]}"#,
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    let system = "Parse the unstructured text into CSV format and respond only with the CSV data.";
    assert_eq!(body["messages"][0], json!({"role": "system", "content": system}));
    assert_eq!(body["messages"][1]["content"], "Recipe: 2 eggs");
});
