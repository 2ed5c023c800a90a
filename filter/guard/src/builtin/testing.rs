//! The search as the crate does it, in its plainest form: pattern by pattern, from left to right.

#![allow(clippy::string_slice)]

use super::{Builtin, Candidate};
use regex::Regex;
use std::ops::Range;

/// What is found in a text, in its order; of what overlaps, the longest.
pub fn found(builtin: Builtin, text: &str) -> Vec<&str> {
    let mut all: Vec<_> = builtin.candidates().iter().flat_map(|candidate| find(candidate, text)).collect();
    all.sort_by_key(|part| (part.start, text.len() - part.end));
    let mut reached = 0;
    all.retain(|part| {
        let new = part.end > reached;
        reached = reached.max(part.end);
        new
    });
    all.into_iter().map(|part| &text[part]).collect()
}

/// What one pattern finds.
pub fn find(candidate: &Candidate, text: &str) -> Vec<Range<usize>> {
    let pattern = Regex::new(candidate.pattern).unwrap();
    let (mut parts, mut from) = (Vec::new(), 0);
    while let Some(matched) = pattern.find_at(text, from) {
        match (candidate.check)(matched.as_str()) {
            Some(part) => {
                let part = matched.start() + part.start..matched.start() + part.end;
                assert!(part.start >= from && part.start < part.end && part.end <= matched.end(), "{text}");
                from = part.end;
                parts.push(part);
            }
            None => from = matched.start() + text[matched.start()..].chars().next().map_or(1, char::len_utf8),
        }
        if from > text.len() {
            break;
        }
    }
    parts
}

/// Each text with what is found in it.
pub fn finds(builtin: Builtin, table: &[(&str, &[&str])]) {
    for (text, expected) in table {
        assert_eq!(found(builtin, text), *expected, "{text:?}");
    }
}

/// Texts in which nothing is found, alone or in the places where such things stand.
pub fn passes(builtin: Builtin, table: &[&str]) {
    for text in table {
        for text in
            [(*text).to_owned(), format!("It is {text}."), format!("[\"{text}\",1]"), format!("a: {text}\n")]
        {
            assert!(found(builtin, &text).is_empty(), "{text:?}: {:?}", found(builtin, &text));
        }
    }
}

/// The texts are found wherever they stand, and all of them where there are several.
pub fn finds_everywhere(builtin: Builtin, things: &[&str]) {
    let places = [
        ("", ""),
        ("It is ", "."),
        ("It is ", ", I think"),
        ("(", ")"),
        ("[", "]"),
        ("<", ">"),
        ("\"", "\""),
        ("'", "'"),
        ("`", "`"),
        ("**", "**"),
        ("key:", ";"),
        ("key: ", "\r\n"),
        ("line\n", "\nline"),
        ("a;", ";b"),
        ("\t", "\t"),
        ("这是", "号"),
        ("« ", " »"),
        ("“", "”"),
        ("é ", " é"),
        ("Is it ", "?"),
        ("Yes: ", "!"),
    ];
    for thing in things {
        for (before, after) in places {
            let text = format!("{before}{thing}{after}");
            assert_eq!(found(builtin, &text), [*thing], "{text:?}");
        }
        for between in ["\n", ", ", "; ", " and ", "\",\"", "、"] {
            let text = format!("{thing}{between}{thing}{between}{thing}");
            assert_eq!(found(builtin, &text), [*thing, *thing, *thing], "{text:?}");
        }
    }
}

/// What looks like something and is nothing, for all recognisers.
pub const LOOK_ALIKES: &[&str] = &[
    "123e4567-e89b-12d3-a456-426614174000",
    "41111111-1111-4111-8111-111111111111",
    "a987fbc9-4bed-3078-8f07-9141ba07c9f3",
    "00000000-0000-0000-0000-000000000000",
    "5105105a-5105-4105-9105-510510510510",
    "2024-11-25",
    "25.11.2024",
    "11/25/2024",
    "01.02.2024",
    "01-02-2024",
    "01 02 2024",
    "2024-11-25T10:30:45Z",
    "2024-11-25T10:30:45.123456789+01:00",
    "2024-11-25 10:30:45,123",
    "20241125103045",
    "20241125T103045Z",
    "1732530645",
    "1732530645123",
    "1732530645123456",
    "1732530645123456789",
    "10:30:45",
    "00:1b:44:11:3a:b7",
    "00-1b-44-11-3a-b7",
    "978-3-16-148410-0",
    "9783161484100",
    "978 0 306 40615 7",
    "0-306-40615-2",
    "0306406152",
    "3-16-148410-X",
    "4006381333931",
    "0.4111111111111111",
    "4111111111111111.5",
    "3.141592653589793",
    "-2.718281828459045",
    "6.02214076e23",
    "1e-10",
    "4111111111111111111111111",
    "00000000000000000000",
    "9999999999999999",
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "0x4111111111111111",
    "v1.2.3",
    "1.2.3-rc.4",
    "v1.2.3.4",
    "1.2.3.4.5",
    "lodash@4.17.21",
    "48.856614, 2.352222",
    "+48.856614, +2.352222",
    "$1,234,567.89",
    "1.234.567,89 EUR",
    "1 000 000 000",
    "10-20",
    "1990-2024",
    "ORD-2024-000123",
    "113-7654321-1234567",
    "1Z999AA10123456784",
    "INV-00012345",
    "#123456",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    "2010 2011 2012 2013 2014 2015 2016",
    "100%",
    "std::vector<int>",
    "a::b::c",
    "SHA256:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
    "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
    "aGVsbG8gd29ybGQsIHRoaXMgaXMgYSB0ZXN0",
    "https://example.com/a/b?c=1234567890123456#d",
    "user_1234567890123456",
];
