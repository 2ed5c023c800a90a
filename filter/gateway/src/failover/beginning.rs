//! The beginning of a stream: some providers answer 200 and then say in the first event that they have failed.

use serde::Deserialize;
use serde_json::Value;

use crate::sse;

/// More than any first event has, in bytes. What is longer is no error.
const MOST: usize = 64 * 1024;

/// What a stream begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing yet.
    Awaited,
    /// Something that an answer begins with.
    Answer,
    /// An error, and the status that says the same.
    Error(u16),
}

/// What the bytes of a stream begin with; `end` where they are all.
pub fn beginning(bytes: &[u8], end: bool) -> Beginning {
    for event in sse::whole(bytes, end) {
        if let Some(data) = sse::data(event) {
            return match error(&data, sse::kind(event)) {
                Some(status) => Beginning::Error(status),
                None => Beginning::Answer,
            };
        }
    }
    match end {
        // A stream in which nothing is said has not begun.
        true => Beginning::Error(502),
        false if bytes.len() > MOST => Beginning::Answer,
        false => Beginning::Awaited,
    }
}

/// The status that an event stands for which is an error: `{"error": …}`, or one of type `error`.
fn error(data: &[u8], kind: Option<&[u8]>) -> Option<u16> {
    #[derive(Deserialize)]
    struct Said {
        error: Option<Value>,
        #[serde(rename = "type")]
        kind: Option<Value>,
        code: Option<Value>,
    }
    let said = serde_json::from_slice::<Said>(data);
    let is_error = kind == Some(b"error");
    let Ok(said) = said else { return is_error.then_some(503) };
    let of_kind = said.kind.as_ref().and_then(Value::as_str).is_some_and(|it| it == "error");
    match said.error {
        Some(error) => Some(status(&error)),
        None if of_kind || is_error => Some(said.code.as_ref().map_or(503, named)),
        None => None,
    }
}

fn status(error: &Value) -> u16 {
    let fields = ["status", "code", "type"].iter().filter_map(|name| error.get(name));
    fields.map(named).find(|status| *status != 503).unwrap_or(503)
}

/// The status that a code stands for; 503 where it stands for none.
fn named(code: &Value) -> u16 {
    let number = code.as_u64().or_else(|| code.as_str()?.parse().ok());
    match (number, code.as_str()) {
        (Some(number), _) => u16::try_from(number).ok().filter(|it| (400..600).contains(it)).unwrap_or(503),
        (None, Some(text)) if text.contains("rate_limit") || text.contains("quota") => 429,
        (None, Some("overloaded_error")) => 529,
        (None, Some(text)) if text.contains("invalid") => 400,
        (None, _) => 503,
    }
}

#[cfg(test)]
mod tests {
    use super::{Beginning, beginning};
    use crate::testing::test;

    fn of(bytes: &str) -> Beginning {
        beginning(bytes.as_bytes(), false)
    }

    #[test]
    fn the_first_event_with_data_decides() {
        assert_eq!(of(""), Beginning::Awaited);
        assert_eq!(of("data: {\"choices\""), Beginning::Awaited);
        assert_eq!(of(": still thinking\n\n: still\n\n"), Beginning::Awaited);
        assert_eq!(of(": still\n\ndata: {\"choices\":[]}\n\n"), Beginning::Answer);
        assert_eq!(of("data: [DONE]\n\n"), Beginning::Answer);
        assert_eq!(of("data: {\"error\":null,\"choices\":[]}\n\n"), Beginning::Answer);
        assert_eq!(of("data: {\"choices\":[]}\n\ndata: {\"error\":{}}\n\n"), Beginning::Answer);
    }

    #[test]
    fn an_error_says_what_kind_of_trouble_it_is() {
        let status = |data: &str| match of(&format!("data: {data}\n\n")) {
            Beginning::Error(status) => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status(r#"{"error":{"message":"x"}}"#), 503);
        assert_eq!(status(r#"{"error":"x"}"#), 503);
        assert_eq!(status(r#"{"error":{"code":"rate_limit_exceeded"}}"#), 429);
        assert_eq!(status(r#"{"error":{"type":"insufficient_quota","code":null}}"#), 429);
        assert_eq!(status(r#"{"error":{"code":502}}"#), 502);
        assert_eq!(status(r#"{"error":{"code":"500"}}"#), 500);
        assert_eq!(status(r#"{"error":{"type":"invalid_request_error"}}"#), 400);
        assert_eq!(status(r#"{"type":"error","error":{"type":"overloaded_error"}}"#), 529);
        assert_eq!(status(r#"{"type":"error","code":"server_error"}"#), 503);
        assert_eq!(of("event: error\ndata: gone\n\n"), Beginning::Error(503));
    }

    #[test]
    fn a_stream_that_ends_before_it_says_anything_is_an_error() {
        assert_eq!(beginning(b"", true), Beginning::Error(502));
        assert_eq!(beginning(b": nothing\n\n", true), Beginning::Error(502));
        assert_eq!(beginning(b"data: {\"error\":{\"code\":429}}", true), Beginning::Error(429));
        assert_eq!(beginning(b"data: {}", true), Beginning::Answer);
    }

    #[test]
    fn what_is_longer_than_any_error_is_an_answer() {
        assert_eq!(of(&format!("data: {}", "x".repeat(70_000))), Beginning::Answer);
    }
}
