use super::Document;
use crate::edits::Edits;
use crate::testing::test;

const CHAT: &str = r#" {"model":"gpt-4o", "seed":12345678901234567890123, "x" : 1e400, "n":-0.0,"u":"\u00e9\/","messages":[]} "#;

fn document(body: &str) -> Document {
    Document::parse(body.into()).unwrap()
}

fn refusal(body: &[u8]) -> String {
    let reply = Document::parse(body.to_vec()).unwrap_err();
    assert_eq!(reply.status, 400);
    format!("{}: {}", reply.reason.code(), reply.message)
}

fn edited(body: &str, change: impl Fn(&Document, &mut Edits)) -> String {
    let document = document(body);
    let mut edits = Edits::default();
    change(&document, &mut edits);
    let mut out = edits.rewrite(body.as_bytes());
    out.extend_from_slice(&body.as_bytes()[edits.reach()..]);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_field_is_replaced_and_every_other_byte_stays() {
    let out = edited(CHAT, |document, edits| document.set([("model", "\"b\"")], edits));
    assert_eq!(out, CHAT.replace("gpt-4o", "b"));
}

#[test]
fn a_missing_field_becomes_the_first() {
    assert_eq!(
        edited(r#" { "a":1}"#, |d, edits| d.set([("model", "\"b\"")], edits)),
        r#" {"model":"b", "a":1}"#
    );
    assert_eq!(edited(" { } ", |d, edits| d.set([("model", "\"b\"")], edits)), r#" {"model":"b" } "#);
}

#[test]
fn a_field_is_found_however_its_name_is_spelt() {
    assert_eq!(document(r#"{"mod\u0065l":"a\u0062c"}"#).string("model").unwrap().as_deref(), Some("abc"));
    assert_eq!(document(CHAT).string("model").unwrap().as_deref(), Some("gpt-4o"));
    assert_eq!(document(r#"{"model":null}"#).string("model"), Ok(None));
    assert_eq!(document("{}").string("model"), Ok(None));
    assert_eq!(document(r#"{"model":7}"#).string("model").unwrap_err().status, 400);
}

#[test]
fn a_name_that_stands_twice_is_refused_in_any_spelling() {
    assert_eq!(refusal(br#"{"a":1,"a":2}"#), "duplicate_field: the request body has `a` twice");
    assert_eq!(
        refusal(br#"{"model":"a","mod\u0065l":"b"}"#),
        "duplicate_field: the request body has `model` twice"
    );
}

#[test]
fn what_is_no_json_object_is_refused_without_repeating_it() {
    assert_eq!(refusal(b"  "), "invalid_json: the request has no body; expected a JSON object");
    assert_eq!(
        refusal(b"{\"a\":\n 1,}"),
        "invalid_json: the request body is no valid JSON: line 2, column 4"
    );
    assert_eq!(refusal(b"\"a secret\""), "invalid_json: the request body is no JSON object");
    assert_eq!(refusal(b"[1]"), "invalid_json: the request body is no JSON object");
    for odd in [&b"\xef\xbb\xbf{}"[..], b"{}x", b"{\"a\":\"\xff\"}", b"{\"a\":'b'}", b"\x00", b"{\"a\":NaN}"]
    {
        assert!(refusal(odd).starts_with("invalid_json"), "{odd:?}");
    }
}

#[test]
fn too_many_fields_are_refused_before_they_cost_anything() {
    let fields: Vec<String> = (0..300).map(|i| format!("\"{i}\":0")).collect();
    let body = format!("{{{}}}", fields.join(","));
    assert_eq!(refusal(body.as_bytes()), "invalid_field: the request body has more than 256 fields");
}
