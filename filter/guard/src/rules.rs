//! What is looked for, made ready once for all texts.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use regex_automata::hybrid::dfa::{self, Cache, DFA};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Input, MatchKind, PatternSet};
use regex_syntax::hir::Hir;

use crate::builtin::Builtin;
use crate::masker::{Masker, Piece};
use crate::pattern::{self, Reading};
use crate::program::{self, Program};
use crate::view;

/// What the lazy DFA may remember, in bytes. Where it would need more it forgets and goes on, still in linear time.
const CACHE_BYTES: usize = 1 << 20;

/// What is to be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it is called in logs and metrics.
    pub name: String,
    /// How it is recognised.
    pub what: What,
}

/// How something is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// By a regular expression.
    Pattern {
        /// Its text.
        pattern: String,
        /// The longest match that is looked for in a text that comes in pieces, in bytes. A pattern whose matches have a
        /// longest length needs none.
        longest: Option<usize>,
    },
    /// By a recogniser.
    Builtin(Builtin),
}

/// Whose texts are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Prompts: whole, and written by people who may want to get past.
    Prompts,
    /// Answers: whole or in pieces.
    Answers,
}

/// Rules that have been made ready.
pub struct Rules {
    rules: Vec<Rule>,
    purpose: Purpose,
    programs: Vec<Program>,
    /// All programs at once, to know which of them have anything to find. `None` where there are none.
    all: Option<DFA>,
    memory: RefCell<Option<Memory>>,
    /// Which programs a byte can begin a match of: a bit for each, modulo the number of bits.
    begin: Box<[u64; 256]>,
}

struct Memory {
    cache: Cache,
    found: PatternSet,
}

/// Something that has been found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The index of the rule.
    pub rule: usize,
    /// Where, in bytes.
    pub range: Range<usize>,
}

impl Rules {
    /// Makes rules ready.
    ///
    /// # Errors
    /// What is wrong, by the index of the rule. Never empty.
    pub fn compile(rules: Vec<Rule>, purpose: Purpose) -> Result<Rules, Vec<(usize, String)>> {
        let (mut programs, mut problems) = (Vec::new(), Vec::new());
        for (i, rule) in rules.iter().enumerate() {
            match compile(i, rule, purpose) {
                Ok(more) => programs.extend(more),
                Err(what) => problems.push((i, what)),
            }
        }
        let all = match together(&programs) {
            Ok(all) => all,
            Err(what) => {
                problems.push((0, what));
                None
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut begin = Box::new([0; 256]);
        for (i, program) in programs.iter().enumerate() {
            for (bits, begins) in begin.iter_mut().zip(program.first.iter()) {
                *bits |= u64::from(*begins) << (i % 64);
            }
        }
        Ok(Rules { rules, purpose, programs, all, memory: RefCell::new(None), begin })
    }

    /// What is looked for.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The longest match of all in a text that comes in pieces, in bytes: no more than that is ever held back.
    pub fn longest(&self) -> usize {
        self.programs.iter().map(|program| program.longest).max().unwrap_or(0)
    }

    /// Everything in a whole text, but of no pattern more than `most` finds: what overlaps is one find, and bears the name
    /// of what begins first. In the order of the text.
    pub fn find(&self, text: &str, most: usize) -> Vec<Found> {
        match self.purpose {
            Purpose::Prompts => self.find_in_prompt(text, most),
            Purpose::Answers => self.find_in_answer(text, most),
        }
    }

    fn find_in_prompt(&self, text: &str, most: usize) -> Vec<Found> {
        let mut found = Vec::new();
        self.find_plainly(text, most, |rule, range| found.push(Found { rule, range }));
        if !text.is_ascii() {
            for view in view::of(text) {
                let mut seen = Vec::new();
                self.find_plainly(&view.text, most, |rule, range| seen.push(Found { rule, range }));
                seen.sort_by_key(|it| it.range.start);
                found.extend(view.back(text, seen));
            }
        }
        united(found)
    }

    fn find_plainly(&self, text: &str, most: usize, mut found: impl FnMut(usize, Range<usize>)) {
        for program in self.which(text).into_iter().filter_map(|i| self.programs.get(i)) {
            program.find_all(text, most, |range| found(program.rule, range));
        }
    }

    /// As in pieces: where matches may be longer than those that are looked for, only the search through pieces knows which
    /// of them count.
    fn find_in_answer(&self, text: &str, most: usize) -> Vec<Found> {
        let which = self.which(text);
        let (shortened, plain): (Vec<usize>, Vec<usize>) =
            which.into_iter().partition(|i| self.programs.get(*i).is_some_and(|it| it.scouts));
        let mut found = Vec::new();
        for program in plain.into_iter().filter_map(|i| self.programs.get(i)) {
            program.find_all(text, most, |range| found.push(Found { rule: program.rule, range }));
        }
        if !shortened.is_empty() {
            let mut masker = Masker::of(self, &shortened);
            let mut at = 0;
            let mut note = |piece: Piece<'_>| {
                let range = at..at + piece.text().len();
                at = range.end;
                match piece {
                    Piece::Masked { rule, begins: true, .. } => found.push(Found { rule, range }),
                    Piece::Masked { .. } => {
                        if let Some(last) = found.last_mut() {
                            last.range.end = range.end;
                        }
                    }
                    Piece::Kept(_) => {}
                }
            };
            masker.push(self, text, &mut note);
            masker.finish(self, &mut note);
        }
        united(found)
    }

    /// The programs that have anything to find in a text, checks aside.
    fn which(&self, text: &str) -> Vec<usize> {
        let everything = || (0..self.programs.len()).collect();
        let Some(all) = &self.all else { return Vec::new() };
        let Ok(mut memory) = self.memory.try_borrow_mut() else { return everything() };
        let memory = memory.get_or_insert_with(|| Memory {
            cache: all.create_cache(),
            found: PatternSet::new(self.programs.len()),
        });
        memory.found.clear();
        match all.try_which_overlapping_matches(&mut memory.cache, &Input::new(text), &mut memory.found) {
            Ok(()) => memory.found.iter().map(|id| id.as_usize()).collect(),
            // It never gives up as it is configured; if it did, nothing would be left out.
            Err(_) => everything(),
        }
    }

    pub(crate) fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// Which programs the bytes of a text can begin a match of.
    pub(crate) fn begun_by(&self, text: &str) -> u64 {
        text.bytes()
            .fold(0, |bits, byte| bits | self.begin.get(usize::from(byte)).copied().unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("rules", &self.rules).finish_non_exhaustive()
    }
}

fn compile(index: usize, rule: &Rule, purpose: Purpose) -> Result<Vec<Program>, String> {
    match &rule.what {
        What::Pattern { pattern, longest } => {
            let reading = match purpose {
                Purpose::Prompts => Reading::AnyBlank,
                Purpose::Answers => Reading::Plain,
            };
            let hir = pattern::read(pattern, reading)?;
            let longest = match (hir.properties().maximum_len(), longest, purpose) {
                (Some(most), Some(longest), _) => most.min(*longest),
                (Some(most), None, _) => most,
                (None, Some(longest), _) => *longest,
                (None, None, Purpose::Prompts) => usize::MAX,
                (None, None, Purpose::Answers) => {
                    return Err(
                        "its matches have no longest length, so a stream could be held back for ever".into(),
                    );
                }
            };
            Ok(vec![Program::new(index, hir, longest, None)?])
        }
        What::Builtin(builtin) => {
            let program = |candidate: &crate::builtin::Candidate| {
                let hir = pattern::read(candidate.pattern, Reading::Own)?;
                let longest = hir.properties().maximum_len().ok_or("a recogniser has no longest match")?;
                Program::new(index, hir, longest, Some(candidate.check))
            };
            builtin.candidates().iter().map(program).collect()
        }
    }
}

fn together(programs: &[Program]) -> Result<Option<DFA>, String> {
    if programs.is_empty() {
        return Ok(None);
    }
    let hirs: Vec<&Hir> = programs.iter().map(Program::hir).collect();
    let config = dfa::Config::new()
        .match_kind(MatchKind::All)
        .cache_capacity(CACHE_BYTES)
        .skip_cache_capacity_check(true);
    let dfa = dfa::Builder::new().configure(config).build_from_nfa(program::compile(
        &hirs,
        false,
        WhichCaptures::None,
    )?);
    dfa.map(Some).map_err(|error| error.to_string())
}

/// Unites what overlaps.
fn united(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by_key(|it| (it.range.start, it.rule));
    let mut out: Vec<Found> = Vec::new();
    for it in found {
        match out.last_mut() {
            Some(last) if it.range.start < last.range.end => {
                last.range.end = last.range.end.max(it.range.end)
            }
            _ => out.push(it),
        }
    }
    out
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
