//! A pattern as a person wrote it, made into one that means the same everywhere.
//!
//! Patterns are case-insensitive, `^` and `$` are the ends of lines, and `.` takes line ends, as in the policies that
//! people have. `\d`, `\w` and `\b` are those of ASCII: in Unicode's meaning they would make automata of a hundred times
//! the size, and prompts are also looked at with every digit and letter brought down to ASCII.

use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassBracketed, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem, Literal,
    Repetition, RepetitionKind, RepetitionOp,
};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{Hir, Look};

/// Deeper nesting than a pattern has that a person wrote.
const MAX_NESTING: u32 = 64;

/// White space as Unicode has it, and the separators of ASCII, as `\s` of the original takes them.
const BLANK: &str =
    r"\t-\r\x1c-\x20\x85\xa0\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";

/// How a pattern is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As a policy has it; a blank stands for itself.
    Plain,
    /// As a policy has it, where a blank stands for any white space: people who write `credit card` do not mean to let
    /// `credit  card` pass.
    AnyBlank,
    /// As the recognisers of this crate are written: no flags.
    Own,
}

/// Reads a pattern.
///
/// # Errors
/// What is wrong with it, as a sentence without its end.
pub fn read(pattern: &str, reading: Reading) -> Result<Hir, String> {
    let mut ast = ParserBuilder::new()
        .nest_limit(MAX_NESTING)
        .build()
        .parse(pattern)
        .map_err(|error| format!("{}, at character {}", error.kind(), error.span().start.column))?;
    let own = reading == Reading::Own;
    plain(&mut ast, reading)?;
    let hir = TranslatorBuilder::new()
        .case_insensitive(!own)
        .multi_line(!own)
        .dot_matches_new_line(!own)
        .build()
        .translate(pattern, &ast)
        .map_err(|error| format!("{}, at character {}", error.kind(), error.span().start.column))?;
    let looks = hir.properties().look_set();
    if looks.contains(Look::StartCRLF) || looks.contains(Look::EndCRLF) {
        return Err("the flag R is not supported".into());
    }
    match hir.properties().minimum_len() {
        None => Err("it can match nothing at all".into()),
        Some(0) => Err("it matches the empty text, which is everywhere".into()),
        Some(_) => Ok(hir),
    }
}

/// Replaces what has a meaning of its own here. The depth is bounded by the parser.
fn plain(ast: &mut Ast, reading: Reading) -> Result<(), String> {
    match ast {
        Ast::ClassPerl(class) => *ast = Ast::ClassBracketed(Box::new(perl(class)?)),
        Ast::ClassBracketed(class) => plain_set(&mut class.kind)?,
        Ast::Assertion(assertion) => {
            if let Some(text) = ascii_boundary(&assertion.kind) {
                *ast = own_syntax(&format!("(?-u:{text})"))?;
            }
        }
        Ast::Repetition(it) => {
            // `a++` is possessive where the policies come from, and here it would be something else.
            if matches!(it.ast.as_ref(), Ast::Repetition(_)) {
                let at = it.op.span.start.column;
                return Err(format!("a repetition of a repetition has no meaning here, at character {at}"));
            }
            plain(&mut it.ast, reading)?;
        }
        Ast::Group(it) => plain(&mut it.ast, reading)?,
        Ast::Alternation(it) => it.asts.iter_mut().try_for_each(|it| plain(it, reading))?,
        Ast::Concat(it) => it.asts.iter_mut().try_for_each(|it| plain(it, reading))?,
        Ast::Literal(literal) if literal.c == ' ' && reading == Reading::AnyBlank => {
            *ast = any_blanks(literal)?;
        }
        Ast::Literal(_) | Ast::Empty(_) | Ast::Flags(_) | Ast::Dot(_) => {}
        Ast::ClassUnicode(class) => {
            let at = class.span.start.column;
            return Err(format!(r"classes of Unicode such as \p{{L}} are not supported, at character {at}"));
        }
    }
    Ok(())
}

fn plain_set(set: &mut ClassSet) -> Result<(), String> {
    match set {
        ClassSet::Item(item) => plain_item(item),
        ClassSet::BinaryOp(it) => {
            plain_set(&mut it.lhs)?;
            plain_set(&mut it.rhs)
        }
    }
}

fn plain_item(item: &mut ClassSetItem) -> Result<(), String> {
    match item {
        ClassSetItem::Perl(class) => *item = ClassSetItem::Bracketed(Box::new(perl(class)?)),
        ClassSetItem::Bracketed(class) => plain_set(&mut class.kind)?,
        ClassSetItem::Union(union) => union.items.iter_mut().try_for_each(plain_item)?,
        ClassSetItem::Unicode(class) => {
            let at = class.span.start.column;
            return Err(format!(r"classes of Unicode such as \p{{L}} are not supported, at character {at}"));
        }
        ClassSetItem::Empty(_)
        | ClassSetItem::Literal(_)
        | ClassSetItem::Range(_)
        | ClassSetItem::Ascii(_) => {}
    }
    Ok(())
}

fn perl(class: &ClassPerl) -> Result<ClassBracketed, String> {
    let not = if class.negated { "^" } else { "" };
    let inside = match class.kind {
        ClassPerlKind::Digit => "0-9",
        ClassPerlKind::Word => "0-9A-Za-z_",
        ClassPerlKind::Space => BLANK,
    };
    match &own_syntax(&format!("[{not}{inside}]"))? {
        Ast::ClassBracketed(class) => Ok(class.as_ref().clone()),
        _ => Err("a class is none".into()),
    }
}

fn any_blanks(literal: &Literal) -> Result<Ast, String> {
    let op = RepetitionOp { span: literal.span, kind: RepetitionKind::OneOrMore };
    let blank = Box::new(own_syntax(&format!("[{BLANK}]"))?);
    Ok(Ast::repetition(Repetition { span: literal.span, op, greedy: true, ast: blank }))
}

fn ascii_boundary(kind: &AssertionKind) -> Option<&'static str> {
    match kind {
        AssertionKind::WordBoundary => Some(r"\b"),
        AssertionKind::NotWordBoundary => Some(r"\B"),
        AssertionKind::WordBoundaryStart | AssertionKind::WordBoundaryStartAngle => Some(r"\b{start}"),
        AssertionKind::WordBoundaryEnd | AssertionKind::WordBoundaryEndAngle => Some(r"\b{end}"),
        AssertionKind::WordBoundaryStartHalf => Some(r"\b{start-half}"),
        AssertionKind::WordBoundaryEndHalf => Some(r"\b{end-half}"),
        AssertionKind::StartLine
        | AssertionKind::EndLine
        | AssertionKind::StartText
        | AssertionKind::EndText => None,
    }
}

/// Syntax that is written in this file.
fn own_syntax(text: &str) -> Result<Ast, String> {
    ParserBuilder::new().build().parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
