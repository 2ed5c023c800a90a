//! Texts that come in pieces. Pieces change nothing, nothing is lost, and no more is held than a match is long.
//!
//! The first byte says which rules are looked for, the rest of its line how the text is cut, and what is below is the
//! text.

use std::ops::Range;

use guard::{Builtin, Found, Masker, Piece, Purpose, Rule, Rules, What};

use crate::cuts;

/// Patterns, each with the longest match that a number after ` ~ ` names, and names of recognisers in brackets.
const SETS: [&[&str]; 9] = [
    &["[CREDIT_CARD]", "[SSN]", "[EMAIL]", "[PHONE_NUMBER]", "[IBAN]", "[IP_ADDRESS]", "[API_KEY]"],
    &[
        r"(?:^|\D)(5[1-5][0-9]{2}(?:\ |\-|)[0-9]{4}(?:\ |\-|)[0-9]{4}(?:\ |\-|)[0-9]{4})(?:\D|$)",
        "[0-9]{3}-[0-9]{2}-[0-9]{4}",
        "sk-[a-z0-9]{4,20}",
        "ignore (all |any )?previous instructions",
    ],
    &["q[^q]{0,9}q", "(?:foo|foobar)baz", "a|ab", "ab{0,3}?c", "(?:a?){3}a{3}", "x.{2}y|.x"],
    &[r"\bfo\b", "^a.$", r"b$", r"\Bo", r"\Aq", r"z\z", "[^a-z]é", "É{2}"],
    &["(?:^|[^0-9])5[0-9]{3}(?:[^0-9]|$)", "5[0-9]{3}", "[0-9]{1,2}@", "[EMAIL]"],
    &["q[^q]*q ~ 7", "a[^b]*b ~ 5", "[0-9]+ ~ 4"],
    &["(?:fo+|ba)+z ~ 8", "x.*?y ~ 6", "[a-z]+@ ~ 5", r"é\W*é ~ 9"],
    &[r"-----BEGIN[\s\S]*?-----END ~ 64", r"\b[a-z]*\b ?! ~ 12", "(?:ab|a)*c ~ 16", "[API_KEY]"],
    &[".{3}", r"\n\s*\n ~ 4", "[^a]", r"(?:a|b|ab)(?:c|bcd)(?:d*) ~ 6"],
];

struct Set {
    answers: Rules,
    prompts: Rules,
    /// Whether both look for the same: a blank of a prompt's pattern is any white space, and a prompt's matches may have
    /// any length.
    same: bool,
}

thread_local! {
    static READY: Vec<Set> = SETS.iter().map(|patterns| set(patterns)).collect();
}

fn set(patterns: &[&str]) -> Set {
    let compiled = |purpose| Rules::compile(patterns.iter().map(|it| rule(it)).collect(), purpose).unwrap();
    let same = patterns.iter().all(|it| !it.contains(' '));
    Set { answers: compiled(Purpose::Answers), prompts: compiled(Purpose::Prompts), same }
}

fn rule(written: &str) -> Rule {
    let builtin = Builtin::ALL.into_iter().find(|it| written == format!("[{}]", it.name()));
    let what = match (builtin, written.split_once(" ~ ")) {
        (Some(builtin), _) => What::Builtin(builtin),
        (None, Some((pattern, longest))) => {
            What::Pattern { pattern: pattern.into(), longest: Some(longest.parse().unwrap()) }
        }
        (None, None) => What::Pattern { pattern: written.into(), longest: None },
    };
    Rule { name: written.into(), what }
}

/// However a text is cut, what is masked of it is what is found in the whole.
pub fn masker(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let (lengths, text) = cuts::head(rest);
    let text = String::from_utf8_lossy(text);
    READY.with(|sets| check(&sets[usize::from(*which) % sets.len()], lengths, &text));
}

fn check(set: &Set, lengths: &[u8], text: &str) {
    let rules = &set.answers;
    let mut masker = Masker::new(rules);
    let pieces = cuts::text(text, lengths);
    let cut = marks(&mut masker, rules, &pieces);
    assert_eq!(cut, marks(&mut Masker::new(rules), rules, &[text]), "{pieces:?}");
    assert_eq!(cut, rules.find(text, usize::MAX), "{pieces:?}");
    assert_eq!(cut, marks(&mut masker, rules, &pieces), "a text after another one: {pieces:?}");
    let prompt = set.prompts.find(text, usize::MAX);
    ordered(text, &prompt);
    if !set.same {
        return;
    }
    if text.is_ascii() {
        assert_eq!(cut, prompt, "two engines: {text:?}");
    }
    for it in &cut {
        let covers = |other: &Found| other.range.start <= it.range.start && it.range.end <= other.range.end;
        assert!(prompt.iter().any(covers), "not found in a prompt: {it:?} of {text:?}");
    }
}

/// What is masked of a text that comes in these pieces.
fn marks(masker: &mut Masker, rules: &Rules, pieces: &[&str]) -> Vec<Found> {
    let mut marks: Vec<Found> = Vec::new();
    let mut given = String::new();
    let mut last: Option<usize> = None;
    let mut give = |piece: Piece<'_>| {
        let range = given.len()..given.len() + piece.text().len();
        given.push_str(piece.text());
        match piece {
            Piece::Kept(_) => last = None,
            Piece::Masked { rule, begins: true, .. } => {
                marks.push(Found { rule, range });
                last = Some(rule);
            }
            Piece::Masked { rule, .. } => {
                assert_eq!(last, Some(rule), "a match goes on that has not begun: {pieces:?}");
                marks.last_mut().unwrap().range.end = range.end;
            }
        }
    };
    for piece in pieces {
        masker.push(rules, piece, &mut give);
        assert!(masker.held() <= rules.longest(), "{} bytes are held: {pieces:?}", masker.held());
    }
    masker.finish(rules, &mut give);
    assert_eq!(masker.held(), 0, "{pieces:?}");
    let whole = pieces.concat();
    assert_eq!(given, whole, "{pieces:?}");
    ordered(&whole, &marks);
    marks
}

fn ordered(text: &str, found: &[Found]) {
    let mut at = 0;
    for Range { start, end } in found.iter().map(|it| it.range.clone()) {
        assert!(at <= start && start < end, "{found:?} of {text:?}");
        assert!(text.is_char_boundary(start) && text.is_char_boundary(end), "{found:?} of {text:?}");
        at = end;
    }
}
