//! Addresses of electronic mail, as they are typed: no comments, no quoted names, no addresses at bare hosts.
//!
//! The pattern takes what could be one and leaves the structure to the check, because dots and dashes counted by a
//! pattern would make it many times as large. Letters beyond ASCII end an address; so in `jürgen@example.com` only the
//! part from the `r` is found, but in scripts without blanks the text before an address is not taken for its beginning.

use super::Candidate;
use std::ops::Range;

/// Of the 255 characters that a domain may have, as many as let a match stay within 320 bytes; before the `@` some more
/// than an address may have, for the marks of emphasis and quotes that are cut off.
pub static CANDIDATES: [Candidate; 1] = [Candidate {
    // The first character, if any, belongs to no address, so that one can begin only where a word does.
    pattern: "(?:\\A|[^A-Za-z0-9!#$%&'*+_~.^-])()[A-Za-z0-9!#$%&'*+_~.^-]{1,72}@[A-Za-z0-9][A-Za-z0-9.-]{1,188}",
    check: address,
}];

/// The longest part before the `@` (RFC 5321, 4.5.3.1).
const LONGEST_LOCAL: usize = 64;
/// The longest label of a name in the DNS.
const LONGEST_LABEL: usize = 63;
/// The longest top-level domain in plain letters has 18; more is the name of something in a program.
const LONGEST_TOP: usize = 18;

/// What stands after an `@` and the last dot in the names of files and of systemd's units, and is no top-level domain.
const SUFFIXES: [&str; 19] = [
    "png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "css", "js", "json", "html", "xml", "yaml", "yml",
    "txt", "service", "socket", "timer", "target",
];

fn address(matched: &str) -> Option<Range<usize>> {
    let at = matched.rfind('@')?;
    let start = local_start(matched.get(..at)?)?;
    let length = domain_length(matched.get(at + 1..)?)?;
    Some(start..at + 1 + length)
}

/// Where the part before the `@` begins: after two dots, and after blanks, quotes and marks of emphasis.
fn local_start(before: &str) -> Option<usize> {
    let local = before.rsplit("..").next()?.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    ((1..=LONGEST_LOCAL).contains(&local.len()) && !local.ends_with('.')).then(|| before.len() - local.len())
}

/// How far the domain reaches: to the last label that can be a top-level one. What follows it is the end of a sentence,
/// or a word tied to it by a dash.
fn domain_length(domain: &str) -> Option<usize> {
    let (mut at, mut length) = (0, None);
    for label in domain.split('.') {
        let word = label.split('-').next().unwrap_or_default();
        if at > 0 && is_top(label) {
            length = Some(at + label.len());
        } else if at > 0 && is_top(word) {
            length = Some(at + word.len());
        }
        if !is_label(label) {
            break;
        }
        at += label.len() + 1;
    }
    length.filter(|length| domain.get(..*length).is_some_and(|name| !is_version(name)))
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

fn is_top(label: &str) -> bool {
    if let Some(encoded) = label.strip_prefix("xn--") {
        return is_label(label) && !encoded.is_empty();
    }
    let lower = label.to_ascii_lowercase();
    // `this@Reader.nextLine`
    let camel = label
        .bytes()
        .zip(label.bytes().skip(1))
        .any(|(a, b)| a.is_ascii_lowercase() && b.is_ascii_uppercase());
    (2..=LONGEST_TOP).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphabetic())
        && !camel
        && !SUFFIXES.contains(&lower.as_str())
}

/// `parser@1.2.0-rc.next` is a package, `someone@163.com` is not.
fn is_version(domain: &str) -> bool {
    domain.split('.').take(2).all(|label| label.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
#[path = "email_tests.rs"]
mod tests;
