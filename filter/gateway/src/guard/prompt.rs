//! Stage `guard`, as far as patterns go: what is found in a prompt, and what becomes of it.

use std::ops::Range;

use guard::Found;
use policy::guard::{Action, Mode, Patterns, Refusal, RequestGuard};

use super::finds::Finds;
use super::reading::{self, Spot};
use crate::document::Document;
use crate::edits::Edits;
use crate::json::{Token, Walk, decoded, is_structure, located};
use crate::reply::{Reason, Reply};

/// As many places of a prompt as are masked. What has more is refused: the memory of a VM is never given back.
const MAX_PLACES: usize = 10_000;

/// Looks for patterns in everything that a model reads of a prompt, and says what has to be masked.
///
/// # Errors
/// The policy's refusal where something is found that is not to pass; 400 where something cannot be looked at.
pub fn inspect(
    guard: &RequestGuard,
    patterns: &Patterns,
    document: &Document,
    finds: &mut Finds,
) -> Result<Edits, Reply> {
    let mut look = Look {
        patterns,
        refusal: &guard.refusal,
        enforced: guard.mode == Mode::Enforce,
        finds,
        edits: Edits::default(),
        places: 0,
    };
    reading::spots(guard, document, |json, place, spot| look.at(json, place.start, spot))?;
    Ok(look.edits)
}

struct Look<'p> {
    patterns: &'p Patterns,
    refusal: &'p Refusal,
    enforced: bool,
    finds: &'p mut Finds,
    edits: Edits,
    places: usize,
}

/// Something found in a decoded text.
struct Mark {
    found: Found,
    /// Whether it is a number, in whose place only a string can stand.
    number: bool,
}

impl Look<'_> {
    /// Looks at a spot of a field that begins at this place of the body.
    fn at(&mut self, json: &str, start: usize, spot: Spot) -> Result<(), Reply> {
        let raw = |range: &Range<usize>| json.get(range.clone()).unwrap_or_default();
        match spot {
            Spot::Text(range) => {
                let text = decoded(raw(&range));
                let mut marks = self.plain(&text);
                // The same in the escapes of JSON within the text.
                if text.contains('\\') && is_structure(&text) {
                    marks.extend(self.nested(&text, false));
                    marks = united(marks);
                }
                self.mask(raw(&range), start + range.start, &text, &marks)
            }
            Spot::Arguments(range) => {
                let text = decoded(raw(&range));
                let marks = if is_structure(&text) { self.nested(&text, true) } else { self.plain(&text) };
                self.mask(raw(&range), start + range.start, &text, &marks)
            }
            Spot::Parts(parts) => self.parts(json, start, &parts),
            Spot::Name(range) => match self.find(&decoded(raw(&range))).first() {
                // A name cannot be masked: whoever uses it would no longer find it.
                Some(found) => self.note(found.rule, true),
                None => Ok(()),
            },
        }
    }

    /// One more than are masked is enough to know that there are too many, and one is enough to refuse.
    fn find(&self, text: &str) -> Vec<Found> {
        let rejects = self.enforced && self.patterns.action == Action::Reject;
        self.patterns.rules.find(text, if rejects { 1 } else { MAX_PLACES + 1 })
    }

    fn plain(&self, text: &str) -> Vec<Mark> {
        let found = self.find(text).into_iter();
        found.map(|found| Mark { found, number: false }).collect()
    }

    /// What is found within the strings of a JSON text, and its numbers where these count.
    fn nested(&self, text: &str, numbers: bool) -> Vec<Mark> {
        let mut marks = Vec::new();
        let mut walk = Walk::new(text);
        while let Ok(Some(token)) = walk.next() {
            match token {
                Token::Text(range) | Token::Name(range) => {
                    let raw = text.get(range.clone()).unwrap_or_default();
                    let found = self.find(&decoded(raw));
                    let places: Vec<Range<usize>> = found.iter().map(|it| it.range.clone()).collect();
                    for (it, place) in found.iter().zip(located(raw, &places)) {
                        let place = range.start + place.start..range.start + place.end;
                        marks.push(Mark { found: Found { rule: it.rule, range: place }, number: false });
                    }
                }
                Token::Number(range) if numbers => {
                    let raw = text.get(range.clone()).unwrap_or_default();
                    if let Some(it) = self.find(raw).first() {
                        marks.push(Mark { found: Found { rule: it.rule, range }, number: true });
                    }
                }
                Token::Object(_) | Token::Array(_) | Token::End(_) | Token::Number(_) | Token::Word(_) => {}
            }
        }
        marks
    }

    /// Parts are looked at one by one, and as the one text that a model may make of them.
    fn parts(&mut self, json: &str, start: usize, parts: &[Range<usize>]) -> Result<(), Reply> {
        let raw = |range: &Range<usize>| json.get(range.clone()).unwrap_or_default();
        let mut whole = String::new();
        let mut marks = Vec::new();
        let mut borders = Vec::with_capacity(parts.len());
        for part in parts {
            let text = decoded(raw(part));
            let from = whole.len();
            marks.extend(self.plain(&text).into_iter().map(|it| it.moved(from)));
            whole.push_str(&text);
            borders.push(from..whole.len());
        }
        if parts.len() > 1 {
            marks.extend(self.plain(&whole));
        }
        let marks = united(marks);
        for mark in &marks {
            self.note(mark.found.rule, false)?;
        }
        for (part, border) in parts.iter().zip(&borders) {
            let first = marks.partition_point(|it| it.found.range.end <= border.start);
            let rest = marks.get(first..).unwrap_or_default();
            let own: Vec<&Mark> = rest.iter().take_while(|it| it.found.range.start < border.end).collect();
            let cut = |it: &&Mark| it.found.range.start.max(border.start)..it.found.range.end.min(border.end);
            let within = |it: Range<usize>| it.start - border.start..it.end - border.start;
            let places: Vec<Range<usize>> = own.iter().map(|it| within(cut(it))).collect();
            for (mark, place) in own.iter().zip(located(raw(part), &places)) {
                let text = whole.get(cut(mark)).unwrap_or_default();
                let begins = mark.found.range.start >= border.start;
                let at = start + part.start;
                self.replace(mark, text, begins, at + place.start..at + place.end)?;
            }
        }
        Ok(())
    }

    /// Masks what was found in a text that stands at this place of the body.
    fn mask(&mut self, raw: &str, start: usize, text: &str, marks: &[Mark]) -> Result<(), Reply> {
        if marks.is_empty() {
            return Ok(());
        }
        for mark in marks {
            self.note(mark.found.rule, false)?;
        }
        let places: Vec<Range<usize>> = marks.iter().map(|it| it.found.range.clone()).collect();
        for (mark, place) in marks.iter().zip(located(raw, &places)) {
            let found = text.get(mark.found.range.clone()).unwrap_or_default();
            self.replace(mark, found, true, start + place.start..start + place.end)?;
        }
        Ok(())
    }

    fn replace(&mut self, mark: &Mark, text: &str, begins: bool, place: Range<usize>) -> Result<(), Reply> {
        if !self.enforced {
            return Ok(());
        }
        self.places += 1;
        if self.places > MAX_PLACES {
            let message =
                format!("the prompt has more than {MAX_PLACES} places that would have to be masked");
            return Err(Reply::new(413, Reason::BodyTooLarge, message));
        }
        let mut mask = String::new();
        self.patterns.mask(mark.found.rule, text, begins, &mut mask);
        self.edits.replace(place, if mark.number { format!("\\\"{mask}\\\"") } else { mask });
        Ok(())
    }

    /// Notes what was found, and refuses what is not to pass.
    fn note(&mut self, rule: usize, unmaskable: bool) -> Result<(), Reply> {
        self.finds.note(rule);
        if self.enforced && (unmaskable || self.patterns.action == Action::Reject) {
            return Err(refuse(self.refusal, &format!("pattern {}", self.patterns.name(rule))));
        }
        Ok(())
    }
}

/// What a client is told whose prompt is refused; why, only the log learns.
pub fn refuse(refusal: &Refusal, why: &str) -> Reply {
    Reply::new(refusal.status, Reason::PromptRejected, refusal.message.clone())
        .formatted(refusal.format)
        .because(why)
}

impl Mark {
    fn moved(mut self, by: usize) -> Mark {
        self.found.range = self.found.range.start + by..self.found.range.end + by;
        self
    }
}

/// Unites what overlaps.
fn united(mut marks: Vec<Mark>) -> Vec<Mark> {
    marks.sort_by_key(|it| (it.found.range.start, it.found.rule));
    let mut out: Vec<Mark> = Vec::new();
    for it in marks {
        match out.last_mut() {
            Some(last) if it.found.range.start < last.found.range.end => {
                last.found.range.end = last.found.range.end.max(it.found.range.end);
            }
            _ => out.push(it),
        }
    }
    out
}

#[cfg(test)]
#[path = "prompt_tests.rs"]
mod tests;
