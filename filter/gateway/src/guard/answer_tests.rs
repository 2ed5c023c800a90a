use super::Look;
use crate::guard::Finds;
use crate::reply::Reply;
use crate::testing::{gateway, test};

fn guarded(guard: &str, body: &str) -> Result<String, Reply> {
    let policy = gateway(&format!(r#"{{"routes": [{{"name": "r", "guard": {{"response": {guard}}}}}]}}"#));
    let look = Look::of(policy.routes[0].guard.response.as_ref().unwrap()).unwrap();
    let edits = look.at_body(body, &mut Finds::default())?;
    Ok(String::from_utf8(edits.applied(body.as_bytes())).unwrap())
}

const MASKING: &str = r#"{"patterns": {"matches": [{"pattern": "\\b5[0-9]{3}\\b"}], "builtins": ["EMAIL"]}}"#;

fn masked(body: &str) -> String {
    guarded(MASKING, body).unwrap()
}

#[test]
fn every_choice_and_every_field_is_masked_and_the_rest_stays() {
    assert_eq!(
        masked(
            r#"{"id":"5100","model":"5100","choices":[{"index":0,"message":{"role":"assistant","content":"a 5100","refusal":"5101","reasoning_content":"x@y.org"},"finish_reason":"stop"},{"index":1,"message":{"content":[{"type":"text","text":"5102\n"}],"annotations":[{"title":"5103"}],"audio":{"data":"5100","transcript":"5104"}}}],"usage":{"n":5100}}"#
        ),
        r#"{"id":"5100","model":"5100","choices":[{"index":0,"message":{"role":"assistant","content":"a <CUSTOM>","refusal":"<CUSTOM>","reasoning_content":"<EMAIL_ADDRESS>"},"finish_reason":"stop"},{"index":1,"message":{"content":[{"type":"text","text":"<CUSTOM>\n"}],"annotations":[{"title":"<CUSTOM>"}],"audio":{"data":"5100","transcript":"<CUSTOM>"}}}],"usage":{"n":5100}}"#
    );
    assert_eq!(masked(r#"{"choices":[{"text":"5100"}]}"#), r#"{"choices":[{"text":"<CUSTOM>"}]}"#);
    assert_eq!(masked(r#"{"error":{"message":"bad: 5100"}}"#), r#"{"error":{"message":"bad: <CUSTOM>"}}"#);
    assert_eq!(
        masked(r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"5100"}]}]}"#),
        r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"<CUSTOM>"}]}]}"#
    );
}

#[test]
fn arguments_stay_json() {
    assert_eq!(
        masked(
            r#"{"choices":[{"message":{"tool_calls":[{"id":"5100","function":{"name":"f","arguments":"{\"a\": \"5100\", \"n\": 5100}"}}]}}]}"#
        ),
        r#"{"choices":[{"message":{"tool_calls":[{"id":"5100","function":{"name":"f","arguments":"{\"a\": \"<CUSTOM>\", \"n\": \"<CUSTOM>\"}"}}]}}]}"#
    );
}

#[test]
fn the_likelihood_of_tokens_does_not_tell_what_was_masked() {
    let choice = |content: &str| {
        format!(
            r#"{{"logprobs":{{"content":[{{"token":"51","bytes":[53,49]}},{{"token":"00"}}]}},"message":{{"content":"{content}"}}}}"#
        )
    };
    let body = format!(r#"{{"choices":[{},{}]}}"#, choice("5100"), choice("hello"));
    let expected = format!(
        r#"{{"choices":[{{"logprobs":null,"message":{{"content":"<CUSTOM>"}}}},{}]}}"#,
        choice("hello")
    );
    assert_eq!(masked(&body), expected);
}

#[test]
fn an_answer_that_is_no_json_is_a_text() {
    assert_eq!(masked("POST / 5100\n\nx@y.org"), "POST / <CUSTOM>\n\n<EMAIL_ADDRESS>");
    assert_eq!(masked(r#"{"a": "5100""#), r#"{"a": "<CUSTOM>""#);
}

#[test]
fn what_is_to_be_rejected_is_refused() {
    let guard = r#"{"patterns": {"action": "reject", "matches": [{"pattern": "5100"}]}}"#;
    let refused = guarded(guard, r#"{"choices":[{"message":{"content":"5100"}}]}"#).unwrap_err();
    assert_eq!((refused.status, refused.reason.code()), (403, "answer_rejected"));
    assert_eq!(refused.message, "The response was rejected due to inappropriate content");
}

#[test]
fn a_guard_that_watches_changes_nothing() {
    let guard = MASKING.replace(r#"{"patterns""#, r#"{"mode": "monitor", "patterns""#);
    let body = r#"{"choices":[{"message":{"content":"5100","tool_calls":[{"arguments":"{\"a\":5100}"}]},"logprobs":{}}]}"#;
    assert_eq!(guarded(&guard, body).unwrap(), body);
}
