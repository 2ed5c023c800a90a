use super::super::tests::{CHAT, answered, arrive, exchange, over};
use crate::event::{Appetite, Event};
use crate::exchange::Exchange;
use crate::testing::{called, show, test};

/// The host makes the attempts, of three targets.
const HOST: &str = r#"{"routes": [{"name": "r", "matches": [{"path": {"prefix": "/openai"}}], "backends": [
    {"cluster": "ns/a", "provider": "openai"},
    {"cluster": "ns/b", "provider": "openai", "model": "b", "priority": 1},
    {"cluster": "ns/c", "provider": "mistral", "model": "c", "priority": 2}], "failover": {"cooldown": {}}}]}"#;

/// The module makes them itself.
const HERE: &str = r#"{"routes": [{"name": "r", "matches": [{"path": {"prefix": "/openai"}}], "target": {"provider": "openai", "credential": {"env": "KEY"}},
    "failover": {"backups": [
        {"cluster": "m", "target": {"provider": "mistral", "model": "c", "credential": "none"}},
        {"cluster": "n", "target": {"provider": "openai", "model": "d", "credential": "none"}}]}}]}"#;

const BODY: &str = r#"{"model":"gpt"}"#;

/// An exchange whose request is with the provider.
fn asked(policy: &str) -> Exchange {
    let mut exchange = exchange(policy);
    arrive(&mut exchange, CHAT);
    exchange.on(Event::RequestBody(BODY.as_bytes().to_vec()));
    exchange
}

fn said(exchange: &mut Exchange, lines: &str, body: &str) -> String {
    show(&called(lines, body, |event| exchange.on(event)))
}

#[test]
fn the_host_is_told_whom_to_ask() {
    let step = show(&arrive(&mut exchange(HOST), CHAT));
    assert_eq!(
        step,
        "set x-turnpike-chain: ns/a,ns/b,ns/c\n\
         hand over /v1/chat/completions|ns/a,ns/b,ns/c|429,500,502,503,504,529|remember\nhold"
    );
}

#[test]
fn the_client_is_told_who_has_answered() {
    let step = answered(&mut asked(HOST), ":status: 200\nattempts: 3");
    assert_eq!(
        step,
        "set answer's x-turnpike-provider: mistral\nset answer's x-turnpike-attempts: 3\n\
         set answer's x-turnpike-model: c\npass"
    );
    let step = answered(&mut asked(HOST), ":status: 200");
    assert!(step.contains("provider: openai") && step.contains("attempts: 1"), "{step}");
    assert!(step.contains("x-turnpike-model: gpt"), "{step}");
}

#[test]
fn when_all_have_failed_the_last_answer_goes_through() {
    let step = answered(&mut asked(HOST), ":status: 429\nattempts: 3");
    assert!(step.ends_with("pass") && !step.contains("ask "), "{step}");
}

#[test]
fn where_the_host_finds_nobody_the_module_asks_the_next_one() {
    let mut exchange = asked(HOST);
    let step = answered(&mut exchange, ":status: 503\nlocal: no_healthy_upstream\nattempts: 2");
    assert!(
        step.contains("Attempts { target: Backend { route: 0, backend: 1 }, outcome: NoAnswer }"),
        "{step}"
    );
    assert!(step.contains("remember ns/b Failed"), "{step}");
    assert!(
        step.contains("ask ns/c h/openai [x-turnpike-path: /v1/chat/completions] {\"model\":\"gpt\"}"),
        "{step}"
    );
    assert!(step.ends_with("hold"), "{step}");
    assert_eq!(exchange.appetite(), Appetite::Nothing);
    let step =
        said(&mut exchange, ":status: 200\ncontent-type: application/json\nx-id: 7\ncontent-length: 2", "{}");
    assert_eq!(
        step,
        "deliver 200 [content-type: application/json] [x-id: 7] [x-turnpike-provider: mistral] \
         [x-turnpike-attempts: 3] [x-turnpike-model: c] {}\npass"
    );
}

#[test]
fn where_the_host_has_made_fewer_attempts_than_it_was_to_make_the_module_goes_on() {
    let step = answered(&mut asked(HOST), ":status: 429\nattempts: 1");
    assert!(step.contains("ask ns/b "), "{step}");
}

#[test]
fn an_answer_of_the_host_s_that_is_no_failure_of_a_model_stays() {
    for details in ["request_payload_too_large", "response_timeout"] {
        let step = answered(&mut asked(HOST), &format!(":status: 503\nlocal: {details}"));
        assert!(step.contains("reply ") && !step.contains("ask "), "{step}");
    }
}

#[test]
fn the_module_asks_one_after_the_other_and_the_last_failure_is_the_answer() {
    let mut exchange = asked(HERE);
    let step = answered(&mut exchange, ":status: 500");
    assert!(
        step.contains("outcome: Failed }") && step.contains("ask m api.mistral.ai/v1/chat/completions"),
        "{step}"
    );
    assert!(step.contains(r#"{"model":"c"}"#) && !step.contains("authorization"), "{step}");
    let step = said(&mut exchange, ":status: 0", "");
    assert!(
        step.contains("backend: 1 }, outcome: NoAnswer }") && step.contains("ask n api.openai.com"),
        "{step}"
    );
    let step = said(&mut exchange, ":status: 429\nretry-after: 3", "busy");
    assert!(step.contains("backend: 2 }, outcome: RateLimited }"), "{step}");
    assert!(
        step.contains("deliver 429 [retry-after: 3]") && step.contains("x-turnpike-attempts: 3] "),
        "{step}"
    );
    assert!(step.ends_with("busy\npass"), "{step}");
}

#[test]
fn only_an_answer_is_counted_by_provider_and_model() {
    for (status, counted) in [(200, 1), (400, 0)] {
        let mut exchange = asked(HERE);
        answered(&mut exchange, ":status: 500");
        said(&mut exchange, &format!(":status: {status}\ncontent-type: application/json"), "{}");
        let end = over(&mut exchange);
        assert_eq!(end.matches("observe Duration").count(), counted, "{status}: {end}");
    }
}

#[test]
fn when_nobody_has_answered_the_client_is_told_so() {
    let mut exchange = asked(HERE);
    answered(
        &mut exchange,
        ":status: 503\nlocal: upstream_reset_before_response_started{connection_termination}",
    );
    said(&mut exchange, ":status: 0", "");
    let step = said(&mut exchange, ":status: 503\ncontent-type: text/plain", "upstream connect error");
    assert!(step.contains("reply 503 provider_unreachable"), "{step}");
}

#[test]
fn what_is_called_for_passes_the_guards_like_any_other_answer() {
    let guard = r#""guard": {"response": {"patterns": {"matches": [{"pattern": "plum"}]}}}, "failover""#;
    let mut exchange = asked(&HERE.replace("\"failover\"", guard));
    answered(&mut exchange, ":status: 500");
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a plum"}}]}"#;
    let step = said(&mut exchange, ":status: 200\ncontent-type: application/json", body);
    assert!(step.contains("a <CUSTOM>") && !step.contains("plum\""), "{step}");
}

#[test]
fn a_stream_that_is_called_for_comes_whole_and_ends_as_it_should() {
    let stream = |exchange: &mut Exchange, body: &str| {
        said(exchange, ":status: 200\ncontent-type: text/event-stream", body)
    };
    let mut whole = asked(HERE);
    answered(&mut whole, ":status: 500");
    let step = stream(&mut whole, "data: {}\n\ndata: [DONE]\n\n");
    assert!(step.ends_with("data: {}\n\ndata: [DONE]\n\n\npass"), "{step}");
    let mut cut = asked(HERE);
    answered(&mut cut, ":status: 500");
    let step = stream(&mut cut, "data: {}\n\ndata: {\"cho");
    assert!(step.contains("stream_cut") && !step.contains("cho\n"), "{step}");
}

#[test]
fn a_reply_of_the_host_s_while_somebody_is_asked_ends_it() {
    let mut exchange = asked(HERE);
    answered(&mut exchange, ":status: 500");
    let step = answered(&mut exchange, ":status: 504\nlocal: stream_idle_timeout");
    assert!(step.contains("reply 504 provider_timeout"), "{step}");
}
