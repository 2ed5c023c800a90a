//! A JSON text that is known to be valid, read from its beginning to its end: what stands in it and where. Nothing is
//! built; places are byte ranges.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

/// Deeper nesting than any API has. Deeper texts are refused, not passed unread.
pub const MAX_DEPTH: usize = 128;

/// Something that stands in a JSON text. Ranges of strings are those between the quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// `{`, at this place.
    Object(usize),
    /// `[`, at this place.
    Array(usize),
    /// `}` or `]`; the value ends before this place.
    End(usize),
    /// The name of a member.
    Name(Range<usize>),
    /// A string.
    Text(Range<usize>),
    /// A number.
    Number(Range<usize>),
    /// `true`, `false` or `null`.
    Word(Range<usize>),
}

/// Reads a text.
#[derive(Debug)]
pub struct Walk<'j> {
    json: &'j str,
    at: usize,
    /// Of what is open: whether it is an object.
    open: Vec<bool>,
    /// Whether the next string of the innermost object is a name.
    names: bool,
}

/// A text that is nested too deeply.
#[derive(Debug, PartialEq, Eq)]
pub struct TooDeep;

impl<'j> Walk<'j> {
    /// Reads a value that is valid JSON.
    pub fn new(json: &'j str) -> Walk<'j> {
        Walk { json, at: 0, open: Vec::new(), names: false }
    }

    /// How many objects and arrays are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The next token; `None` at the end.
    ///
    /// # Errors
    /// Where more than [`MAX_DEPTH`] objects and arrays would be open.
    pub fn next(&mut self) -> Result<Option<Token>, TooDeep> {
        let bytes = self.json.as_bytes();
        loop {
            let Some(byte) = bytes.get(self.at) else { return Ok(None) };
            let at = self.at;
            self.at += 1;
            return Ok(Some(match byte {
                b'{' => self.begin(true, Token::Object(at))?,
                b'[' => self.begin(false, Token::Array(at))?,
                b'}' | b']' => {
                    self.open.pop();
                    self.names = false;
                    Token::End(self.at)
                }
                b',' => {
                    self.names = self.open.last().copied().unwrap_or(false);
                    continue;
                }
                b'"' => {
                    let end = end_of_string(bytes, self.at);
                    let range = self.at..end;
                    self.at = end + 1;
                    if std::mem::take(&mut self.names) { Token::Name(range) } else { Token::Text(range) }
                }
                b'-' | b'0'..=b'9' => Token::Number(at..self.end_of_word()),
                b'a'..=b'z' => Token::Word(at..self.end_of_word()),
                // White space and colons.
                _ => continue,
            }));
        }
    }

    fn begin(&mut self, object: bool, token: Token) -> Result<Token, TooDeep> {
        if self.open.len() == MAX_DEPTH {
            return Err(TooDeep);
        }
        self.open.push(object);
        self.names = object;
        Ok(token)
    }

    fn end_of_word(&mut self) -> usize {
        let rest = self.json.as_bytes().get(self.at..).unwrap_or_default();
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
        self.at
    }

    /// The text of a name or string, decoded.
    pub fn text(&self, range: &Range<usize>) -> Cow<'j, str> {
        decoded(self.json.get(range.clone()).unwrap_or_default())
    }
}

/// Reads a text and knows on the way which member of each open object is being read.
#[derive(Debug)]
pub struct Path<'j> {
    walk: Walk<'j>,
    /// From the outside to the inside; empty for arrays.
    names: Vec<Cow<'j, str>>,
}

impl<'j> Path<'j> {
    /// Reads a value that is valid JSON.
    pub fn new(json: &'j str) -> Path<'j> {
        Path { walk: Walk::new(json), names: Vec::new() }
    }

    /// The next token, and the names that lead to it: one for each object or array that is open, empty for arrays.
    ///
    /// # Errors
    /// As [`Walk::next`].
    pub fn next(&mut self) -> Result<Option<(Token, Vec<&str>)>, TooDeep> {
        let Some(token) = self.walk.next()? else { return Ok(None) };
        match &token {
            Token::Object(_) | Token::Array(_) => self.names.push(Cow::Borrowed("")),
            Token::End(_) => drop(self.names.pop()),
            Token::Name(range) => {
                if let Some(name) = self.names.last_mut() {
                    *name = self.walk.text(range);
                }
            }
            Token::Text(_) | Token::Number(_) | Token::Word(_) => {}
        }
        Ok(Some((token, self.names.iter().map(Cow::as_ref).collect())))
    }

    /// The text of a name or string, decoded.
    pub fn text(&self, range: &Range<usize>) -> Cow<'j, str> {
        self.walk.text(range)
    }
}

/// Where the quote is that ends a string.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

/// What a string says, from what stands between its quotes. Half of a surrogate pair says U+FFFD.
pub fn decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    spell(raw, |_, piece| out.push_str(piece));
    Cow::Owned(out)
}

/// Where parts of a decoded string stand between the quotes. The ranges are in order and do not overlap.
pub fn located(raw: &str, ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    if !raw.contains('\\') {
        return ranges.to_vec();
    }
    let mut out = Vec::with_capacity(ranges.len());
    let (mut at, mut start) = (0, None);
    let mut waiting = ranges.iter().peekable();
    spell(raw, |from, piece| {
        let here = at..at + piece.len();
        at = here.end;
        let same = from.len() == piece.len();
        let place = |offset: usize| if same { from.start + (offset - here.start) } else { from.start };
        while let Some(it) = waiting.peek() {
            if start.is_none() && it.start < here.end {
                start = Some(place(it.start.max(here.start)));
            }
            let Some(begun) = start.filter(|_| it.end <= here.end) else { break };
            out.push(begun..if same { place(it.end) } else { from.end });
            start = None;
            waiting.next();
        }
    });
    out
}

/// Gives each run without escapes, and what each escape says, with the place where it stands.
fn spell(raw: &str, mut give: impl FnMut(Range<usize>, &str)) {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run =
            memchr::memchr(b'\\', bytes.get(at..).unwrap_or_default()).map_or(bytes.len(), |it| at + it);
        if run > at {
            give(at..run, raw.get(at..run).unwrap_or_default());
        }
        at = run;
        if at < bytes.len() {
            let (letter, length) = escape(raw.get(at..).unwrap_or_default());
            give(at..at + length, letter.encode_utf8(&mut [0; 4]));
            at += length;
        }
    }
}

/// What an escape at the beginning of a text says, and how long it is (RFC 8259 section 7).
pub fn escape(text: &str) -> (char, usize) {
    let letter = match text.as_bytes().get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => return unicode_escape(text),
        // A quote, a solidus or a reverse one; nothing else is valid.
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (letter, 2)
}

fn unicode_escape(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else { return (char::REPLACEMENT_CHARACTER, text.len().min(6)) };
    if let (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) = (first, unit(6)) {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// A text as it stands between the quotes of a JSON string.
pub fn encoded(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// Whether a text is a JSON object or array.
pub fn is_structure(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
