//! IPv4 and IPv6 addresses. Those that are the same everywhere, unspecified, loopback and netmasks, say nothing about
//! anybody and are left.

use super::{Candidate, goes_on};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

pub static CANDIDATES: [Candidate; 2] = [
    // One address, or the first and the last of a range: a dash in front is otherwise that in the name of a package, a
    // letter and a slash those of a browser, and two signs of comparison those of a requirement.
    Candidate {
        pattern: concat!(
            "(?:\\A/?|[^0-9A-Za-z_./=-]|[^0-9A-Za-z]/|[^!<=>~]=)()",
            "[0-9]{1,3}(?:\\.[0-9]{1,3}){3}(?:-[0-9]{1,3}(?:\\.[0-9]{1,3}){3})?(?s:.{0,2})"
        ),
        check: version_4,
    },
    // Digits and colons in any order; what they are, the check knows. A name may stand before, as in `ip:2001:db8::1`.
    Candidate {
        pattern: concat!(
            "(?:\\A|[^0-9A-Za-z_:.]|[G-Zg-z]:)()(?:[0-9A-Fa-f]{1,4}:|::)",
            "[0-9A-Fa-f:.]{1,44}(?s:.?)"
        ),
        check: version_6,
    },
];

fn version_4(matched: &str) -> Option<Range<usize>> {
    let start = matched.find(|c: char| c.is_ascii_digit())?;
    let text = matched.get(start..)?;
    let first = quad_length(text);
    let last = text.get(first..)?.strip_prefix('-').map_or(0, quad_length);
    let length = if last > 0 { first + 1 + last } else { first };
    let (addresses, rest) = text.split_at_checked(length)?;
    let known = addresses.split('-').map(|address| address.parse::<Ipv4Addr>().ok());
    let someone = known.clone().flatten().any(|address| !is_everywhere(address));
    // `1.2.3.4.tar` is the name of a file, but a sentence may end with an address.
    let named =
        rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
    (known.into_iter().all(|address| address.is_some()) && someone && !named && !goes_on(rest))
        .then(|| start..start + length)
}

/// How long the four numbers are that the text begins with, if it does.
fn quad_length(text: &str) -> usize {
    let (mut length, mut dots, mut in_number) = (0, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if in_number < 3 => in_number += 1,
            b'.' if in_number > 0 && dots < 3 => (dots, in_number) = (dots + 1, 0),
            _ => break,
        }
        length += 1;
    }
    if dots == 3 && in_number > 0 { length } else { 0 }
}

fn is_everywhere(address: Ipv4Addr) -> bool {
    address.is_loopback() || matches!(address.octets(), [0 | 255, ..])
}

fn version_6(matched: &str) -> Option<Range<usize>> {
    let start = matched.char_indices().map(|(at, _)| at).find(|at| {
        let before = matched.get(..*at).unwrap_or_default();
        let here = matched.get(*at..).unwrap_or_default();
        // The context is one character, or a letter that is no digit and its colon.
        here.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':')
            && !before.ends_with(|c: char| c.is_ascii_alphabetic())
    })?;
    let text = matched.get(start..)?;
    let past = text.find(|c: char| !c.is_ascii_hexdigit() && !matches!(c, ':' | '.')).unwrap_or(text.len());
    let (text, rest) = text.split_at_checked(past)?;
    // The end of a sentence, or the colon before what is said about the address.
    let ended = text.strip_suffix('.').or_else(|| text.strip_suffix(':').filter(|text| !text.ends_with(':')));
    let text = ended.unwrap_or(text);
    let address: Ipv6Addr = text.parse().ok()?;
    let someone = !address.is_unspecified() && !address.is_loopback() && is_written_as_address(text);
    (someone && (ended.is_some() || !goes_on(rest))).then(|| start..start + text.len())
}

/// Programs are full of what could be addresses: `dead::beef` in C++, `[1::2]` in Python, identifiers of eight bytes in
/// pairs of digits. An address has three groups or more, or it begins as all do that are given to anybody and has a
/// decimal digit as well, which few names have.
fn is_written_as_address(text: &str) -> bool {
    let groups = || text.split(':').filter(|group| !group.is_empty());
    let decimal = text.bytes().any(|b| b.is_ascii_digit());
    let pairs = groups().count() == 8 && groups().all(|group| group.len() == 2);
    let first = groups().next().unwrap_or_default();
    let global = text.starts_with(first)
        && first.len() == 4
        && ["2", "3", "fc", "fd", "fe", "ff"]
            .iter()
            .any(|start| first.to_ascii_lowercase().starts_with(start));
    (groups().count() > 2 || (global && decimal) || text.contains('.')) && !pairs
}

#[cfg(test)]
#[path = "ip_address_tests.rs"]
mod tests;
