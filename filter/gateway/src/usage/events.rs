//! Usage in streams. A chat's stream says it only if it is asked to, in an event of its own that clients who have not asked
//! do not expect: so it is asked for, and that event is taken out again.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Usage;
use crate::document::Document;
use crate::path::Operation;
use crate::sse;

/// What becomes of what a stream reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporting {
    /// The client gets it.
    Passes,
    /// The client has not asked for it: an event that holds nothing else is taken out.
    Hidden,
}

/// The field of a request that makes its stream report usage, where it would not by itself.
pub fn asks_for_usage(operation: Operation, document: &Document) -> Option<String> {
    let streams = document.raw("stream") == Some("true");
    if !streams || !matches!(operation, Operation::ChatCompletions | Operation::Completions) {
        return None;
    }
    let wanted = || json!({ "include_usage": true });
    let options = match document.raw("stream_options") {
        None | Some("null") => wanted(),
        Some(raw) => match serde_json::from_str::<Value>(raw).ok()? {
            Value::Object(mut options) => {
                if options.get("include_usage") == Some(&Value::Bool(true)) {
                    return None;
                }
                options.insert("include_usage".into(), Value::Bool(true));
                Value::Object(options)
            }
            // The provider says what is wrong with it.
            _ => return None,
        },
    };
    Some(options.to_string())
}

/// An event as far as usage goes.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    choices: Option<Vec<IgnoredAny>>,
    #[serde(borrow)]
    response: Option<Response<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl Reporting {
    /// Reads the usage of some whole events, and takes out what the client has not asked for.
    pub fn look<'e>(self, events: &'e [u8], usage: &mut Option<Usage>) -> Cow<'e, [u8]> {
        if !reports(events) {
            return Cow::Borrowed(events);
        }
        let mut kept = Vec::with_capacity(events.len());
        for event in sse::split(events) {
            let read = reports(event).then(|| sse::data(event)).flatten();
            let said = read.as_ref().and_then(|data| serde_json::from_slice::<Said<'_>>(data).ok());
            let Some(said) = said else {
                kept.extend_from_slice(event);
                continue;
            };
            let raw = said.usage.or(said.response.as_ref().and_then(|it| it.usage));
            let found = raw.and_then(|raw| Usage::read(raw.get().as_bytes()));
            *usage = found.or(*usage);
            let nothing_else = said.usage.is_some() && said.choices.is_some_and(|it| it.is_empty());
            if !(self == Reporting::Hidden && found.is_some() && nothing_else) {
                kept.extend_from_slice(event);
            }
        }
        if kept.len() == events.len() { Cow::Borrowed(events) } else { Cow::Owned(kept) }
    }
}

/// Whether there is a member `usage` that is an object. With usage asked for, every event has one that is null.
fn reports(events: &[u8]) -> bool {
    memmem::find_iter(events, b"\"usage\"").any(|at| {
        let rest = events.get(at + 7..).unwrap_or_default();
        let mut value = rest.iter().filter(|byte| !byte.is_ascii_whitespace());
        value.next() == Some(&b':') && value.next() == Some(&b'{')
    })
}

#[cfg(test)]
mod tests {
    use super::{Reporting, asks_for_usage};
    use crate::document::Document;
    use crate::path::Operation;
    use crate::testing::test;

    const USAGE: &str = r#"{"prompt_tokens":3,"completion_tokens":4}"#;

    fn asked(body: &str) -> Option<String> {
        asks_for_usage(Operation::ChatCompletions, &Document::parse(body.into()).unwrap())
    }

    /// What the client gets, and the tokens.
    fn looked(reporting: Reporting, events: &str) -> (String, Option<(u64, u64)>) {
        let mut usage = None;
        let passed = reporting.look(events.as_bytes(), &mut usage);
        (String::from_utf8(passed.into_owned()).unwrap(), usage.map(|it| (it.input, it.output)))
    }

    #[test]
    fn a_stream_is_asked_for_its_usage_where_it_would_not_say_it() {
        assert_eq!(asked(r#"{"stream":true}"#).as_deref(), Some(r#"{"include_usage":true}"#));
        assert_eq!(
            asked(r#"{"stream":true,"stream_options":null}"#).as_deref(),
            Some(r#"{"include_usage":true}"#)
        );
        let kept = asked(r#"{"stream":true,"stream_options":{"x":1,"include_usage":false}}"#).unwrap();
        assert!(kept.contains(r#""x":1"#) && kept.contains(r#""include_usage":true"#), "{kept}");
        assert_eq!(asked(r#"{"stream":true,"stream_options":{"include_usage":true}}"#), None);
        assert_eq!(asked(r#"{"stream":true,"stream_options":7}"#), None);
        assert_eq!(asked(r#"{"stream":false}"#), None);
        assert_eq!(asked("{}"), None);
        let responses = Document::parse(br#"{"stream":true}"#.to_vec()).unwrap();
        assert_eq!(asks_for_usage(Operation::Responses, &responses), None);
    }

    #[test]
    fn an_event_that_holds_nothing_else_is_taken_out_where_nobody_asked() {
        let text = "data: {\"choices\":[{}],\"usage\":null}\n\n";
        let report = format!("data: {{\"choices\":[],\"usage\":{USAGE}}}\n\n");
        let events = format!("{text}{report}data: [DONE]\n\n");
        assert_eq!(looked(Reporting::Passes, &events), (events.clone(), Some((3, 4))));
        assert_eq!(looked(Reporting::Hidden, &events), (format!("{text}data: [DONE]\n\n"), Some((3, 4))));
    }

    #[test]
    fn an_event_that_holds_more_stays() {
        let events = format!("data: {{\"choices\":[{{\"finish_reason\":\"stop\"}}],\"usage\":{USAGE}}}\n\n");
        assert_eq!(looked(Reporting::Hidden, &events), (events.clone(), Some((3, 4))));
        let other = "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n";
        assert_eq!(looked(Reporting::Hidden, other), (other.into(), None));
    }

    #[test]
    fn the_responses_api_says_it_when_it_is_done() {
        let events = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":6}}}\n\n";
        assert_eq!(looked(Reporting::Hidden, events), (events.into(), Some((5, 6))));
    }
}
