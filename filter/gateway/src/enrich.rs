//! Stage `enrich`: what the gateway adds to a prompt. It comes after everything that looks at the caller's own words, so
//! that what is added is neither guarded nor charged to the caller.
//!
//! Nothing is written anew: texts and messages are put between the bytes that are there.

use std::ops::Range;

use policy::enrich::{Enrich, Prompt};
use serde_json::value::RawValue;

use crate::document::Document;
use crate::edits::Edits;
use crate::path::Operation;
use crate::reply::{Reason, Reply};

/// As many texts as a completion's list of prompts may have where something is added to each; more than providers take.
/// What is added takes memory for each of them, and an empty text has three bytes only.
const MOST_PROMPTS: usize = 2048;

/// A top-level field and its JSON.
pub type Field<'e> = (&'e str, String);

/// What has to be done to a body: edits within it, and fields that get a value.
///
/// # Errors
/// 400 where messages are to be added and the body has no place for them.
pub fn enrich<'e>(
    it: &'e Enrich,
    operation: Operation,
    document: &Document,
    edits: &mut Edits,
) -> Result<Vec<Field<'e>>, Reply> {
    let mut fields: Vec<Field<'e>> = Vec::new();
    for default in &it.defaults {
        if default.overrides || document.raw(&default.field).is_none() {
            fields.push((&default.field, default.json.clone()));
        }
    }
    if it.prepend.messages.is_empty() && it.append.messages.is_empty() {
        return Ok(fields);
    }
    match operation {
        Operation::ChatCompletions => {
            let place = Place::of(document, "messages")?;
            match place {
                Place::List(inside) => {
                    add_to_list(&it.prepend.messages, &it.append.messages, inside, document, edits)
                }
                Place::Nowhere | Place::Text(_) => return Err(refusal("messages", "a list")),
            }
        }
        Operation::Responses => add_to_responses(it, document, edits, &mut fields)?,
        Operation::Completions => add_to_texts(it, document, edits)?,
        // No prompt is in there.
        Operation::Embeddings | Operation::Other => {}
    }
    Ok(fields)
}

/// Where a field is, and what it is.
enum Place {
    /// Absent or null.
    Nowhere,
    /// A string, and what is between its quotes.
    Text(Range<usize>),
    /// A list, and what is between its brackets.
    List(Range<usize>),
}

impl Place {
    fn of(document: &Document, name: &str) -> Result<Place, Reply> {
        let Some((raw, range)) = document.raw(name).zip(document.range(name)) else {
            return Ok(Place::Nowhere);
        };
        let inside = range.start + 1..range.end.saturating_sub(1);
        match raw.as_bytes().first() {
            Some(b'n') => Ok(Place::Nowhere),
            Some(b'"') => Ok(Place::Text(inside)),
            Some(b'[') => Ok(Place::List(inside)),
            _ => Err(refusal(name, "a text or a list")),
        }
    }
}

fn refusal(name: &str, expected: &str) -> Reply {
    let message = format!("this route adds to the prompt, and `{name}` has to be {expected} for that");
    Reply::new(400, Reason::InvalidField, message)
}

fn add_to_list(before: &str, after: &str, inside: Range<usize>, document: &Document, edits: &mut Edits) {
    let empty = document.is_blank(inside.clone());
    if !before.is_empty() {
        let comma = if empty { "" } else { "," };
        edits.replace(inside.start..inside.start, format!("{before}{comma}"));
    }
    if !after.is_empty() {
        let comma = if empty && before.is_empty() { "" } else { "," };
        edits.replace(inside.end..inside.end, format!("{comma}{after}"));
    }
}

/// Instructions come before the client's own, everything else before and after its input.
fn add_to_responses(
    it: &Enrich,
    document: &Document,
    edits: &mut Edits,
    fields: &mut Vec<Field<'_>>,
) -> Result<(), Reply> {
    let instructions = &it.prepend.instructions;
    if !instructions.is_empty() {
        match Place::of(document, "instructions")? {
            Place::Nowhere => fields.push(("instructions", format!("\"{instructions}\""))),
            Place::Text(inside) => add_to_text(instructions, "", inside, edits),
            Place::List(_) => return Err(refusal("instructions", "a text")),
        }
    }
    let (before, after) = (&it.prepend.others, &it.append.messages);
    match Place::of(document, "input")? {
        _ if before.is_empty() && after.is_empty() => {}
        Place::Nowhere => fields.push(("input", format!("[{}]", joined(before, after)))),
        Place::List(inside) => add_to_list(before, after, inside, document, edits),
        // A text is short for a message of the user's.
        Place::Text(inside) => {
            let (start, end) = (inside.start.saturating_sub(1), inside.end + 1);
            let comma = if before.is_empty() { "" } else { "," };
            edits.replace(start..start, format!("[{before}{comma}{{\"role\":\"user\",\"content\":"));
            let comma = if after.is_empty() { "" } else { "," };
            edits.replace(end..end, format!("}}{comma}{after}]"));
        }
    }
    Ok(())
}

fn joined(before: &str, after: &str) -> String {
    [before, after].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(",")
}

/// A completion has no messages: the texts are added to its prompt, or to each of them.
fn add_to_texts(it: &Enrich, document: &Document, edits: &mut Edits) -> Result<(), Reply> {
    let Enrich { prepend: Prompt { text: before, .. }, append: Prompt { text: after, .. }, .. } = it;
    match Place::of(document, "prompt")? {
        Place::Nowhere => Err(refusal("prompt", "a text or a list of texts")),
        Place::Text(inside) => {
            add_to_text(before, after, inside, edits);
            Ok(())
        }
        Place::List(inside) => {
            let raw = document.raw("prompt").unwrap_or_default();
            let prompts: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
            if prompts.len() > MOST_PROMPTS {
                return Err(refusal("prompt", &format!("a list of {MOST_PROMPTS} texts at most")));
            }
            let start = raw.as_ptr() as usize;
            for prompt in prompts {
                let text = prompt.get();
                // Tokens are numbers: what is to be added has none of them here.
                if !text.starts_with('"') {
                    return Err(refusal("prompt", "a text or a list of texts"));
                }
                let at = inside.start.saturating_sub(1) + (text.as_ptr() as usize).saturating_sub(start);
                add_to_text(before, after, at + 1..at + text.len() - 1, edits);
            }
            Ok(())
        }
    }
}

/// `inside` is what is between the quotes of a JSON string; a blank line stands between texts.
fn add_to_text(before: &str, after: &str, inside: Range<usize>, edits: &mut Edits) {
    if !before.is_empty() {
        edits.replace(inside.start..inside.start, format!("{before}\\n\\n"));
    }
    if !after.is_empty() {
        edits.replace(inside.end..inside.end, format!("\\n\\n{after}"));
    }
}

#[cfg(test)]
#[path = "enrich_tests.rs"]
mod tests;
