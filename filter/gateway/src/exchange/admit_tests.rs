use super::super::tests::{CHAT, answered, arrive, chunk, exchange, over};
use crate::event::{Appetite, Event, Flow};
use crate::exchange::Exchange;
use crate::testing::{called, end, show, test};

const BODY: &str = r#"{"model":"gpt","messages":[{"role":"user","content":"hi"}],"max_tokens":20}"#;

/// A gateway with one budget that says so, and an access log.
fn policy(fields: &str) -> String {
    format!(
        r#"{{"sidecar": {{"cluster": "s"}}, "accessLog": {{}}, "prices": {{"gpt": {{"input": 1, "output": 2}}}},
            "routes": [{{"name": "r", "matches": [{{"path": {{"prefix": "/openai"}}}}],
                "backends": [{{"cluster": "a", "provider": "openai"}}],
                "budgets": [{{"name": "b", "max": 70, "per": "hour", {fields}}}]}}]}}"#
    )
}

const TOTAL: &str = r#""counts": "total", "headers": true"#;

/// An exchange that has asked the sidecar, and what it has said by then.
fn asking(fields: &str) -> (Exchange, String) {
    let mut exchange = exchange(&policy(fields));
    arrive(&mut exchange, CHAT);
    let step = show(&exchange.on(Event::RequestBody(BODY.into())));
    (exchange, step)
}

fn said(exchange: &mut Exchange, lines: &str, body: &str) -> String {
    show(&called(lines, body, |event| exchange.on(event)))
}

const OURS: &str = ":status: 200\nx-turnpike-sidecar: 1";

fn admitted(remaining: u64) -> String {
    format!(
        r#"{{"allowed":true,"inputTokens":9,"reservation":"ticket","limits":[{{"name":"b","max":70,"remaining":{remaining},"resetSeconds":100,"exceeded":false}}]}}"#
    )
}

fn denied(spent: bool) -> String {
    format!(
        r#"{{"allowed":false,"inputTokens":9,"limits":[{{"name":"b","max":70,"remaining":3,"resetSeconds":100,"exceeded":true,"spent":{spent}}}]}}"#
    )
}

/// An exchange that has been let pass.
fn let_pass(fields: &str) -> Exchange {
    let (mut exchange, _) = asking(fields);
    let step = said(&mut exchange, OURS, &admitted(41));
    assert!(step.ends_with("pass"), "{step}");
    exchange
}

#[test]
fn the_sidecar_is_asked_once_and_the_request_waits() {
    let (mut exchange, step) = asking(TOTAL);
    assert!(step.starts_with("ask s turnpike-sidecar/v1/admit"), "{step}");
    assert!(step.contains(r#""prompt":{"messages":[{"role":"user","content":"hi"}]}"#), "{step}");
    assert!(step.ends_with("hold") && exchange.appetite() == Appetite::Nothing, "{step}");
    let step = said(&mut exchange, OURS, &admitted(41));
    assert!(step.contains("count Budget { route: 0, budget: 0, outcome: Allowed }"), "{step}");
    assert!(step.contains("add 9 to RateLimited"), "{step}");
    let step = answered(&mut exchange, ":status: 200\ncontent-type: application/json");
    assert!(step.contains("set answer's x-ratelimit-limit: 70, 70;w=3600"), "{step}");
    assert!(step.contains("set answer's x-ratelimit-remaining: 41"), "{step}");
    assert!(step.contains("set answer's x-ratelimit-reset: 100"), "{step}");
}

#[test]
fn what_the_provider_says_is_settled_once() {
    let mut exchange = let_pass(TOTAL);
    answered(&mut exchange, ":status: 200\ncontent-type: application/json");
    chunk(&mut exchange, r#"{"usage":{"prompt_tokens":10,"completion_tokens":5}}"#, true);
    assert!(over(&mut exchange).starts_with("settle ticket [15]\n"));
    assert!(!over(&mut exchange).contains("settle"));
}

#[test]
fn of_a_stream_that_says_nothing_what_was_seen_is_settled_and_marked() {
    let mut exchange = let_pass(TOTAL);
    answered(&mut exchange, ":status: 200\ncontent-type: text/event-stream");
    chunk(&mut exchange, "data: {\"choices\":[{\"delta\":{\"content\":\"Hello, you\"}}]}\n\n", false);
    let end = show(&exchange.on(end(true)));
    assert!(end.contains("settle ticket [12]"), "{end}");
    assert!(end.contains(r#""input_tokens":9,"cached_tokens":0,"output_tokens":3"#), "{end}");
    assert!(end.contains(r#""estimated":true,"cost":0.000015000"#), "{end}");
    assert!(
        end.contains("add 9 to Estimated { kind: Input") && end.contains("add 3 to Estimated { kind: Output"),
        "{end}"
    );
}

#[test]
fn a_failure_is_given_back_and_so_is_a_refusal() {
    let mut exchange = let_pass(TOTAL);
    answered(&mut exchange, ":status: 500");
    assert!(over(&mut exchange).starts_with("settle ticket [0]"));
    let mut exchange = let_pass(r#""counts": "requests""#);
    answered(&mut exchange, ":status: 500");
    assert!(over(&mut exchange).starts_with("settle ticket [1]"), "a provider was asked");
}

#[test]
fn a_client_that_leaves_before_the_answer_pays_for_its_prompt() {
    let mut exchange = let_pass(TOTAL);
    let end = show(&exchange.on(end(true)));
    assert!(end.starts_with("settle ticket [9]"), "{end}");
}

#[test]
fn costs_are_those_of_the_model() {
    let mut exchange = let_pass(r#""counts": "cost""#);
    answered(&mut exchange, ":status: 200\ncontent-type: application/json");
    chunk(&mut exchange, r#"{"usage":{"prompt_tokens":10,"completion_tokens":5}}"#, true);
    assert!(over(&mut exchange).starts_with("settle ticket [20000]"));
    let mut exchange = exchange_of(r#""counts": "cost""#);
    let step = show(&exchange.on(Event::RequestBody(br#"{"model":"other"}"#.to_vec())));
    assert!(step.contains("reply 403 model_unpriced: the model `other` has no price"), "{step}");
}

fn exchange_of(fields: &str) -> Exchange {
    let mut exchange = exchange(&policy(fields));
    arrive(&mut exchange, CHAT);
    exchange
}

#[test]
fn too_little_is_a_429_and_nothing_is_settled() {
    let (mut exchange, _) = asking(TOTAL);
    let step = said(&mut exchange, OURS, &denied(false));
    assert!(
        step.contains("reply 429 budget_exceeded: the budget `b` allows 70 tokens per hour: 3 are left"),
        "{step}"
    );
    assert!(step.contains("[x-should-retry: false]") && step.contains("outcome: Exceeded"), "{step}");
    assert!(!over(&mut exchange).contains("settle"));
}

#[test]
fn a_budget_that_is_used_up_is_not_asked_for_again() {
    let access = std::rc::Rc::new(crate::access::Access::new(
        crate::testing::gateway(&policy(TOTAL)),
        crate::testing::SEED,
    ));
    let ask = || {
        let mut exchange = Exchange::new(std::rc::Rc::clone(&access));
        arrive(&mut exchange, CHAT);
        let step = show(&exchange.on(Event::RequestBody(BODY.into())));
        (exchange, step)
    };
    let (mut first, _) = ask();
    said(&mut first, OURS, &denied(false));
    let (mut second, step) = ask();
    assert!(step.starts_with("ask s"), "what is only reserved may come free: {step}");
    said(&mut second, OURS, &denied(true));
    let (_, step) = ask();
    assert!(step.contains("reply 429") && !step.contains("ask"), "{step}");
}

#[test]
fn while_the_sidecar_is_away_the_policy_decides() {
    let deny = r#""counts": "input""#;
    let (mut exchange, _) = asking(deny);
    let step = said(&mut exchange, "", "");
    assert!(step.contains("reply 503 budget_unavailable: the budget `b` cannot be looked at now"), "{step}");
    assert!(step.contains("reclaim {\"request\"") && step.contains("outcome: Unavailable"), "{step}");
    for fields in
        [r#""counts": "input", "onUnavailable": "allow""#, r#""counts": "input", "mode": "monitor""#]
    {
        let (mut exchange, _) = asking(fields);
        let step = said(&mut exchange, ":status: 503\nx-turnpike-sidecar: 1", "");
        assert!(
            step.ends_with("pass") && step.contains("pass uncounted") && !step.contains("reclaim"),
            "{step}"
        );
        assert!(!over(&mut exchange).contains("settle"));
        let (mut exchange, _) = asking(fields);
        let step = said(&mut exchange, ":status: 504\nx-turnpike-sidecar: 1", "");
        assert!(
            step.ends_with("pass") && step.contains("reclaim"),
            "the sidecar does not know either: {step}"
        );
    }
}

#[test]
fn a_client_that_leaves_while_the_sidecar_thinks_gives_everything_back() {
    let (mut exchange, asked) = asking(TOTAL);
    let over = over(&mut exchange);
    let question = asked.split_once("/v1/admit ").unwrap().1.split_once('\n').unwrap().0;
    assert!(over.contains(&format!("reclaim {question}")), "the same question: {over}");
    assert!(!over.contains("settle"));
}

#[test]
fn what_nobody_reads_is_counted_as_a_request() {
    let mut exchange = exchange(&policy(r#""counts": "requests""#));
    let step = arrive(&mut exchange, ":method: GET\n:path: /openai/v1/models\n:authority: h\nend: 1");
    let shown = show(&step);
    assert!(shown.contains("ask s") && !shown.contains("\"input\"") && step.flow == Flow::Hold, "{shown}");
    assert!(said(&mut exchange, OURS, &admitted(1)).ends_with("pass"));
    let mut listing = super::super::tests::exchange(&policy(r#""counts": "total""#));
    let shown = show(&arrive(&mut listing, ":method: GET\n:path: /openai/v1/models\n:authority: h\nend: 1"));
    assert!(shown.contains(r#""perInput":1,"estimate":0"#), "no model writes anything: {shown}");
}

#[test]
fn answers_are_asked_for_so_that_their_usage_can_be_read_whatever_was_asked() {
    let mut exchange = exchange(&policy(r#""counts": "total""#));
    let lines = ":method: POST\n:path: /openai/v1/rerank\n:authority: h\naccept-encoding: gzip";
    assert!(show(&arrive(&mut exchange, lines)).contains("remove accept-encoding"));
    said(&mut exchange, OURS, &admitted(1));
    answered(&mut exchange, ":status: 200\ncontent-type: application/json");
    chunk(&mut exchange, r#"{"usage":{"prompt_tokens":10,"completion_tokens":5}}"#, true);
    assert!(over(&mut exchange).starts_with("settle ticket [15]\n"));
}

#[test]
fn a_budget_that_does_not_hold_asks_nobody() {
    let (_, step) = asking(r#""counts": "total", "key": [{"of": {"claim": "sub"}}]"#);
    assert_eq!(step, "pass");
}
