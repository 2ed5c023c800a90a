//! A stream that has come whole, for a webhook that sees texts and not events: which texts it has, and the same stream
//! with others in their place.

use super::chunk::{Chunk, Key, Part};
use super::messages::Message;
use crate::edits::Edits;
use crate::json::{decoded, encoded};
use crate::sse;

/// The texts of a stream, in the order in which they begin.
pub fn of_stream(events: &str) -> Vec<Message> {
    let message = |(_, text): (Key, String)| Message { role: String::new(), text, place: 0..0 };
    texts(events).into_iter().map(message).collect()
}

fn texts(events: &str) -> Vec<(Key, String)> {
    let mut texts: Vec<(Key, String)> = Vec::new();
    let mut chunk = Chunk::default();
    for json in sse::split(events.as_bytes()).filter_map(sse::data) {
        let json = String::from_utf8_lossy(&json);
        if !chunk.read(&json) {
            continue;
        }
        for leaf in chunk.leaves.iter().filter(|leaf| leaf.grows) {
            let key = chunk.key(&json, leaf);
            let piece = decoded(json.get(leaf.place.clone()).unwrap_or_default());
            match texts.iter_mut().find(|(known, _)| *known == key) {
                Some((_, text)) => text.push_str(&piece),
                None if is_content(&key) => texts.push((key, piece.into_owned())),
                None => {}
            }
        }
    }
    texts
}

/// Whether a text is what the model says to the user.
fn is_content(key: &Key) -> bool {
    let names: Vec<&str> = key
        .path
        .iter()
        .filter_map(|it| if let Part::Name(name) = it { Some(name.as_str()) } else { None })
        .collect();
    match names.as_slice() {
        ["choices", "text"] | ["choices", "delta", "content"] | ["choices", "delta", "content", "text"] => {
            true
        }
        ["delta"] => key.stem == "response.output_text",
        _ => false,
    }
}

/// The stream with these texts in the place of those: each whole where it began, and wherever all of it stands again.
pub fn told_anew(events: &str, messages: &[Message], new: &[String]) -> String {
    let keys: Vec<Key> = texts(events).into_iter().map(|(key, _)| key).collect();
    let mut begun = vec![false; keys.len()];
    let mut chunk = Chunk::default();
    let mut out = Vec::with_capacity(events.len());
    for event in sse::split(events.as_bytes()) {
        let data = sse::data(event).unwrap_or_default();
        let json = String::from_utf8_lossy(&data);
        let mut edits = Edits::default();
        if chunk.read(&json) {
            for leaf in &chunk.leaves {
                let raw = json.get(leaf.place.clone()).unwrap_or_default();
                let grown = keys.iter().position(|key| leaf.grows && chunk.is_of(&json, leaf, key));
                let again = || messages.iter().position(|it| !leaf.grows && it.text == decoded(raw));
                let Some(text) = grown.or_else(again) else { continue };
                let changed = messages.get(text).zip(new.get(text)).filter(|(old, new)| old.text != **new);
                let Some((_, new)) = changed else { continue };
                let first =
                    grown.is_none() || begun.get_mut(text).is_some_and(|it| !std::mem::replace(it, true));
                edits.replace(leaf.place.clone(), if first { encoded(new) } else { String::new() });
            }
            if !edits.is_empty() {
                chunk.logprobs.iter().for_each(|range| edits.replace(range.clone(), "null"));
            }
        }
        if edits.is_empty() {
            out.extend_from_slice(event);
        } else {
            sse::with_data(event, &edits.applied(&data), &mut out);
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
#[path = "retold_tests.rs"]
mod tests;
