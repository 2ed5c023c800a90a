use super::{About, Verdict, verdict};
use crate::testing::test;

fn says(about: About, action: &str) -> Option<Verdict> {
    verdict(about, 1, format!(r#"{{"action": {action}}}"#).as_bytes())
}

#[test]
fn actions_are_told_apart_by_their_shape() {
    assert_eq!(says(About::Prompt, r#"{"reason": null}"#), Some(Verdict::Pass));
    assert_eq!(says(About::Prompt, "{}"), Some(Verdict::Pass));
    let mask = |text: &str| Some(Verdict::Mask(vec![text.to_owned()]));
    assert_eq!(
        says(About::Prompt, r#"{"body": {"messages": [{"role": "x", "content": "a"}]}, "reason": "r"}"#),
        mask("a")
    );
    assert_eq!(says(About::Answer, r#"{"body": {"choices": [{"message": {"content": "a"}}]}}"#), mask("a"));
    let reject = |body: &str, status| Some(Verdict::Reject { body: body.to_owned(), status });
    assert_eq!(
        says(About::Prompt, r#"{"body": "no", "status_code": 418, "reason": "r"}"#),
        reject("no", 418)
    );
    assert_eq!(
        says(About::Answer, r#"{"body": "", "status_code": 403}"#),
        reject("Rejected by guardrails webhook", 403)
    );
}

#[test]
fn what_is_no_answer_is_none() {
    for action in [
        "null",
        r#""pass""#,
        r#"{"body": "no"}"#,
        r#"{"body": "no", "status_code": 99}"#,
        r#"{"body": "no", "status_code": "403"}"#,
        r#"{"status_code": 403}"#,
        r#"{"body": {"messages": []}}"#,
        r#"{"body": {"messages": [{"content": null}]}}"#,
        r#"{"body": {"choices": [{"message": {"content": "a"}}]}}"#,
    ] {
        assert_eq!(says(About::Prompt, action), None, "{action}");
    }
    for body in ["", "{}", "[]", r#"{"action": {}"#] {
        assert_eq!(verdict(About::Prompt, 1, body.as_bytes()), None, "{body}");
    }
}
