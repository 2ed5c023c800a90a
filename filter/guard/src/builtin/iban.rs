//! International bank account numbers: a country, the length that its numbers have, and two check digits.

use super::Candidate;
use std::ops::Range;

pub static CANDIDATES: [Candidate; 1] = [Candidate {
    // In one piece, or in groups of four. Words that follow a short number may be taken along; the check cuts them off.
    pattern: concat!(
        "(?:\\A|[^0-9A-Za-z])()[A-Za-z]{2}[0-9]{2}",
        "(?:[0-9A-Za-z]{11,30}|(?: [0-9A-Za-z]{4}){2,7}(?: [0-9A-Za-z]{1,3})?)(?s:.?)"
    ),
    check: account,
}];

/// How long the numbers of each country are (the registry of ISO 13616).
static LENGTHS: [(usize, &str); 18] = [
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FK FO GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU MN XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM SO TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI DJ FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];

fn account(matched: &str) -> Option<Range<usize>> {
    let start = matched.find(|c: char| c.is_ascii_alphabetic())?;
    let text = matched.get(start..)?;
    let country = text.get(..2)?.to_ascii_uppercase();
    let (length, _) =
        LENGTHS.iter().find(|(_, countries)| countries.split(' ').any(|known| known == country))?;
    let spaced = text.get(4..5) == Some(" ");
    // A blank after every four, but not after the last.
    let written = if spaced { length + (length - 1) / 4 } else { *length };
    let (number, rest) = text.split_at_checked(written)?;
    let grouped = number.bytes().enumerate().all(|(at, b)| (b == b' ') == (spaced && at % 5 == 4));
    let whole = !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    (grouped && whole && has_check_digits(number)).then(|| start..start + written)
}

/// ISO 7064, mod 97-10: with the first four characters put last and letters counted from ten, the rest is one.
fn has_check_digits(number: &str) -> bool {
    let Some((head, tail)) = number.split_at_checked(4) else { return false };
    let rest = tail.chars().chain(head.chars()).filter_map(|c| c.to_digit(36)).fold(0, |rest, digit| {
        let shift = if digit < 10 { 10 } else { 100 };
        (rest * shift + digit) % 97
    });
    rest == 1
}

#[cfg(test)]
#[path = "iban_tests.rs"]
mod tests;
