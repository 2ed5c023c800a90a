//! One automaton, ready to run: over a whole text with a lazy DFA, or byte by byte over a text that is still coming.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use regex_automata::hybrid::dfa;
use regex_automata::hybrid::regex::{self, Regex};
use regex_automata::nfa::thompson::{self, NFA, State, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::{Input, MatchKind};
use regex_syntax::hir::Hir;

/// As much memory as one pattern's automaton may take, in bytes. What is larger would also be slow on streams.
const MAX_NFA_BYTES: usize = 256 << 10;

/// What each of a pattern's two lazy DFAs may remember, in bytes.
const CACHE_BYTES: usize = 128 << 10;

/// Tells the real ones of what a pattern has found.
pub type Check = fn(&str) -> Option<Range<usize>>;

/// An automaton and what belongs to it.
pub struct Program {
    /// The rule that it is for.
    pub rule: usize,
    /// The longest match in bytes that is looked for in a text that comes in pieces.
    pub longest: usize,
    /// Whether the pattern has longer matches than that.
    pub scouts: bool,
    /// What is asked of each match.
    pub check: Option<Check>,
    /// Whether a group of the pattern marks where the thing itself begins, behind its context.
    pub marks: bool,
    /// Bytes that a match can begin with.
    pub first: Box<[bool; 256]>,
    hir: Hir,
    nfa: NFA,
    /// For whole texts.
    regex: Regex,
    /// What the search through whole texts has learnt; nothing before the first.
    cache: RefCell<Option<regex::Cache>>,
}

impl Program {
    /// Makes a program.
    ///
    /// # Errors
    /// A sentence where the pattern makes too large an automaton.
    pub fn new(rule: usize, hir: Hir, longest: usize, check: Option<Check>) -> Result<Program, String> {
        let scouts = hir.properties().maximum_len().is_none_or(|most| most > longest);
        // Only recognisers have groups that mean something.
        let marks = check.is_some() && hir.properties().explicit_captures_len() > 0;
        let nfa = compile(&[&hir], false, if marks { WhichCaptures::All } else { WhichCaptures::None })?;
        let first = Box::new(first_bytes(&nfa));
        // Made now: a pattern that could not be looked for must not be found out about by its finding nothing.
        let regex = whole(&hir, nfa.clone())?;
        Ok(Program { rule, longest, scouts, check, marks, first, hir, nfa, regex, cache: RefCell::new(None) })
    }

    /// What is looked for.
    pub fn hir(&self) -> &Hir {
        &self.hir
    }

    /// The number of the automaton's states.
    pub fn states(&self) -> usize {
        self.nfa.states().len()
    }

    /// Where the automaton begins.
    pub fn start(&self) -> StateID {
        self.nfa.start_anchored()
    }

    /// A state of the automaton.
    pub fn state(&self, id: StateID) -> &State {
        self.nfa.state(id)
    }

    /// What is found in a whole text, however long a match is, but no more than `most` finds.
    pub fn find_all(&self, text: &str, most: usize, mut found: impl FnMut(Range<usize>)) {
        let known = self.cache.try_borrow_mut().ok().and_then(|mut cache| cache.take());
        let mut cache = known.unwrap_or_else(|| self.regex.create_cache());
        let (mut from, mut finds) = (0, 0);
        while finds < most
            && let Ok(Some(it)) = self.regex.try_search(&mut cache, &Input::new(text).range(from..))
        {
            match self.checked(text, it.range()) {
                Ok(part) => {
                    from = part.end;
                    finds += 1;
                    found(part);
                }
                Err(next) => from = next,
            }
        }
        if let Ok(mut known) = self.cache.try_borrow_mut() {
            *known = Some(cache);
        }
    }

    /// Which part of a match is the thing itself, or where the search goes on where it is none.
    ///
    /// # Errors
    /// Where the search goes on.
    pub fn checked(&self, text: &str, found: Range<usize>) -> Result<Range<usize>, usize> {
        let Some(check) = self.check else { return Ok(found) };
        let candidate = text.get(found.clone()).unwrap_or_default();
        let part = check(candidate).filter(|part| part.start < part.end && part.end <= candidate.len());
        match part {
            Some(part) => Ok(found.start + part.start..found.start + part.end),
            None => Err(found.start + candidate.chars().next().map_or(1, char::len_utf8)),
        }
    }
}

/// The search through whole texts: forward to the end of a match, and back to its beginning.
fn whole(hir: &Hir, nfa: NFA) -> Result<Regex, String> {
    let build = |nfa: NFA, config: dfa::Config| {
        dfa::Builder::new().configure(config).build_from_nfa(nfa).map_err(|error| error.to_string())
    };
    let config = || dfa::Config::new().cache_capacity(CACHE_BYTES).skip_cache_capacity_check(true);
    let forward = build(nfa, config())?;
    let backward = config().match_kind(MatchKind::All);
    let backward = build(compile(&[hir], true, WhichCaptures::None)?, backward)?;
    Ok(regex::Builder::new().build_from_dfas(forward, backward))
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("rule", &self.rule).field("states", &self.states()).finish()
    }
}

/// The automaton of some patterns, each of bounded size.
///
/// # Errors
/// A sentence where it would be too large.
pub fn compile(patterns: &[&Hir], reverse: bool, captures: WhichCaptures) -> Result<NFA, String> {
    // The way back through a class of characters takes more states than the way forward, and no stream goes it.
    let each = if reverse { MAX_NFA_BYTES * 8 } else { MAX_NFA_BYTES };
    let config = thompson::Config::new()
        .reverse(reverse)
        .which_captures(captures)
        .nfa_size_limit(Some(each.saturating_mul(patterns.len().max(1))));
    NFA::compiler().configure(config).build_many_from_hir(patterns).map_err(|error| {
        if error.size_limit().is_some() {
            format!("its automaton would take more than {} KiB of memory", MAX_NFA_BYTES >> 10)
        } else {
            error.to_string()
        }
    })
}

/// The bytes that lead on from the start, whatever stands before them.
fn first_bytes(nfa: &NFA) -> [bool; 256] {
    let mut first = [false; 256];
    let mut seen = vec![false; nfa.states().len()];
    let mut todo = vec![nfa.start_anchored()];
    let mut mark = |from: u8, to: u8| {
        for byte in from..=to {
            if let Some(it) = first.get_mut(usize::from(byte)) {
                *it = true;
            }
        }
    };
    while let Some(id) = todo.pop() {
        match seen.get_mut(id.as_usize()) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        match nfa.state(id) {
            State::ByteRange { trans } => mark(trans.start, trans.end),
            State::Sparse(it) => it.transitions.iter().for_each(|it| mark(it.start, it.end)),
            // Never made by the compiler, and every byte is always right.
            State::Dense(_) => mark(0, 255),
            State::Look { next, .. } | State::Capture { next, .. } => todo.push(*next),
            State::Union { alternates } => todo.extend(alternates.iter()),
            State::BinaryUnion { alt1, alt2 } => todo.extend([*alt1, *alt2]),
            State::Fail | State::Match { .. } => {}
        }
    }
    first
}
