use super::{of_answer, of_prompt, retold};
use crate::document::Document;
use crate::testing::test;

fn prompt(body: &str) -> Vec<String> {
    let document = Document::parse(body.as_bytes().to_vec()).unwrap();
    let all = of_prompt(&document).unwrap();
    let place = |it: std::ops::Range<usize>| body.get(it).unwrap().to_owned();
    all.into_iter().map(|it| format!("{}: {} ({})", it.role, it.text, place(it.place))).collect()
}

#[test]
fn the_messages_of_every_operation_are_told_with_their_roles() {
    assert_eq!(
        prompt(
            r#"{"messages":[{"role":"system","content":"a\n"},{"content":[{"type":"text","text":"b"},{"type":"image_url","image_url":{"url":"c"}},{"text":"d"}],"role":"user"},{"role":"assistant","content":null,"tool_calls":[{"function":{"arguments":"e"}}]},{"content":"f"}]}"#
        ),
        ["system: a\n (a\\n)", "user: b (b)", "user: d (d)", "user: f (f)"]
    );
    assert_eq!(
        prompt(
            r#"{"input":[{"role":"developer","content":"a"},{"type":"function_call_output","output":"b"}],"instructions":"c"}"#
        ),
        ["system: c (c)", "developer: a (a)", "user: b (b)"]
    );
    assert_eq!(prompt(r#"{"input":"a"}"#), ["user: a (a)"]);
    assert_eq!(prompt(r#"{"prompt":["a","","b"]}"#), ["user: a (a)", "user: b (b)"]);
}

#[test]
fn the_texts_of_an_answer_are_told_and_can_be_told_anew() {
    let told = |body: &str| -> Vec<String> {
        of_answer(body).unwrap().into_iter().map(|it| format!("{}: {}", it.role, it.text)).collect()
    };
    let chat =
        r#"{"choices":[{"message":{"content":"a","role":"x"}},{"message":{"content":null}},{"text":"b"}]}"#;
    assert_eq!(told(chat), ["x: a", "assistant: b"]);
    let responses =
        r#"{"output":[{"type":"reasoning"},{"role":"assistant","content":[{"text":"a"},{"text":"b"}]}]}"#;
    assert_eq!(told(responses), ["assistant: a", "assistant: b"]);
    assert_eq!(told("plain"), ["assistant: plain"]);
    assert_eq!(told(r#"{"data":[]}"#), [] as [&str; 0]);
    let anew = |body: &str, texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|it| (*it).to_owned()).collect();
        retold(body, &of_answer(body).unwrap(), &texts)
    };
    assert_eq!(anew(chat, &["\"", "b"]), chat.replace("\"a\"", r#""\"""#));
    assert_eq!(anew("plain", &["\""]), "\"");
}
