use std::rc::Rc;

use crate::access::Access;
use crate::event::{Effect, Event};
use crate::exchange::Exchange;
use crate::testing::{SEED, gateway, request, show, test};

/// The body that goes on of one that comes, or the refusal. `enrich` and `target` are fields of the route.
fn enriched(enrich: &str, path: &str, body: &str) -> String {
    let policy = format!(
        r#"{{"routes": [{{"name": "r", "matches": [{{"path": {{"prefix": "/openai"}}}}], "enrich": {enrich}}}]}}"#
    );
    through(&policy, path, body)
}

fn through(policy: &str, path: &str, body: &str) -> String {
    let mut exchange = Exchange::new(Rc::new(Access::new(gateway(policy), SEED)));
    let lines = format!(":method: POST\n:path: {path}\n:authority: h\ncontent-type: application/json");
    request(&lines, |arrival| exchange.on(Event::Request(arrival)));
    let step = exchange.on(Event::RequestBody(body.as_bytes().to_vec()));
    let edits = step.effects.iter().find_map(|effect| match effect {
        Effect::EditRequestBody(edits) => Some(edits),
        _ => None,
    });
    let Some(edits) = edits else {
        let shown = show(&step);
        return if shown.contains("reply ") { shown } else { body.to_owned() };
    };
    let mut out = edits.rewrite(body.as_bytes());
    out.extend_from_slice(&body.as_bytes()[edits.reach()..]);
    let out = String::from_utf8(out).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
    out
}

const BOTH: &str = r#"{"prepend": [{"role": "SYSTEM", "content": "Be \"brief\".\n"}, {"role": "user", "content": "One."}],
    "append": [{"role": "User", "content": "Last."}]}"#;
const FIRST: &str = r#"{"role":"system","content":"Be \"brief\".\n"},{"role":"user","content":"One."}"#;
const LAST: &str = r#"{"role":"user","content":"Last."}"#;

#[test]
fn messages_stand_around_the_client_s_whose_bytes_stay() {
    let chat = |messages: &str| {
        enriched(BOTH, "/openai", &format!(r#"{{"model":"m", "messages" :{messages},"n":1.10}}"#))
    };
    let around = |inside: &str| format!(r#"{{"model":"m", "messages" :[{FIRST}{inside}{LAST}],"n":1.10}}"#);
    assert_eq!(
        chat(r#"[{"role":"user","content":"\u00e9"}]"#),
        around(r#",{"role":"user","content":"\u00e9"},"#)
    );
    assert_eq!(
        chat(r#"[ {"role":"user","content":[{"type":"text","text":"]"}]} ]"#),
        around(r#", {"role":"user","content":[{"type":"text","text":"]"}]} ,"#)
    );
    assert_eq!(chat("[]"), around(","));
    assert_eq!(chat("[ ]"), around(" ,"));
}

#[test]
fn one_side_alone_is_fine_too() {
    let before = r#"{"prepend": [{"role": "system", "content": "a"}]}"#;
    let after = r#"{"append": [{"role": "system", "content": "a"}]}"#;
    let message = r#"{"role":"system","content":"a"}"#;
    assert_eq!(enriched(before, "/openai", r#"{"messages":[]}"#), format!(r#"{{"messages":[{message}]}}"#));
    assert_eq!(enriched(after, "/openai", r#"{"messages":[]}"#), format!(r#"{{"messages":[{message}]}}"#));
    assert_eq!(
        enriched(before, "/openai", r#"{"messages":[1]}"#),
        format!(r#"{{"messages":[{message},1]}}"#)
    );
    assert_eq!(enriched(after, "/openai", r#"{"messages":[1]}"#), format!(r#"{{"messages":[1,{message}]}}"#));
    assert_eq!(
        enriched("{}", "/openai", r#"{"messages":7}"#),
        r#"{"messages":7}"#,
        "nothing to add, nothing to refuse"
    );
}

#[test]
fn responses_get_instructions_and_input() {
    let responses = |body: &str| enriched(BOTH, "/openai/v1/responses", body);
    let one = r#"{"role":"user","content":"One."}"#;
    assert_eq!(
        responses(r#"{"model":"m","input":"Hi \"you\""}"#),
        format!(
            r#"{{"instructions":"Be \"brief\".\n","model":"m","input":[{one},{{"role":"user","content":"Hi \"you\""}},{LAST}]}}"#
        )
    );
    assert_eq!(
        responses(r#"{"input":[{"type":"message"}],"instructions":"Rhyme."}"#),
        format!(
            r#"{{"input":[{one},{{"type":"message"}},{LAST}],"instructions":"Be \"brief\".\n\n\nRhyme."}}"#
        )
    );
    assert_eq!(
        responses(r#"{"instructions":null}"#),
        format!(r#"{{"input":[{one},{LAST}],"instructions":null}}"#).replace("null", r#""Be \"brief\".\n""#)
    );
    assert_eq!(responses("{}"), format!(r#"{{"instructions":"Be \"brief\".\n","input":[{one},{LAST}]}}"#));
    let only_system = r#"{"prepend": [{"role": "developer", "content": "a"}]}"#;
    assert_eq!(
        enriched(only_system, "/openai/responses", r#"{"input":"b"}"#),
        r#"{"instructions":"a","input":"b"}"#
    );
}

#[test]
fn a_completion_s_prompts_get_the_texts() {
    let completions =
        |prompt: &str| enriched(BOTH, "/openai/v1/completions", &format!(r#"{{"prompt":{prompt}}}"#));
    let text = |inside: &str| format!(r#""Be \"brief\".\n\n\nOne.\n\n{inside}\n\nLast.""#);
    assert_eq!(completions(r#""Hi\u0021""#), format!(r#"{{"prompt":{}}}"#, text(r"Hi\u0021")));
    assert_eq!(completions(r#"["a" , ""]"#), format!(r#"{{"prompt":[{} , {}]}}"#, text("a"), text("")));
    assert_eq!(completions("[]"), r#"{"prompt":[]}"#);
}

#[test]
fn there_is_an_end_to_the_prompts_that_something_is_added_to() {
    let prompts = |count: usize| {
        enriched(
            BOTH,
            "/openai/v1/completions",
            &format!(r#"{{"prompt":[{}]}}"#, vec![r#""""#; count].join(",")),
        )
    };
    assert_eq!(prompts(2048).matches("Last.").count(), 2048);
    let said = prompts(2049);
    assert!(
        said.contains("reply 400 invalid_field") && said.contains("a list of 2048 texts at most"),
        "{said}"
    );
}

#[test]
fn what_has_no_place_for_a_prompt_is_refused_loudly() {
    for (path, body, says) in [
        ("/openai", "{}", "`messages` has to be a list"),
        ("/openai", r#"{"messages":null}"#, "`messages` has to be a list"),
        ("/openai", r#"{"messages":"hi"}"#, "`messages` has to be a list"),
        ("/openai", r#"{"messages":{}}"#, "`messages` has to be a text or a list"),
        ("/openai/v1/responses", r#"{"input":{}}"#, "`input` has to be a text or a list"),
        ("/openai/v1/responses", r#"{"input":"a","instructions":["b"]}"#, "`instructions` has to be a text"),
        ("/openai/v1/completions", r#"{"prompt":[1,2]}"#, "`prompt` has to be a text or a list of texts"),
        ("/openai/v1/completions", r#"{"prompt":["a",[1]]}"#, "`prompt` has to be a text or a list of texts"),
        ("/openai/v1/completions", "{}", "`prompt` has to be a text or a list of texts"),
    ] {
        let said = enriched(BOTH, path, body);
        assert!(
            said.contains(&format!("reply 400 invalid_field: this route adds to the prompt, and {says}")),
            "{body}: {said}"
        );
    }
    let embeddings = r#"{"input":"text to embed"}"#;
    assert_eq!(enriched(BOTH, "/openai/v1/embeddings", embeddings), embeddings, "there is no prompt in it");
}

#[test]
fn a_default_stands_where_the_client_says_nothing_and_an_override_always() {
    let defaults = r#"{"defaults": [{"field": "max_tokens", "value": 100}, {"field": "temperature", "value": 0.5, "override": true},
        {"field": "response_format", "value": {"type":"json_object"}}, {"field": "sys\"tem", "value": null}]}"#;
    let with = |body: &str| enriched(defaults, "/openai", body);
    assert_eq!(
        with(r#"{"messages":[]}"#),
        r#"{"max_tokens":100,"temperature":0.5,"response_format":{"type":"json_object"},"sys\"tem":null,"messages":[]}"#
    );
    assert_eq!(
        with(r#"{"max_tokens":7,"temperature":1,"response_format":null,"sys\"tem":1}"#),
        r#"{"max_tokens":7,"temperature":0.5,"response_format":null,"sys\"tem":1}"#,
        "null is the client's word, too"
    );
    assert_eq!(
        with("{}"),
        r#"{"max_tokens":100,"temperature":0.5,"response_format":{"type":"json_object"},"sys\"tem":null}"#
    );
    assert!(enriched(defaults, "/openai/v1/embeddings", r#"{"input":"a"}"#).contains(r#""max_tokens":100"#));
    let other = r#"{"name":"file"}"#;
    assert_eq!(
        enriched(defaults, "/openai/v1/files", other),
        other,
        "a body that is not understood stays as it is"
    );
}

#[test]
fn a_target_s_model_counts_more_than_a_default() {
    let policy = r#"{"routes": [{"name": "r", "matches": [{"path": {"prefix": "/openai"}}],
        "enrich": {"defaults": [{"field": "model", "value": "a", "override": true}], "prepend": [{"role": "system", "content": "s"}]},
        "target": {"provider": "openai", "credential": "none", "model": "b"}}]}"#;
    assert_eq!(
        through(policy, "/openai", r#"{"model":"c","messages":[]}"#),
        r#"{"model":"b","messages":[{"role":"system","content":"s"}]}"#
    );
}
