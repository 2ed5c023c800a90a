use serde_json::Value;

use crate::event::{Effect, Event};
use crate::exchange::Exchange;
use crate::exchange::tests::{CHAT, answered, arrive, chunk, exchange, over};
use crate::metric::{Metric, Names};
use crate::testing::{called, end, local_key, test, token};

/// A route with two backends, the second of which has a model of its own, for callers with tokens.
fn policy() -> String {
    let key = local_key();
    format!(
        r#"{{"routes": [{{"name": "r", "matches": [{{"path": {{"prefix": "/openai"}}}}], "jwt": [{{"providers": ["p"], "validation": "allowMissing"}}],
            "backends": [{{"cluster": "a", "provider": "openai"}}, {{"cluster": "b", "provider": "mistral", "model": "big", "priority": 1}}],
            "failover": {{"on": {{"statuses": [429]}}}}}}],
            "jwtProviders": {{"p": {{"keys": {key}}}}},
            "metricLabels": [{{"name": "team", "claim": "team"}}], "accessLog": {{"caller": "sub"}}}}"#
    )
}

const STREAM: &str = ":status: 200\ncontent-type: text/event-stream";
const USAGE: &str = r#"{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":1},"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":3}}"#;

/// A request of alice's, as far as the provider has it.
fn sent(body: &str) -> Exchange {
    let mut exchange = exchange(&policy());
    let token = token(r#"{"sub":"alice","team":"dev;model=x","exp":2000000000}"#);
    arrive(&mut exchange, &format!("{CHAT}\nauthorization: Bearer {token}"));
    exchange.on(Event::RequestBody(body.as_bytes().to_vec()));
    exchange
}

/// The series that are counted at the end, and the line of the access log.
fn finish(mut exchange: Exchange) -> (Vec<String>, Value) {
    let step = exchange.on(end(false));
    let names = Names::Gateway(&exchange.policy, exchange.access.models(), exchange.access.labels());
    let series = step.effects.iter().filter_map(|effect| match effect {
        Effect::Add(metric, by) => Some(format!("{} {by}", metric.series(names))),
        Effect::Observe(metric, value) => Some(format!("{} {value}", metric.series(names))),
        _ => None,
    });
    let line = step.effects.iter().find_map(|effect| match effect {
        Effect::Report(line) => Some(serde_json::from_str(line).unwrap()),
        _ => None,
    });
    (series.collect(), line.unwrap_or_default())
}

#[test]
fn tokens_are_counted_for_the_caller_and_by_their_kinds() {
    let mut exchange = sent(r#"{"model":"gpt"}"#);
    answered(&mut exchange, ":status: 200\ncontent-type: application/json\nattempts: 2");
    chunk(&mut exchange, &format!("{{\"usage\":{USAGE}}}"), true);
    let (series, line) = finish(exchange);
    for expected in [
        "ai_prompt_tokens_total;llm=mistral;model=big;team=dev_model=x 9",
        "ai_completion_tokens_total;llm=mistral;model=big;team=dev_model=x 7",
        "turnpike_token_details_total;kind=cached_input;llm=mistral;model=big 4",
        "turnpike_token_details_total;kind=reasoning_output;llm=mistral;model=big 2",
        "turnpike_token_details_total;kind=audio_input;llm=mistral;model=big 1",
        "turnpike_token_details_total;kind=audio_output;llm=mistral;model=big 3",
    ] {
        assert!(series.iter().any(|it| it == expected), "{expected}: {series:#?}");
    }
    assert!(!series.iter().any(|it| it.contains("first_token")), "{series:#?}");
    let numbers =
        ["input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "status", "attempts"];
    assert_eq!(numbers.map(|name| line[name].as_u64().unwrap()), [9, 4, 7, 2, 200, 2]);
    let texts = ["route", "caller", "model", "answered_model", "provider", "outcome"];
    assert_eq!(texts.map(|name| line[name].as_str().unwrap()), ["r", "alice", "gpt", "big", "mistral", "ok"]);
    assert_eq!((&line["first_token_ms"], &line["estimated"]), (&Value::Null, &Value::Bool(false)));
}

#[test]
fn the_first_event_with_data_is_what_the_client_has_waited_for() {
    let mut exchange = sent(r#"{"model":"gpt","stream":true}"#);
    answered(&mut exchange, STREAM);
    chunk(&mut exchange, ": ping\n\n", false);
    chunk(&mut exchange, "data: {\"choi", false);
    assert_eq!(exchange.record.notes.first_token, None);
    chunk(&mut exchange, "ces\":[{}]}\n\n", false);
    chunk(&mut exchange, &format!("data: {{\"choices\":[],\"usage\":{USAGE}}}\n\ndata: [DONE]\n\n"), true);
    let (series, line) = finish(exchange);
    let first = "gen_ai_server_time_to_first_token_milliseconds;gen_ai_provider_name=openai;gen_ai_request_model=gpt 70";
    assert!(series.iter().any(|it| it == first), "{series:#?}");
    assert!(
        series.iter().any(|it| it == "turnpike_token_details_total;kind=cached_input;llm=openai;model=gpt 4")
    );
    assert_eq!((&line["first_token_ms"], &line["output_tokens"]), (&Value::from(70), &Value::from(7)));
}

#[test]
fn the_end_of_a_stream_is_no_token() {
    let mut exchange = sent(r#"{"model":"gpt","stream":true}"#);
    answered(&mut exchange, STREAM);
    chunk(&mut exchange, "data: [DONE]\n\n", true);
    assert_eq!(finish(exchange).1["first_token_ms"], Value::Null);
}

#[test]
fn a_refusal_has_asked_nobody_and_is_no_failure() {
    let mut refused = exchange(&policy());
    let said = crate::testing::show(&arrive(&mut refused, &format!("{CHAT}\nauthorization: Bearer a.b.c")));
    assert!(!said.contains("Exceptions"), "{said}");
    let (_, line) = finish(refused);
    assert_eq!((&line["status"], &line["attempts"]), (&Value::from(401), &Value::from(0)));
    assert_eq!((&line["provider"], &line["caller"]), (&Value::Null, &Value::Null));
    let mut unread = sent("{");
    assert_eq!(finish(std::mem::replace(&mut unread, exchange(&policy()))).1["caller"], "alice");
}

#[test]
fn what_the_gateway_needs_and_does_not_get_is_a_failure() {
    let mut exchange = sent(r#"{"model":"gpt"}"#);
    answered(&mut exchange, ":status: 429\nattempts: 1");
    let step = called("", "", |event| exchange.on(event));
    let names = Names::Gateway(&exchange.policy, exchange.access.models(), exchange.access.labels());
    let counted = step.effects.iter().filter_map(|effect| match effect {
        Effect::Count(metric @ Metric::Exceptions { .. }) => Some(metric.series(names)),
        _ => None,
    });
    let expected = "ai_exception_raised_total;llm=mistral;model=big;team=dev_model=x";
    assert_eq!(counted.collect::<Vec<_>>(), [expected]);
    let (_, line) = finish(exchange);
    assert_eq!((&line["outcome"], &line["attempts"]), (&"provider_unreachable".into(), &Value::from(2)));
}

#[test]
fn failures_leave_room_for_models_that_answer() {
    let exchange = sent(r#"{"model":"gpt"}"#);
    let models = exchange.access.models();
    for number in 0..500 {
        models.doubtful(&format!("m{number}"));
    }
    let mut effects = Vec::new();
    exchange.count_exception(&mut effects);
    let names = Names::Gateway(&exchange.policy, models, exchange.access.labels());
    let [Effect::Count(metric)] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(metric.series(names), "ai_exception_raised_total;llm=openai;model=other;team=dev_model=x");
    assert_eq!(models.name(models.number("gpt")), "gpt");
    assert_eq!(models.name(models.doubtful("m7")), "m7");
    let nobody = super::super::tests::exchange(&policy());
    let names = Names::Gateway(&nobody.policy, nobody.access.models(), nobody.access.labels());
    assert_eq!(
        Metric::Exceptions { asked: None, labels: nobody.labels() }.series(names),
        "ai_exception_raised_total;llm=unknown;model=unknown;team=<unknown>"
    );
}

#[test]
fn what_a_budget_is_charged_has_the_caller_s_labels() {
    let exchange = sent(r#"{"model":"gpt"}"#);
    let names = Names::Gateway(&exchange.policy, exchange.access.models(), exchange.access.labels());
    let name = exchange.access.models().number("gpt");
    let asked = crate::metric::Model { provider: policy::Provider::Openai, name };
    assert_eq!(
        Metric::RateLimited { asked: Some(asked), labels: exchange.labels() }.series(names),
        "ai_rate_limited_tokens_total;llm=openai;model=gpt;team=dev_model=x"
    );
}

#[test]
fn without_an_access_log_there_is_no_line() {
    let policy = r#"{"routes": [{"name": "r"}]}"#;
    assert!(!over(&mut exchange(policy)).contains("report"));
    assert!(over(&mut exchange(&policy.replace("]}", "], \"accessLog\": {}}"))).contains("report {"));
}

#[test]
fn a_guard_that_lets_pass_what_it_could_not_ask_about_is_a_failure_too() {
    let guard = r#"{"routes": [{"name": "r", "matches": [{"path": {"prefix": "/openai"}}], "backends": [{"cluster": "a", "provider": "openai"}],
        "guard": {"request": {"webhook": {"cluster": "w", "host": "w", "onError": "allow"}}}}]}"#;
    let mut asked = exchange(guard);
    arrive(&mut asked, CHAT);
    asked.on(Event::RequestBody(br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#.to_vec()));
    let said = called("", "", |event| asked.on(event));
    assert!(crate::testing::show(&said).contains("count Exceptions"));
}
