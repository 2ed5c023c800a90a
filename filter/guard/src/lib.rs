//! Patterns and recognisers over texts: whole, as prompts come, and in pieces, as answers do.
//!
//! ```text
//! Rules::compile   what is looked for, made ready once
//! Rules::find      everything in a whole text; for prompts also in other spellings of it
//! Masker           a text that comes in pieces: what may be passed on, and with what in its place
//! ```
//!
//! **What a match is.** Each rule is looked for on its own, from left to right, as if there were no other; what any of
//! them finds is found. So no rule can hide another's match, and the order of rules decides nothing but whose name stands
//! where two matches overlap.
//!
//! **Pieces change nothing.** However a text is cut, a [`Masker`] gives what it would have given for the whole of it. It
//! holds back only what may still be the beginning of a match, and never more than the longest match can be.
//!
//! Time is linear in the text. Nothing here knows JSON, HTTP or a host.

#![cfg_attr(test, allow(clippy::string_slice, reason = "what a test cuts is its own"))]

mod builtin;
mod masker;
mod pattern;
mod program;
mod rules;
mod search;
#[cfg(test)]
mod testing;
mod view;

pub use builtin::Builtin;
pub use masker::{Masker, Piece};
pub use rules::{Found, Purpose, Rule, Rules, What};
