//! The bodies of OpenAI's API: what is asked, and answers in its shape.
// What is indexed here are JSON values: what a request lacks reads as null, what is written was made here.
#![allow(clippy::indexing_slicing)]

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What an operation answers with.
pub enum Answer {
    /// One JSON document.
    Document(Value),
    /// Server-sent events, ready to be sent.
    Events(Vec<String>),
    /// There is no such thing here.
    NotFound,
}

/// A request as the answer needs it.
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// The path without its query.
    pub path: &'a str,
    /// The body; null if it is no JSON.
    pub body: &'a Value,
    /// A number that no other request has.
    pub number: u64,
}

/// The answer to a request. `text` is what the model says; absent, it gives examples of Mastercard's numbers to whoever
/// asks about these, and repeats the question to everybody else. `pieces` are those of a
/// stream; absent, its words.
pub fn answer(asked: &Asked<'_>, text: Option<&str>, pieces: Option<&[String]>) -> Answer {
    let said = text.map_or_else(|| repeat(asked.body), str::to_owned);
    let streams = asked.body["stream"] == true;
    let pieces = || pieces.map_or_else(|| words(&said), <[String]>::to_vec);
    let at = |end: &str| asked.path.ends_with(end);
    match asked.method {
        "GET" if at("/models") => Answer::Document(models()),
        "POST" if at("/chat/completions") && streams => Answer::Events(chat_events(asked, &pieces())),
        "POST" if at("/chat/completions") => Answer::Document(chat(asked, &said)),
        "POST" if at("/completions") && streams => Answer::Events(completion_events(asked, &pieces())),
        "POST" if at("/completions") => Answer::Document(completion(asked, &said)),
        "POST" if at("/responses") && streams => Answer::Events(response_events(asked, &pieces())),
        "POST" if at("/responses") => Answer::Document(response(asked, &said)),
        "POST" if at("/moderations") => Answer::Document(moderation(asked)),
        "POST" if at("/embeddings") => Answer::Document(embeddings(asked.body, asked.number)),
        _ => Answer::NotFound,
    }
}

/// An error in OpenAI's shape.
pub fn error(status: u16) -> Value {
    let (message, kind, code) = match status {
        401 => ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
        404 => ("There is nothing here.", "invalid_request_error", "not_found"),
        429 => ("Rate limit reached.", "rate_limit_error", "rate_limit_exceeded"),
        400..=499 => ("The mock provider refuses this.", "invalid_request_error", "refused"),
        _ => ("The mock provider is in trouble.", "server_error", "trouble"),
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

fn repeat(body: &Value) -> String {
    let message = body["messages"].as_array().and_then(|messages| messages.last());
    let asked = [message.map(|it| &it["content"]), Some(&body["prompt"]), Some(&body["input"])];
    let text = asked.into_iter().flatten().find(|it| !it.is_null()).map_or_else(String::new, |it| match it {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    if text.contains("Mastercard") {
        return EXAMPLES.into();
    }
    format!("This is the mock provider. You said: {text}")
}

/// Numbers that Mastercard gives for tests.
const EXAMPLES: &str = "Here are some: 1. 5105 1051 0510 5100 2. 5555-5555-5555-4444 3. 2223003122003222";

/// Everything that speaks of violence is flagged.
fn moderation(asked: &Asked<'_>) -> Value {
    let flagged = asked.body["input"].to_string().contains("violence");
    json!({
        "id": format!("modr-mock-{}", asked.number),
        "model": model(asked),
        "results": [{ "flagged": flagged, "categories": { "violence": flagged } }],
    })
}

fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn usage(asked: &Asked<'_>, said: &str) -> Value {
    let prompt = words(&repeat(asked.body)).len();
    let completion = words(said).len();
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

fn created() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn model(asked: &Asked<'_>) -> Value {
    asked.body["model"].clone()
}

fn chat(asked: &Asked<'_>, said: &str) -> Value {
    json!({
        "id": format!("chatcmpl-mock-{}", asked.number),
        "object": "chat.completion",
        "created": created(),
        "model": model(asked),
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": said, "refusal": null },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(asked, said),
    })
}

fn chat_events(asked: &Asked<'_>, pieces: &[String]) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": format!("chatcmpl-mock-{}", asked.number),
            "object": "chat.completion.chunk",
            "created": created(),
            "model": model(asked),
            "choices": choices,
        });
        if !usage.is_null() {
            chunk["usage"] = usage;
        }
        format!("data: {chunk}\n\n")
    };
    let choice =
        |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let role = json!({ "role": "assistant", "content": "" });
    let mut events = vec![chunk(choice(role, Value::Null), Value::Null)];
    events.extend(
        pieces.iter().map(|piece| chunk(choice(json!({ "content": piece }), Value::Null), Value::Null)),
    );
    events.push(chunk(choice(json!({}), json!("stop")), Value::Null));
    if asked.body["stream_options"]["include_usage"] == true {
        events.push(chunk(json!([]), usage(asked, &pieces.concat())));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn completion(asked: &Asked<'_>, said: &str) -> Value {
    json!({
        "id": format!("cmpl-mock-{}", asked.number),
        "object": "text_completion",
        "created": created(),
        "model": model(asked),
        "choices": [{ "index": 0, "text": said, "logprobs": null, "finish_reason": "stop" }],
        "usage": usage(asked, said),
    })
}

fn completion_events(asked: &Asked<'_>, pieces: &[String]) -> Vec<String> {
    let event = |text: &str, finish: Value| {
        let mut chunk = completion(asked, text);
        chunk["choices"][0]["finish_reason"] = finish;
        chunk["usage"] = Value::Null;
        format!("data: {chunk}\n\n")
    };
    let mut events: Vec<String> = pieces.iter().map(|piece| event(piece, Value::Null)).collect();
    events.push(event("", json!("stop")));
    if asked.body["stream_options"]["include_usage"] == true {
        let mut report = completion(asked, &pieces.concat());
        report["choices"] = json!([]);
        events.push(format!("data: {report}\n\n"));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn response(asked: &Asked<'_>, said: &str) -> Value {
    let counted = usage(asked, said);
    json!({
        "id": format!("resp-mock-{}", asked.number),
        "object": "response",
        "created_at": created(),
        "status": "completed",
        "model": model(asked),
        "output": [{
            "id": format!("msg-mock-{}", asked.number),
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{ "type": "output_text", "text": said, "annotations": [] }],
        }],
        "parallel_tool_calls": true,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": counted["prompt_tokens"],
            "output_tokens": counted["completion_tokens"],
            "total_tokens": counted["total_tokens"],
        },
    })
}

fn response_events(asked: &Asked<'_>, pieces: &[String]) -> Vec<String> {
    let event = |kind: &str, mut data: Value, number: usize| {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(number);
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let mut begun = response(asked, "");
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    let mut events = vec![event("response.created", json!({ "response": begun }), 0)];
    for piece in pieces {
        let item = format!("msg-mock-{}", asked.number);
        let delta = json!({ "item_id": item, "output_index": 0, "content_index": 0, "delta": piece });
        events.push(event("response.output_text.delta", delta, events.len()));
    }
    let whole = json!({ "response": response(asked, &pieces.concat()) });
    events.push(event("response.completed", whole, events.len()));
    events
}

fn embeddings(body: &Value, number: u64) -> Value {
    let inputs: Vec<String> = match &body["input"] {
        Value::Array(items) => items.iter().map(Value::to_string).collect(),
        other => vec![other.to_string()],
    };
    let as_text = body["encoding_format"] == "base64";
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let vector = vector(input);
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        let embedding = if as_text { json!(STANDARD.encode(bytes)) } else { json!(vector) };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let data: Vec<Value> = data.collect();
    let tokens: usize = inputs.iter().map(|input| words(input).len()).sum();
    json!({
        // Mistral's has one.
        "id": format!("embd-mock-{number}"),
        "object": "list",
        "data": data,
        "model": body["model"],
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })
}

/// Eight numbers that are the same for the same text.
fn vector(text: &str) -> [f32; 8] {
    let mut vector = [0.0_f32; 8];
    for (slot, byte) in (0..8).cycle().zip(text.bytes()) {
        if let Some(number) = vector.get_mut(slot) {
            *number += f32::from(byte) / 256.0;
        }
    }
    vector
}

fn models() -> Value {
    let ids = ["gpt-4o", "gpt-4o-mini", "mistral-large-latest", "open-mistral-nemo"];
    let data = ids.map(|id| json!({ "id": id, "object": "model", "created": 0, "owned_by": "mock" }));
    json!({ "object": "list", "data": data })
}
