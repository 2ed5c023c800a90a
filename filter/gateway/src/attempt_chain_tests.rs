//! Attempts of a request that somebody else may be asked for too.

use super::Attempt;
use crate::event::{Appetite, Event};
use crate::testing::{NOW, answer, end, request, show, target, test};
use std::time::Duration;

const TARGET: &str = r#"{"name": "ns/a", "provider": "openai", "credential": "injected"}"#;

/// What the listener's filter has handed over: two targets, the failures that lead on, and that they are remembered.
const CHAIN: &str = ":method: POST\n:path: /x\n:authority: h\ncontent-type: application/json\n\
                     handover: /v1/chat/completions|ns/a,ns/b|429,503|remember";

/// The first or the last attempt, its request with the provider.
fn asked(number: u32) -> Attempt {
    let mut attempt = Attempt::new(target(TARGET));
    let lines = format!("{CHAIN}\nattempt: {number}");
    request(&lines, |arrival| attempt.on(Event::Request(arrival)));
    attempt.on(Event::RequestBody(b"{}".to_vec()));
    attempt
}

fn answered(attempt: &mut Attempt, lines: &str) -> String {
    show(&answer(lines, |event| attempt.on(event)))
}

fn begun(attempt: &mut Attempt, bytes: &str, end: bool) -> String {
    let now = Duration::from_secs(NOW + 2);
    show(&attempt.on(Event::Beginning { bytes: bytes.as_bytes(), end, now }))
}

const STREAM: &str = ":status: 200\ncontent-type: text/event-stream";

#[test]
fn after_another_attempt_the_body_is_seen_so_that_its_length_can_be_told_anew() {
    let mut first = Attempt::new(target(TARGET));
    request(CHAIN, |arrival| first.on(Event::Request(arrival)));
    assert_eq!(first.appetite(), Appetite::Nothing);
    let mut second = Attempt::new(target(TARGET));
    request(&format!("{CHAIN}\nattempt: 2"), |arrival| second.on(Event::Request(arrival)));
    assert_eq!(second.appetite(), Appetite::RequestBody);
    assert_eq!(show(&second.on(Event::RequestBody(b"not JSON".to_vec()))), "edit body, growth 0\npass");
}

#[test]
fn a_key_that_an_earlier_attempt_has_written_goes_to_nobody_else() {
    let passthrough = r#"{"name": "ns/a", "provider": "openai", "credential": "passthrough"}"#;
    let removes = |handover: &str, attempt: u32| {
        let lines = CHAIN.replace("|remember", handover);
        let lines = format!("{lines}\nattempt: {attempt}\nauthorization: Bearer sk-of-the-first");
        let mut attempt = Attempt::new(target(passthrough));
        show(&request(&lines, |arrival| attempt.on(Event::Request(arrival)))).contains("remove authorization")
    };
    assert!(!removes("|remember", 1), "it is the client's");
    assert!(removes("|remember", 2), "it may be anybody's");
    assert!(!removes("|remember||own", 2), "nobody has written another");
}

#[test]
fn a_target_that_is_not_in_the_chain_is_asked_nothing() {
    let other = r#"{"name": "ns/other", "provider": "openai", "credential": "injected"}"#;
    let mut attempt = Attempt::new(target(other));
    let step = show(&request(CHAIN, |arrival| attempt.on(Event::Request(arrival))));
    assert!(step.starts_with("reply 500 not_admitted"), "{step}");
}

#[test]
fn a_failure_is_counted_and_remembered_with_the_time_it_asks_for() {
    let mut attempt = asked(1);
    let step = answered(&mut attempt, ":status: 429\nretry-after: 7");
    assert_eq!(
        step,
        "count Attempts { target: Own, outcome: RateLimited }\n\
         remember ns/a Failed { now: 1800000000s, wait: Some(7s) }\npass"
    );
    assert_eq!(show(&attempt.on(end(false))), "pass");
}

#[test]
fn an_answer_is_counted_with_the_time_it_took_and_clears_the_record() {
    let step = answered(&mut asked(1), ":status: 200\nnow: 1800000001");
    assert_eq!(
        step,
        "count Attempts { target: Own, outcome: Ok }\nobserve FirstByte 1000\nremember ns/a Worked\npass"
    );
}

#[test]
fn no_answer_is_a_failure_unless_the_client_has_left() {
    let ended = |client_left| show(&asked(1).on(end(client_left)));
    assert!(ended(false).contains("NoAnswer }\nremember ns/a Failed"), "{}", ended(false));
    assert_eq!(ended(true), "count Attempts { target: Own, outcome: Abandoned }\npass");
}

#[test]
fn a_stream_is_held_until_it_says_something() {
    let mut attempt = asked(1);
    assert_eq!(answered(&mut attempt, STREAM), "hold");
    assert_eq!(attempt.appetite(), Appetite::Beginning);
    assert_eq!(begun(&mut attempt, ": patience\n\n", false), "hold");
    let step = begun(&mut attempt, ": patience\n\ndata: {}\n\n", false);
    assert!(step.contains("outcome: Ok }\nobserve FirstByte 2000\n") && step.ends_with("pass"), "{step}");
    assert_eq!(attempt.appetite(), Appetite::Nothing);
}

#[test]
fn an_error_in_the_first_event_gets_the_status_that_it_stands_for() {
    let mut attempt = asked(1);
    answered(&mut attempt, STREAM);
    let step = begun(&mut attempt, "data: {\"error\":{\"code\":\"rate_limit_exceeded\"}}\n\n", false);
    assert!(
        step.contains("outcome: ErrorEvent }") && step.ends_with("set answer's :status: 429\npass"),
        "{step}"
    );
}

#[test]
fn the_last_one_s_error_event_is_the_answer_as_it_is() {
    let mut attempt = asked(2);
    answered(&mut attempt, STREAM);
    let step = begun(&mut attempt, "data: {\"error\":{}}\n\n", false);
    assert!(step.contains("ErrorEvent") && !step.contains(":status"), "{step}");
}

#[test]
fn an_error_event_that_leads_nowhere_is_the_answer_too() {
    let mut attempt = asked(1);
    answered(&mut attempt, STREAM);
    let step = begun(&mut attempt, "data: {\"error\":{\"type\":\"invalid_request_error\"}}\n\n", false);
    assert!(!step.contains(":status"), "{step}");
}

#[test]
fn a_stream_without_a_chain_is_not_held() {
    let mut attempt = Attempt::new(target(TARGET));
    let lines = CHAIN.replace("|ns/a,ns/b|429,503|remember", "");
    request(&lines, |arrival| attempt.on(Event::Request(arrival)));
    assert!(!attempt.reads_answers());
    let step = answered(&mut attempt, STREAM);
    assert_eq!(step, "count Attempts { target: Own, outcome: Ok }\nobserve FirstByte 0\npass");
}
