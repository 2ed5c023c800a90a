//! The messages of a prompt, and the texts of an answer, as somebody who is asked about them gets them.

use std::ops::Range;

use crate::document::Document;
use crate::json::{Token, TooDeep, Walk};

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
            collect(json, range.start, role, &mut all)?;
        }
    }
    Ok(all)
}

/// A text that stands alone, texts in a list, or messages in a list.
fn collect(json: &str, start: usize, role: &str, all: &mut Vec<Message>) -> Result<(), TooDeep> {
    let mut walk = Walk::new(json);
    let mut names: Vec<String> = Vec::new();
    let mut first = all.len();
    let mut own = role.to_owned();
    while let Some(token) = walk.next()? {
        let depth = walk.depth();
        match token {
            Token::Object(_) | Token::Array(_) => {
                names.truncate(depth);
                names.resize(depth + 1, String::new());
                if depth == 2 {
                    own = role.to_owned();
                    first = all.len();
                }
            }
            // The role may come after what it is the role of.
            Token::End(_) if depth == 1 => {
                all.iter_mut().skip(first).for_each(|it| it.role.clone_from(&own));
                first = all.len();
            }
            Token::Name(range) => {
                if let Some(name) = names.get_mut(depth) {
                    *name = walk.text(&range).into_owned();
                }
            }
            Token::Text(range) => {
                let name = |depth: usize| names.get(depth).map(String::as_str);
                if depth == 2 && name(2) == Some("role") {
                    own = walk.text(&range).into_owned();
                }
                let content = matches!(name(2), Some("content" | "output"));
                let reads = match depth {
                    0 | 1 => true,
                    2 => content,
                    4 => content && name(4) == Some("text"),
                    _ => false,
                };
                if reads && !range.is_empty() {
                    let text = walk.text(&range).into_owned();
                    let place = start + range.start..start + range.end;
                    all.push(Message { role: role.to_owned(), text, place });
                }
            }
            Token::End(_) | Token::Number(_) | Token::Word(_) => {}
        }
    }
    Ok(())
}

/// The texts of an answer: of each choice, or of each message among the output. All of it where it is no JSON.
pub fn of_answer(body: &str) -> Result<Vec<Message>, TooDeep> {
    if !is_json(body) {
        let message = Message { role: "assistant".into(), text: body.to_owned(), place: 0..body.len() };
        return Ok(if body.is_empty() { Vec::new() } else { vec![message] });
    }
    let mut walk = Walk::new(body);
    let mut names: Vec<String> = Vec::new();
    let mut all: Vec<Message> = Vec::new();
    let mut own = String::from("assistant");
    let mut first = 0;
    while let Some(token) = walk.next()? {
        let depth = walk.depth();
        match token {
            Token::Object(_) | Token::Array(_) => {
                names.truncate(depth);
                names.resize(depth + 1, String::new());
                if depth == 3 {
                    own = "assistant".into();
                    first = all.len();
                }
            }
            Token::End(_) if depth == 2 => {
                all.iter_mut().skip(first).for_each(|it| it.role.clone_from(&own));
                first = all.len();
            }
            Token::Name(range) => {
                if let Some(name) = names.get_mut(depth) {
                    *name = walk.text(&range).into_owned();
                }
            }
            Token::Text(range) => {
                let path: Vec<&str> = names.iter().skip(1).map(String::as_str).collect();
                match path.as_slice() {
                    ["choices", _, _, "message", "role"] | ["output", _, "role"] => {
                        own = walk.text(&range).into_owned();
                    }
                    ["choices", _, "text"]
                    | ["choices", _, "message", "content"]
                    | ["choices", _, "message", "content", _, "text"]
                    | ["output", _, "content", _, "text"] => {
                        let text = walk.text(&range).into_owned();
                        all.push(Message { role: own.clone(), text, place: range });
                    }
                    _ => {}
                }
            }
            Token::End(_) | Token::Number(_) | Token::Word(_) => {}
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
