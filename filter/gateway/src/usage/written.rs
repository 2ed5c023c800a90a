//! About how much a model has written, for answers that nobody reports the usage of: a quarter of the bytes of its texts.

use memchr::memchr2;

/// Members whose strings are what a model writes, in the APIs that are understood.
const TEXTS: [&[u8]; 6] = [b"content", b"text", b"delta", b"arguments", b"reasoning_content", b"refusal"];
/// The longest of these names.
const LONGEST: usize = 17;
/// How many bytes of text make a token, about.
const BYTES_A_TOKEN: u64 = 4;

/// Reads JSON that passes in pieces, lines of events or plain, and adds up its texts.
#[derive(Debug, Default)]
pub struct Written {
    place: Place,
    escaped: bool,
    /// The last string that was not counted, as far as it could be a name.
    last: Vec<u8>,
    bytes: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between strings; a string that begins here is a text if the last one was its name.
    #[default]
    Outside,
    /// After a name and its colon.
    Value,
    /// In a string that may be a name.
    Name,
    /// In a text.
    Text,
}

impl Written {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.place == Place::Text && !self.escaped {
                let skipped = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                self.bytes += skipped as u64;
                at += skipped;
            }
            let Some(byte) = bytes.get(at) else { return };
            self.take(*byte);
            at += 1;
        }
    }

    /// About how many tokens.
    pub fn tokens(&self) -> u64 {
        self.bytes.div_ceil(BYTES_A_TOKEN)
    }

    fn take(&mut self, byte: u8) {
        match self.place {
            Place::Outside | Place::Value => self.between(byte),
            Place::Name | Place::Text if self.escaped => self.escaped = false,
            Place::Name | Place::Text => match byte {
                b'\\' => self.escaped = true,
                b'"' => self.place = Place::Outside,
                _ if self.place == Place::Text => self.bytes += 1,
                _ if self.last.len() <= LONGEST => self.last.push(byte),
                _ => {}
            },
        }
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b'"' if self.place == Place::Value && TEXTS.contains(&self.last.as_slice()) => {
                self.place = Place::Text;
            }
            b'"' => {
                self.last.clear();
                self.place = Place::Name;
            }
            b':' => self.place = Place::Value,
            _ if byte.is_ascii_whitespace() => {}
            _ => self.place = Place::Outside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Written;
    use crate::testing::{Numbers, test};

    fn bytes(pieces: &[&str]) -> u64 {
        let mut written = Written::default();
        for piece in pieces {
            written.push(piece.as_bytes());
        }
        written.bytes
    }

    #[test]
    fn what_a_model_writes_is_counted_and_nothing_else() {
        let event = r#"data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"}}]}"#;
        assert_eq!(bytes(&[event, "\n\n", event]), 10);
        assert_eq!(bytes(&[r#"{"choices":[{"text" : "four"}],"model":"content"}"#]), 4);
        assert_eq!(bytes(&[r#"{"type":"response.output_text.delta","delta":"Hi","item_id":"x"}"#]), 2);
        assert_eq!(bytes(&[r#"{"content":["no",{"text":"yes"}],"content":null,"a":"b"}"#]), 3);
        assert_eq!(bytes(&[r#"{"arguments":"{\"a\":1}"}"#]), 5);
    }

    #[test]
    fn it_may_be_cut_anywhere_and_be_anything() {
        let text = r#"{"choices":[{"message":{"content":"a \"quoted\" \u00e9 word","refusal":null}}]}"#;
        let whole = bytes(&[text]);
        for at in 0..=text.len() {
            let (head, tail) = text.split_at(at);
            assert_eq!(bytes(&[head, tail]), whole, "{at}");
        }
        let mut numbers = Numbers(5);
        let parts = ["{", "}", "\"", "\\", ":", "content", "1", " "];
        for _ in 0..2000 {
            bytes(&[&numbers.text(&parts, 40)]);
        }
    }

    #[test]
    fn a_token_is_about_four_bytes() {
        let mut written = Written::default();
        assert_eq!(written.tokens(), 0);
        written.push(br#"{"content":"Hello"}"#);
        assert_eq!(written.tokens(), 2);
    }
}
