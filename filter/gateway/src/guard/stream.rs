//! What is found in an answer that comes event by event. The client gets exactly what masking each text as a whole would
//! have given it, and each piece of it as soon as it is known to be part of no match.

use guard::Masker;

use super::answer::Look;
use super::arguments::{Arguments, Out};
use super::chunk::{Chunk, Key, Leaf, Part};
use super::finds::Finds;
use super::reading::Meaning;
use crate::edits::Edits;
use crate::json::{decoded, encoded};
use crate::reply::Reply;
use crate::sse;

/// More texts than one answer has. What has more is not looked at any further, and so does not pass.
const MAX_TEXTS: usize = 1024;

/// The longest event that is kept to say the end of a text in its form, in bytes. After a longer one that end is said in the
/// shortest form: there may be many texts, and the memory of a VM is never given back.
const MAX_LAST: usize = 64 << 10;

/// Texts that are under way.
#[derive(Debug, Default)]
pub struct Masking {
    texts: Vec<Text>,
    chunk: Chunk,
}

/// A text of which parts have come.
#[derive(Debug)]
struct Text {
    key: Key,
    masker: Kind,
    /// The last event that went on with it, as JSON, where something of it is held back.
    last: String,
}

#[derive(Debug)]
enum Kind {
    Plain(Masker),
    Arguments(Arguments),
}

/// What passes of some events.
#[derive(Debug)]
pub struct Passed {
    /// The events.
    pub bytes: Vec<u8>,
    /// The policy's refusal, where something is found that is not to pass. Nothing after it passes either.
    pub refused: Option<Reply>,
}

/// What has become of a piece of a text.
struct Piece {
    text: usize,
    leaf: Leaf,
    out: String,
    /// Whether it passes as it came, and nothing of it is held back.
    pure: bool,
}

impl Masking {
    /// Looks at whole events and gives what passes in their place.
    pub fn pass(&mut self, look: Look<'_>, events: &[u8], finds: &mut Finds) -> Passed {
        let mut bytes = Vec::with_capacity(events.len());
        let mut all = sse::split(events);
        let refused = all.find_map(|event| self.event(look, event, finds, &mut bytes).err());
        if look.enforced {
            Passed { bytes, refused }
        } else {
            Passed { bytes: events.to_vec(), refused: None }
        }
    }

    /// The stream is at its end: gives what is still held.
    pub fn finish(&mut self, look: Look<'_>, finds: &mut Finds) -> Passed {
        let mut bytes = Vec::new();
        let refused = (0..self.texts.len()).find_map(|text| self.flush(look, text, finds, &mut bytes).err());
        if look.enforced { Passed { bytes, refused } } else { Passed { bytes: Vec::new(), refused: None } }
    }

    /// The last events of a stream, and all that is still held.
    pub fn pass_last(&mut self, look: Look<'_>, events: &[u8], finds: &mut Finds) -> Passed {
        let mut passed = self.pass(look, events, finds);
        if passed.refused.is_none() {
            let rest = self.finish(look, finds);
            passed.bytes.extend(rest.bytes);
            passed.refused = rest.refused;
        }
        passed
    }

    /// How many bytes are held back.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.texts.iter().map(Text::held).sum()
    }

    fn event(
        &mut self,
        look: Look<'_>,
        event: &[u8],
        finds: &mut Finds,
        out: &mut Vec<u8>,
    ) -> Result<(), Reply> {
        let Some(data) = sse::data(event) else {
            out.extend_from_slice(event);
            return Ok(());
        };
        let text = String::from_utf8_lossy(&data);
        if text == "[DONE]" {
            for text in 0..self.texts.len() {
                self.flush(look, text, finds, out)?;
            }
            out.extend_from_slice(event);
            return Ok(());
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        let edits = if chunk.read(&text) {
            self.json(look, &chunk, &text, finds, out)
        } else {
            look.at_body(&text, finds)
        };
        self.chunk = chunk;
        let edits = edits?;
        if edits.is_empty() {
            out.extend_from_slice(event);
        } else {
            sse::with_data(event, &edits.applied(text.as_bytes()), out);
        }
        Ok(())
    }

    /// What has to be done to an event. Writes before it what is held of texts that end with it.
    fn json(
        &mut self,
        look: Look<'_>,
        chunk: &Chunk,
        json: &str,
        finds: &mut Finds,
        out: &mut Vec<u8>,
    ) -> Result<Edits, Reply> {
        let mut edits = Edits::default();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut pure = true;
        for leaf in &chunk.leaves {
            let raw = json.get(leaf.place.clone()).unwrap_or_default();
            if leaf.grows {
                let text = self.text(look, chunk, json, leaf)?;
                let piece = self.push(look, text, leaf, &decoded(raw), finds)?;
                pure &= piece.pure;
                pieces.push(piece);
            } else if let Some(masked) = look.at_string(raw, leaf.meaning, finds)? {
                edits.replace(leaf.place.clone(), masked);
                pure = false;
            }
        }
        for text in 0..self.texts.len() {
            if !self.texts.get(text).is_some_and(|it| chunk.ends(&it.key)) {
                continue;
            }
            match pieces.iter_mut().rfind(|piece| piece.text == text) {
                Some(piece) => {
                    let before = piece.out.len();
                    self.finish_text(look, text, &mut piece.out, finds)?;
                    piece.pure &= piece.out.len() == before;
                }
                None => self.flush(look, text, finds, out)?,
            }
        }
        for piece in pieces {
            let raw = json.get(piece.leaf.place.clone()).unwrap_or_default();
            if decoded(raw) != piece.out {
                edits.replace(piece.leaf.place, encoded(&piece.out));
            }
            if let Some(text) = self.texts.get_mut(piece.text)
                && text.held() > 0
            {
                let last = if json.len() <= MAX_LAST { json } else { "{}" };
                last.clone_into(&mut text.last);
            }
        }
        if !pure && look.enforced {
            for range in &chunk.logprobs {
                edits.replace(range.clone(), silent(json.get(range.clone()).unwrap_or_default()));
            }
        }
        Ok(edits)
    }

    /// The number of the text that a leaf goes on with.
    fn text(&mut self, look: Look<'_>, chunk: &Chunk, json: &str, leaf: &Leaf) -> Result<usize, Reply> {
        if let Some(known) = self.texts.iter().position(|it| chunk.is_of(json, leaf, &it.key)) {
            return Ok(known);
        }
        if self.texts.len() == MAX_TEXTS {
            return Err(super::unreadable_answer("it has too many texts at once"));
        }
        let key = chunk.key(json, leaf);
        let arguments = leaf.meaning == Meaning::Arguments || key.stem.ends_with("_arguments");
        let rules = &look.patterns.rules;
        let masker =
            if arguments { Kind::Arguments(Arguments::new(rules)) } else { Kind::Plain(Masker::new(rules)) };
        self.texts.push(Text { key, masker, last: String::new() });
        Ok(self.texts.len() - 1)
    }

    fn push(
        &mut self,
        look: Look<'_>,
        text: usize,
        leaf: &Leaf,
        piece: &str,
        finds: &mut Finds,
    ) -> Result<Piece, Reply> {
        let mut out = String::with_capacity(piece.len());
        let mut pure = true;
        if let Some(it) = self.texts.get_mut(text) {
            pure = it.held() == 0;
            it.run(look, Some(piece), &mut out, finds)?;
            pure &= it.held() == 0 && out == piece;
        }
        Ok(Piece { text, leaf: leaf.clone(), out, pure })
    }

    fn finish_text(
        &mut self,
        look: Look<'_>,
        text: usize,
        out: &mut String,
        finds: &mut Finds,
    ) -> Result<(), Reply> {
        self.texts.get_mut(text).map_or(Ok(()), |it| it.run(look, None, out, finds))
    }

    /// Writes an event with what is held of a text that has come to its end.
    fn flush(
        &mut self,
        look: Look<'_>,
        text: usize,
        finds: &mut Finds,
        out: &mut Vec<u8>,
    ) -> Result<(), Reply> {
        let Some(it) = self.texts.get_mut(text) else { return Ok(()) };
        if it.held() == 0 {
            return Ok(());
        }
        let mut rest = String::new();
        it.run(look, None, &mut rest, finds)?;
        if !rest.is_empty() {
            let mut chunk = Chunk::default();
            chunk.read(&it.last);
            let event = again(&chunk, &it.last, &it.key, &rest);
            if !chunk.kind.is_empty() {
                out.extend_from_slice(format!("event: {}\n", chunk.kind).as_bytes());
            }
            out.extend_from_slice(format!("data: {event}\n\n").as_bytes());
        }
        it.last.clear();
        Ok(())
    }
}

impl Text {
    fn held(&self) -> usize {
        match &self.masker {
            Kind::Plain(masker) => masker.held(),
            Kind::Arguments(arguments) => arguments.held(),
        }
    }

    /// Takes the next piece, or the end.
    fn run(
        &mut self,
        look: Look<'_>,
        piece: Option<&str>,
        out: &mut String,
        finds: &mut Finds,
    ) -> Result<(), Reply> {
        let mut noted = Ok(());
        let mut mask = |rule: usize, text: &str, begins: bool, out: &mut String| {
            if noted.is_ok() {
                noted = look.note(rule, finds);
            }
            look.patterns.mask(rule, text, begins, out);
        };
        let rules = &look.patterns.rules;
        match &mut self.masker {
            Kind::Plain(masker) => {
                let mut give = |piece: guard::Piece<'_>| match piece {
                    guard::Piece::Kept(text) => out.push_str(text),
                    guard::Piece::Masked { rule, text, begins } => mask(rule, text, begins, out),
                };
                match piece {
                    Some(piece) => masker.push(rules, piece, &mut give),
                    None => masker.finish(rules, &mut give),
                }
            }
            Kind::Arguments(arguments) => {
                let mut out = Out { text: out, mask: &mut mask };
                match piece {
                    Some(piece) => arguments.push(rules, piece, &mut out),
                    None => arguments.finish(rules, &mut out),
                }
            }
        }
        noted
    }
}

/// What stands in the place of a value of `logprobs` that would tell too much.
fn silent(value: &str) -> &'static str {
    if value.starts_with('[') { "[]" } else { "null" }
}

/// The event that went on with a text last, with nothing but this piece of it.
fn again(chunk: &Chunk, json: &str, key: &Key, piece: &str) -> String {
    let mut members = Vec::new();
    for (name, value) in &chunk.root {
        let (name, value) =
            (json.get(name.clone()).unwrap_or_default(), json.get(value.clone()).unwrap_or_default());
        if !["delta", "obfuscation"].contains(&name) {
            members.push(format!("\"{name}\":{value}"));
        }
    }
    if !chunk.kind.is_empty() && !chunk.logprobs.is_empty() {
        members.push("\"logprobs\":[]".into());
    }
    members.push(inside(&key.path, piece));
    format!("{{{}}}", members.join(","))
}

/// The way to a piece, from inside to outside: what is in an object, or an item of a list.
fn inside(path: &[Part], piece: &str) -> String {
    match path {
        [] => format!("\"{}\"", encoded(piece)),
        [Part::Name(name), Part::Index(index), rest @ ..] => {
            let finish = if name == "choices" { ",\"finish_reason\":null" } else { "" };
            let kind = match rest {
                [Part::Name(text)] if text == "text" && name != "choices" => ",\"type\":\"text\"",
                [Part::Name(thinking), ..] if thinking == "thinking" => ",\"type\":\"thinking\"",
                _ => "",
            };
            match rest {
                [] => format!("\"{name}\":[{}]", inside(rest, piece)),
                _ => format!("\"{name}\":[{{\"index\":{index}{kind},{}{finish}}}]", inside(rest, piece)),
            }
        }
        [Part::Name(name), rest @ ..] => match rest {
            [] => format!("\"{name}\":{}", inside(rest, piece)),
            _ => format!("\"{name}\":{{{}}}", inside(rest, piece)),
        },
        [Part::Index(_), rest @ ..] => inside(rest, piece),
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
