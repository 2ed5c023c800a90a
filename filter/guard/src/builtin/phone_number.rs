//! Telephone numbers, where their form says that they are: with a country code, or written in groups as in North
//! America, Great Britain, Germany and France. A plain row of digits is none.

use super::{Candidate, goes_on, is_spaced_digit};
use std::ops::{Range, RangeInclusive};

pub static CANDIDATES: [Candidate; 3] = [
    // E.164: at most fifteen digits with the country code, and among them whatever people like to read better.
    Candidate {
        pattern: "(?:\\A|[^0-9A-Za-z_+])()\\+[1-9](?:[ ()./-]{0,3}[0-9]){6,14}(?s:.{0,2})",
        check: international,
    },
    // North America. Where only blanks separate, no digit may stand in front: rows of numbers look the same.
    Candidate {
        pattern: concat!(
            "(?:(?:\\A|[^0-9A-Za-z_.+-]|[A-Za-z][.-])()(?:1[ .-])?",
            "(?:\\([2-9][0-9]{2}\\)[ -]{0,2}[2-9][0-9]{2}[ .-]|[2-9][0-9]{2}[./-][2-9][0-9]{2}[.-])",
            "|(?:\\A ?|[^0-9A-Za-z_.+, -]|[^0-9][ ,])()(?:1[ -])?[2-9][0-9]{2} [2-9][0-9]{2}[ -])",
            "[0-9]{4}(?s:.{0,2})"
        ),
        check: american,
    },
    // With the zero that begins an area code in Great Britain, Germany and France.
    Candidate {
        pattern: concat!(
            "(?:\\A ?|[^0-9A-Za-z_.+, /-]|[^0-9][ ,]|[A-Za-z][.-])()\\(?",
            "0[1-9](?:[ ()./-]{0,3}[0-9]){7,10}(?s:.{0,2})"
        ),
        check: national,
    },
];

/// How many digits E.164 lets a number have.
const DIGITS: RangeInclusive<usize> = 7..=15;

fn international(matched: &str) -> Option<Range<usize>> {
    let start = matched.find('+')?;
    let written = matched.get(start + 1..)?;
    // Every end of a group of digits may be the end of the number; what follows is an extension, or a year.
    let ends = written.get(..reach(written))?.bytes().enumerate().filter(|(_, b)| b.is_ascii_digit());
    let whole = |end: &usize| {
        written.split_at_checked(*end).is_some_and(|(number, rest)| !goes_on(rest) && is_e164(number))
    };
    ends.map(|(at, _)| at + 1).rfind(whole).map(|end| start..start + 1 + end)
}

fn is_e164(number: &str) -> bool {
    let digits = digits(number);
    let Some((code, rest)) = split_code(&digits) else { return false };
    // The zero of the area code is dropped, or set in parentheses; in Italy it belongs to the number.
    let dialled = !rest.starts_with('0') || code == "39" || number.contains("(0)");
    let complete = match code {
        "1" => is_nanp(rest),
        "7" => rest.len() == 10,
        _ => DIGITS.contains(&digits.len()) && (code.len() == 3 || digits.len() > 7),
    };
    dialled && complete && !is_amount(number, code)
}

/// The country code and what follows it. Which codes have two digits is fixed; of those with three not all are in use.
fn split_code(digits: &str) -> Option<(&str, &str)> {
    let length = match digits.get(..2)? {
        first if first.starts_with(['1', '7']) => 1,
        "20" | "27" | "30" | "31" | "32" | "33" | "34" | "36" | "39" => 2,
        "40" | "41" | "43" | "44" | "45" | "46" | "47" | "48" | "49" => 2,
        "51" | "52" | "53" | "54" | "55" | "56" | "57" | "58" => 2,
        "60" | "61" | "62" | "63" | "64" | "65" | "66" | "81" | "82" | "84" | "86" => 2,
        "90" | "91" | "92" | "93" | "94" | "95" | "98" => 2,
        "21" | "22" | "23" | "24" | "25" | "26" | "29" | "35" | "37" | "38" | "42" => 3,
        "50" | "59" | "67" | "68" | "69" | "80" | "85" | "87" | "88" | "96" | "97" | "99" => 3,
        _ => return None,
    };
    digits.split_at_checked(length)
}

/// Whether it is rather an amount, `+48.856614` or `+33 500 000`, or a date in a year of more than four digits, than a
/// number to be dialled.
fn is_amount(number: &str, code: &str) -> bool {
    let groups: Vec<&str> = groups(number).collect();
    let first_dot =
        number.find(|c: char| !c.is_ascii_digit()).is_some_and(|at| number.get(at..=at) == Some("."));
    let only_dots = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match groups.as_slice() {
        // Registrars of domains write +49.30901820 with a dot behind the code, and all the digits then.
        [first, rest] if only_dots => *first != code || rest.len() < 9,
        [year, month, day, ..] if (4..=6).contains(&year.len()) && month.len() == 2 && day.len() == 2 => {
            number.contains('-')
        }
        [_, rest @ ..] if !rest.is_empty() => {
            (first_dot && !only_dots)
                || (rest.iter().all(|group| group.len() == 3) && digits(number).len() <= 9)
        }
        _ => false,
    }
}

fn american(matched: &str) -> Option<Range<usize>> {
    let first = matched.find(|c: char| c.is_ascii_digit())?;
    let written = matched.get(first..)?;
    let length = if written.starts_with('1') { 11 } else { 10 };
    let (end, _) = written.char_indices().filter(|(_, c)| c.is_ascii_digit()).nth(length - 1)?;
    let (number, rest) = written.split_at_checked(end + 1)?;
    let mut marks = number.chars().filter(|c| matches!(c, '.' | '/' | '-')).rev();
    // A group may end with a slash, but otherwise dots go with dots and dashes with dashes.
    let (last, mark) = (marks.next(), marks.next());
    let alike = number.contains([')', ' ']) || last == mark || mark == Some('/');
    let in_row = last.is_none() && !number.contains(')') && is_spaced_digit(rest);
    // 415-555-2671x123
    let extension =
        rest.strip_prefix(['x', 'X']).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let digits = digits(number);
    let national = digits.get(length - 10..)?;
    let whole = alike && !in_row && (extension || !goes_on(rest)) && is_nanp(national);
    whole.then(|| opened(matched, first)..first + number.len())
}

/// Area code and exchange begin with a digit from 2 on and do not end with 11, as 911 does.
fn is_nanp(digits: &str) -> bool {
    let (Some(area), Some(exchange)) = (digits.get(..3), digits.get(3..6)) else { return false };
    digits.len() == 10 && [area, exchange].iter().all(|code| *code >= "200" && !code.ends_with("11"))
}

fn national(matched: &str) -> Option<Range<usize>> {
    let first = matched.find(|c: char| c.is_ascii_digit())?;
    let written = matched.get(first..)?;
    let number = written.get(..reach(written))?.trim_end_matches(|c: char| !c.is_ascii_digit());
    let rest = written.get(number.len()..)?;
    let whole = !goes_on(rest) && !is_spaced_digit(rest) && (is_french(number) || is_in_groups(number));
    whole.then(|| opened(matched, first)..first + number.len())
}

/// Five pairs with one separator. Bytes are written so too; but behind the region comes no 0 and no 1, and few numbers
/// end in many zeros.
fn is_french(number: &str) -> bool {
    let regional = ["01", "02", "03", "04", "05"].iter().any(|region| number.starts_with(region));
    let in_use = !regional || number.get(3..4).is_some_and(|next| next > "1");
    [' ', '.', '-'].iter().any(|mark| {
        let mut pairs = 0;
        let even = number.split(*mark).inspect(|_| pairs += 1).all(|pair| {
            let digits = pair.bytes().all(|b| b.is_ascii_digit());
            digits && pair.len() == 2
        });
        in_use && even && pairs == 5 && number.split(*mark).filter(|pair| *pair == "00").count() < 2
    })
}

/// The area codes of three digits in Great Britain and Germany; those of four and five are too many to tell.
const CITIES: [&str; 9] = ["020", "023", "024", "028", "029", "030", "040", "069", "089"];

/// An area code of three to five digits, set apart, and groups of which none is a single digit. Dots are not among the
/// separators, because versions and dates have them.
fn is_in_groups(number: &str) -> bool {
    let groups: Vec<&str> = groups(number).collect();
    let [area, rest @ ..] = groups.as_slice() else { return false };
    // A dash and four digits make a postal code of the United States, and code points are written in fours.
    let subscriber = match rest {
        [only] => only.len() >= 5,
        [first, ..] => !first.starts_with('0'),
        [] => false,
    };
    let dashes = number.matches(['-', '/']).count();
    (CITIES.contains(area) || (4..=5).contains(&area.len()))
        && (9..=12).contains(&digits(number).len())
        && subscriber
        && rest.iter().all(|group| group.len() >= 2)
        && !number.contains('.')
        && (dashes <= 1 || number.matches('-').count() == rest.len())
}

/// A parenthesis that is closed in the number belongs to it, as in `(415) 555-2671`, but not in `(415-555-2671)`.
fn opened(matched: &str, first: usize) -> usize {
    let area = matched.get(first..).and_then(|number| number.split(|c: char| !c.is_ascii_digit()).next());
    let closed =
        area.is_some_and(|area| matched.get(first + area.len()..).is_some_and(|rest| rest.starts_with(')')));
    let open = matched.get(..first).is_some_and(|before| before.ends_with('('));
    if open && closed { first - 1 } else { first }
}

/// How far digits and what separates them go.
fn reach(written: &str) -> usize {
    written.find(|c: char| !c.is_ascii_digit() && !" ()./-".contains(c)).unwrap_or(written.len())
}

fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

fn groups(number: &str) -> impl Iterator<Item = &str> {
    number.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty())
}

#[cfg(test)]
#[path = "phone_number_tests.rs"]
mod tests;
