//! Looks for the member `usage` of a JSON object that passes in pieces. Nothing of the object is kept but that.

use memchr::memchr2;

use super::Usage;

/// Longer than any usage, in bytes.
const MOST: usize = 4096;

const NAME: &[u8] = b"usage";

/// How far the object has been read.
#[derive(Debug, Default)]
pub struct Scan {
    /// How many objects and arrays are open.
    depth: usize,
    place: Place,
    escaped: bool,
    /// Whether the next string is the name of a member of the object itself.
    names: bool,
    name: Vec<u8>,
    /// The value that is being read, if it is the one that is looked for.
    value: Option<Vec<u8>>,
    found: Option<Usage>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between values.
    #[default]
    Outside,
    /// In a string that is a value.
    Text,
    /// In the name of a member of the object itself.
    Name,
}

impl Scan {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            // Most of an answer is text, and none of that is of interest.
            let skips = self.place == Place::Text && !self.escaped && self.value.is_none();
            at += if skips { memchr2(b'"', b'\\', rest).unwrap_or(rest.len()) } else { 0 };
            let Some(byte) = bytes.get(at) else { return };
            self.take(*byte);
            at += 1;
        }
    }

    /// What has been found.
    pub fn usage(&self) -> Option<Usage> {
        self.found
    }

    fn take(&mut self, byte: u8) {
        if let Some(value) = &mut self.value {
            value.push(byte);
            if value.len() > MOST {
                self.value = None;
            }
        }
        match self.place {
            Place::Outside => self.outside(byte),
            Place::Text | Place::Name => self.inside(byte),
        }
    }

    fn inside(&mut self, byte: u8) {
        if self.place == Place::Name && self.name.len() <= NAME.len() && (byte != b'"' || self.escaped) {
            self.name.push(byte);
        }
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.place = Place::Outside;
        }
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b'"' if self.depth == 1 && self.names => {
                self.name.clear();
                (self.place, self.names) = (Place::Name, false);
            }
            b'"' => self.place = Place::Text,
            b':' if self.depth == 1 && self.name == NAME && self.found.is_none() => {
                self.name.clear();
                self.value = Some(Vec::new());
            }
            b'{' | b'[' => {
                self.names = self.depth == 0 && byte == b'{';
                self.depth += 1;
            }
            b',' if self.depth == 1 => {
                self.close();
                self.names = true;
            }
            b'}' | b']' => {
                if self.depth == 1 {
                    self.close();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            _ => {}
        }
    }

    /// A member has come to its end, with one byte after it.
    fn close(&mut self) {
        if let Some(value) = self.value.take() {
            let (_, value) = value.split_last().unwrap_or((&0, &[]));
            self.found = Usage::read(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scan;
    use crate::testing::{Numbers, test};

    /// The tokens that were read and written, however the object is cut.
    fn scanned(json: &str) -> Option<(u64, u64)> {
        let found = |pieces: &[&[u8]]| {
            let mut scan = Scan::default();
            pieces.iter().for_each(|it| scan.push(it));
            scan.usage().map(|it| (it.input, it.output))
        };
        let whole = found(&[json.as_bytes()]);
        let bytes: Vec<&[u8]> = json.as_bytes().chunks(1).collect();
        assert_eq!(found(&bytes), whole, "{json}");
        let mut numbers = Numbers(7);
        for _ in 0..20 {
            let at = numbers.below(json.len() + 1);
            let (head, tail) = json.as_bytes().split_at(at);
            assert_eq!(found(&[head, tail]), whole, "{json} cut at {at}");
        }
        whole
    }

    const USAGE: &str = r#"{"prompt_tokens":3,"completion_tokens":4}"#;

    #[test]
    fn the_object_s_own_usage_is_found_wherever_it_stands() {
        assert_eq!(scanned(&format!(r#"{{"usage":{USAGE}}}"#)), Some((3, 4)));
        assert_eq!(scanned(&format!(r#" {{"a":[1,{{"b":2}}],"usage" : {USAGE} , "c":"d"}} "#)), Some((3, 4)));
        assert_eq!(scanned(&format!(r#"{{"id":"\"usage\":","choices":[],"usage":{USAGE}}}"#)), Some((3, 4)));
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for json in [
            format!(r#"{{"a":{{"usage":{USAGE}}}}}"#),
            format!(r#"{{"a":"usage","b":{USAGE}}}"#),
            format!(r#"[{{"usage":{USAGE}}}]"#),
            format!(r#"{{"usage2":{USAGE}}}"#),
            format!(r#"{{"usage":"{}"}}"#, "x".repeat(9000)),
            r#"{"content":"{\"usage\":{\"prompt_tokens\":1}}"}"#.to_owned(),
            r#"{"usage":null}"#.to_owned(),
        ] {
            assert_eq!(scanned(&json), None, "{json}");
        }
    }

    #[test]
    fn no_bytes_are_too_odd() {
        let mut numbers = Numbers(3);
        let parts = ["{", "}", "[", "]", "\"", "\\", ":", ",", "usage", "1", "\u{e9}"];
        for _ in 0..2000 {
            let mut scan = Scan::default();
            scan.push(numbers.text(&parts, 40).as_bytes());
        }
    }
}
