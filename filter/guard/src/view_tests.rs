use super::{Kind, View, ZEROS, of};
use crate::Found;
use crate::testing::test;

fn views(text: &str) -> Vec<String> {
    of(text).into_iter().map(|it| it.text).collect()
}

#[test]
fn a_text_that_is_plain_has_no_other_spelling() {
    assert_eq!(views("Plain. 日本語 한국어 ひらがな"), [] as [&str; 0]);
}

#[test]
fn each_kind_of_disguise_is_undone() {
    assert_eq!(views("ﬁne"), ["fine"]);
    assert_eq!(views("e\u{301}"), ["é", "e"]);
    assert_eq!(views("a\u{200d}\u{fe0f}b"), ["ab"]);
    assert_eq!(views("ＡＢ①²"), ["AB12"]);
    assert_eq!(views("a\u{a0}\n b"), ["a b"]);
    assert_eq!(views("\u{441}\u{430}t"), ["cat"]);
    assert_eq!(views("x\u{e0041}\u{e0042}"), ["x", "AB"]);
}

#[test]
fn the_digits_of_all_scripts_are_digits() {
    for zero in ZEROS {
        let digits: String = (0..10).filter_map(|i| char::from_u32(zero + i)).collect();
        assert_eq!(views(&digits).last().map(String::as_str), Some("0123456789"), "{zero:x}");
    }
    assert!(ZEROS.is_sorted());
}

#[test]
fn what_is_found_is_found_in_the_original() {
    let original = "x\u{200b}ﬁ\u{301}n é";
    let view = View { kind: Kind::Bare, text: "xfin e".into() };
    let back = |range| {
        let found = view.back(original, vec![Found { rule: 0, range }]);
        found.into_iter().map(|it| original[it.range].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(back(0..1), ["x"]);
    // Half a ligature is all of it.
    assert_eq!(back(1..2), ["ﬁ"]);
    assert_eq!(back(2..4), ["ﬁ\u{301}n"]);
    assert_eq!(back(0..4), ["x\u{200b}ﬁ\u{301}n"]);
    assert_eq!(back(5..6), ["é"]);
}
