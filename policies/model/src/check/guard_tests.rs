use std::time::Duration;

use serde_json::{Value, json};

use crate::Plugin;
use crate::guard::{Action, AppliesTo, Format, Guard, Mode, OnError, Patterns, Refusal};

/// One route with this guard.
fn read(guard: Value) -> Result<Guard, Vec<String>> {
    let json = json!({"downstream": {"routes": [{"name": "openai", "guard": guard}]}}).to_string();
    match Plugin::read(json.as_bytes(), &|_| None) {
        Ok(Plugin::Downstream(gateway)) => Ok(gateway.routes.into_iter().next().unwrap().guard),
        Ok(Plugin::Upstream(_)) => panic!("not downstream"),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

/// What is said of a guard; where the guard begins is cut off.
fn problems(guard: Value) -> Vec<String> {
    let said = read(guard).unwrap_err();
    said.iter().map(|it| it.replace("downstream.routes[0].guard", "guard")).collect()
}

fn answers(patterns: Value) -> Patterns {
    read(json!({"response": {"patterns": patterns}})).unwrap().response.unwrap().patterns.unwrap()
}

/// A text with what is found in it masked.
fn masked(patterns: &Patterns, text: &str) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for found in patterns.rules.find(text, usize::MAX) {
        out.push_str(text.get(at..found.range.start).unwrap());
        patterns.mask(found.rule, text.get(found.range.clone()).unwrap(), true, &mut out);
        at = found.range.end;
    }
    out + text.get(at..).unwrap()
}

#[test]
fn what_is_not_said_has_a_default() {
    let patterns = json!({"matches": [{"pattern": "a"}]});
    let guard = read(json!({"request": {"patterns": patterns}, "response": {"patterns": patterns}})).unwrap();
    let (request, response) = (guard.request.unwrap(), guard.response.unwrap());
    let refusal = |message: &str| Refusal { message: message.into(), status: 403, format: Format::Openai };
    assert_eq!(request.refusal, refusal("The request was rejected due to inappropriate content"));
    assert_eq!(response.refusal, refusal("The response was rejected due to inappropriate content"));
    assert_eq!((request.mode, request.applies_to), (Mode::Enforce, AppliesTo::All));
    assert!(request.scope.is_empty() && request.webhook.is_none() && request.moderation.is_none());
    let patterns = request.patterns.unwrap();
    assert_eq!((patterns.action, patterns.name(0)), (Action::Mask, "pattern-1"));
}

#[test]
fn what_is_asked_has_defaults_too() {
    let webhook = json!({"cluster": "webhook/h:80", "host": "h"});
    let guard = json!({"request": {"webhook": webhook, "moderation": {"cluster": "c"}}});
    let request = read(guard).unwrap().request.unwrap();
    let (webhook, moderation) = (request.webhook.unwrap(), request.moderation.unwrap());
    assert_eq!((webhook.timeout, webhook.on_error), (Duration::from_secs(5), OnError::Deny));
    assert_eq!((moderation.timeout, moderation.on_error), (Duration::from_secs(5), OnError::Deny));
    assert_eq!(moderation.model, "omni-moderation-latest");
}

#[test]
fn no_guard_guards_nothing() {
    let guard = read(json!({})).unwrap();
    assert!(guard.request.is_none() && guard.response.is_none());
}

#[test]
fn a_placeholder_says_what_was_there() {
    let builtins = ["CREDIT_CARD", "SSN", "EMAIL", "PHONE_NUMBER", "IBAN", "IP_ADDRESS", "API_KEY"];
    let patterns = answers(json!({"matches": [{"pattern": "secret"}], "builtins": builtins}));
    let expected = [
        "CUSTOM",
        "CREDIT_CARD",
        "US_SSN",
        "EMAIL_ADDRESS",
        "PHONE_NUMBER",
        "IBAN_CODE",
        "IP_ADDRESS",
        "API_KEY",
    ];
    assert_eq!(patterns.placeholders.as_deref().unwrap(), expected.map(|it| format!("<{it}>")));
    assert_eq!(patterns.name(1), "CREDIT_CARD");
    assert_eq!(masked(&patterns, "a Secret of 5105105105105100"), "a <CUSTOM> of <CREDIT_CARD>");
}

#[test]
fn a_placeholder_stands_where_a_find_that_comes_in_pieces_begins() {
    let patterns = answers(json!({"matches": [{"pattern": "secret"}]}));
    let mut out = String::new();
    patterns.mask(0, "sec", true, &mut out);
    patterns.mask(0, "ret", false, &mut out);
    assert_eq!(out, "<CUSTOM>");
}

#[test]
fn x_stands_for_each_character() {
    let patterns = answers(json!({"matches": [{"pattern": "gr.n"}], "maskStyle": "x"}));
    assert_eq!(masked(&patterns, "so grün, so grin"), "so XXXX, so XXXX");
    let mut out = String::new();
    patterns.mask(0, "gr", true, &mut out);
    patterns.mask(0, "ün", false, &mut out);
    assert_eq!(out, "XXXX");
}

#[test]
fn in_answers_a_match_needs_a_longest_length() {
    let endless = json!({"matches": [{"pattern": "a.*b"}]});
    assert_eq!(
        problems(json!({"response": {"patterns": endless}})),
        [
            "guard.response.patterns.matches[0].pattern: its matches have no longest length, so a stream could be held back for ever: say `maxLength`"
        ]
    );
    assert!(read(json!({"request": {"patterns": endless}})).is_ok(), "prompts are looked at as a whole");
    assert_eq!(answers(json!({"matches": [{"pattern": "a.*b", "maxLength": 16384}]})).rules.longest(), 16384);
    assert_eq!(answers(json!({"matches": [{"pattern": "abc", "maxLength": 100}]})).rules.longest(), 3);
    for length in [0, 16385] {
        let patterns = json!({"matches": [{"pattern": "a", "maxLength": length}]});
        assert_eq!(
            problems(json!({"response": {"patterns": patterns}})),
            ["guard.response.patterns.matches[0].maxLength: expected 1 to 16384 bytes"]
        );
    }
}

#[test]
fn every_bad_pattern_is_named() {
    let matches = json!([{"pattern": "("}, {"pattern": "a"}, {"pattern": "a*"}]);
    assert_eq!(
        problems(json!({"request": {"patterns": {"matches": matches}}})),
        [
            "guard.request.patterns.matches[0].pattern: unclosed group, at character 1",
            "guard.request.patterns.matches[2].pattern: it matches the empty text, which is everywhere",
        ]
    );
}

#[test]
fn a_guard_that_looks_for_nothing_is_refused() {
    assert_eq!(
        problems(json!({"request": {}, "response": {"mode": "monitor"}})),
        [
            "guard.request: nothing is looked for: expected webhook, patterns or moderation",
            "guard.response: nothing is looked for: expected webhook or patterns",
        ]
    );
    let nothing = "guard.response.patterns: nothing is looked for: expected matches or builtins";
    assert_eq!(problems(json!({"response": {"patterns": {"action": "reject"}}})), [nothing]);
    let many: Vec<Value> = (0..=1000).map(|_| json!({"pattern": "a"})).collect();
    assert_eq!(
        problems(json!({"request": {"patterns": {"matches": many}}})),
        ["guard.request.patterns.matches: there are more than 1000 patterns"]
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let webhook = json!({"cluster": "", "host": "h", "timeoutMs": 0, "forwardHeaders": [{"exact": "a"}, {"regex": "("}]});
    let moderation = json!({"cluster": "", "timeoutMs": 60001});
    let guard =
        json!({"request": {"webhook": webhook, "moderation": moderation, "refusal": {"status": 199}}});
    assert_eq!(
        problems(guard),
        [
            "guard.request.webhook.cluster: a webhook needs the name of its cluster",
            "guard.request.webhook.forwardHeaders[1].regex: found open group without closing ')'",
            "guard.request.webhook.timeoutMs: expected 1 to 60000 milliseconds",
            "guard.request.moderation.cluster: moderation needs the name of the provider's cluster",
            "guard.request.moderation.timeoutMs: expected 1 to 60000 milliseconds",
            "guard.request.refusal.status: 199 is no status of an answer, expected one from 200 to 599",
        ]
    );
}

#[test]
fn a_header_is_forwarded_if_its_name_fits() {
    let headers = json!([{"exact": "a"}, {"prefix": "x-"}, {"suffix": "-id"}, {"contains": "user"}, {"regex": "(?i)b|C\\d"}]);
    let webhook = json!({"cluster": "c", "host": "h", "forwardHeaders": headers});
    let guard = read(json!({"response": {"webhook": webhook}})).unwrap();
    let headers = guard.response.unwrap().webhook.unwrap().forward_headers;
    let fitting = |name: &str| headers.iter().position(|it| it.fits(name));
    let names = ["a", "x-team", "request-id", "the-user-name", "b", "c1"];
    assert_eq!(names.map(fitting), [Some(0), Some(1), Some(2), Some(3), Some(4), Some(4)]);
    assert_eq!(["ab", "my-x", "ids", "use", "bb", "c"].map(fitting), [None; 6]);
}

#[test]
fn a_slip_in_a_guard_is_never_passed_over() {
    let patterns = json!({"matches": [{"pattern": "a"}]});
    for guard in [
        json!({"requests": {}}),
        json!({"request": {"patterns": patterns, "regex": {}}}),
        json!({"request": {"patterns": {"builtin": []}}}),
        json!({"request": {"patterns": {"builtins": ["PHONE"]}}}),
        json!({"request": {"patterns": patterns, "refusal": {"statusCode": 1}}}),
        json!({"request": {"patterns": patterns, "mode": "off"}}),
        json!({"response": {"patterns": patterns, "scope": []}}),
        json!({"response": {"webhook": {"cluster": "c", "host": "h", "timeout": 1}}}),
    ] {
        let said = read(guard).unwrap_err();
        assert!(said[0].contains("unknown field") || said[0].contains("unknown variant"), "{said:?}");
    }
}

#[test]
fn what_is_rendered_is_what_is_read() {
    let json = r#"{"request":{"refusal":{"message":"No.","status":400,"format":"raw"},"webhook":{"cluster":"c","host":"h","forwardHeaders":[{"prefix":"x-"}],"timeoutMs":100,"onError":"allow"},"patterns":{"matches":[{"pattern":"a","name":"b","maxLength":3}],"builtins":["SSN","API_KEY"],"action":"reject","maskStyle":"x"},"moderation":{"cluster":"m","model":"n"},"mode":"monitor","scope":["user","tools"],"appliesTo":"lastTurn"}}"#;
    let written: crate::written::Guard = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&written).unwrap(), json);
}
