use super::{Masker, Piece};
use crate::builtin::testing::find;
use crate::testing::{Numbers, answers, masked, masked_whole, test};
use crate::{Builtin, Purpose, Rule, Rules, What};

/// The workshop's pattern for Mastercard numbers.
const MASTERCARD: &str =
    r"(?:^|\D)(5[1-5][0-9]{2}(?:\ |\-|)[0-9]{4}(?:\ |\-|)[0-9]{4}(?:\ |\-|)[0-9]{4})(?:\D|$)";

#[test]
fn what_cannot_begin_a_match_is_not_held() {
    let rules = answers(&["5[1-5][0-9]{2}", "foo"]);
    assert_eq!(masked(&rules, &["Hello ", "world", "!"]), "Hello |world|!|");
    assert_eq!(masked(&rules, &["a 5", "6", " 512", "3"]), "a |56| ||[0]");
    assert_eq!(masked(&rules, &["fo", "x fo", "o."]), "|fox |[1].|");
}

#[test]
fn a_match_that_is_cut_into_characters_is_masked_all_the_same() {
    let rules = answers(&[MASTERCARD]);
    let text = "1. 5105 1051 0510 5100\n2. 5454-5454-5454-5454 end";
    let pieces: Vec<&str> = text.split_inclusive(|_: char| true).collect();
    assert_eq!(masked_whole(&rules, &[text]), "1.[0]2.[0]end");
    assert_eq!(masked_whole(&rules, &pieces), "1.[0]2.[0]end");
}

#[test]
fn the_best_match_is_the_leftmost_and_of_these_the_first_alternative() {
    assert_eq!(masked_whole(&answers(&["(?:foo|foobar)baz"]), &["fo", "oba", "rbazfoobaz"]), "[0][0]");
    assert_eq!(masked_whole(&answers(&["a|ab", "x{1,3}?"]), &["ab", "xxx"]), "[0]b[1][1][1]");
    assert_eq!(masked_whole(&answers(&["x{1,3}"]), &["xx", "xx"]), "[0][0]");
    assert_eq!(masked_whole(&answers(&["q[^q]*q ~ 10"]), &["a q..", ".q q"]), "a [0] q");
}

#[test]
fn no_rule_hides_another_s_match() {
    let rules = answers(&[r"foo\d", r"\d{6}"]);
    assert_eq!(masked_whole(&rules, &["foo12", "3456x"]), "[0]x");
    assert_eq!(masked_whole(&rules, &["foo1", "x123456"]), "[0]x[1]");
    // What touches is two matches, what overlaps is one.
    assert_eq!(masked_whole(&answers(&["ab", "cd"]), &["abcd"]), "[0][1]");
    assert_eq!(masked_whole(&answers(&["abc", "cde", "efg"]), &["abcd", "efgh"]), "[0]h");
}

#[test]
fn assertions_wait_for_what_comes_next() {
    let word = answers(&[r"\bcat\b"]);
    assert_eq!(masked(&word, &["cat", "s cat", ""]), "|cats |".to_owned() + "|[0]");
    assert_eq!(masked_whole(&answers(&["end$"]), &["end", "\nend", "ing"]), "[0]\nending");
    assert_eq!(masked_whole(&answers(&[r"\Aa"]), &["a", "a\na"]), "[0]a\na");
    assert_eq!(masked_whole(&answers(&[r"a\z"]), &["a", "a"]), "a[0]");
    assert_eq!(masked_whole(&answers(&["^a"]), &["a", "a\n", "a"]), "[0]a\n[0]");
    assert_eq!(masked_whole(&answers(&[r"a\Bb\B"]), &["a", "bc ab"]), "[0]c ab");
}

#[test]
fn characters_are_masked_whole() {
    assert_eq!(masked_whole(&answers(&["[^a]b"]), &["é", "b€b"]), "[0][0]");
    let rules = answers(&["é."]);
    let mut masker = Masker::new(&rules);
    let mut out = Vec::new();
    for piece in ["aé", "€"] {
        masker.push(&rules, piece, &mut |piece| out.push(format!("{piece:?}")));
    }
    masker.finish(&rules, &mut |piece| out.push(format!("{piece:?}")));
    assert_eq!(out, [r#"Kept("a")"#, r#"Masked { rule: 0, text: "é€", begins: true }"#]);
}

#[test]
fn after_its_end_a_text_begins_anew() {
    let rules = answers(&[r"\Aab"]);
    let mut masker = Masker::new(&rules);
    let mut out = String::new();
    for _ in 0..2 {
        masker.push(&rules, "a", &mut |piece| out.push_str(piece.text()));
        masker
            .push(&rules, "b", &mut |piece| out.push_str(if piece == Piece::Kept("b") { "b" } else { "X" }));
        masker.finish(&rules, &mut |piece| out.push_str(if piece == Piece::Kept("ab") { "?" } else { "X" }));
    }
    assert_eq!(out, "XX");
}

#[test]
fn of_a_match_without_end_no_more_is_held_than_the_policy_allows() {
    let rules = answers(&["q[^q]*q ~ 16"]);
    let mut masker = Masker::new(&rules);
    let mut passed = 0;
    for _ in 0..1000 {
        masker.push(&rules, "q1234567", &mut |piece| passed += piece.text().len());
        assert!(masker.held() <= 16, "{}", masker.held());
    }
    assert!(passed > 7900);
    // A longer one is none, and those that begin within it are not lost.
    assert_eq!(masked_whole(&answers(&["a[^q]*q ~ 5"]), &["aaaaaaaa..", "q"]), "aaaaaa[0]");
    assert_eq!(masked_whole(&answers(&["q[^q]*q ~ 5"]), &["q.......q", "..q"]), "q.......[0]");
}

/// Pattern sets, as they are and as the reference has them.
const SETS: [&[&str]; 4] = [
    &[MASTERCARD, "[0-9]{3}-[0-9]{2}-[0-9]{4}", "[a-z0-9.]{1,8}@[a-z]{1,5}", r"sk-[a-z0-9]{4}"],
    &["q[^q]{0,9}q", "(?:foo|foobar)baz", "a|ab", "ab{0,3}?c", "(?:a?){3}a{3}", "x.{2}y|.x"],
    &[r"\bfo\b", "^a.$", r"b$", r"\Bo", r"\Aq", r"z\z", "[^a-z]é", "É{2}"],
    &["(?:^|[^0-9])5[0-9]{3}(?:[^0-9]|$)", "5[0-9]{3}", "[0-9]{1,2}@"],
];

const PARTS: [&str; 24] = [
    "a",
    "b",
    "o",
    "f",
    "x",
    "y",
    "q",
    "z",
    "é",
    "É",
    "5",
    "1",
    "0",
    "-",
    "@",
    " ",
    "\n",
    "foo",
    "bar",
    "baz",
    "sk-",
    "5105105105105100",
    "123-45-6789",
    "a@b",
];

/// Another engine's idea of these patterns.
fn reference(patterns: &[&str]) -> Vec<regex::Regex> {
    let regex = |pattern: &&str| {
        let pattern =
            pattern.replace(r"\D", "[^0-9]").replace(r"\b", r"(?-u:\b)").replace(r"\B", r"(?-u:\B)");
        regex::RegexBuilder::new(&pattern)
            .case_insensitive(true)
            .multi_line(true)
            .dot_matches_new_line(true)
            .build()
            .unwrap()
    };
    patterns.iter().map(regex).collect()
}

/// What each finds on its own; what overlaps is united.
fn masked_by(reference: &[regex::Regex], text: &str) -> String {
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    for (rule, regex) in reference.iter().enumerate() {
        found.extend(regex.find_iter(text).map(|it| (it.start(), rule, it.end())));
    }
    united(found, text)
}

/// The text with starts, rules and ends of finds masked.
fn united(mut found: Vec<(usize, usize, usize)>, text: &str) -> String {
    found.sort_unstable();
    let (mut out, mut at) = (String::new(), 0);
    for (start, rule, end) in found {
        if start >= at {
            out.push_str(&text[at..start]);
            out.push_str(&format!("[{rule}]"));
        }
        at = at.max(end);
    }
    out + &text[at..]
}

/// Texts of each set that are tried.
const TEXTS: usize = if cfg!(target_arch = "wasm32") { 300 } else { 6000 };

#[test]
fn however_a_text_is_cut_what_comes_out_is_what_another_engine_finds_in_the_whole() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for patterns in SETS {
        let (rules, reference) = (answers(patterns), reference(patterns));
        for _ in 0..TEXTS {
            let text = numbers.text(&PARTS, 24);
            let expected = masked_by(&reference, &text);
            let pieces = numbers.cut(&text, 6);
            assert_eq!(masked_whole(&rules, &pieces), expected, "{patterns:?} {pieces:?}");
            assert_eq!(masked_whole(&rules, &[&text]), expected, "{patterns:?} {text:?}");
        }
    }
}

#[test]
fn no_more_is_held_than_the_longest_match() {
    let mut numbers = Numbers(0xdead_beef_0bad_cafe);
    for patterns in SETS {
        let rules = answers(patterns);
        let mut masker = Masker::new(&rules);
        for _ in 0..TEXTS {
            masker.push(&rules, &numbers.text(&PARTS, 4), &mut |_| {});
            assert!(masker.held() <= rules.longest(), "{} of {}", masker.held(), rules.longest());
        }
    }
}

#[test]
fn with_a_bound_of_the_policy_s_own_pieces_change_nothing_either() {
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for patterns in
        [&["q[^q]*q ~ 7", "a[^b]*b ~ 5", "[0-9]+ ~ 4"], &["(?:fo+|ba)+z ~ 8", "x.*?y ~ 6", "[a-z]+@ ~ 5"]]
    {
        let rules = answers(patterns);
        for _ in 0..TEXTS {
            let text = numbers.text(&PARTS, 24);
            let pieces = numbers.cut(&text, 6);
            assert_eq!(
                masked_whole(&rules, &pieces),
                masked_whole(&rules, &[&text]),
                "{patterns:?} {pieces:?}"
            );
        }
    }
}

/// What a recogniser looks at, whole and in pieces.
const SEEN: [&str; 34] = [
    "4111 1111 1111 1111",
    "5105105105105100",
    "3714-496353-98431",
    "378282246310005",
    "219-09-9998",
    "219 09 9998",
    "ssn ",
    "social security number: ",
    "219099998",
    "jane.doe@example.org",
    "a@b",
    "@",
    ".",
    "-",
    "+1 415 555 2671",
    "415-555-2671",
    "(415) 555-2671",
    "020 7946 0958",
    "DE89 3704 0044 0532 0130 00",
    "GB29NWBK60161331926819",
    "203.0.113.7",
    "2001:db8::1",
    "1",
    "42",
    " ",
    "\n",
    ",",
    "é",
    "x",
    "ghp_1234567890abcdefghijKLMNOPQRSTUV1234",
    "AKIAIOSFODNN7EXAMPLE",
    "-----BEGIN PRIVATE KEY-----\n",
    "=",
    "--",
];

#[test]
fn recognisers_find_in_pieces_what_they_find_in_the_whole() {
    let rule = |it: Builtin| Rule { name: it.name().into(), what: What::Builtin(it) };
    let rules = Rules::compile(Builtin::ALL.map(rule).to_vec(), Purpose::Answers).unwrap();
    let mut numbers = Numbers(0x0ddb_a11c_afe5_0001);
    for _ in 0..TEXTS / 10 {
        let text = numbers.text(&SEEN, 12);
        let pieces = numbers.cut(&text, 6);
        let mut found: Vec<(usize, usize, usize)> = Vec::new();
        for (rule, builtin) in Builtin::ALL.iter().enumerate() {
            for candidate in builtin.candidates() {
                found.extend(find(candidate, &text).into_iter().map(|it| (it.start, rule, it.end)));
            }
        }
        let expected = united(found, &text);
        assert_eq!(masked_whole(&rules, &[&text]), expected, "{text:?}");
        assert_eq!(masked_whole(&rules, &pieces), expected, "{pieces:?}");
    }
}

#[test]
fn the_context_of_a_thing_is_not_held_for_it() {
    let rule = |it: Builtin| Rule { name: it.name().into(), what: What::Builtin(it) };
    let rules = Rules::compile(Builtin::ALL.map(rule).to_vec(), Purpose::Answers).unwrap();
    assert_eq!(
        masked(&rules, &["Well, ", "one ", "and ", "two: ", "fine."]),
        "Well, |one |and |two: ||fine."
    );
}

/// The best match of no more than so many bytes from each start, by trying every length.
fn bounded_by(pattern: &str, longest: usize, text: &str) -> String {
    let whole =
        regex::RegexBuilder::new(&format!("^(?:{pattern})$")).dot_matches_new_line(true).build().unwrap();
    let lengths = |start: usize| {
        let ends =
            (start + 1..=text.len()).filter(|end| text.is_char_boundary(*end) && end - start <= longest);
        ends.filter(|end| whole.is_match(&text[start..*end])).collect::<Vec<_>>()
    };
    let (mut out, mut at) = (String::new(), 0);
    while at < text.len() {
        // Greedy patterns without alternatives: the longest that fits is the best.
        if text.is_char_boundary(at)
            && let Some(end) = lengths(at).pop()
        {
            out.push_str("[0]");
            at = end;
        } else {
            out.push_str(text.get(at..at + 1).unwrap_or(""));
            at += 1;
        }
    }
    out
}

#[test]
fn a_bound_takes_what_fits_and_leaves_nothing_out() {
    let mut numbers = Numbers(0xb0b0_5eed_1234_4321);
    for (pattern, longest) in [("a[^b]*b", 5), ("q[^q]*q", 7), ("[0-9]+x", 3), ("ab+c*", 4), ("a.*b", 6)] {
        let rules = answers(&[&format!("{pattern} ~ {longest}")]);
        for _ in 0..TEXTS / 4 {
            let text = numbers.text(&["a", "b", "q", "c", "x", "1", "-"], 24);
            let expected = bounded_by(pattern, longest, &text);
            assert_eq!(masked_whole(&rules, &numbers.cut(&text, 5)), expected, "{pattern} {text:?}");
        }
    }
}

#[test]
fn what_could_begin_everywhere_and_never_ends_takes_linear_time() {
    let rules = answers(&["a[^b]*b ~ 16384"]);
    let mut masker = Masker::new(&rules);
    // Were it not linear, this would take minutes.
    for _ in 0..if cfg!(target_arch = "wasm32") { 2_000 } else { 20_000 } {
        masker.push(&rules, "aaaa", &mut |_| {});
    }
    assert_eq!(masker.held(), if cfg!(target_arch = "wasm32") { 8_000 } else { 16384 });
}
