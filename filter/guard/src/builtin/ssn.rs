//! Social security numbers of the United States: three, two and four digits, and what was never issued left out.

use super::{Candidate, goes_on, is_spaced_digit};
use std::ops::Range;

pub static CANDIDATES: [Candidate; 2] = [
    // With dashes, or with blanks or dots. Blanks and dots separate other numbers as well, so there no digit may stand
    // in front.
    Candidate {
        pattern: concat!(
            "(?:(?:\\A|[^0-9A-Za-z_.+-]|[A-Za-z][.-])()[0-9]{3}-[0-9]{2}-[0-9]{4}",
            "|(?:\\A ?|[^0-9A-Za-z_.+ -]|[^0-9] )()(?:[0-9]{3} [0-9]{2} [0-9]{4}|[0-9]{3}\\.[0-9]{2}\\.[0-9]{4}))",
            "(?s:.{0,2})"
        ),
        check: separated,
    },
    // Nine digits alone are everything and nothing: only where the words for it stand before them in the same line.
    Candidate {
        pattern: concat!(
            "(?:(?:\\A|[^0-9A-Za-z])(?i-u:ssn|social[ _-]?security)|[a-z]S(?:SN|sn))",
            "[\\t -/:-~]{0,32}()[0-9]{9}(?s:.{0,2})"
        ),
        check: named,
    },
];

fn separated(matched: &str) -> Option<Range<usize>> {
    let start = matched.find(|c: char| c.is_ascii_digit())?;
    let (number, rest) = matched.get(start..)?.split_at_checked("123-45-6789".len())?;
    let in_row = number.contains(' ') && is_spaced_digit(rest);
    (!goes_on(rest) && !in_row && is_issued(number)).then(|| start..start + number.len())
}

fn named(matched: &str) -> Option<Range<usize>> {
    let start = matched.find(|c: char| c.is_ascii_digit())?;
    let (number, rest) = matched.get(start..)?.split_at_checked("123456789".len())?;
    let before = matched.get(..start)?;
    // The end of another word with digits in it, unless the word is that for the number.
    let in_word = before.ends_with(|c: char| c.is_ascii_alphabetic())
        && !before.get(before.len().saturating_sub(3)..)?.eq_ignore_ascii_case("ssn");
    (!in_word && !goes_on(rest) && is_issued(number)).then(|| start..start + number.len())
}

/// Whether the number can have been given to somebody.
fn is_issued(number: &str) -> bool {
    let number = number
        .bytes()
        .filter(u8::is_ascii_digit)
        .fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let (area, group, serial) = (number / 1_000_000, number / 10_000 % 100, number % 10_000);
    let printed = [
        // On a sample card that was sold with wallets, and in a leaflet of the administration itself.
        (78, 5, 1120),
        (219, 9, 9999),
        // What everybody writes for an example.
        (123, 45, 6789),
    ];
    area != 0
        && area != 666
        && area < 900
        && group != 0
        && serial != 0
        && !printed.contains(&(area, group, serial))
        && number % 111_111_111 != 0
}

#[cfg(test)]
#[path = "ssn_tests.rs"]
mod tests;
