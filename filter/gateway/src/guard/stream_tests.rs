use super::Masking;
use crate::guard::{Finds, Look};
use crate::testing::{Numbers, gateway, test};

const PATTERNS: &str = r#"{"patterns": {"matches": [{"pattern": "\\b5[0-9]{3}\\b"}, {"pattern": "(?:foo|foobar)baz"}, {"pattern": "q[^q]{0,6}q"}]}}"#;

/// What passes of these events, each with all that was written for it.
fn passed(guard: &str, events: &[String]) -> Vec<String> {
    let policy = gateway(&format!(r#"{{"routes": [{{"name": "r", "guard": {{"response": {guard}}}}}]}}"#));
    let look = Look::of(policy.routes[0].guard.response.as_ref().unwrap()).unwrap();
    let (mut masking, mut finds) = (Masking::default(), Finds::default());
    let mut out = Vec::new();
    for event in events {
        let passed = masking.pass(look, event.as_bytes(), &mut finds);
        out.push(String::from_utf8(passed.bytes).unwrap());
        if let Some(reply) = passed.refused {
            out.push(format!("{}!", reply.reason.code()));
            return out;
        }
    }
    out.push(String::from_utf8(masking.finish(look, &mut finds).bytes).unwrap());
    out
}

fn event(json: &str) -> String {
    format!("data: {json}\n\n")
}

fn delta(choice: u64, field: &str, text: &str) -> String {
    let text = serde_json::Value::from(text);
    event(&format!(
        r#"{{"id":"a","choices":[{{"index":{choice},"delta":{{"{field}":{text}}},"finish_reason":null}}]}}"#
    ))
}

fn end(choice: u64) -> String {
    event(&format!(r#"{{"id":"a","choices":[{{"index":{choice},"delta":{{}},"finish_reason":"stop"}}]}}"#))
}

const DONE: &str = "data: [DONE]\n\n";

fn chat(pieces: &[&str]) -> Vec<String> {
    let deltas = pieces.iter().map(|it| delta(0, "content", it));
    deltas.chain([end(0), DONE.to_owned()]).collect()
}

/// The texts that a client puts together: by the choice and the field.
fn texts(out: &[String]) -> Vec<(String, String)> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for data in out.concat().split("\n\n").filter_map(|it| it.strip_prefix("data: ")) {
        let Ok(chunk) = serde_json::from_str::<serde_json::Value>(data) else { continue };
        for choice in chunk["choices"].as_array().unwrap_or(&Vec::new()) {
            for (field, text) in choice["delta"].as_object().unwrap() {
                let key = format!("{}.{field}", choice["index"]);
                let text = text.as_str().unwrap();
                match texts.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, all)) => all.push_str(text),
                    None => texts.push((key, text.to_owned())),
                }
            }
        }
    }
    texts
}

#[test]
fn what_holds_no_match_passes_as_it_is() {
    let events: Vec<String> = ["Hello ", "wor", "ld."].iter().map(|it| delta(0, "content", it)).collect();
    let events = [
        vec![": ping\n\n".to_owned()],
        events,
        vec![event(r#"{"choices":[],"usage":{"n":5100}}"#), DONE.into()],
    ]
    .concat();
    assert_eq!(passed(PATTERNS, &events).concat(), events.concat());
}

#[test]
fn a_match_that_is_split_is_masked_where_it_begins() {
    let out = passed(PATTERNS, &chat(&["a 5", "10", "0 b"]));
    assert_eq!(out[0], delta(0, "content", "a "));
    assert_eq!(out[1], delta(0, "content", ""));
    assert_eq!(out[2], delta(0, "content", "<CUSTOM> b"));
}

#[test]
fn what_is_held_at_the_end_comes_before_the_end() {
    let out = passed(PATTERNS, &chat(&["see 51"]));
    assert_eq!(out[1], delta(0, "content", "51") + &end(0));
    let out = passed(PATTERNS, &[delta(0, "content", "see 5100"), DONE.to_owned()]);
    assert_eq!(out[1], delta(0, "content", "<CUSTOM>") + DONE);
    let out = passed(PATTERNS, &[delta(0, "content", "see 5100")]);
    assert_eq!(out[1], delta(0, "content", "<CUSTOM>"));
}

#[test]
fn an_end_that_comes_with_the_last_piece_takes_all_of_it() {
    let last = event(r#"{"choices":[{"delta":{"content":"00"},"finish_reason":"length","index":0}]}"#);
    let out = passed(PATTERNS, &[delta(0, "content", "51"), last.clone()]);
    assert_eq!(out[1], last.replace("00", "<CUSTOM>"));
}

#[test]
fn texts_are_never_joined_across_choices_and_fields() {
    let events = [
        delta(0, "content", "51"),
        delta(1, "content", "00"),
        delta(0, "reasoning_content", "51"),
        delta(1, "content", " 5101"),
        delta(0, "content", "02"),
        delta(0, "refusal", "03"),
        end(0),
        end(1),
    ];
    let mut all = texts(&passed(PATTERNS, &events));
    all.sort();
    let expected = [
        ("0.content", "<CUSTOM>"),
        ("0.reasoning_content", "51"),
        ("0.refusal", "03"),
        ("1.content", "00 <CUSTOM>"),
    ];
    assert_eq!(all, expected.map(|(key, text)| (key.to_owned(), text.to_owned())));
}

#[test]
fn arguments_of_tools_stay_json_however_they_are_cut() {
    let call = |index: u64, piece: &str| {
        let piece = serde_json::Value::from(piece);
        event(&format!(
            r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":{index},"function":{{"arguments":{piece}}}}}]}}}}]}}"#
        ))
    };
    let begin = event(
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_5100","type":"function","function":{"name":"pay","arguments":""}}]}}]}"#,
    );
    let events = [
        begin.clone(),
        call(0, r#"{"card":"51"#),
        call(1, r#"{"n":51"#),
        call(0, r#"00","x":"#),
        call(1, "00}"),
        call(0, "1}"),
        end(0),
    ];
    let out = passed(PATTERNS, &events);
    assert_eq!(out[0], begin, "names and ids pass as they come");
    let mut arguments = [String::new(), String::new()];
    for data in out.concat().split("\n\n").filter_map(|it| it.strip_prefix("data: ")) {
        let chunk: serde_json::Value = serde_json::from_str(data).unwrap();
        for call in chunk["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap();
            arguments[index as usize].push_str(call["function"]["arguments"].as_str().unwrap());
        }
    }
    assert_eq!(arguments, [r#"{"card":"<CUSTOM>","x":1}"#, r#"{"n":"<CUSTOM>"}"#]);
}

#[test]
fn the_events_of_the_responses_api_say_the_same_in_pieces_and_as_a_whole() {
    let delta = |text: &str| {
        format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"item_id\":\"m\",\"output_index\":0,\"content_index\":0,\"delta\":\"{text}\",\"logprobs\":[],\"sequence_number\":4}}\n\n"
        )
    };
    let done = "event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"output_index\":0,\"content_index\":0,\"text\":\"a 5100\"}\n\n";
    let completed = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"content\":[{\"text\":\"a 5100\"}]}]}}\n\n";
    let out = passed(PATTERNS, &[delta("a 51"), delta("00"), done.into(), completed.into()]);
    let held = delta("<CUSTOM>").replace(
        "\"delta\":\"<CUSTOM>\",\"logprobs\":[],\"sequence_number\":4",
        "\"sequence_number\":4,\"logprobs\":[],\"delta\":\"<CUSTOM>\"",
    );
    assert_eq!(out[0], delta("a "));
    assert_eq!(out[2], held + &done.replace("5100", "<CUSTOM>"));
    assert_eq!(out[3], completed.replace("5100", "<CUSTOM>"));
    let arguments = |text: &str| {
        let text = serde_json::Value::from(text);
        event(&format!(
            r#"{{"type":"response.function_call_arguments.delta","output_index":1,"delta":{text}}}"#
        ))
    };
    let out = passed(PATTERNS, &[arguments(r#"{"a":51"#), arguments("00}")]);
    assert_eq!(out[1], arguments(r#""<CUSTOM>"}"#));
}

#[test]
fn content_in_parts_is_masked_part_by_part() {
    let part = |text: &str| {
        event(&format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":[{{"type":"text","text":"{text}"}}]}}}}]}}"#
        ))
    };
    let out = passed(PATTERNS, &[part("a 51"), part("00"), end(0)]);
    assert_eq!(out[0], part("a "));
    let held = event(
        r#"{"choices":[{"index":0,"delta":{"content":[{"index":0,"type":"text","text":"<CUSTOM>"}]},"finish_reason":null}]}"#,
    );
    assert_eq!(out[2], held + &end(0));
}

#[test]
fn completions_are_masked_as_well() {
    let piece = |text: &str| {
        event(&format!(r#"{{"id":"c","choices":[{{"text":"{text}","index":0,"finish_reason":null}}]}}"#))
    };
    let out = passed(PATTERNS, &[piece("51"), piece("00"), DONE.to_owned()]);
    assert_eq!(
        out[2],
        event(r#"{"id":"c","choices":[{"index":0,"text":"<CUSTOM>","finish_reason":null}]}"#) + DONE
    );
}

#[test]
fn tokens_and_their_likelihood_are_not_told_before_their_text() {
    let likely = |text: &str, logprobs: &str| {
        event(&format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"logprobs":{logprobs}}}]}}"#
        ))
    };
    let logprobs = r#"{"content":[{"token":"51","bytes":[53,49]}]}"#;
    let out =
        passed(PATTERNS, &[likely("hello ", logprobs), likely("51", logprobs), likely(" a ", logprobs)]);
    assert_eq!(out[0], likely("hello ", logprobs));
    assert_eq!(out[1], likely("", "null"));
    assert_eq!(out[2], likely("51 a ", "null"));
}

#[test]
fn errors_and_other_events_are_looked_at_as_a_whole() {
    let out = passed(
        PATTERNS,
        &[
            event(r#"{"error":{"message":"card 5100"}}"#),
            "data: text 5100\n\n".into(),
            "event: x\ndata: {\"a\":\ndata: \"5100\"}\n\n".into(),
        ],
    );
    assert_eq!(out[0], event(r#"{"error":{"message":"card <CUSTOM>"}}"#));
    assert_eq!(out[1], "data: text <CUSTOM>\n\n");
    assert_eq!(out[2], "event: x\ndata: {\"a\":\ndata: \"<CUSTOM>\"}\n\n");
}

#[test]
fn nothing_of_what_is_rejected_passes() {
    let guard = PATTERNS.replace(r#""matches""#, r#""action": "reject", "matches""#);
    let out = passed(&guard, &chat(&["a ", "51", "00", " b"]));
    let empty = delta(0, "content", "");
    assert_eq!(out, [&delta(0, "content", "a "), &empty, &empty, "", "answer_rejected!"]);
}

#[test]
fn a_guard_that_watches_changes_nothing() {
    let guard = PATTERNS.replace(r#"{"patterns""#, r#"{"mode": "monitor", "patterns""#);
    let events = chat(&["a 51", "00", " b 51"]);
    assert_eq!(passed(&guard, &events).concat(), events.concat());
}

/// Streams that are tried.
const STREAMS: usize = if cfg!(target_arch = "wasm32") { 100 } else { 1500 };

#[test]
fn however_a_stream_is_cut_a_client_reads_the_masked_whole() {
    let policy = gateway(&format!(r#"{{"routes": [{{"name": "r", "guard": {{"response": {PATTERNS}}}}}]}}"#));
    let look = Look::of(policy.routes[0].guard.response.as_ref().unwrap()).unwrap();
    let mut numbers = Numbers(0x5eed_0f57_4ea4_0001);
    let parts = ["a", "foo", "bar", "baz", "q", "5100", "51", "00", " ", "\"", "é", "\n", "\\", "x"];
    for _ in 0..STREAMS {
        let fields = ["content", "reasoning_content", "refusal"];
        let written: Vec<(u64, &str, String)> = (0..1 + numbers.below(3))
            .map(|i| ((i % 2) as u64, fields[i], numbers.text(&parts, 16)))
            .collect();
        // Pieces of all texts, in turns.
        let mut pieces: Vec<Vec<&str>> = written.iter().map(|it| numbers.cut(&it.2, 5)).collect();
        pieces.iter_mut().for_each(|it| it.reverse());
        let mut events = Vec::new();
        while pieces.iter().any(|it| !it.is_empty()) {
            let turn = numbers.below(pieces.len());
            if let Some(piece) = pieces[turn].pop() {
                events.push(delta(written[turn].0, written[turn].1, piece));
            }
        }
        events.extend([end(0), end(1), DONE.to_owned()]);
        let out = passed(PATTERNS, &events);
        for event in out.concat().split_terminator("\n\n") {
            let data = event.strip_prefix("data: ").unwrap();
            assert!(data == "[DONE]" || serde_json::from_str::<serde_json::Value>(data).is_ok(), "{data}");
        }
        assert!(out.concat().ends_with(DONE));
        let got = texts(&out);
        for (choice, field, text) in &written {
            let whole = look.at_body(text, &mut Finds::default()).unwrap().applied(text.as_bytes());
            let key = format!("{choice}.{field}");
            let streamed = got.iter().find(|(known, _)| *known == key).map_or("", |(_, text)| text);
            // A text that happens to be JSON is masked as JSON where it stands alone.
            if serde_json::from_str::<serde_json::Value>(text).is_err() {
                assert_eq!(streamed.as_bytes(), whole, "{text:?} {events:?}");
            }
        }
    }
}

#[test]
fn no_more_is_held_than_the_longest_match_of_each_text() {
    let policy = gateway(&format!(r#"{{"routes": [{{"name": "r", "guard": {{"response": {PATTERNS}}}}}]}}"#));
    let look = Look::of(policy.routes[0].guard.response.as_ref().unwrap()).unwrap();
    let mut masking = Masking::default();
    let mut numbers = Numbers(77);
    for _ in 0..STREAMS {
        let event = delta(0, "content", &numbers.text(&["q", "foo", "a", "51"], 4));
        masking.pass(look, event.as_bytes(), &mut Finds::default());
        assert!(masking.held() <= look.patterns.rules.longest());
    }
}
