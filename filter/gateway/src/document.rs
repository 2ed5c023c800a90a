//! A JSON body, read once: the top-level fields and where they stand. Nothing is decoded that nobody asks for,
//! and an untouched byte stays untouched.
//!
//! A body has one meaning or it is refused: a name that stands twice (also in another spelling of its escapes)
//! would let the gateway decide by one value while the provider acts on the other.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::edits::Edits;
use crate::reply::{Reason, Reply};

/// More top-level fields than any API has: beyond this, looking for duplicates would be the attacker's to pay with.
const MAX_FIELDS: usize = 256;

/// The longest field that is read with all that is in it, in bytes. A tree of small objects takes fifty times the memory
/// of their text, and the memory of a VM never shrinks.
pub const MAX_TREE_BYTES: usize = 1 << 20;

/// A JSON object and the places of its fields.
#[derive(Debug)]
pub struct Document {
    body: Vec<u8>,
    fields: Vec<(String, Range<usize>)>,
}

impl Document {
    /// Reads a body.
    ///
    /// # Errors
    /// 400 where it is not a JSON object (RFC 8259) in UTF-8, or has a name twice at its top level.
    pub fn parse(body: Vec<u8>) -> Result<Document, Reply> {
        let fields = read(&body)?;
        Ok(Document { body, fields })
    }

    /// The document after some edits.
    ///
    /// # Errors
    /// What [`parse`](Document::parse) says, where the edits make no JSON of it.
    pub fn edited(&self, edits: &Edits) -> Result<Document, Reply> {
        Document::parse(edits.applied(&self.body))
    }

    /// The body itself.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The names of the top-level fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// The JSON text of a top-level field.
    pub fn raw(&self, name: &str) -> Option<&str> {
        let range = self.range(name)?;
        std::str::from_utf8(self.body.get(range)?).ok()
    }

    /// A field that the API says is a string. `None` where it is absent or null.
    ///
    /// # Errors
    /// 400 where it is something else.
    pub fn string(&self, name: &str) -> Result<Option<Cow<'_, str>>, Reply> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        match serde_json::from_str::<Option<Text>>(raw) {
            Ok(text) => Ok(text.map(|text| text.0)),
            Err(_) => Err(Reply::new(400, Reason::InvalidField, format!("`{name}` has to be a string"))),
        }
    }

    /// A field with all that is in it; null where it is absent.
    ///
    /// # Errors
    /// 400 where a name stands twice in an object of it, 413 where it is longer than [`MAX_TREE_BYTES`].
    pub fn value(&self, name: &str) -> Result<Value, Reply> {
        let Some(raw) = self.raw(name) else { return Ok(Value::Null) };
        if raw.len() > MAX_TREE_BYTES {
            let message =
                format!("`{name}` is longer than {MAX_TREE_BYTES} bytes, and models are looked for in it");
            return Err(Reply::new(413, Reason::BodyTooLarge, message));
        }
        jwt::json::read(raw.as_bytes()).map_err(|_| {
            Reply::new(400, Reason::DuplicateField, format!("an object in `{name}` has a name twice"))
        })
    }

    /// What has to be done to the body so that top-level fields have these JSON texts. Each name stands once.
    pub fn set<'f>(&self, fields: impl IntoIterator<Item = (&'f str, &'f str)>, edits: &mut Edits) {
        let mut new = Vec::new();
        for (name, json) in fields {
            match self.range(name) {
                Some(range) => edits.replace(range, json),
                None => new.push(format!("{}:{json}", serde_json::Value::from(name))),
            }
        }
        if !new.is_empty() {
            let open = self.body.iter().position(|b| *b == b'{').map_or(0, |at| at + 1);
            let comma = if self.fields.is_empty() { "" } else { "," };
            edits.replace(open..open, format!("{}{comma}", new.join(",")));
        }
    }

    /// Whether there is nothing but white space.
    pub fn is_blank(&self, range: Range<usize>) -> bool {
        self.body.get(range).is_none_or(|bytes| bytes.iter().all(u8::is_ascii_whitespace))
    }

    /// Where the value of a top-level field is.
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, range)| range.clone())
    }
}

fn read(body: &[u8]) -> Result<Vec<(String, Range<usize>)>, Reply> {
    let refuse = |reason, message| Reply::new(400, reason, message);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(refuse(
            Reason::InvalidJson,
            "the request has no body; expected a JSON object".to_owned(),
        ));
    }
    // The error's own text would repeat what the client sent.
    let unreadable = |error: serde_json::Error| match error.classify() {
        serde_json::error::Category::Data => "the request body is no JSON object".to_owned(),
        _ => format!("the request body is no valid JSON: line {}, column {}", error.line(), error.column()),
    };
    let Fields(fields) =
        serde_json::from_slice(body).map_err(|error| refuse(Reason::InvalidJson, unreadable(error)))?;
    if fields.len() > MAX_FIELDS {
        let message = format!("the request body has more than {MAX_FIELDS} fields");
        return Err(refuse(Reason::InvalidField, message));
    }
    for (i, (name, _)) in fields.iter().enumerate() {
        if fields.iter().take(i).any(|(other, _)| other == name) {
            // The name is the client's own text: cut, so that an answer never grows with what was sent.
            let name: String = name.chars().take(64).collect();
            return Err(refuse(Reason::DuplicateField, format!("the request body has `{name}` twice")));
        }
    }
    let start = body.as_ptr() as usize;
    let place = |(name, value): (Cow<'_, str>, &RawValue)| {
        let from = (value.get().as_ptr() as usize).saturating_sub(start);
        (name.into_owned(), from..from + value.get().len())
    };
    Ok(fields.into_iter().map(place).collect())
}

/// The fields of an object, borrowed from its text.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A string, borrowed where its text has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'a>, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(Text(name)) = map.next_key()? {
                    let value = map.next_value()?;
                    // One more than the limit is enough to know that there are too many.
                    if fields.len() <= MAX_FIELDS {
                        fields.push((name, value));
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object).map(Fields)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct Str;
        impl<'de> Visitor<'de> for Str {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Str).map(Text)
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
