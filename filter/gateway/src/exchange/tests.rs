use std::rc::Rc;
use std::time::Duration;

use super::Exchange;
use crate::access::Access;
use crate::event::{Appetite, Clock, Event, Step};
use crate::metric::{ModelNames, Names};
use crate::testing::{NOW, SEED, answer, end, gateway, request, show, test};
use crate::usage::LabelSets;

const UPSTREAM: &str = r#"{"routes": [{"name": "openai", "matches": [{"path": {"prefix": "/openai"}}]}], "maxRequestBytes": 100}"#;
const HERE: &str = r#"{"routes": [{"name": "openai", "matches": [{"path": {"prefix": "/openai"}}],
    "target": {"provider": "openai", "model": "gpt-4o", "credential": {"env": "KEY"}}}]}"#;
const PASSTHROUGH: &str = r#"{"routes": [{"name": "openai", "passthrough": true}]}"#;
pub const CHAT: &str = ":method: POST\n:path: /openai\n:authority: h\ncontent-type: application/json";

pub fn exchange(policy: &str) -> Exchange {
    Exchange::new(Rc::new(Access::new(gateway(policy), SEED)))
}

pub fn arrive(exchange: &mut Exchange, lines: &str) -> Step {
    request(lines, |arrival| exchange.on(Event::Request(arrival)))
}

/// What a first request with these lines leads to.
fn first(policy: &str, lines: &str) -> String {
    show(&arrive(&mut exchange(policy), lines))
}

/// An exchange whose request is with the provider.
fn asked(policy: &str) -> Exchange {
    let mut exchange = exchange(policy);
    arrive(&mut exchange, CHAT);
    exchange.on(Event::RequestBody(br#"{"model":"a"}"#.to_vec()));
    exchange
}

pub fn answered(exchange: &mut Exchange, lines: &str) -> String {
    show(&answer(lines, |event| exchange.on(event)))
}

pub fn chunk(exchange: &mut Exchange, bytes: &str, end: bool) -> String {
    let now = Clock(&|| Duration::from_secs(NOW) + Duration::from_millis(70));
    show(&exchange.on(Event::Chunk { bytes: bytes.as_bytes(), end, now }))
}

pub fn over(exchange: &mut Exchange) -> String {
    show(&exchange.on(end(false)))
}

#[test]
fn a_prompt_is_held_until_it_is_whole_and_then_handed_over() {
    let mut exchange = exchange(UPSTREAM);
    assert_eq!(show(&arrive(&mut exchange, CHAT)), "hand over /v1/chat/completions\nhold");
    assert_eq!(exchange.appetite(), Appetite::RequestBody);
    assert_eq!(show(&exchange.on(Event::RequestGrew(10))), "hold");
    assert_eq!(show(&exchange.on(Event::RequestBody(b"{}".to_vec()))), "pass");
    assert_eq!(exchange.appetite(), Appetite::Nothing);
}

#[test]
fn with_a_target_of_its_own_the_filter_writes_what_the_provider_gets() {
    let mut exchange = exchange(HERE);
    let lines = format!(
        "{CHAT}\nauthorization: Bearer alice\ncookie: a=b\nx-forwarded-for: 1.2.3.4\nx-forwarded-proto: http\naccept-encoding: gzip"
    );
    assert_eq!(
        show(&arrive(&mut exchange, &lines)),
        "remove authorization\nremove cookie\nremove x-forwarded-for\nset :path: /v1/chat/completions\nset :authority: api.openai.com\n\
         set authorization: Bearer sk-1\nremove accept-encoding\nhold"
    );
    let step = exchange.on(Event::RequestBody(br#"{"model":"a"}"#.to_vec()));
    assert_eq!(show(&step), "edit body, growth 5\npass");
}

#[test]
fn a_body_that_nobody_understands_is_not_held() {
    let mut exchange = exchange(UPSTREAM);
    let lines =
        ":method: POST\n:path: /openai/v1/files\n:authority: h\ncontent-encoding: gzip\ncontent-length: 9999";
    assert_eq!(show(&arrive(&mut exchange, lines)), "hand over /v1/files\npass");
    assert_eq!(exchange.appetite(), Appetite::Nothing);
}

#[test]
fn what_a_client_may_not_say_is_taken_from_it() {
    let lines = format!("{CHAT}\nx-turnpike-path: /v1/secrets\nx-turnpike-model: x");
    assert_eq!(
        first(UPSTREAM, &lines),
        "remove x-turnpike-path\nremove x-turnpike-model\nhand over /v1/chat/completions\nhold"
    );
}

#[test]
fn a_request_that_cannot_go_on_is_answered_at_once() {
    let not_found = "log Info route none: 404 route_not_found at stage Route\nreply 404 route_not_found: no route takes this host and path\npass";
    assert_eq!(first(UPSTREAM, ":method: GET\n:path: /other\n:authority: h"), not_found);
    let encoded = format!("{CHAT}\ncontent-encoding: gzip");
    assert!(first(UPSTREAM, &encoded).contains("reply 415 unsupported_content_encoding"));
    let long = format!("{CHAT}\ncontent-length: 101");
    assert!(
        first(UPSTREAM, &long)
            .contains("reply 413 body_too_large: the request body is longer than 100 bytes")
    );
    let empty = format!("{CHAT}\nend: true");
    assert!(first(UPSTREAM, &empty).contains("reply 400 invalid_json: the request has no body"));
}

#[test]
fn a_body_is_refused_as_soon_as_it_is_too_long() {
    let mut exchange = exchange(UPSTREAM);
    arrive(&mut exchange, CHAT);
    assert!(show(&exchange.on(Event::RequestGrew(101))).contains("reply 413 body_too_large"));
    assert_eq!(show(&exchange.on(Event::RequestGrew(202))), "pass", "one reply is enough");
}

#[test]
fn a_body_that_two_readers_could_read_differently_is_refused() {
    let mut exchange = exchange(UPSTREAM);
    arrive(&mut exchange, CHAT);
    let step = show(&exchange.on(Event::RequestBody(br#"{"model":"a","model":"b"}"#.to_vec())));
    assert!(step.contains("reply 400 duplicate_field"), "{step}");
    assert!(over(&mut exchange).contains("Replied(DuplicateField)"));
}

#[test]
fn listeners_that_serve_other_things_may_let_the_rest_pass() {
    let policy =
        r#"{"routes": [{"name": "a", "matches": [{"path": {"prefix": "/a"}}]}], "unmatched": "pass"}"#;
    assert_eq!(first(policy, ":method: GET\n:path: /other\n:authority: h"), "pass");
}

#[test]
fn an_answer_that_is_no_stream_passes_unread() {
    let mut exchange = asked(UPSTREAM);
    assert_eq!(answered(&mut exchange, ":status: 200\ncontent-type: application/json"), "pass");
    assert_eq!(exchange.appetite(), Appetite::Nothing);
    assert_eq!(over(&mut exchange), "count Requests { route: Some(0), outcome: Ok }\npass");
}

#[test]
fn a_provider_s_error_goes_to_the_client_as_it_is() {
    let mut exchange = asked(UPSTREAM);
    assert_eq!(answered(&mut exchange, ":status: 429\nretry-after: 5"), "pass");
    assert!(over(&mut exchange).contains("ProviderError"));
}

#[test]
fn a_provider_s_401_is_the_gateway_s_fault_unless_the_key_was_the_client_s() {
    let reply = answered(&mut asked(UPSTREAM), ":status: 401");
    assert!(reply.contains("reply 502 provider_auth_failed"), "{reply}");
    assert_eq!(answered(&mut asked(PASSTHROUGH), ":status: 401"), "pass");
}

#[test]
fn the_host_s_own_answers_become_ours() {
    for (status, details, expected) in [
        (503, "upstream_reset_before_response_started{connection_failure}", "503 provider_unreachable"),
        (503, "no_healthy_upstream", "503 provider_unreachable"),
        (504, "response_timeout", "504 provider_timeout"),
        (504, "stream_idle_timeout", "504 provider_timeout"),
        (413, "request_payload_too_large", "413 body_too_large"),
        (408, "stream_idle_timeout", "408 request_timeout"),
        (404, "route_not_found", "404 route_not_found"),
        (403, "something_else", "403 host_error"),
        (200, "direct_response", "503 host_error"),
    ] {
        let reply = answered(&mut asked(UPSTREAM), &format!(":status: {status}\nlocal: {details}"));
        assert!(reply.contains(&format!("reply {expected}: ")), "{details}: {reply}");
    }
}

#[test]
fn a_host_that_gives_up_on_the_request_is_heard_too() {
    let mut exchange = exchange(UPSTREAM);
    arrive(&mut exchange, CHAT);
    let reply = answered(&mut exchange, ":status: 413\nlocal: request_payload_too_large");
    assert!(reply.contains("reply 413 body_too_large"), "{reply}");
}

#[test]
fn our_own_reply_coming_back_changes_nothing() {
    let mut exchange = exchange(UPSTREAM);
    arrive(&mut exchange, ":method: GET\n:path: /other\n:authority: h");
    assert_eq!(answered(&mut exchange, ":status: 404\nlocal: "), "pass");
    assert!(over(&mut exchange).contains("outcome: Replied(RouteNotFound)"));
}

#[test]
fn a_stream_passes_event_by_event() {
    let mut exchange = asked(UPSTREAM);
    let headers = ":status: 200\ncontent-type: text/event-stream; charset=utf-8\ncontent-length: 12";
    assert_eq!(answered(&mut exchange, headers), "remove answer's content-length\npass");
    assert_eq!(exchange.appetite(), Appetite::Chunks);
    assert_eq!(chunk(&mut exchange, "data: 1\n\n", false), "pass");
    assert_eq!(chunk(&mut exchange, "data: 2\n\ndat", false), "send \"data: 2\\n\\n\"\npass");
    assert_eq!(chunk(&mut exchange, "a: [DONE]\n\n", false), "send \"data: [DONE]\\n\\n\"\npass");
    assert_eq!(chunk(&mut exchange, "", true), "pass");
    assert!(over(&mut exchange).contains("outcome: Ok"));
}

#[test]
fn a_stream_that_breaks_off_is_ended_counted_and_logged() {
    let mut exchange = asked(UPSTREAM);
    answered(&mut exchange, ":status: 200\ncontent-type: text/event-stream");
    let end = chunk(&mut exchange, "data: 1\n\nda", true);
    assert!(end.starts_with("send \"data: 1\\n\\ndata: {\\\"error\\\""), "{end}");
    assert!(end.contains("log Warn route openai: the provider ended a stream before its end"));
    assert!(over(&mut exchange).contains("outcome: StreamCut"));
}

#[test]
fn a_stream_that_nobody_lets_finish_is_counted_as_interrupted() {
    let mut exchange = asked(UPSTREAM);
    answered(&mut exchange, ":status: 200\ncontent-type: text/event-stream");
    chunk(&mut exchange, "data: 1\n\n", false);
    assert!(over(&mut exchange).contains("outcome: Interrupted"));
    assert!(over(&mut asked(UPSTREAM)).contains("outcome: Unanswered"));
}

#[test]
fn a_compressed_stream_is_left_alone() {
    let mut exchange = asked(UPSTREAM);
    let headers = ":status: 200\ncontent-type: text/event-stream\ncontent-encoding: gzip";
    assert_eq!(answered(&mut exchange, headers), "pass");
    assert_eq!(exchange.appetite(), Appetite::Nothing);
}

#[test]
fn the_series_of_a_metric_has_no_room_for_a_label_of_the_client_s() {
    let policy = gateway(r#"{"routes": [{"name": "a;b=c"}]}"#);
    let mut exchange = Exchange::new(Rc::new(Access::new(Rc::clone(&policy), SEED)));
    let step = exchange.on(end(false));
    let [crate::Effect::Count(metric)] = step.effects[..] else { panic!("{step:?}") };
    assert_eq!(
        metric.series(Names::Gateway(&policy, &ModelNames::default(), &LabelSets::new(&policy))),
        "turnpike_requests_total;route=none;reason=unanswered"
    );
    let outcome = crate::Outcome::Unanswered;
    let named = crate::Metric::Requests { route: Some(0), outcome };
    assert_eq!(
        named.series(Names::Gateway(&policy, &ModelNames::default(), &LabelSets::new(&policy))),
        "turnpike_requests_total;route=a_b=c;reason=unanswered"
    );
}
