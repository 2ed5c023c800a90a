//! Other spellings of a prompt: what a model reads is not always what stands there.
//!
//! People who want to get past a pattern write `c\u{200b}ard`, `ｃａｒｄ` or `\u{441}ard`; models read all of these. A view is the text
//! with such spellings undone, and remembers where everything came from by being made again.

use std::ops::Range;

use unicode_normalization::char::{compose, decompose_compatible, is_combining_mark};

use crate::rules::Found;

/// A text in another spelling.
#[derive(Debug, PartialEq, Eq)]
pub struct View {
    kind: Kind,
    /// The text.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Letters and their marks in one character where there is one (as NFC has them), so that a pattern with accents
    /// meets both spellings.
    Composed,
    /// Only what can be seen, in its plainest form: compatibility forms undone (NFKD), without marks, with the digits of
    /// ASCII, nothing invisible, any white space as one blank.
    Bare,
    /// The same, with the letters of Greek and Cyrillic that look like Latin ones as Latin ones.
    Latin,
    /// What only machines can see: ASCII in the tags of plane 14.
    Hidden,
}

/// The other spellings of a text that differ from it and from one another.
pub fn of(text: &str) -> Vec<View> {
    let mut views: Vec<View> = Vec::new();
    for kind in [Kind::Composed, Kind::Bare, Kind::Latin, Kind::Hidden] {
        let mut out = String::new();
        spell(kind, text, |_, piece| out.push_str(piece));
        if out != text && !out.is_empty() && views.iter().all(|it| it.text != out) {
            views.push(View { kind, text: out });
        }
    }
    views
}

impl View {
    /// Where in the original something is that was found in the view. `found` is in the order of the text.
    pub fn back(&self, original: &str, found: Vec<Found>) -> Vec<Found> {
        let mut back: Vec<Found> = found.iter().map(|it| Found { rule: it.rule, range: 0..0 }).collect();
        let (mut at, mut first) = (0, 0);
        spell(self.kind, original, |from, piece| {
            let here = at..at + piece.len();
            at = here.end;
            // Finds that end before here are done with; those of different rules may overlap.
            while found.get(first).is_some_and(|it| it.range.end <= here.start) {
                first += 1;
            }
            let open = found.iter().zip(&mut back).skip(first);
            for (it, back) in open.take_while(|(it, _)| it.range.start < here.end) {
                if it.range.end > here.start {
                    let start = if back.range.is_empty() { from.start } else { back.range.start };
                    back.range = start..from.end;
                }
            }
        });
        back.retain(|it| !it.range.is_empty());
        back
    }
}

/// Spells a text, giving each piece with the place where it comes from.
fn spell(kind: Kind, text: &str, give: impl FnMut(Range<usize>, &str)) {
    match kind {
        Kind::Composed => compose_all(text, give),
        Kind::Bare => strip(text, |letter| letter, give),
        Kind::Latin => strip(text, latin, give),
        Kind::Hidden => reveal(text, give),
    }
}

fn compose_all(text: &str, mut give: impl FnMut(Range<usize>, &str)) {
    let mut chars = text.char_indices().peekable();
    while let Some((start, mut letter)) = chars.next() {
        let mut end = start + letter.len_utf8();
        while let Some((at, mark)) = chars.peek().copied() {
            let composed = if mark.is_ascii() { None } else { compose(letter, mark) };
            let Some(composed) = composed else { break };
            letter = composed;
            end = at + mark.len_utf8();
            chars.next();
        }
        give(start..end, letter.encode_utf8(&mut [0; 4]));
    }
}

fn strip(text: &str, like: impl Fn(char) -> char, mut give: impl FnMut(Range<usize>, &str)) {
    let mut blank = false;
    for (start, letter) in text.char_indices() {
        let from = start..start + letter.len_utf8();
        if letter.is_whitespace() {
            if !blank {
                give(from, " ");
            }
            blank = true;
            continue;
        }
        if is_invisible(letter) || (!letter.is_ascii() && is_combining_mark(letter)) {
            continue;
        }
        blank = false;
        if stays(letter) {
            give(from, letter.encode_utf8(&mut [0; 4]));
            continue;
        }
        let mut piece = String::new();
        decompose_compatible(letter, |part| {
            if !is_combining_mark(part) && !is_invisible(part) {
                piece.push(digit(part).unwrap_or_else(|| like(part)));
            }
        });
        if !piece.is_empty() {
            give(from, &piece);
        }
    }
}

fn reveal(text: &str, mut give: impl FnMut(Range<usize>, &str)) {
    for (start, letter) in text.char_indices() {
        let hidden = u32::from(letter).checked_sub(0xe_0000).filter(|it| (0x20..0x7f).contains(it));
        if let Some(letter) = hidden.and_then(char::from_u32) {
            give(start..start + 4, letter.encode_utf8(&mut [0; 4]));
        }
    }
}

/// Characters that are as plain as they get: not worth a look into the tables.
fn stays(letter: char) -> bool {
    matches!(letter, '\0'..='\u{7f}' | '\u{3041}'..='\u{3096}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

/// Whether a character has no form of its own (Unicode's `Default_Ignorable_Code_Point`, and what is displayed as
/// nothing).
fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\0'..='\u{8}' | '\u{e}'..='\u{1b}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Where the decimal digits of scripts begin that no decomposition leads to ASCII (Unicode 17, general category Nd).
const ZEROS: [u32; 66] = [
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0de6,
    0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0,
    0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0, 0x10d30, 0x10d40,
    0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x116d0, 0x116da,
    0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50, 0x11da0, 0x11de0, 0x11f50, 0x16130, 0x16a60,
    0x16ac0, 0x16b50, 0x16d70, 0x1e140, 0x1e2f0, 0x1e4f0,
];

fn digit(letter: char) -> Option<char> {
    let code = u32::from(letter);
    let at = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    let value = code - ZEROS.get(at)?;
    char::from_digit(value, 10)
}

/// The Latin letter that one of Greek or Cyrillic cannot be told from.
fn latin(letter: char) -> char {
    const PAIRS: [(&str, &str); 2] = [
        (
            "\u{430}\u{435}\u{43e}\u{440}\u{441}\u{443}\u{445}\u{455}\u{456}\u{458}\u{4bb}\u{501}\u{51b}\u{51d}\u{475}\u{4cf}\u{410}\u{412}\u{415}\u{41a}\u{41c}\u{41d}\u{41e}\u{420}\u{421}\u{422}\u{423}\u{425}\u{405}\u{406}\u{408}",
            "aeopcyxsijhdqwvlABEKMHOPCTYXSIJ",
        ),
        (
            "\u{3b1}\u{3b9}\u{3ba}\u{3bd}\u{3bf}\u{3c1}\u{3c5}\u{3f2}\u{391}\u{392}\u{395}\u{396}\u{397}\u{399}\u{39a}\u{39c}\u{39d}\u{39f}\u{3a1}\u{3a4}\u{3a5}\u{3a7}",
            "aikvopucABEZHIKMNOPTYX",
        ),
    ];
    if letter.is_ascii() || u32::from(letter) > 0x52f {
        return letter;
    }
    let pairs = PAIRS.iter().flat_map(|(from, to)| from.chars().zip(to.chars()));
    pairs.into_iter().find(|(from, _)| *from == letter).map_or(letter, |(_, to)| to)
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
