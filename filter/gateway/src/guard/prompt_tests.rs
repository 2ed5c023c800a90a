use policy::guard::RequestGuard;

use super::inspect;
use crate::document::Document;
use crate::guard::Finds;
use crate::reply::Reply;
use crate::testing::{gateway, test};

/// What a guard makes of a body, and which rules have found something in it.
fn guarded(guard: &str, body: &str) -> (Result<String, Reply>, String) {
    let policy = gateway(&format!(r#"{{"routes": [{{"name": "r", "guard": {{"request": {guard}}}}}]}}"#));
    let guard: &RequestGuard = policy.routes[0].guard.request.as_ref().unwrap();
    let patterns = guard.patterns.as_ref().unwrap();
    let document = Document::parse(body.as_bytes().to_vec()).unwrap();
    let mut finds = Finds::default();
    let edits = inspect(guard, patterns, &document, &mut finds);
    let masked = edits.map(|edits| String::from_utf8(edits.applied(body.as_bytes())).unwrap());
    let names: Vec<&str> = finds.rules().iter().map(|rule| patterns.name(*rule)).collect();
    (masked, names.join(" "))
}

const MASKING: &str = r#"{"patterns": {"matches": [{"pattern": "credit card", "name": "cc"}, {"pattern": "\\b5[0-9]{3}\\b"}]}}"#;

fn masked(body: &str) -> String {
    guarded(MASKING, body).0.unwrap()
}

/// Whether something in this piece of a chat is found; the piece may have any place of a message's content.
fn finds(body: &str) -> bool {
    !guarded(MASKING, body).1.is_empty()
}

#[test]
fn only_what_matches_is_masked_and_every_other_byte_stays() {
    assert_eq!(
        masked(
            r#"{ "model":"5100","messages":[{"role":"user","content":"My \u0043redit\tcard 5100\u00e9 is 51000"}],"seed":1.10}"#
        ),
        r#"{ "model":"5100","messages":[{"role":"user","content":"My <CUSTOM> <CUSTOM>\u00e9 is 51000"}],"seed":1.10}"#
    );
    let x = MASKING.replace(r#"]}}"#, r#"], "maskStyle": "x"}}"#);
    let body = r#"{"prompt":"a cre\u0301dit card"}"#;
    assert_eq!(guarded(&x, body).0.unwrap(), r#"{"prompt":"a XXXXXXXXXXXX"}"#);
}

#[test]
fn every_string_that_a_model_reads_is_looked_at() {
    for body in [
        r#"{"messages":[{"role":"system","content":"credit card"}]}"#,
        r#"{"messages":[{"role":"developer","content":"credit card"}]}"#,
        r#"{"messages":[{"role":"assistant","content":"credit card"}]}"#,
        r#"{"messages":[{"role":"assistant","content":null,"refusal":"credit card"}]}"#,
        r#"{"messages":[{"role":"assistant","reasoning_content":"credit card"}]}"#,
        r#"{"messages":[{"role":"tool","tool_call_id":"a","content":"credit card"}]}"#,
        r#"{"messages":[{"role":"whatever","content":"credit card"}]}"#,
        r#"{"messages":[{"content":"credit card"}]}"#,
        r#"{"messages":[{"role":"user","name":"credit card","content":""}]}"#,
        r#"{"messages":[{"role":"credit card","content":""}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"credit card"}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"new","words":"credit card"}]}]}"#,
        r#"{"messages":[{"role":"user","content":"a","content":"credit card"}]}"#,
        r#"{"messages":[{"role":"user","\u0063ontent":"credit card"}]}"#,
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"q\":\"credit card\"}"}}]}]}"#,
        r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"q\":\"\\u0063redit card\"}"}}]}]}"#,
        r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"q\":5100}"}}]}]}"#,
        r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"credit card"}}]}]}"#,
        r#"{"messages":[{"role":"assistant","function_call":{"name":"f","arguments":"{\"credit card\":1}"}}]}"#,
        r#"{"messages":[{"role":"tool","content":"{\"q\":\"\\u0063redit card\"}"}]}"#,
        r#"{"messages":[],"tools":[{"type":"function","function":{"name":"f","description":"credit card"}}]}"#,
        r#"{"messages":[],"tools":[{"function":{"parameters":{"properties":{"a":{"enum":["credit card"]}}}}}]}"#,
        r#"{"messages":[],"response_format":{"type":"json_schema","json_schema":{"schema":{"title":"credit card"}}}}"#,
        r#"{"messages":[],"tools":[{"function":{"parameters":{"examples":[{"user_id":"5100"}]}}}]}"#,
        r#"{"messages":[],"tools":[{"function":{"parameters":{"examples":[{"data":"5100"}]}}}]}"#,
        r#"{"messages":[],"prediction":{"type":"content","content":"credit card"}}"#,
        r#"{"messages":[],"stop":["credit card"]}"#,
        r#"{"messages":[],"something_new":{"deep":[["credit card"]]}}"#,
        r#"{"prompt":"credit card"}"#,
        r#"{"prompt":["a","credit card"]}"#,
        r#"{"prompt":"a","suffix":"credit card"}"#,
        r#"{"input":"credit card"}"#,
        r#"{"input":["a","credit card"]}"#,
        r#"{"instructions":"credit card","input":"a"}"#,
        r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"credit card"}]}]}"#,
        r#"{"input":[{"type":"function_call_output","call_id":"a","output":"credit card"}]}"#,
        r#"{"input":[{"type":"function_call","arguments":"{\"q\":\"credit card\"}"}]}"#,
        r#"{"input":[{"type":"reasoning","summary":[{"type":"summary_text","text":"credit card"}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a/credit card"}}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:text/plain,credit card"}}]}]}"#,
        r#"{"messages":[{"role":"user","id":"my credit card","content":""}]}"#,
    ] {
        assert!(finds(body), "{body}");
    }
}

#[test]
fn what_no_model_reads_is_left_alone() {
    for body in [
        r#"{"model":"5100","user":"5100","metadata":{"a":"5100"},"messages":[{"role":"user","content":"a"}]}"#,
        r#"{"messages":[{"role":"tool","tool_call_id":"call-5100","content":"a"}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,5100/5100=="}}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"5100+5100","format":"wav"}}]}]}"#,
        r#"{"max_tokens":5100,"messages":[],"tools":[{"function":{"parameters":{"properties":{"n":{"maximum":5100}}}}}]}"#,
    ] {
        assert!(!finds(body), "{body}");
    }
}

#[test]
fn a_text_that_is_split_over_parts_is_one_text() {
    let parts = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"my cre"},{"type":"text","text":"dit c"},{"type":"text","text":"ard 5100"}]}]}"#;
    assert_eq!(
        masked(parts),
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"my <CUSTOM>"},{"type":"text","text":""},{"type":"text","text":" <CUSTOM>"}]}]}"#
    );
    // And each is one of its own as well.
    assert!(finds(r#"{"messages":[{"content":[{"text":"1"},{"text":"5100"},{"text":"1"}]}]}"#));
}

#[test]
fn masked_arguments_are_still_json() {
    let body = r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"a\": \"\\\"credit card\\\"\", \"n\": 5100, \"credit card\": [\"5100\"]}"}}]}]}"#;
    let masked: serde_json::Value = serde_json::from_str(&masked(body)).unwrap();
    let arguments = masked["messages"][0]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert_eq!(arguments, r#"{"a": "\"<CUSTOM>\"", "n": "<CUSTOM>", "<CUSTOM>": ["<CUSTOM>"]}"#);
}

#[test]
fn a_name_that_cannot_be_masked_is_refused() {
    let body = r#"{"messages":[],"tools":[{"function":{"parameters":{"type":"object","properties":{"credit card":{"description":"d"}}}}}]}"#;
    let refused = guarded(MASKING, body).0.unwrap_err();
    assert_eq!((refused.status, refused.reason.code()), (403, "prompt_rejected"));
    // Words of JSON Schema are nobody's choice.
    let pattern = r#"{"patterns": {"matches": [{"pattern": "description|properties"}]}}"#;
    assert_eq!(guarded(pattern, &body.replace("credit card", "a")).1, "");
}

#[test]
fn what_is_to_be_rejected_is_refused_in_the_policy_s_words() {
    let guard = r#"{"refusal": {"message": "No.", "status": 422}, "patterns": {"action": "reject", "matches": [{"pattern": "credit card", "name": "cc"}]}}"#;
    let (refused, found) = guarded(guard, r#"{"prompt":"CREDIT  CARD"}"#);
    let refused = refused.unwrap_err();
    assert_eq!((refused.status, refused.message.as_str(), found.as_str()), (422, "No.", "cc"));
    assert_eq!(refused.cause, "pattern cc");
    let usual = r#"{"patterns": {"action": "reject", "builtins": ["CREDIT_CARD"]}}"#;
    let (refused, found) = guarded(usual, r#"{"prompt":"5105 1051 0510 5100"}"#);
    let refused = refused.unwrap_err();
    assert_eq!(refused.message, "The request was rejected due to inappropriate content");
    assert_eq!((refused.status, found.as_str()), (403, "CREDIT_CARD"));
}

#[test]
fn a_guard_that_watches_changes_nothing() {
    let watching = MASKING.replace(r#"{"patterns""#, r#"{"mode": "monitor", "patterns""#);
    let body = r#"{"prompt":"a credit card 5100","tools":[{"parameters":{"properties":{"credit card":1}}}]}"#;
    let (passed, found) = guarded(&watching, body);
    assert_eq!((passed.unwrap().as_str(), found.as_str()), (body, "cc pattern-2"));
}

#[test]
fn tokens_and_what_is_nested_too_deeply_cannot_be_looked_at() {
    for body in [
        r#"{"prompt":[1,2,3]}"#.to_owned(),
        r#"{"prompt":[[1,2],[3]]}"#.to_owned(),
        r#"{"input":[1]}"#.to_owned(),
        format!(r#"{{"messages":{}{}}}"#, "[".repeat(200), "]".repeat(200)),
    ] {
        let refused = guarded(MASKING, &body).0.unwrap_err();
        assert_eq!((refused.status, refused.reason.code()), (400, "guard_unreadable"), "{body}");
    }
}

#[test]
fn a_scope_narrows_whose_texts_are_looked_at() {
    let scoped = |scope: &str, body: &str| {
        let guard = MASKING.replace(r#"{"patterns""#, &format!(r#"{{"scope": [{scope}], "patterns""#));
        !guarded(&guard, body).1.is_empty()
    };
    let message = |role: &str| format!(r#"{{"messages":[{{"content":"credit card","role":"{role}"}}]}}"#);
    assert!(scoped(r#""user""#, &message("user")) && !scoped(r#""user""#, &message("system")));
    assert!(scoped(r#""system""#, &message("developer")) && !scoped(r#""system""#, &message("tool")));
    assert!(scoped(r#""user""#, &message("ghost")));
    assert!(scoped(r#""user""#, r#"{"messages":[{"role":"system","content":"credit card","role":"user"}]}"#));
    let calls = r#"{"messages":[{"role":"assistant","content":"a","tool_calls":[{"function":{"arguments":"credit card"}}]}]}"#;
    assert!(scoped(r#""tool""#, calls) && !scoped(r#""assistant""#, calls));
    let tools = r#"{"messages":[],"tools":[{"function":{"description":"credit card"}}]}"#;
    assert!(scoped(r#""tools""#, tools) && !scoped(r#""user", "system", "assistant", "tool""#, tools));
    let output = r#"{"input":[{"type":"function_call_output","output":"credit card"}]}"#;
    assert!(scoped(r#""tool""#, output) && !scoped(r#""user""#, output));
}

#[test]
fn the_last_turn_begins_with_the_last_message_of_the_user() {
    let last = |body: &str| {
        let guard = MASKING.replace(r#"{"patterns""#, r#"{"appliesTo": "lastTurn", "patterns""#);
        !guarded(&guard, body).1.is_empty()
    };
    let chat = |first: &str, second: &str, third: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"{first}"}},{{"role":"assistant","content":"x"}},{{"role":"user","content":"{second}"}},{{"role":"tool","content":"{third}"}}]}}"#
        )
    };
    assert!(!last(&chat("credit card", "a", "b")));
    assert!(last(&chat("a", "credit card", "b")));
    assert!(last(&chat("a", "b", "credit card")));
    assert!(last(r#"{"messages":[{"role":"system","content":"credit card"}]}"#));
    assert!(last(r#"{"instructions":"credit card","input":[{"role":"user","content":"a"}]}"#));
}

#[test]
fn more_places_than_a_body_may_have_are_refused() {
    let body = format!(r#"{{"prompt":"{}"}}"#, "5100 ".repeat(20_000));
    assert_eq!(guarded(MASKING, &body).0.unwrap_err().status, 413);
    let parts = vec![r#"{"text":"5100"}"#; 20_000].join(",");
    let body = format!(r#"{{"messages":[{{"content":[{parts}]}}]}}"#);
    assert_eq!(guarded(MASKING, &body).0.unwrap_err().status, 413);
}
