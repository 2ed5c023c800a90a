//! The messages of a prompt, and the texts of an answer, as somebody who is asked about them gets them.

use std::ops::Range;

use crate::document::Document;
use crate::json::{Path, Token, TooDeep};

/// A text, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whose.
    pub role: String,
    /// What.
    pub text: String,
    /// Where it stands in the body, between the quotes.
    pub place: Range<usize>,
}

/// The messages of a prompt, of whichever operation: instructions, messages, input, prompts. One for each part of a content
/// that has several.
pub fn of_prompt(document: &Document) -> Result<Vec<Message>, TooDeep> {
    let mut all = Vec::new();
    for (field, role) in
        [("instructions", "system"), ("messages", "user"), ("input", "user"), ("prompt", "user")]
    {
        if let (Some(json), Some(range)) = (document.raw(field), document.range(field)) {
            let texts = collect(json, role, |path| match path {
                [] | [""] => Some(Read::Text),
                ["", "role"] => Some(Read::Role),
                ["", "content" | "output"] | ["", "content" | "output", "", "text"] => Some(Read::Text),
                _ => None,
            })?;
            all.extend(
                texts.into_iter().map(|it| Message {
                    place: range.start + it.place.start..range.start + it.place.end,
                    ..it
                }),
            );
        }
    }
    all.retain(|it| !it.text.is_empty());
    Ok(all)
}

/// The texts of an answer: of each choice, or of each message among the output. All of it where it is no JSON.
pub fn of_answer(body: &str) -> Result<Vec<Message>, TooDeep> {
    if !is_json(body) {
        let message = Message { role: "assistant".into(), text: body.to_owned(), place: 0..body.len() };
        return Ok(if body.is_empty() { Vec::new() } else { vec![message] });
    }
    collect(body, "assistant", |path| match path {
        ["choices", "", "message", "role"] | ["output", "", "role"] => Some(Read::Role),
        ["choices", "", "text"]
        | ["choices", "", "message", "content"]
        | ["choices", "", "message", "content", "", "text"]
        | ["output", "", "content", "", "text"] => Some(Read::Text),
        _ => None,
    })
}

/// What a string is.
enum Read {
    /// Whose the texts beside it are.
    Role,
    /// A text.
    Text,
}

/// The texts of a JSON value, and whose they are: the role of the list's item that they are in, which may come after
/// them, or this one.
fn collect(json: &str, role: &str, read: impl Fn(&[&str]) -> Option<Read>) -> Result<Vec<Message>, TooDeep> {
    let mut path = Path::new(json);
    let mut all: Vec<Message> = Vec::new();
    // Of the outermost list: where its item's texts begin, and whose they are.
    let (mut first, mut own) = (0, role.to_owned());
    while let Some((token, names)) = path.next()? {
        match token {
            Token::Text(range) => match read(&names) {
                Some(Read::Role) => own = path.text(&range).into_owned(),
                Some(Read::Text) => {
                    let text = path.text(&range).into_owned();
                    all.push(Message { role: role.to_owned(), text, place: range });
                }
                None => {}
            },
            // An item of the outermost list has come to its end.
            Token::End(_)
                if names.last() == Some(&"") && names.iter().filter(|it| it.is_empty()).count() == 1 =>
            {
                all.iter_mut().skip(first).for_each(|it| it.role.clone_from(&own));
                (first, own) = (all.len(), role.to_owned());
            }
            Token::Object(_)
            | Token::Array(_)
            | Token::End(_)
            | Token::Name(_)
            | Token::Number(_)
            | Token::Word(_) => {}
        }
    }
    Ok(all)
}

/// The answer with these texts in the place of those.
pub fn retold(body: &str, messages: &[Message], texts: &[String]) -> String {
    if !is_json(body) {
        return texts.first().cloned().unwrap_or_default();
    }
    let bytes = super::replace(messages, texts).applied(body.as_bytes());
    String::from_utf8(bytes).unwrap_or_default()
}

fn is_json(body: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok()
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
