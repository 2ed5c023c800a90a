use super::{Reading, read};
use crate::testing::test;
use crate::{Purpose, Rule, Rules, What};

fn refused(pattern: &str) -> String {
    read(pattern, Reading::Plain).unwrap_err()
}

fn finds(pattern: &str, text: &str) -> Vec<String> {
    let what = What::Pattern { pattern: pattern.into(), longest: None };
    let rules = Rules::compile(vec![Rule { name: "r".into(), what }], Purpose::Prompts)
        .map_err(|it| it.len())
        .unwrap();
    rules.find(text, usize::MAX).into_iter().map(|it| text[it.range].to_owned()).collect()
}

#[test]
fn what_cannot_be_run_as_it_is_meant_is_refused_and_it_is_said_why() {
    assert_eq!(refused("(a"), "unclosed group, at character 1");
    assert_eq!(
        refused("a(?=b)"),
        "look-around, including look-ahead and look-behind, is not supported, at character 2"
    );
    assert_eq!(refused(r"(a)\1"), "backreferences are not supported, at character 4");
    assert_eq!(refused(r"\p{L}"), r"classes of Unicode such as \p{L} are not supported, at character 1");
    assert_eq!(refused(r"[\p{L}]"), r"classes of Unicode such as \p{L} are not supported, at character 2");
    assert_eq!(refused("a++"), "a repetition of a repetition has no meaning here, at character 3");
    assert_eq!(refused("a*"), "it matches the empty text, which is everywhere");
    assert_eq!(refused(r"\b"), "it matches the empty text, which is everywhere");
    assert_eq!(refused("[^\\s\\S]"), "it can match nothing at all");
    assert_eq!(refused("(?R)a$"), "the flag R is not supported");
    assert!(refused(&format!("{}a{}", "(".repeat(100), ")".repeat(100))).starts_with("exceed the maximum"));
    assert_eq!(refused("a{5"), "unclosed counted repetition, at character 2");
}

#[test]
fn patterns_are_read_as_the_policies_mean_them() {
    assert_eq!(finds("credit card", "a CREDIT card"), ["CREDIT card"]);
    assert_eq!(finds("^b.d$", "a\nb\nd\nc"), ["b\nd"]);
    assert_eq!(finds("(?-i)Ab", "ab Ab AB"), ["Ab"]);
    assert_eq!(finds("größe", "GRÖSSE GRÖßE"), ["GRÖßE"]);
    assert_eq!(finds(r"\bd\w+\b", "add d1_€"), ["d1_"]);
    assert_eq!(finds(r"[\d\s]{3}x", "1\u{a0}2x"), ["1\u{a0}2x"]);
    assert_eq!(finds(r"\D\W\S", "1é é"), ["é é"]);
    assert_eq!(finds(r"\<a\>", "aa a"), ["a"]);
    assert_eq!(finds(r"a(?:\ |\-|)b", "a b a-b ab"), ["a b", "a-b", "ab"]);
}

#[test]
fn a_blank_in_a_pattern_for_prompts_is_any_white_space() {
    assert_eq!(finds("credit card", "credit \n\t card, credit\u{a0}card, creditcard").len(), 2);
    assert_eq!(finds("a[ -]b", "a\tb a b a-b"), ["a b", "a-b"]);
}
