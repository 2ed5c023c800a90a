//! JSON within a text that comes in pieces, as models say what a tool is to do: masked so that it stays JSON.
//!
//! Only what stands in its strings is looked at, each on its own and without its escapes, and numbers as a whole.
//! Everything else passes as it comes. What does not begin like JSON is a text like any other.

use std::collections::VecDeque;

use guard::{Masker, Piece, Rules};

use crate::json::escape;

/// Longer than any number that means something; of a longer one only so much is looked at.
const MAX_NUMBER: usize = 1024;

/// As many bytes as an escape can take: a surrogate pair.
const LONGEST_ESCAPE: usize = 12;

/// A text of JSON of which some has come.
#[derive(Debug)]
pub struct Arguments {
    state: State,
    /// Looks at the string that has begun, or at everything where it is no JSON.
    masker: Masker,
    /// How what the masker holds is spelt, in order: bytes of the text, and its spelling.
    spelt: VecDeque<(usize, String)>,
}

#[derive(Debug)]
enum State {
    /// Nothing has come but white space.
    Begin,
    /// Between strings.
    Between,
    /// In a string; what has come of an escape.
    String(String),
    /// In a number; what has come of it.
    Number(String),
    /// In the rest of a number that is too long to mean anything; whether it is left out, because what came of it is masked.
    Digits(bool),
    /// It is no JSON.
    Text,
}

/// What becomes of a piece: where it goes, and what stands in the place of a find.
pub struct Out<'o> {
    /// What passes.
    pub text: &'o mut String,
    /// Writes what stands in the place of what a rule has found; `true` where that begins.
    pub mask: &'o mut dyn FnMut(usize, &str, bool, &mut String),
}

impl Arguments {
    /// A text of which nothing has come.
    pub fn new(rules: &Rules) -> Arguments {
        Arguments { state: State::Begin, masker: Masker::new(rules), spelt: VecDeque::new() }
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.masker.held()
            + match &self.state {
                State::String(text) | State::Number(text) => text.len(),
                State::Begin | State::Between | State::Digits(_) | State::Text => 0,
            }
    }

    /// Takes the next piece.
    pub fn push(&mut self, rules: &Rules, mut piece: &str, out: &mut Out<'_>) {
        while !piece.is_empty() {
            piece = match &mut self.state {
                State::Begin => self.begin(piece, out),
                State::Between => self.between(rules, piece, out),
                State::String(_) => self.string(rules, piece, out),
                State::Number(_) => self.number(rules, piece, out),
                State::Digits(masked) => {
                    let end = piece.find(|c| !is_of_number(c)).unwrap_or(piece.len());
                    let (more, rest) = piece.split_at_checked(end).unwrap_or((piece, ""));
                    if !*masked {
                        out.text.push_str(more);
                    }
                    if !rest.is_empty() {
                        self.state = State::Between;
                    }
                    rest
                }
                State::Text => {
                    self.look(rules, piece, None, out);
                    ""
                }
            };
        }
    }

    /// The text is at its end.
    pub fn finish(&mut self, rules: &Rules, out: &mut Out<'_>) {
        match std::mem::replace(&mut self.state, State::Begin) {
            State::Number(number) => drop(put_number(rules, &number, out)),
            State::String(escape) if !escape.is_empty() => self.look(rules, &escape, None, out),
            State::Begin | State::Between | State::String(_) | State::Digits(_) | State::Text => {}
        }
        self.flush(rules, out);
    }

    fn begin<'p>(&mut self, piece: &'p str, out: &mut Out<'_>) -> &'p str {
        let rest = piece.trim_start();
        out.text.push_str(piece.get(..piece.len() - rest.len()).unwrap_or_default());
        if !rest.is_empty() {
            self.state = if rest.starts_with(['{', '[']) { State::Between } else { State::Text };
        }
        rest
    }

    fn between<'p>(&mut self, rules: &Rules, piece: &'p str, out: &mut Out<'_>) -> &'p str {
        let structure = |c: char| c.is_ascii_whitespace() || c.is_ascii_lowercase() || "{}[]:,".contains(c);
        let end = piece.find(|c| !structure(c)).unwrap_or(piece.len());
        let (passed, rest) = piece.split_at_checked(end).unwrap_or((piece, ""));
        out.text.push_str(passed);
        match rest.chars().next() {
            None => {}
            Some('"') => {
                out.text.push('"');
                self.state = State::String(String::new());
                return rest.get(1..).unwrap_or_default();
            }
            Some('-' | '0'..='9') => self.state = State::Number(String::new()),
            // No JSON after all.
            Some(_) => {
                self.flush(rules, out);
                self.state = State::Text;
            }
        }
        rest
    }

    fn string<'p>(&mut self, rules: &Rules, piece: &'p str, out: &mut Out<'_>) -> &'p str {
        let State::String(begun) = &mut self.state else { return piece };
        if !begun.is_empty() {
            let escape_begun = std::mem::take(begun);
            return self.escaped(rules, escape_begun, piece, out);
        }
        let end = piece.find(['"', '\\']).unwrap_or(piece.len());
        let (plain, rest) = piece.split_at_checked(end).unwrap_or((piece, ""));
        if !plain.is_empty() {
            self.look(rules, plain, None, out);
        }
        match rest.as_bytes().first() {
            Some(b'"') => {
                self.flush(rules, out);
                out.text.push('"');
                self.state = State::Between;
                rest.get(1..).unwrap_or_default()
            }
            Some(_) => {
                self.state = State::String("\\".into());
                rest.get(1..).unwrap_or_default()
            }
            None => "",
        }
    }

    /// Goes on with an escape.
    fn escaped<'p>(
        &mut self,
        rules: &Rules,
        mut begun: String,
        piece: &'p str,
        out: &mut Out<'_>,
    ) -> &'p str {
        let Some(next) = piece.chars().next() else { return piece };
        let rest = piece.get(next.len_utf8()..).unwrap_or_default();
        begun.push(next);
        if is_whole(&begun) {
            let (letter, length) = escape(&begun);
            // Half of a surrogate pair, and the beginning of something else.
            let (own, after) = begun.split_at_checked(length).unwrap_or((&begun, ""));
            self.state = State::String(String::new());
            self.look(rules, letter.encode_utf8(&mut [0; 4]), Some(own), out);
            let after = after.to_owned();
            if !after.is_empty() {
                self.push(rules, &after, out);
            }
        } else {
            self.state = State::String(begun);
        }
        rest
    }

    fn number<'p>(&mut self, rules: &Rules, piece: &'p str, out: &mut Out<'_>) -> &'p str {
        let State::Number(number) = &mut self.state else { return piece };
        // As much as is looked at, however it comes.
        let room = MAX_NUMBER.saturating_sub(number.len()).min(piece.len());
        let end = piece.find(|c| !is_of_number(c)).unwrap_or(piece.len()).min(room);
        let (more, rest) = piece.split_at_checked(end).unwrap_or((piece, ""));
        number.push_str(more);
        let whole = rest.chars().next().is_some_and(|c| !is_of_number(c));
        if whole || number.len() == MAX_NUMBER {
            let number = std::mem::take(number);
            let masked = put_number(rules, &number, out);
            self.state = if whole { State::Between } else { State::Digits(masked) };
        }
        rest
    }

    /// Lets the masker look at a text that is spelt in some way; as it is, if nothing is said.
    fn look(&mut self, rules: &Rules, text: &str, spelling: Option<&str>, out: &mut Out<'_>) {
        self.spelt.push_back((text.len(), spelling.unwrap_or(text).to_owned()));
        let Arguments { masker, spelt, .. } = self;
        masker.push(rules, text, &mut |piece| put(piece, spelt, out));
    }

    fn flush(&mut self, rules: &Rules, out: &mut Out<'_>) {
        let Arguments { masker, spelt, .. } = self;
        masker.finish(rules, &mut |piece| put(piece, spelt, out));
        spelt.clear();
    }
}

/// Puts out a piece in its own spelling, or what stands in its place.
fn put(piece: Piece<'_>, spelt: &mut VecDeque<(usize, String)>, out: &mut Out<'_>) {
    let mut left = piece.text().len();
    let mut spelling = String::new();
    while left > 0 {
        let Some((bytes, spelt_so)) = spelt.front_mut() else { break };
        if *bytes <= left {
            left -= *bytes;
            spelling.push_str(spelt_so);
            spelt.pop_front();
        } else {
            // Only a text that is spelt as it is has more than one character.
            *bytes -= left;
            spelling.extend(spelt_so.drain(..left.min(spelt_so.len())));
            left = 0;
        }
    }
    match piece {
        Piece::Kept(_) => out.text.push_str(&spelling),
        Piece::Masked { rule, text, begins } => (out.mask)(rule, text, begins, out.text),
    }
}

fn is_of_number(c: char) -> bool {
    c.is_ascii_digit() || "+-.eE".contains(c)
}

/// A number in which something is found has a string in its place. Says whether it has.
fn put_number(rules: &Rules, number: &str, out: &mut Out<'_>) -> bool {
    match rules.find(number, 1).first() {
        Some(found) => {
            out.text.push('"');
            (out.mask)(found.rule, number, true, out.text);
            out.text.push('"');
            true
        }
        None => {
            out.text.push_str(number);
            false
        }
    }
}

/// Whether an escape is complete, with the other half of a surrogate pair if it is the first.
fn is_whole(begun: &str) -> bool {
    let unit = |at: usize| begun.get(at..at + 4).and_then(|it| u32::from_str_radix(it, 16).ok());
    match begun.as_bytes() {
        [_] => false,
        [_, b'u', rest @ ..] => {
            if rest.len() < 4 {
                return false;
            }
            let high = unit(2).is_some_and(|it| (0xd800..0xdc00).contains(&it));
            let goes_on = match rest.get(4..) {
                Some([] | [b'\\'] | [b'\\', b'u', ..]) => true,
                Some(_) | None => false,
            };
            !(high && goes_on && begun.len() < LONGEST_ESCAPE)
        }
        _ => true,
    }
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
