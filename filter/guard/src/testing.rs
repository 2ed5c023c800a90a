//! What the tests of this crate share. The same tests run natively and, under wasm-bindgen-test, on
//! `wasm32-unknown-unknown`: importing everything from here replaces `#[test]` there.

#[cfg(not(target_arch = "wasm32"))]
pub use core::prelude::v1::test;
#[cfg(target_arch = "wasm32")]
pub use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::{Masker, Piece, Purpose, Rule, Rules, What};

/// Rules for answers from patterns, each with the longest match that a number after ` ~ ` names.
pub fn answers(patterns: &[&str]) -> Rules {
    Rules::compile(rules(patterns), Purpose::Answers).unwrap()
}

/// Rules for prompts from patterns.
pub fn prompts(patterns: &[&str]) -> Rules {
    Rules::compile(rules(patterns), Purpose::Prompts).unwrap()
}

fn rules(patterns: &[&str]) -> Vec<Rule> {
    let rule = |pattern: &&str| {
        let (pattern, longest) = match pattern.split_once(" ~ ") {
            Some((pattern, longest)) => (pattern, Some(longest.parse().unwrap())),
            None => (*pattern, None),
        };
        Rule { name: pattern.into(), what: What::Pattern { pattern: pattern.into(), longest } }
    };
    patterns.iter().map(rule).collect()
}

/// What comes out when a text comes in these pieces: a match is `[its rule's number]`, what has gone out after each
/// piece is separated by `|`.
pub fn masked(rules: &Rules, pieces: &[&str]) -> String {
    let mut out = String::new();
    let mut masker = Masker::new(rules);
    for piece in pieces {
        masker.push(rules, piece, &mut |it| write(&mut out, &it));
        out.push('|');
    }
    masker.finish(rules, &mut |it| write(&mut out, &it));
    out
}

/// The same without the separators.
pub fn masked_whole(rules: &Rules, pieces: &[&str]) -> String {
    masked(rules, pieces).replace('|', "")
}

fn write(out: &mut String, piece: &Piece<'_>) {
    match piece {
        Piece::Kept(text) => out.push_str(text),
        Piece::Masked { rule, begins: true, .. } => out.push_str(&format!("[{rule}]")),
        Piece::Masked { .. } => {}
    }
}

/// Numbers without a pattern, the same in every run (xorshift64).
pub struct Numbers(pub u64);

impl Numbers {
    /// A number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// A text of some of these.
    pub fn text(&mut self, parts: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| parts[self.below(parts.len())]).collect()
    }

    /// The pieces of a text, cut anywhere between characters.
    pub fn cut<'t>(&mut self, text: &'t str, longest: usize) -> Vec<&'t str> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let most = 1 + self.below(longest);
            let at = rest.char_indices().nth(most).map_or(rest.len(), |(at, _)| at);
            let (piece, after) = rest.split_at(at);
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}
