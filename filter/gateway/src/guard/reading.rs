//! Which texts of a body a model reads, and where they stand: every string at any depth, but for what is known to be
//! no text. A string that is missed here is a way around every guard.

use std::ops::Range;

use policy::guard::RequestGuard;

use super::turns::{self, Group, Items};
use crate::document::Document;
use crate::json::{Token, TooDeep, Walk};
use crate::reply::{Reason, Reply};

/// Something that a model reads. Ranges are places in the text of a field, between the quotes.
#[derive(Debug, PartialEq, Eq)]
pub enum Spot {
    /// A text.
    Text(Range<usize>),
    /// A text that should be JSON: what a tool is to do.
    Arguments(Range<usize>),
    /// The parts of one content, which may be read as one text.
    Parts(Vec<Range<usize>>),
    /// A name that a client has chosen, as in the schema of a tool.
    Name(Range<usize>),
}

/// Fields that no model reads.
const UNREAD: [&str; 13] = [
    "model",
    "models",
    "fallbacks",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
    "metadata",
    "previous_response_id",
    "conversation",
    "include",
    "encoding_format",
];

/// Fields that hold a list of messages, where it is one.
const MESSAGES: [&str; 2] = ["messages", "input"];

/// Fields that may hold tokens instead of text.
const PROMPTS: [&str; 2] = ["prompt", "input"];

/// Fields that say which tools there are, and which form an answer is to have.
const TOOLS: [&str; 6] = ["tools", "functions", "tool_choice", "function_call", "response_format", "text"];

/// Words of JSON Schema, which are no client's choice.
const SCHEMA_WORDS: [&str; 44] = [
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "default",
    "definitions",
    "dependentRequired",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "name",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "required",
    "strict",
    "then",
    "title",
    "type",
    "uniqueItems",
];

/// What the name of a member says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing in particular.
    Any,
    /// One of a few words that an API knows.
    Kind,
    /// Tells one thing from another.
    Identifier,
    /// Bytes in base64.
    Data,
    /// Where something is, or the thing itself as a `data:` URL.
    Url,
    /// JSON in a string.
    Arguments,
    /// A list of parts.
    Parts,
    /// The text of a part.
    PartText,
    /// A schema of the client's own.
    Schema,
    /// Nothing that is read.
    Unread,
}

/// Tells of everything that a model reads, within the scope of a guard, by field.
///
/// # Errors
/// What `visit` says, and a refusal where something cannot be read: tokens, or what is nested too deeply.
pub fn spots(
    guard: &RequestGuard,
    document: &Document,
    mut visit: impl FnMut(&str, Range<usize>, Spot) -> Result<(), Reply>,
) -> Result<(), Reply> {
    let names: Vec<&str> = document.names().collect();
    for name in names {
        let (Some(json), Some(range)) = (document.raw(name), document.range(name)) else { continue };
        if UNREAD.contains(&name) {
            continue;
        }
        let mut reading = Reading::new(json, name);
        if MESSAGES.contains(&name) && json.starts_with('[') {
            reading.items = Items::of(guard, json).map_err(|TooDeep| too_deep(name))?;
        } else {
            let group = match name {
                "instructions" | "system" => Group::System,
                _ if TOOLS.contains(&name) => Group::Tools,
                _ => Group::User,
            };
            reading.muted = !turns::in_scope(&guard.scope, group);
        }
        reading.run(|spot| visit(json, range.clone(), spot))?;
    }
    Ok(())
}

fn too_deep(name: &str) -> Reply {
    unreadable(&format!("`{name}` is nested too deeply"))
}

/// A prompt that cannot be looked at is not let pass.
pub fn unreadable(what: &str) -> Reply {
    let message = format!("this route looks at prompts, and {what}");
    Reply::new(400, Reason::GuardUnreadable, message)
}

/// Goes through one field.
struct Reading<'j> {
    json: &'j str,
    field: &'j str,
    walk: Walk<'j>,
    frames: Vec<Frame>,
    /// The messages of the field, where they are told apart.
    items: Option<Items>,
    /// Whether what comes is out of scope.
    muted: bool,
}

/// An object or array that is open.
struct Frame {
    object: bool,
    /// Of the member that is being read; in an array, of the array's own member.
    meaning: Meaning,
    /// Whether it is, or is in, a schema.
    schema: bool,
    /// Texts of the parts, where it is a list of these.
    parts: Option<Vec<Range<usize>>>,
}

impl<'j> Reading<'j> {
    fn new(json: &'j str, field: &'j str) -> Reading<'j> {
        Reading { json, field, walk: Walk::new(json), frames: Vec::new(), items: None, muted: false }
    }

    fn run(&mut self, mut visit: impl FnMut(Spot) -> Result<(), Reply>) -> Result<(), Reply> {
        while let Some(token) = self.walk.next().map_err(|TooDeep| too_deep(self.field))? {
            match token {
                Token::Object(_) => self.open(true),
                Token::Array(_) => self.open(false),
                Token::End(_) => {
                    let parts = self.frames.pop().and_then(|frame| frame.parts);
                    if let Some(parts) = parts.filter(|parts| !parts.is_empty()) {
                        visit(Spot::Parts(parts))?;
                    }
                }
                Token::Name(range) => self.name(range, &mut visit)?,
                Token::Text(range) => self.text(range, &mut visit)?,
                Token::Number(_) => {
                    if PROMPTS.contains(&self.field) && self.frames.iter().all(|frame| !frame.object) {
                        return Err(unreadable(&format!("`{}` has to be text, not tokens", self.field)));
                    }
                }
                Token::Word(_) => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, object: bool) {
        let (meaning, schema) =
            self.frames.last().map_or((self.meaning_of_field(), false), |it| (it.meaning, it.schema));
        let parts = (!object && meaning == Meaning::Parts).then(Vec::new);
        let schema = schema || meaning == Meaning::Schema;
        let meaning = if object { Meaning::Any } else { meaning };
        self.frames.push(Frame { object, meaning, schema, parts });
        if let (true, 2, Some(items)) = (object, self.frames.len(), &mut self.items) {
            items.begin();
        }
    }

    /// The field itself has a meaning where it is no object.
    fn meaning_of_field(&self) -> Meaning {
        meaning(self.field)
    }

    fn name(
        &mut self,
        range: Range<usize>,
        visit: &mut impl FnMut(Spot) -> Result<(), Reply>,
    ) -> Result<(), Reply> {
        let name = self.walk.text(&range);
        if let (2, Some(items)) = (self.frames.len(), &self.items) {
            self.muted = !items.includes(&name);
        }
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        // In a schema names are the client's: one that ends in `_id` promises nothing.
        frame.meaning = match meaning(&name) {
            Meaning::Kind | Meaning::Schema => meaning(&name),
            _ if frame.schema => Meaning::Any,
            other => other,
        };
        if frame.schema && !self.muted && !SCHEMA_WORDS.contains(&name.as_ref()) {
            visit(Spot::Name(range))?;
        }
        Ok(())
    }

    fn text(
        &mut self,
        range: Range<usize>,
        visit: &mut impl FnMut(Spot) -> Result<(), Reply>,
    ) -> Result<(), Reply> {
        if range.is_empty() || self.muted {
            return Ok(());
        }
        let meaning = self.frames.last().map_or(self.meaning_of_field(), |frame| frame.meaning);
        let raw = self.json.get(range.clone()).unwrap_or_default();
        if is_no_text(meaning, raw) {
            return Ok(());
        }
        if meaning == Meaning::PartText
            && let [.., list, _] = self.frames.as_mut_slice()
            && let Some(parts) = &mut list.parts
        {
            parts.push(range);
            return Ok(());
        }
        visit(if meaning == Meaning::Arguments { Spot::Arguments(range) } else { Spot::Text(range) })
    }
}

/// What the name of a member says of its value.
pub fn meaning(name: &str) -> Meaning {
    match name {
        "type" | "role" | "status" | "object" | "detail" => Meaning::Kind,
        "id" => Meaning::Identifier,
        _ if name.ends_with("_id") || name.ends_with("_ids") => Meaning::Identifier,
        "data" | "file_data" | "b64_json" | "embedding" | "encrypted_content" | "signature" => Meaning::Data,
        "url" | "image_url" | "file_url" => Meaning::Url,
        "arguments" => Meaning::Arguments,
        "content" | "output" | "summary" => Meaning::Parts,
        "text" => Meaning::PartText,
        "parameters" | "schema" | "input_schema" => Meaning::Schema,
        _ => Meaning::Any,
    }
}

/// Whether a string is what its name promises, and so nothing that is read. What a name promises and the string does not
/// keep is a text like any other.
pub fn is_no_text(meaning: Meaning, raw: &str) -> bool {
    match meaning {
        Meaning::Kind => raw.len() <= 40 && raw.bytes().all(|it| it.is_ascii_lowercase() || it == b'_'),
        Meaning::Identifier => {
            raw.len() <= 200 && raw.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.:|/".contains(&it))
        }
        Meaning::Data => is_base64(raw),
        Meaning::Url => {
            raw.starts_with("data:") && raw.split_once(";base64,").is_some_and(|it| is_base64(it.1))
        }
        Meaning::Any | Meaning::Arguments | Meaning::Parts | Meaning::PartText | Meaning::Schema => false,
        Meaning::Unread => true,
    }
}

fn is_base64(raw: &str) -> bool {
    raw.bytes().all(|it| it.is_ascii_alphanumeric() || b"+/=-_".contains(&it))
}
