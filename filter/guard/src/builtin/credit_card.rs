//! Payment card numbers: a prefix that a network issues, a length it issues, and the check digit.
//!
//! One number in ten has a valid check digit by chance, so what stands around the digits decides as much as they do.

use super::{Candidate, goes_on, is_spaced_digit};
use std::ops::Range;

/// The most digits a number has (ISO/IEC 7812).
const MOST: u32 = 19;
/// The fewest that are looked for.
const FEWEST: u32 = 13;

/// Each pattern takes as many digits as there may be, and two characters more; the check then tries every length. So
/// one search finds both a card of nineteen digits and one of sixteen with its verification code behind it.
pub static CANDIDATES: [Candidate; 2] = [
    // As cards are printed. A dot before is the end of a word but not the point of a fraction; a dash before does not
    // continue other digits. A comma may stand after a digit: columns of a table do.
    Candidate {
        pattern: "(?:(?:\\A|[^0-9A-Za-z_.-])-{0,2}|[A-Za-z][.-])()[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}(?s:.{0,2})",
        check: |matched| longest(matched, Grouping::Printed),
    },
    // With a separator anywhere. Rows of small numbers look like that, so no other digits may stand beside it.
    Candidate {
        pattern: "(?:\\A ?|[^0-9A-Za-z_. -]|[^0-9] )()[2-6](?:[ -]?[0-9]){12,18}(?s:.{0,2})",
        check: |matched| longest(matched, Grouping::Any),
    },
];

/// Where the separators may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grouping {
    /// Nowhere, or after four digits and then after every four or six.
    Printed,
    /// Between any two digits.
    Any,
}

/// The longest card number that the match begins with.
fn longest(matched: &str, grouping: Grouping) -> Option<Range<usize>> {
    let start = matched.find(|c: char| c.is_ascii_digit())?;
    let mut found = None;
    let (mut number, mut length, mut groups, mut in_group) = (0_u64, 0, 0, 0);
    for (at, character) in matched.get(start..)?.char_indices() {
        let Some(digit) = character.to_digit(10) else {
            let separates = matches!(character, ' ' | '-')
                && (grouping == Grouping::Any || in_group == 4 || (groups > 0 && in_group == 6));
            if !separates {
                break;
            }
            (groups, in_group) = (groups + 1, 0);
            continue;
        };
        if length == MOST {
            break;
        }
        (number, length, in_group) = (number * 10 + u64::from(digit), length + 1, in_group + 1);
        let end = start + at + 1;
        let rest = matched.get(end..)?;
        let alone = !goes_on(rest) && (grouping == Grouping::Printed || !is_spaced_digit(rest));
        // A last group of twelve is that of a UUID.
        let grouped = grouping == Grouping::Any || groups == 0 || in_group <= 6;
        if alone && grouped && is_card(number, length) {
            found = Some(start..end);
        }
    }
    found
}

fn is_card(number: u64, length: u32) -> bool {
    length >= FEWEST
        && is_issued(number, length)
        && has_check_digit(number)
        && !is_one_digit(number)
        && !is_article(number, length)
}

/// Whether a network has numbers of this length with this beginning.
fn is_issued(number: u64, length: u32) -> bool {
    let Some(six) = length.checked_sub(6).map(|more| number / 10_u64.pow(more)) else { return false };
    match six {
        // Visa
        400_000..=499_999 => matches!(length, 13 | 16 | 19),
        // Mastercard and Mir
        510_000..=559_999 | 222_100..=272_099 | 220_000..=220_499 => length == 16,
        // American Express
        340_000..=349_999 | 370_000..=379_999 => length == 15,
        // Diners Club
        300_000..=305_999 | 309_500..=309_599 | 380_000..=399_999 => length == 14,
        360_000..=369_999 => length >= 14,
        // JCB
        352_800..=358_999 => length >= 16,
        // Maestro, and within its range Discover and UnionPay. Maestro has numbers of twelve to fifteen digits too, but
        // nearly all that look like them are numbers of orders, parcels and articles.
        500_000..=509_999 | 560_000..=699_999 => length >= 16,
        _ => false,
    }
}

/// Luhn's check: every second digit from the right counts twice, and digit by digit where that makes two of it.
fn has_check_digit(mut number: u64) -> bool {
    let (mut sum, mut weight) = (0, 1);
    while number > 0 {
        let product = number % 10 * weight;
        sum += product / 10 + product % 10;
        (number, weight) = (number / 10, 3 - weight);
    }
    sum % 10 == 0
}

/// A number of one digit again and again passes the check, and is what people type into forms.
fn is_one_digit(number: u64) -> bool {
    let mut rest = number;
    while rest > 0 && rest % 10 == number % 10 {
        rest /= 10;
    }
    rest == 0
}

/// European article numbers have thirteen digits as Visa's oldest cards do, and those of Germany begin with a 4. There
/// are many of them and hardly any of the cards, so what can be both is an article.
fn is_article(mut number: u64, length: u32) -> bool {
    let (mut sum, mut weight) = (0, 1);
    while number > 0 {
        sum += number % 10 * weight;
        (number, weight) = (number / 10, 4 - weight);
    }
    length == 13 && sum % 10 == 0
}

#[cfg(test)]
#[path = "credit_card_tests.rs"]
mod tests;
