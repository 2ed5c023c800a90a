//! Answers that come event by event, through the whole of an exchange. However a stream is cut, a client puts the same
//! texts together, every event is JSON, and the end comes last.
//!
//! The first byte says which guard there is, the rest of its line how everything is cut. Each line below goes on with a
//! text: a digit for the choice, a letter for the field, and what is said, where `\r` is the end of a line. A line that
//! begins otherwise is sent as it is.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use gateway::{Access, Appetite, Arrival, Clock, Edits, Effect, Event, Exchange, Headers, Recall};
use policy::Plugin;
use policy::guard::Patterns;
use serde_json::{Value, json};

use crate::cuts;

const GUARDS: [&str; 4] = [
    r#"{"matches": [{"pattern": "\\b5[0-9]{3}\\b"}, {"pattern": "(?:foo|foobar)baz"}, {"pattern": "q[^q]{0,6}q"}]}"#,
    r#"{"matches": [{"pattern": "\"[a-z]\""}, {"pattern": "^a.$"}, {"pattern": "-?[0-9]+", "maxLength": 5}], "maskStyle": "x"}"#,
    r#"{"builtins": ["CREDIT_CARD", "SSN", "EMAIL", "PHONE_NUMBER", "IBAN", "IP_ADDRESS", "API_KEY"]}"#,
    r#"{"matches": [{"pattern": "é[^é]*é", "maxLength": 9}, {"pattern": "\\\\n"}, {"pattern": "[{}\\[\\]]\\s"}], "maskStyle": "x"}"#,
];

thread_local! {
    static READY: Vec<Rc<Access>> = GUARDS.iter().map(|guard| access(guard)).collect();
}

fn access(patterns: &str) -> Rc<Access> {
    let route = format!(r#"{{"name": "r", "guard": {{"response": {{"patterns": {patterns}}}}}}}"#);
    let configuration = format!(r#"{{"downstream": {{"routes": [{route}]}}}}"#);
    match Plugin::read(configuration.as_bytes(), &|_| None).unwrap() {
        Plugin::Downstream(gateway) => Rc::new(Access::new(Rc::new(gateway), [0; 16])),
        Plugin::Upstream(_) => panic!("not a downstream configuration"),
    }
}

/// A text of an answer: the choice, the field.
type Key = (u8, char);

/// What a model says.
struct Said {
    texts: Vec<(Key, String)>,
    /// Events of which nobody knows what they are.
    garbage: Vec<Vec<u8>>,
}

/// However a stream is cut, the client's texts are those of the whole.
pub fn answers(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let (lengths, rest) = cuts::head(rest);
    let said = said(rest);
    READY.with(|all| {
        let access = &all[usize::from(*which) % all.len()];
        let stream = stream(&said, lengths);
        let out = passed(access, &cuts::bytes(&stream, lengths), !said.garbage.is_empty());
        if said.garbage.is_empty() {
            let whole = self::stream(&said, &[0]);
            let whole = texts(&passed(access, &[&whole], false));
            let texts = texts(&out);
            assert_eq!(texts, whole, "{}", String::from_utf8_lossy(&stream));
            check(access, &said.texts, &texts);
        }
    });
}

fn said(lines: &[u8]) -> Said {
    let mut said = Said { texts: Vec::new(), garbage: Vec::new() };
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match line {
            [choice @ b'0'..=b'1', field @ (b'c' | b'r' | b'f' | b'a' | b'b'), text @ ..] => {
                let key = (choice - b'0', char::from(*field));
                let text = String::from_utf8_lossy(text).replace('\r', "\n");
                match said.texts.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, all)) => all.push_str(&text),
                    None => said.texts.push((key, text)),
                }
            }
            garbage => said.garbage.push(garbage.iter().map(|it| line_end(*it)).collect()),
        }
    }
    said
}

fn line_end(byte: u8) -> u8 {
    if byte == b'\r' { b'\n' } else { byte }
}

/// The events of a stream, the texts in turns. No lengths but 0 let each text come as a whole.
fn stream(said: &Said, lengths: &[u8]) -> Vec<u8> {
    let pieces = |text| if lengths == [0] { vec![text] } else { cuts::text(text, lengths) };
    let mut all: Vec<_> = said.texts.iter().map(|(key, text)| (*key, pieces(text).into_iter())).collect();
    let mut garbage = said.garbage.iter();
    let mut out = Vec::new();
    let mut left = true;
    while left {
        left = false;
        for (key, pieces) in &mut all {
            if let Some(piece) = pieces.next() {
                left = true;
                out.extend_from_slice(&delta(*key, piece));
            }
        }
        if let Some(garbage) = garbage.next() {
            left = true;
            out.extend_from_slice(garbage);
        }
    }
    for choice in 0..2 {
        let end = json!({"choices": [{"index": choice, "delta": {}, "finish_reason": "stop"}]});
        out.extend_from_slice(format!("data: {end}\n\n").as_bytes());
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
    out
}

fn delta((choice, field): Key, text: &str) -> Vec<u8> {
    let call = |index: u8| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    let delta = match field {
        'c' => json!({"content": text}),
        'r' => json!({"reasoning_content": text}),
        'f' => json!({"refusal": text}),
        'a' => call(0),
        _ => call(1),
    };
    let event = json!({"id": "a", "choices": [{"index": choice, "delta": delta, "finish_reason": null}]});
    format!("data: {event}\n\n").into_bytes()
}

/// What the client gets of a stream that comes in these pieces.
fn passed(access: &Rc<Access>, pieces: &[&[u8]], garbage: bool) -> Vec<u8> {
    let mut exchange = Exchange::new(Rc::clone(access));
    let headers = Headers::new(vec![
        (":method", b"POST".as_slice()),
        (":path", b"/v1/chat/completions"),
        (":authority", b"fuzz"),
        ("content-type", b"application/json"),
    ]);
    let now = Duration::from_secs(2_000_000_000);
    let arrival = Arrival {
        headers: &headers,
        route: None,
        handover: None,
        address: None,
        end: false,
        now,
        attempt: 1,
        random: 0,
        recall: Recall(&|_| None),
    };
    exchange.on(Event::Request(arrival));
    exchange.on(Event::RequestBody(br#"{"model":"m","messages":[],"stream":true}"#.to_vec()));
    let headers = Headers::new(vec![(":status", b"200".as_slice()), ("content-type", b"text/event-stream")]);
    let answer =
        gateway::Answer { headers: &headers, local: None, end: false, now, attempts: 1, cluster: None };
    exchange.on(Event::Response(answer));
    assert_eq!(exchange.appetite(), Appetite::Chunks);
    let mut out = Vec::new();
    let last: &[u8] = &[];
    for (i, bytes) in pieces.iter().chain([&last]).enumerate() {
        let step = exchange.on(Event::Chunk { bytes, end: i == pieces.len(), now: Clock(&|| now) });
        let before = out.len();
        let mut replaced = false;
        for effect in step.effects {
            match effect {
                Effect::ReplaceChunk(bytes) => {
                    assert!(!std::mem::replace(&mut replaced, true), "a piece is replaced twice");
                    out.extend_from_slice(&bytes);
                }
                Effect::Log(..) => {}
                other => panic!("{other:?}"),
            }
        }
        if !replaced {
            out.extend_from_slice(bytes);
        }
        let whole = out.len() == before || out.ends_with(b"\n\n");
        assert!(garbage || whole, "an event passes in pieces");
    }
    exchange.on(Event::Over(gateway::End { now, client_left: false }));
    out
}

/// The texts that a client puts together, and that say something.
fn texts(out: &[u8]) -> BTreeMap<Key, String> {
    let mut texts: BTreeMap<Key, String> = BTreeMap::new();
    let out = std::str::from_utf8(out).unwrap();
    assert!(out.ends_with("data: [DONE]\n\n"), "{out}");
    let events: Vec<&str> = out.split_terminator("\n\n").collect();
    for event in &events[..events.len() - 1] {
        let data = event.strip_prefix("data: ").unwrap_or_else(|| panic!("{event}"));
        let event: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
        for choice in event["choices"].as_array().unwrap() {
            let number = u8::try_from(choice["index"].as_u64().unwrap()).unwrap();
            let delta = choice["delta"].as_object().unwrap();
            for (name, value) in delta {
                let (field, text) = match name.as_str() {
                    "content" => ('c', value),
                    "reasoning_content" => ('r', value),
                    "refusal" => ('f', value),
                    "tool_calls" => {
                        let field = if value[0]["index"] == 0 { 'a' } else { 'b' };
                        (field, &value[0]["function"]["arguments"])
                    }
                    other => panic!("{other}"),
                };
                texts.entry((number, field)).or_default().push_str(text.as_str().unwrap());
            }
        }
    }
    texts.retain(|_, text| !text.is_empty());
    texts
}

/// Texts are masked as they would be as a whole, and what a tool is to do stays JSON.
fn check(access: &Access, said: &[(Key, String)], texts: &BTreeMap<Key, String>) {
    let guard = access.policy().routes[0].guard.response.as_ref().unwrap();
    let patterns = guard.patterns.as_ref().unwrap();
    for (key, text) in said {
        let got = texts.get(key).map_or("", String::as_str);
        if ['a', 'b'].contains(&key.1) {
            let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
            let structure = text.trim_start().starts_with(['{', '[']) && is_json(text);
            assert!(!structure || is_json(got), "{text} became {got}");
        } else {
            assert_eq!(got, masked(patterns, text), "{text:?}");
        }
    }
}

fn masked(patterns: &Patterns, text: &str) -> String {
    let mut edits = Edits::default();
    for found in patterns.rules.find(text, usize::MAX) {
        let mut mask = String::new();
        patterns.mask(found.rule, text.get(found.range.clone()).unwrap(), true, &mut mask);
        edits.replace(found.range, mask);
    }
    String::from_utf8(edits.applied(text.as_bytes())).unwrap()
}
