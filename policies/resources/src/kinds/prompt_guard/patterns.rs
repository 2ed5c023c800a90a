//! What a guard looks for. Every pattern is compiled here, with the engine that runs it, so that each one that cannot be
//! run is named with its place.

use guard::{Purpose, Rule, Rules, What};
use policy::written::{Action, Builtin, MaskStyle, Pattern, Patterns};

use super::{every, field};
use crate::node::{Node, Unknown};
use crate::problem::Severity;

/// How long a match is looked for in answers, in bytes, where neither the pattern nor its `maxLength` says so.
const LONGEST_MATCH: usize = 1024;

/// Names with numbers, in the order of today's and of the older form, and those that are names only.
const BUILTINS: [&str; 4] = ["SSN", "CREDIT_CARD", "PHONE_NUMBER", "EMAIL"];
const FORMER_BUILTINS: [&str; 4] = ["SSN", "CREDIT_CARD", "EMAIL", "PHONE_NUMBER"];
const MORE_BUILTINS: [&str; 3] = ["IBAN", "IP_ADDRESS", "API_KEY"];

/// Reads `{matches, builtins, action, maskStyle}`.
pub fn read(node: &Node<'_>, purpose: Purpose) -> Option<Patterns> {
    let object = node.object()?;
    let matches = field(&object, "matches", |it| every(it, |it| pattern(it, purpose)));
    let builtins = field(&object, "builtins", |it| every(it, |it| builtin(it, &BUILTINS)));
    let action = field(&object, "action", |it| match it.choice(&["MASK", "REJECT"])? {
        "REJECT" => Some(Action::Reject),
        _ => Some(Action::Mask),
    });
    let mask_style = field(&object, "maskStyle", |it| match it.choice_or(&[], &["placeholder", "x"])? {
        "x" => Some(MaskStyle::X),
        _ => Some(MaskStyle::Placeholder),
    });
    object.finish(Unknown::Refuse);
    let (matches, builtins) = (matches?.unwrap_or_default(), builtins?.unwrap_or_default());
    let (action, mask_style) = (action?, mask_style?.unwrap_or_default());
    if matches.is_empty() && builtins.is_empty() {
        node.refuse("nothing is looked for: expected matches or builtins");
        return None;
    }
    if action.is_none() && purpose == Purpose::Prompts {
        node.say(Severity::Note, "masks what is found; `action: REJECT` refuses the request");
    }
    Some(Patterns { matches, builtins, action: action.unwrap_or_default(), mask_style })
}

/// A pattern of the older form, which is a text.
pub fn former(node: &Node<'_>, purpose: Purpose) -> Option<Pattern> {
    checked(node, Pattern { pattern: node.text()?, name: None, max_length: None }, purpose)
}

/// A name of the older form.
pub fn former_builtin(node: &Node<'_>) -> Option<Builtin> {
    builtin(node, &FORMER_BUILTINS)
}

fn pattern(node: &Node<'_>, purpose: Purpose) -> Option<Pattern> {
    let object = node.object()?;
    let text = object.need("pattern");
    let name = field(&object, "name", Node::text);
    let max_length = field(&object, "maxLength", |it| usize::try_from(it.number(1..=16_384)?).ok());
    object.finish(Unknown::Refuse);
    let (text, name, max_length) = (text?, name?.filter(|it| !it.is_empty()), max_length?);
    checked(&text, Pattern { pattern: text.text()?, name, max_length }, purpose)
}

/// A pattern that can be run, and that has a longest match where it needs one.
fn checked(node: &Node<'_>, mut it: Pattern, purpose: Purpose) -> Option<Pattern> {
    let compile = |longest: Option<usize>| {
        let what = What::Pattern { pattern: it.pattern.clone(), longest };
        Rules::compile(vec![Rule { name: String::new(), what }], purpose).map(|_| ())
    };
    if let Err(problems) = compile(it.max_length.or(Some(LONGEST_MATCH))) {
        problems.into_iter().for_each(|(_, what)| node.refuse(what));
        return None;
    }
    // What only a bound makes possible has none of its own.
    if it.max_length.is_none() && compile(None).is_err() {
        let what = format!(
            "has no longest match: in answers matches are looked for up to {LONGEST_MATCH} bytes; `maxLength` sets \
             another bound"
        );
        node.say(Severity::Warning, what);
        it.max_length = Some(LONGEST_MATCH);
    }
    Some(it)
}

fn builtin(node: &Node<'_>, numbered: &[&'static str]) -> Option<Builtin> {
    match node.choice_or(numbered, &MORE_BUILTINS)? {
        "SSN" => Some(Builtin::Ssn),
        "CREDIT_CARD" => Some(Builtin::CreditCard),
        "PHONE_NUMBER" => Some(Builtin::PhoneNumber),
        "EMAIL" => Some(Builtin::Email),
        "IBAN" => Some(Builtin::Iban),
        "IP_ADDRESS" => Some(Builtin::IpAddress),
        // There is no other name.
        _ => Some(Builtin::ApiKey),
    }
}
