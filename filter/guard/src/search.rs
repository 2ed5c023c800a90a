//! One program's search through a text that is still coming: which matches there are, and from where on there may yet
//! be one.
//!
//! The automaton is run as a list of threads in the order of their priority (Pike), as leftmost-first matching wants
//! it: a thread of an earlier start comes before one of a later start, and the first to match cuts off all that come
//! after it. What an assertion such as `\b` or `$` says depends on the next byte, so threads are taken through
//! assertions only once that byte is there, or the end is.
//!
//! Where a pattern's matches could be longer than those that are looked for, a scout goes ahead: it keeps the youngest
//! start of each state instead of the oldest, which is enough to know where a match of no more than that length ends.
//! Only then is the best match looked for, from as far back as it can begin. Without it every start that grows too old
//! would have to be followed by the next one over the same text.

use std::ops::Range;

use regex_automata::nfa::thompson::State;
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

use crate::program::Program;

/// The end of a text that has come so far, and what came before it.
#[derive(Debug, Clone, Copy)]
pub struct Window<'t> {
    /// The text from `base` on.
    pub text: &'t str,
    /// How many bytes came before.
    pub base: usize,
    /// The last of these.
    pub before: Option<u8>,
    /// Whether nothing comes after.
    pub end: bool,
}

/// Where a program stands.
#[derive(Debug, Default)]
pub struct Search {
    /// The next byte that it takes.
    at: usize,
    /// In the order of priority. Not yet taken through assertions.
    threads: Vec<Thread>,
    /// The best match so far of the threads that are left, and of those that are gone.
    found: Option<Match>,
    /// Whether the best match is being looked for, in a program that has a scout.
    sure: bool,
    /// Since when the scout has had something under way.
    since: usize,
    /// The longest match.
    longest: usize,
}

/// A way through the automaton that may become a match.
#[derive(Debug, Clone, Copy)]
struct Thread {
    state: StateID,
    start: usize,
    /// Where what is looked for begins: after the context that some patterns take in. None yet while it is in that.
    thing: Option<usize>,
}

#[derive(Debug, Clone)]
struct Match {
    range: Range<usize>,
    thing: usize,
}

/// Memory that a step needs, shared by all searches of a text.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Threads that wait for a byte, in the order of priority.
    ready: Vec<Thread>,
    stack: Vec<(StateID, Option<usize>)>,
    /// The step in which each state was last seen.
    seen: Vec<u32>,
    step: u32,
}

impl Window<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at.checked_sub(self.base)?).copied()
    }

    fn byte_before(&self, at: usize) -> Option<u8> {
        if at == self.base { self.before } else { self.byte(at.checked_sub(1)?) }
    }

    /// Where the text ends that has come.
    pub fn limit(&self) -> usize {
        self.base + self.text.len()
    }
}

impl Search {
    /// A search that begins somewhere.
    pub fn from(at: usize) -> Search {
        Search { at, ..Search::default() }
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.threads.is_empty() && self.found.is_none()
    }

    /// Nothing that is yet to be found begins before this.
    pub fn frontier(&self) -> usize {
        if self.longest > 0 && !self.sure && !self.threads.is_empty() {
            return self.horizon();
        }
        let threads = self.threads.iter().map(|thread| thread.thing.unwrap_or(self.at));
        threads.chain(self.found.as_ref().map(|it| it.thing)).min().unwrap_or(self.at)
    }

    /// From here on the text is still needed.
    pub fn anchor(&self) -> usize {
        if self.longest > 0 && !self.sure && !self.threads.is_empty() {
            return self.horizon();
        }
        let threads = self.threads.iter().map(|thread| thread.start);
        threads.chain(self.found.as_ref().map(|it| it.range.start)).min().unwrap_or(self.at)
    }

    /// The first byte that a match can begin with of which the scout has yet to see the end: that may be right here.
    fn horizon(&self) -> usize {
        self.since.max(self.at.saturating_sub(self.longest))
    }

    /// Passes over text in which no match can begin.
    pub fn skip_to(&mut self, at: usize) {
        if self.is_idle() {
            self.at = at;
        }
    }

    /// Goes on through what has come, up to the next match.
    pub fn next(
        &mut self,
        program: &Program,
        window: &Window<'_>,
        scratch: &mut Scratch,
    ) -> Option<Range<usize>> {
        loop {
            if self.is_idle() && !self.seek(program, window) {
                return None;
            }
            let next = window.byte(self.at);
            if next.is_none() && !window.end {
                return None;
            }
            if program.scouts && !self.sure {
                self.longest = program.longest;
                if self.threads.is_empty() {
                    self.since = self.at;
                }
                if self.scout(program, window, next, scratch) {
                    // A match of that length ends here, so it begins no earlier than this.
                    let earliest = self.since.max(self.at.saturating_sub(program.longest));
                    self.restart(earliest.max(window.base));
                    self.sure = true;
                } else {
                    self.take(program, next, scratch);
                }
                continue;
            }
            self.close(program, window, next, scratch);
            let aged = self.take(program, next, scratch);
            if let Some(start) =
                aged.filter(|start| self.found.as_ref().is_none_or(|it| it.range.start > *start))
            {
                // What has grown too old may have stood for younger ones.
                self.restart(start + char_len(window, start));
            } else if self.threads.is_empty() {
                let Some(found) = self.found.take() else { continue };
                let Match { range, thing } = found;
                let relative = range.start.saturating_sub(window.base)..range.end.saturating_sub(window.base);
                match program.checked(window.text, relative) {
                    Ok(part) => {
                        let part = (window.base + part.start).max(thing)..window.base + part.end;
                        self.restart(part.end);
                        self.sure = false;
                        return Some(part);
                    }
                    Err(next) => self.restart(window.base + next),
                }
            }
        }
    }

    fn restart(&mut self, at: usize) {
        self.threads.clear();
        self.found = None;
        self.at = at;
    }

    /// Goes to the next byte that a match can begin with. False if there is none.
    fn seek(&mut self, program: &Program, window: &Window<'_>) -> bool {
        let rest = window.text.as_bytes().get(self.at.saturating_sub(window.base)..).unwrap_or_default();
        let begins = |byte: &u8| program.first.get(usize::from(*byte)).copied().unwrap_or(true);
        match rest.iter().position(begins) {
            Some(skipped) => self.at += skipped,
            None => self.at = window.limit(),
        }
        self.at < window.limit()
    }

    /// Takes all threads through assertions and alternatives, adds one that begins here, and notes a match.
    fn close(&mut self, program: &Program, window: &Window<'_>, next: Option<u8>, scratch: &mut Scratch) {
        scratch.begin(program);
        let before = window.byte_before(self.at);
        let thing = (!program.marks).then_some(self.at);
        let fresh = Thread { state: program.start(), start: self.at, thing };
        let begins = self.found.is_none() && next.is_some();
        for thread in self.threads.drain(..).chain(begins.then_some(fresh)) {
            if let Some(thing) = scratch.follow(program, thread, self.at, before, next) {
                self.found = Some(Match { range: thread.start..self.at, thing });
                break;
            }
        }
    }

    /// The same with the youngest first, so that it is the youngest start that counts in each state. Says whether a match ends
    /// here.
    fn scout(
        &mut self,
        program: &Program,
        window: &Window<'_>,
        next: Option<u8>,
        scratch: &mut Scratch,
    ) -> bool {
        scratch.begin(program);
        let before = window.byte_before(self.at);
        let fresh = Thread { state: program.start(), start: self.at, thing: Some(self.at) };
        let fresh = next.is_some().then_some(fresh);
        let mut threads = fresh.into_iter().chain(self.threads.iter().copied());
        threads.any(|thread| scratch.follow(program, thread, self.at, before, next).is_some())
    }

    /// Takes a byte. Gives the start of the first thread for which a match would become too long by it.
    fn take(&mut self, program: &Program, next: Option<u8>, scratch: &mut Scratch) -> Option<usize> {
        self.threads.clear();
        let byte = next?;
        let mut aged = None;
        for thread in &scratch.ready {
            let state = match program.state(thread.state) {
                State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
                State::Sparse(it) => it.matches_byte(byte),
                State::Dense(it) => it.matches_byte(byte),
                State::Look { .. }
                | State::Union { .. }
                | State::BinaryUnion { .. }
                | State::Capture { .. }
                | State::Fail
                | State::Match { .. } => None,
            };
            let Some(state) = state else { continue };
            if self.at + 1 - thread.start > program.longest {
                aged = aged.or(Some(thread.start));
            } else {
                self.threads.push(Thread { state, ..*thread });
            }
        }
        self.at += 1;
        aged
    }
}

impl Scratch {
    fn begin(&mut self, program: &Program) {
        self.ready.clear();
        if self.seen.len() < program.states() {
            self.seen.resize(program.states(), 0);
        }
        self.step = self.step.wrapping_add(1);
        if self.step == 0 {
            self.seen.fill(0);
            self.step = 1;
        }
    }

    /// Everything that a thread leads to without taking a byte. Where that is a match, gives where the thing begins that was
    /// found; nothing of lower priority counts then.
    fn follow(
        &mut self,
        program: &Program,
        thread: Thread,
        at: usize,
        before: Option<u8>,
        next: Option<u8>,
    ) -> Option<usize> {
        self.stack.clear();
        self.stack.push((thread.state, thread.thing));
        while let Some((state, thing)) = self.stack.pop() {
            match self.seen.get_mut(state.as_usize()) {
                Some(seen) if *seen != self.step => *seen = self.step,
                _ => continue,
            }
            match program.state(state) {
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => {
                    self.ready.push(Thread { state, start: thread.start, thing });
                }
                State::Look { look, next: then } => {
                    if holds(*look, before, next) {
                        self.stack.push((*then, thing));
                    }
                }
                // The first two slots are the match's own.
                State::Capture { next: then, slot, .. } => {
                    let marks = program.marks && slot.as_usize() >= 2;
                    self.stack.push((*then, if marks { thing.or(Some(at)) } else { thing }));
                }
                State::Union { alternates } => {
                    self.stack.extend(alternates.iter().rev().map(|it| (*it, thing)));
                }
                State::BinaryUnion { alt1, alt2 } => self.stack.extend([(*alt2, thing), (*alt1, thing)]),
                State::Fail => {}
                State::Match { .. } => return Some(thing.unwrap_or(thread.start)),
            }
        }
        None
    }
}

/// Whether an assertion holds between two bytes, or at an end of the text.
fn holds(look: Look, before: Option<u8>, next: Option<u8>) -> bool {
    let word = |byte: Option<u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric() || it == b'_');
    match look {
        Look::Start => before.is_none(),
        Look::End => next.is_none(),
        Look::StartLF => before.is_none_or(|it| it == b'\n'),
        Look::EndLF => next.is_none_or(|it| it == b'\n'),
        Look::WordAscii => word(before) != word(next),
        Look::WordAsciiNegate => word(before) == word(next),
        Look::WordStartAscii => !word(before) && word(next),
        Look::WordEndAscii => word(before) && !word(next),
        Look::WordStartHalfAscii => !word(before),
        Look::WordEndHalfAscii => !word(next),
        // Refused or replaced where patterns are read.
        Look::StartCRLF
        | Look::EndCRLF
        | Look::WordUnicode
        | Look::WordUnicodeNegate
        | Look::WordStartUnicode
        | Look::WordEndUnicode
        | Look::WordStartHalfUnicode
        | Look::WordEndHalfUnicode => false,
    }
}

fn char_len(window: &Window<'_>, at: usize) -> usize {
    let rest = at.checked_sub(window.base).and_then(|at| window.text.get(at..));
    rest.and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
}
