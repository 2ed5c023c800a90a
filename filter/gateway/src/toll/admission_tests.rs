use super::*;
use crate::headers::Headers;
use crate::testing::{gateway, test};

/// What is asked for a body, by budgets that count one thing each.
fn asked(operation: Operation, counts: &[&str], body: &str) -> String {
    let budget =
        |counts: &&str| format!(r#"{{"name": "{counts}", "counts": "{counts}", "max": 70, "per": "hour"}}"#);
    let policy = gateway(&format!(
        r#"{{"sidecar": {{"cluster": "s", "timeoutMs": 20}}, "prices": {{"*": {{"input": 2.5, "output": 10}}}},
            "routes": [{{"name": "r", "budgets": [{}]}}]}}"#,
        counts.iter().map(budget).collect::<Vec<_>>().join(",")
    ));
    let budgets = &policy.routes[0].budgets;
    let holding: Vec<Holding> = (0..budgets.len())
        .map(|budget| Holding { budget, key: "k".into(), max: 70, window_seconds: 3600 })
        .collect();
    let document = (!body.is_empty()).then(|| Document::parse(body.into()).unwrap());
    let asking = Asking {
        budgets,
        holding: &holding,
        price: policy.price("gpt").copied(),
        document: document.as_ref(),
        operation,
        bare: false,
        id: "id".into(),
        trace: Some("00-1-2-3"),
    };
    let call = question(&asking, policy.sidecar.as_ref().unwrap());
    assert!(call.headers.contains(&("traceparent".to_owned(), "00-1-2-3".to_owned())));
    String::from_utf8(call.body).unwrap()
}

/// `constant, perInput, estimate` of each limit.
fn amounts(operation: Operation, counts: &[&str], body: &str) -> Vec<(u64, u64, u64)> {
    let asked: sidecar_api::Admit<serde_json::Value> =
        serde_json::from_str(&asked(operation, counts, body)).unwrap();
    asked.limits.iter().map(|it| (it.amount.constant, it.amount.per_input, it.amount.estimate)).collect()
}

const ALL: [&str; 6] = ["requests", "prompt", "input", "output", "total", "cost"];

#[test]
fn the_question_is_one_that_the_sidecar_reads() {
    let asked =
        asked(Operation::ChatCompletions, &["prompt"], r#"{"model":"m","messages":[{"content":"hi"}]}"#);
    assert_eq!(
        asked,
        r#"{"request":"id","input":{"prompt":{"messages":[{"content":"hi"}]}},"limits":[{"name":"prompt","key":"k","max":70,"windowSeconds":3600,"window":"fixed","amount":{"constant":0,"perInput":1,"estimate":0},"mode":"enforce"}]}"#
    );
}

#[test]
fn each_budget_takes_what_it_counts() {
    let body = r#"{"messages":[],"max_tokens":100}"#;
    assert_eq!(
        amounts(Operation::ChatCompletions, &ALL, body),
        [(1, 0, 0), (0, 1, 0), (0, 1, 0), (0, 0, 100), (0, 1, 100), (0, 2500, 1_000_000)]
    );
}

#[test]
fn what_the_model_may_write_is_bounded_by_the_request_or_guessed() {
    let output = |operation, body: &str| amounts(operation, &["output"], body)[0].2;
    let chat = Operation::ChatCompletions;
    assert_eq!(output(chat, "{}"), 1024);
    assert_eq!(output(chat, r#"{"max_tokens":7,"max_completion_tokens":9}"#), 9);
    assert_eq!(output(chat, r#"{"max_tokens":"7"}"#), 1024);
    assert_eq!(output(chat, r#"{"max_tokens":7,"n":3}"#), 21);
    assert_eq!(output(chat, r#"{"max_tokens":18446744073709551615,"n":3}"#), sidecar_api::MOST);
    assert_eq!(output(Operation::Responses, r#"{"max_output_tokens":5}"#), 5);
    assert_eq!(output(Operation::Embeddings, r#"{"input":"a"}"#), 0);
    assert_eq!(output(Operation::Other, ""), 1024);
}

#[test]
fn what_the_operation_reads_is_counted_and_no_decoy() {
    let prompt = |operation, body: &str| {
        let asked = asked(operation, &["prompt"], body);
        let asked: serde_json::Value = serde_json::from_str(&asked).unwrap();
        asked["input"]["prompt"].to_string()
    };
    let both = r#"{"messages":[],"prompt":"p","input":"i"}"#;
    assert_eq!(prompt(Operation::ChatCompletions, both), r#"{"messages":[]}"#);
    assert_eq!(prompt(Operation::Completions, both), r#"{"prompt":"p"}"#);
    assert_eq!(prompt(Operation::Embeddings, both), r#"{"input":"i"}"#);
    let with_instructions = r#"{"instructions":"do","input":"i"}"#;
    assert_eq!(prompt(Operation::Responses, with_instructions), r#"{"input":["do","i"]}"#);
    assert_eq!(prompt(Operation::Responses, r#"{"instructions":"do"}"#), "null");
    assert_eq!(prompt(Operation::Other, both), "null");
}

#[test]
fn only_the_sidecar_s_own_words_count() {
    let hear = |ours: bool, status, body: &str| {
        let headers = Headers::new(if ours { vec![(OURS, b"1".as_slice())] } else { Vec::new() });
        super::hear(Some(Said { status, headers: &headers, body: body.as_bytes() }))
    };
    let admitted = r#"{"allowed":true,"reservation":"r","limits":[]}"#;
    assert!(matches!(hear(true, 200, admitted), Heard::Answer(it) if it.allowed));
    assert!(matches!(hear(false, 200, admitted), Heard::Nothing));
    assert!(matches!(hear(true, 200, "garbage"), Heard::Nothing));
    let long = admitted.replace("\"r\"", &format!("\"{}\"", "r".repeat(RESERVATION_BYTES + 1)));
    assert!(matches!(hear(true, 200, &long), Heard::Nothing));
    let state = r#"{"name":"n","max":9,"remaining":1,"resetSeconds":5,"exceeded":false}"#;
    let many = admitted.replace("[]", &format!("[{}]", [state; LIMITS + 1].join(",")));
    assert!(matches!(hear(true, 200, &many), Heard::Nothing));
    assert!(matches!(hear(true, 503, ""), Heard::Unable(503)));
    assert!(matches!(super::hear(None), Heard::Nothing));
}
