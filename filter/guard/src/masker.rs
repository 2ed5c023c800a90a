//! A text that comes in pieces: what of it may be passed on, and what is to be masked.
//!
//! The frontier is the earliest byte that may yet be part of a match. Everything before it is decided: all matches that
//! begin there are known. Everything after it is held.

use std::ops::Range;

use crate::rules::{Found, Rules};
use crate::search::{Scratch, Search, Window};

/// Looks at one text. Which rules it works for is said anew with each call; they have to be the same.
#[derive(Debug)]
pub struct Masker {
    /// One for each program; none where it has nothing to find.
    searches: Vec<Option<Search>>,
    /// What has come from `base` on, as far as it is still needed.
    text: String,
    base: usize,
    /// The last byte before `base`.
    before: Option<u8>,
    /// Everything before this has been given.
    given: usize,
    /// Matches whose bytes have not all been passed on.
    found: Vec<Found>,
    /// Where the match ends of which the beginning has been passed on already, and its rule.
    open: Option<(usize, usize)>,
    scratch: Scratch,
}

/// A piece of the text, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Passes as it is.
    Kept(&'t str),
    /// Belongs to a match.
    Masked {
        /// The index of the rule.
        rule: usize,
        /// What is masked.
        text: &'t str,
        /// Whether the match begins here; otherwise the piece goes on with the one before.
        begins: bool,
    },
}

impl Piece<'_> {
    /// The piece as it was.
    pub fn text(&self) -> &str {
        match self {
            Piece::Kept(text) | Piece::Masked { text, .. } => text,
        }
    }
}

impl Masker {
    /// A text of which nothing has come.
    pub fn new(rules: &Rules) -> Masker {
        let all: Vec<usize> = (0..rules.programs().len()).collect();
        Masker::of(rules, &all)
    }

    /// The same, when only some of the programs have anything to find.
    pub(crate) fn of(rules: &Rules, which: &[usize]) -> Masker {
        let search = |i| which.contains(&i).then(|| Search::from(0));
        Masker {
            searches: (0..rules.programs().len()).map(search).collect(),
            text: String::new(),
            base: 0,
            before: None,
            given: 0,
            found: Vec::new(),
            open: None,
            scratch: Scratch::default(),
        }
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.limit() - self.given
    }

    fn limit(&self) -> usize {
        self.base + self.text.len()
    }

    /// Takes the next piece of the text and gives what is decided.
    pub fn push(&mut self, rules: &Rules, text: &str, give: &mut impl FnMut(Piece<'_>)) {
        let begun = rules.begun_by(text);
        self.text.push_str(text);
        self.advance(rules, begun, false);
        let frontier = self.searches.iter().flatten().map(Search::frontier).min();
        self.release(frontier.map_or_else(|| self.limit(), |it| self.boundary(it)), give);
        let anchor = self.searches.iter().flatten().map(Search::anchor).min();
        self.forget(anchor.map_or(self.given, |it| self.boundary(it)).min(self.given));
    }

    /// The first place from this one on where a character begins. Matches begin only there.
    fn boundary(&self, at: usize) -> usize {
        (at.max(self.base)..self.limit())
            .find(|at| self.text.is_char_boundary(at - self.base))
            .unwrap_or_else(|| self.limit())
    }

    /// The text is at its end: gives all the rest. From here on a new text begins.
    pub fn finish(&mut self, rules: &Rules, give: &mut impl FnMut(Piece<'_>)) {
        self.advance(rules, 0, true);
        self.release(self.limit(), give);
        self.searches.iter_mut().flatten().for_each(|search| *search = Search::from(0));
        self.text.clear();
        (self.base, self.before, self.given, self.open) = (0, None, 0, None);
    }

    /// Lets every search go on. Those that are idle and have nothing to begin with in what has come are only moved.
    fn advance(&mut self, rules: &Rules, begun: u64, end: bool) {
        let window = Window { text: &self.text, base: self.base, before: self.before, end };
        let programs = rules.programs().iter().enumerate();
        for ((i, program), search) in programs.zip(&mut self.searches) {
            let Some(search) = search else { continue };
            if search.is_idle() && begun >> (i % 64) & 1 == 0 {
                search.skip_to(window.limit());
                continue;
            }
            while let Some(range) = search.next(program, &window, &mut self.scratch) {
                self.found.push(Found { rule: program.rule, range });
            }
        }
    }

    /// Gives everything before the frontier.
    fn release(&mut self, frontier: usize, give: &mut impl FnMut(Piece<'_>)) {
        self.found.sort_by_key(|it| (it.range.start, it.rule));
        let mut found = self.found.iter().take_while(|it| it.range.start < frontier).peekable();
        let mut used = 0;
        let mut at = self.given;
        let base = self.base;
        let text =
            |range: Range<usize>| self.text.get(range.start - base..range.end - base).unwrap_or_default();
        while at < frontier {
            let (mut end, rule, begins) = match self.open.take() {
                Some((end, rule)) => (end, rule, false),
                None => {
                    let next = found.peek().map_or(frontier, |it| it.range.start);
                    if next > at {
                        give(Piece::Kept(text(at..next)));
                        at = next;
                        continue;
                    }
                    let Some(it) = found.next() else { break };
                    used += 1;
                    (it.range.end, it.rule, true)
                }
            };
            while let Some(it) = found.next_if(|it| it.range.start < end) {
                used += 1;
                end = end.max(it.range.end);
            }
            let stop = end.min(frontier);
            if stop > at {
                give(Piece::Masked { rule, text: text(at..stop), begins });
            }
            at = stop;
            self.open = (end > frontier).then_some((end, rule));
        }
        self.found.drain(..used);
        self.given = self.given.max(frontier);
    }

    /// Forgets the text before a place, but for its last byte.
    fn forget(&mut self, until: usize) {
        let gone = until - self.base;
        if let Some(last) = gone.checked_sub(1) {
            self.before = self.text.as_bytes().get(last).copied();
            self.text.drain(..gone);
            self.base = until;
        }
    }
}

#[cfg(test)]
#[path = "masker_tests.rs"]
mod tests;
