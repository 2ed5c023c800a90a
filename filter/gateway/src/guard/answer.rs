//! What is found in an answer that has come whole.

use std::ops::Range;

use guard::Found;
use policy::guard::{Action, Mode, Patterns, Refusal, ResponseGuard};

use super::arguments::{Arguments, Out};
use super::finds::Finds;
use super::reading::{Meaning, is_no_text, meaning};
use crate::edits::Edits;
use crate::json::{Token, Walk, decoded, encoded, located};
use crate::reply::{Reason, Reply};

/// Members of an answer itself that say nothing of what the model said.
const UNSAID: [&str; 6] = ["id", "object", "model", "system_fingerprint", "service_tier", "obfuscation"];

/// How a guard looks at an answer.
#[derive(Clone, Copy)]
pub struct Look<'p> {
    /// What is looked for.
    pub patterns: &'p Patterns,
    /// Whether anything follows from what is found.
    pub enforced: bool,
    /// What a client is told whose answer is refused.
    pub refusal: &'p Refusal,
}

impl<'p> Look<'p> {
    /// How a guard looks, where it looks for patterns.
    pub fn of(guard: &'p ResponseGuard) -> Option<Look<'p>> {
        let enforced = guard.mode == Mode::Enforce;
        Some(Look { patterns: guard.patterns.as_ref()?, enforced, refusal: &guard.refusal })
    }

    /// Looks at a whole body, JSON or not, and says what has to be masked.
    ///
    /// # Errors
    /// The policy's refusal where something is found that is not to pass; 502 where the body cannot be looked at.
    pub fn at_body(self, body: &str, finds: &mut Finds) -> Result<Edits, Reply> {
        let mut edits = Edits::default();
        if serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok() {
            Body { look: self, finds, edits: &mut edits, frames: Vec::new() }.read(body)?;
        } else {
            for found in self.find(body, finds)? {
                let text = body.get(found.range.clone()).unwrap_or_default();
                let mask = self.mask(found.rule, text);
                self.replace(&mut edits, found.range, mask);
            }
        }
        Ok(edits)
    }

    /// What a string of JSON has to be, from what stands between its quotes; `None` where it stays.
    pub fn at_string(self, raw: &str, meaning: Meaning, finds: &mut Finds) -> Result<Option<String>, Reply> {
        let text = decoded(raw);
        if meaning == Meaning::Arguments {
            let masked = self.at_arguments(&text, finds)?;
            return Ok((masked != text && self.enforced).then(|| encoded(&masked)));
        }
        let found = self.find(&text, finds)?;
        if found.is_empty() || !self.enforced {
            return Ok(None);
        }
        let places: Vec<Range<usize>> = found.iter().map(|it| it.range.clone()).collect();
        let (mut out, mut from) = (String::with_capacity(raw.len()), 0);
        for (it, place) in found.iter().zip(located(raw, &places)) {
            out.push_str(raw.get(from..place.start).unwrap_or_default());
            out.push_str(&self.mask(it.rule, text.get(it.range.clone()).unwrap_or_default()));
            from = place.end;
        }
        out.push_str(raw.get(from..).unwrap_or_default());
        Ok(Some(out))
    }

    fn at_arguments(self, text: &str, finds: &mut Finds) -> Result<String, Reply> {
        let mut out = String::with_capacity(text.len());
        let mut arguments = Arguments::new(&self.patterns.rules);
        let mut noted = Ok(());
        let mut mask = |rule: usize, text: &str, begins: bool, out: &mut String| {
            if noted.is_ok() {
                noted = self.note(rule, finds);
            }
            self.patterns.mask(rule, text, begins, out);
        };
        let rules = &self.patterns.rules;
        arguments.push(rules, text, &mut Out { text: &mut out, mask: &mut mask });
        arguments.finish(rules, &mut Out { text: &mut out, mask: &mut mask });
        noted.map(|()| out)
    }

    fn find(self, text: &str, finds: &mut Finds) -> Result<Vec<Found>, Reply> {
        let found = self.patterns.rules.find(text, usize::MAX);
        found.iter().try_for_each(|it| self.note(it.rule, finds))?;
        Ok(found)
    }

    /// What is found is noted, and refused if it is not to pass.
    pub fn note(self, rule: usize, finds: &mut Finds) -> Result<(), Reply> {
        finds.note(rule);
        if !self.enforced || self.patterns.action == Action::Mask {
            return Ok(());
        }
        Err(Reply::new(self.refusal.status, Reason::AnswerRejected, self.refusal.message.clone())
            .formatted(self.refusal.format)
            .because(&format!("pattern {}", self.patterns.name(rule))))
    }

    fn mask(self, rule: usize, text: &str) -> String {
        let mut mask = String::new();
        self.patterns.mask(rule, text, true, &mut mask);
        mask
    }

    fn replace(self, edits: &mut Edits, range: Range<usize>, with: impl Into<Vec<u8>>) {
        if self.enforced {
            edits.replace(range, with);
        }
    }
}

/// Whether a member of an answer itself says nothing of what the model said.
pub fn is_unsaid(name: &str) -> bool {
    UNSAID.contains(&name)
}

/// Goes through a JSON body.
struct Body<'b> {
    look: Look<'b>,
    finds: &'b mut Finds,
    edits: &'b mut Edits,
    frames: Vec<Frame>,
}

/// An object or array that is open.
struct Frame {
    /// Of the member that is being read; in an array, of the array's own member.
    meaning: Meaning,
    /// The value that is being read is that of `logprobs`.
    likely: bool,
    /// Whether it is, or is in, such a value: it says the model's text again, token by token.
    tokens: bool,
    begin: usize,
    /// Such values of its own.
    logprobs: Vec<Range<usize>>,
    /// Whether something in it has been masked.
    masked: bool,
}

impl Body<'_> {
    fn read(&mut self, json: &str) -> Result<(), Reply> {
        let mut walk = Walk::new(json);
        loop {
            let Ok(token) = walk.next() else {
                return Err(super::unreadable_answer("it is nested too deeply"));
            };
            match token {
                None => return Ok(()),
                Some(Token::Object(at)) => self.open(at, Meaning::Any),
                Some(Token::Array(at)) => {
                    let meaning = self.frames.last().map_or(Meaning::Any, |it| it.meaning);
                    self.open(at, meaning);
                }
                Some(Token::End(at)) => self.close(at),
                Some(Token::Name(range)) => {
                    let (name, depth) = (walk.text(&range), walk.depth());
                    if let Some(frame) = self.frames.last_mut() {
                        frame.likely = name == "logprobs";
                        let unsaid = depth == 1 && is_unsaid(&name);
                        frame.meaning = if unsaid { Meaning::Unread } else { meaning(&name) };
                    }
                }
                Some(Token::Text(range)) => self.text(json, range)?,
                Some(Token::Number(_) | Token::Word(_)) => {}
            }
        }
    }

    fn open(&mut self, begin: usize, meaning: Meaning) {
        let tokens = self.frames.last().is_some_and(|it| it.tokens || it.likely);
        self.frames.push(Frame {
            meaning,
            likely: false,
            tokens,
            begin,
            logprobs: Vec::new(),
            masked: false,
        });
    }

    fn close(&mut self, end: usize) {
        let Some(frame) = self.frames.pop() else { return };
        if frame.masked {
            for range in frame.logprobs {
                self.look.replace(self.edits, range, "null");
            }
        }
        if let Some(parent) = self.frames.last_mut() {
            parent.masked |= frame.masked;
            if parent.likely && !parent.tokens {
                parent.logprobs.push(frame.begin..end);
            }
        }
    }

    fn text(&mut self, json: &str, range: Range<usize>) -> Result<(), Reply> {
        let raw = json.get(range.clone()).unwrap_or_default();
        let (meaning, tokens) =
            self.frames.last().map_or((Meaning::Any, false), |it| (it.meaning, it.tokens));
        if raw.is_empty() || tokens || is_no_text(meaning, raw) {
            return Ok(());
        }
        if let Some(masked) = self.look.at_string(raw, meaning, self.finds)? {
            self.edits.replace(range, masked);
            if let Some(frame) = self.frames.last_mut() {
                frame.masked = true;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
