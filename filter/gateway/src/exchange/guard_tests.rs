use super::tests::{CHAT, answered, arrive, chunk, exchange, over};
use crate::event::{Appetite, Event};
use crate::testing::{show, test};

fn guarded(guard: &str) -> String {
    format!(
        r#"{{"routes": [{{"name": "openai", "matches": [{{"path": {{"prefix": "/openai"}}}}], "guard": {guard}}}]}}"#
    )
}

const REJECTING: &str =
    r#"{"request": {"patterns": {"action": "reject", "matches": [{"pattern": "plum", "name": "p"}]}}}"#;
const HOOKED: &str = r#"{"request": {"webhook": {"cluster": "hook", "host": "h:1", "forwardHeaders": [{"prefix": "x-"}]}, "patterns": {"matches": [{"pattern": "plum"}]}, "moderation": {"cluster": "judge"}}}"#;
const MASKING: &str = r#"{"response": {"patterns": {"matches": [{"pattern": "plum", "name": "p"}]}}}"#;
const PLUM: &str = r#"{"messages":[{"role":"user","content":"a plum"}]}"#;

fn body(exchange: &mut super::Exchange, body: &str) -> String {
    show(&exchange.on(Event::RequestBody(body.as_bytes().to_vec())))
}

fn called(exchange: &mut super::Exchange, answer: Option<(u16, &str)>) -> String {
    let (status, body) = answer.unwrap_or_default();
    show(&crate::testing::called(&format!(":status: {status}"), body, |event| exchange.on(event)))
}

#[test]
fn a_prompt_that_is_rejected_goes_nowhere() {
    let mut exchange = exchange(&guarded(REJECTING));
    arrive(&mut exchange, CHAT);
    assert_eq!(
        body(&mut exchange, PLUM),
        "log Info route openai: guard of the request: p: reject
log Info route openai: 403 prompt_rejected at stage Guard: pattern p
reply 403 prompt_rejected: The request was rejected due to inappropriate content
pass"
    );
    assert_eq!(
        over(&mut exchange),
        "count Requests { route: Some(0), outcome: Replied(PromptRejected) }
count Guard { route: 0, side: Request, finder: Rule(0), action: Reject }
pass"
    );
}

#[test]
fn others_are_asked_one_after_the_other_and_the_prompt_waits() {
    let mut exchange = exchange(&guarded(HOOKED));
    arrive(&mut exchange, &format!("{CHAT}\nx-a: b\nhost: h"));
    assert_eq!(
        body(&mut exchange, PLUM),
        r#"ask hook h:1/request [accept: application/json] [x-a: b] {"body":{"messages":[{"role":"user","content":"a plum"}]}}
hold"#
    );
    assert_eq!(exchange.appetite(), Appetite::Nothing);
    assert_eq!(
        called(&mut exchange, Some((200, r#"{"action":{"body":{"messages":[{"content":"the plum"}]}}}"#))),
        r#"log Info route openai: guard of the request: webhook: mask
edit body, growth 2
log Info route openai: guard of the request: pattern-1: mask
edit body, growth 4
ask judge moderation/v1/moderations [x-turnpike-path: /v1/moderations] {"model":"omni-moderation-latest","input":"role: user:\nthe <CUSTOM>"}
hold"#
    );
    assert_eq!(called(&mut exchange, Some((200, r#"{"results":[{"flagged":false}]}"#))), "pass");
}

#[test]
fn nobody_answers_for_somebody_who_does_not() {
    for answer in [None, Some((500, "{}")), Some((200, "[]"))] {
        let mut exchange = exchange(&guarded(HOOKED));
        arrive(&mut exchange, CHAT);
        body(&mut exchange, PLUM);
        let said = called(&mut exchange, answer);
        assert!(said.contains("503 guard_unavailable at stage Guard: webhook gave no answer"), "{said}");
        // It comes too late.
        assert_eq!(called(&mut exchange, Some((200, r#"{"action":{}}"#))), "pass");
    }
}

#[test]
fn an_answer_is_held_until_it_has_been_looked_at() {
    let mut exchange = exchange(&guarded(MASKING));
    arrive(&mut exchange, &format!("{CHAT}\naccept-encoding: gzip"));
    body(&mut exchange, PLUM);
    assert_eq!(answered(&mut exchange, ":status: 200\ncontent-type: application/json"), "hold");
    assert_eq!(exchange.appetite(), Appetite::ResponseBody);
    assert_eq!(show(&exchange.on(Event::ResponseGrew(100))), "hold");
    let answer = br#"{"choices":[{"message":{"content":"a plum"}}]}"#.to_vec();
    assert_eq!(
        show(&exchange.on(Event::ResponseBody(answer))),
        "log Info route openai: guard of the response: p: mask\nedit answer, growth 4\npass"
    );
    assert_eq!(exchange.appetite(), Appetite::Nothing);
}

#[test]
fn what_comes_after_a_refusal_in_a_stream_is_swallowed() {
    let guard = MASKING.replace(r#""matches""#, r#""action": "reject", "matches""#);
    let mut exchange = exchange(&guarded(&guard));
    arrive(&mut exchange, CHAT);
    body(&mut exchange, PLUM);
    assert_eq!(answered(&mut exchange, ":status: 200\ncontent-type: text/event-stream"), "pass");
    let delta = |text: &str| {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    assert_eq!(chunk(&mut exchange, &delta("a "), false), "pass");
    let refused = chunk(&mut exchange, &delta("plum."), false);
    assert!(
        refused.contains(r#"send "data: {\"error\":{\"message\":\"The response was rejected"#),
        "{refused}"
    );
    assert_eq!(chunk(&mut exchange, &delta("b"), false), "send \"\"\npass");
    assert_eq!(chunk(&mut exchange, "data: [DONE]\n\n", true), "send \"\"\npass");
    assert!(over(&mut exchange).contains("Replied(AnswerRejected)"));
}

#[test]
fn an_event_that_is_too_long_to_be_looked_at_ends_the_stream() {
    let mut exchange = exchange(&guarded(MASKING));
    arrive(&mut exchange, CHAT);
    body(&mut exchange, PLUM);
    answered(&mut exchange, ":status: 200\ncontent-type: text/event-stream");
    let ended = chunk(&mut exchange, &format!("data: {}", "plum ".repeat(300_000)), false);
    assert!(ended.contains("answer_unreadable") && !ended.contains("plum"), "{ended:.200}");
    assert_eq!(chunk(&mut exchange, "plum", true), "send \"\"\npass");
}

#[test]
fn a_guard_that_watches_ends_no_stream() {
    let guard = MASKING.replace(r#"{"patterns""#, r#"{"mode": "monitor", "patterns""#);
    let mut exchange = exchange(&guarded(&guard));
    arrive(&mut exchange, CHAT);
    body(&mut exchange, PLUM);
    answered(&mut exchange, ":status: 200\ncontent-type: text/event-stream");
    let passed = chunk(&mut exchange, &format!("data: {}", "plum ".repeat(300_000)), false);
    assert!(!passed.contains("answer_unreadable"), "{passed:.200}");
}

#[test]
fn a_held_stream_that_was_cut_ends_with_an_error_and_no_half_event() {
    let guard = r#"{"response": {"webhook": {"cluster": "hook", "host": "h:1"}}}"#;
    let mut exchange = exchange(&guarded(guard));
    arrive(&mut exchange, CHAT);
    body(&mut exchange, PLUM);
    assert_eq!(answered(&mut exchange, ":status: 200\ncontent-type: text/event-stream"), "hold");
    let whole = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let asked = show(&exchange.on(Event::ResponseBody(format!("{whole}data: {{\"cho").into_bytes())));
    assert!(
        asked.contains(
            r#"[accept: application/json] {"body":{"choices":[{"message":{"role":"","content":"a"}}]}}"#
        ),
        "{asked}"
    );
    let step = crate::testing::called(":status: 200", r#"{"action":{}}"#, |event| exchange.on(event));
    let [crate::Effect::EditResponseBody(edits)] = step.effects.as_slice() else { panic!("{step:?}") };
    let sent = String::from_utf8(edits.applied(&vec![b'x'; whole.len() + 11])).unwrap();
    assert!(sent.starts_with(whole) && sent.ends_with("\n\n"), "{sent}");
    assert!(
        sent.contains("\n\ndata: {\"error\":") && !sent.contains("\"cho\n") && sent.contains("stream_cut"),
        "{sent}"
    );
    assert!(over(&mut exchange).contains("StreamCut"));
}
