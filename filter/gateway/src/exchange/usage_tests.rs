use super::tests::{CHAT, answered, arrive, chunk, exchange, over};
use crate::event::{Appetite, Event};
use crate::exchange::Exchange;
use crate::testing::{show, test};

const OPENAI: &str = r#"{"routes": [{"name": "r", "matches": [{"path": {"prefix": "/openai"}}],
    "backends": [{"cluster": "a", "provider": "openai"}]}]}"#;
const USAGE: &str = r#"{"prompt_tokens":3,"completion_tokens":4}"#;

/// What is asked of the host for a body.
fn sent(exchange: &mut Exchange, body: &str) -> String {
    arrive(exchange, CHAT);
    show(&exchange.on(Event::RequestBody(body.as_bytes().to_vec())))
}

fn streaming(body: &str) -> Exchange {
    let mut exchange = exchange(OPENAI);
    sent(&mut exchange, body);
    answered(&mut exchange, ":status: 200\ncontent-type: text/event-stream");
    exchange
}

const ASKED: &str = r#"{"model":"gpt","stream":true,"stream_options":{"include_usage":true}}"#;
const UNASKED: &str = r#"{"model":"gpt","stream":true}"#;

fn report() -> String {
    format!("data: {{\"choices\":[],\"usage\":{USAGE}}}\n\n")
}

#[test]
fn a_plain_answer_passes_and_its_usage_is_counted_once() {
    let mut exchange = exchange(OPENAI);
    sent(&mut exchange, r#"{"model":"gpt"}"#);
    answered(&mut exchange, ":status: 200\ncontent-type: application/json");
    assert_eq!(exchange.appetite(), Appetite::Chunks);
    assert_eq!(chunk(&mut exchange, "{\"choices\":[],\"usa", false), "pass");
    assert_eq!(chunk(&mut exchange, &format!("ge\":{USAGE}}}"), true), "pass");
    let end = over(&mut exchange);
    for line in [
        "add 3 to Tokens { kind: Input",
        "add 4 to Tokens { kind: Output",
        "observe TokenUsage { kind: Output",
        "observe Duration",
    ] {
        assert_eq!(end.matches(line).count(), 1, "{line}\n{end}");
    }
}

#[test]
fn an_error_has_used_nothing() {
    let mut exchange = exchange(OPENAI);
    sent(&mut exchange, r#"{"model":"gpt"}"#);
    answered(&mut exchange, ":status: 429");
    assert_eq!(exchange.appetite(), Appetite::Nothing);
    assert!(!over(&mut exchange).contains("Tokens"));
}

#[test]
fn a_stream_is_made_to_report_and_the_report_is_kept_from_who_has_not_asked() {
    let said = sent(&mut exchange(OPENAI), UNASKED);
    assert_eq!(said, "hand over /v1/chat/completions||||report\npass");
    let mut stream = streaming(UNASKED);
    assert_eq!(chunk(&mut stream, "data: {\"choices\":[{}],\"usage\":null}\n\n", false), "pass");
    assert_eq!(chunk(&mut stream, &report(), false), "send \"\"\npass");
    assert_eq!(chunk(&mut stream, "data: [DONE]\n\n", true), "pass");
    assert!(over(&mut stream).contains("add 4 to Tokens { kind: Output"));
}

#[test]
fn who_has_asked_gets_the_report() {
    assert_eq!(sent(&mut exchange(OPENAI), ASKED), "pass");
    let mut stream = streaming(ASKED);
    assert_eq!(chunk(&mut stream, &report(), false), "pass");
    assert!(over(&mut stream).contains("add 3 to Tokens { kind: Input"));
}

#[test]
fn a_target_of_the_module_s_own_is_asked_in_the_body() {
    let here = r#"{"routes": [{"name": "r", "matches": [{"path": {"prefix": "/openai"}}], "target": {"provider": "PROVIDER", "credential": "none"}}]}"#;
    let added = r#""stream_options":{"include_usage":true},"#.len();
    let said = |provider: &str| sent(&mut exchange(&here.replace("PROVIDER", provider)), UNASKED);
    assert_eq!(said("openai"), format!("edit body, growth {added}\npass"));
    assert_eq!(said("mistral"), "pass");
}

#[test]
fn a_guarded_stream_is_counted_too() {
    let guard = r#""guard": {"response": {"patterns": {"matches": [{"pattern": "plum"}]}}}, "backends""#;
    let mut stream = exchange(&OPENAI.replace("\"backends\"", guard));
    sent(&mut stream, UNASKED);
    answered(&mut stream, ":status: 200\ncontent-type: text/event-stream");
    let text = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a plum\"}}]}\n\n";
    chunk(&mut stream, text, false);
    let said = chunk(&mut stream, &format!("{}data: [DONE]\n\n", report()), true);
    assert!(!said.contains("prompt_tokens") && said.contains("[DONE]"), "{said}");
    assert!(over(&mut stream).contains("add 4 to Tokens { kind: Output"));
}
