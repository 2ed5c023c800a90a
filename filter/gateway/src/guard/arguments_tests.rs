use super::{Arguments, Out};
use crate::testing::{Numbers, answer_rules, test};

/// What comes out of these pieces; what is found becomes `<rule>`.
fn masked(patterns: &[&str], pieces: &[&str]) -> String {
    let rules = answer_rules(patterns);
    let (mut text, mut arguments) = (String::new(), Arguments::new(&rules));
    let mut mask = |rule: usize, _: &str, begins: bool, out: &mut String| {
        if begins {
            out.push_str(&format!("<{rule}>"));
        }
    };
    for piece in pieces {
        arguments.push(&rules, piece, &mut Out { text: &mut text, mask: &mut mask });
    }
    arguments.finish(&rules, &mut Out { text: &mut text, mask: &mut mask });
    text
}

const CARD: &str = r"(?:^|\D)5[0-9]{3}(?:\D|$)";

#[test]
fn what_is_masked_stays_json() {
    let whole = r#"{"card": "5100", "n": 5100, "m": [-12.5, true], "x\u0041\n": "a 5100 b\"c"}"#;
    let expected = r#"{"card": "<0>", "n": "<0>", "m": [-12.5, true], "x\u0041\n": "a<0>b\"c"}"#;
    assert_eq!(masked(&[CARD], &[whole]), expected);
    let single: Vec<&str> = whole.split_inclusive(|_: char| true).collect();
    assert_eq!(masked(&[CARD], &single), expected);
}

#[test]
fn escapes_are_undone_before_they_are_looked_at_and_kept_as_they_are() {
    assert_eq!(
        masked(&["credit card"], &[r#"["\u0063redit\u0020car"#, r#"d", "\u0063at"]"#]),
        r#"["<0>", "\u0063at"]"#
    );
    assert_eq!(
        masked(&["😀"], &[r#"["\ud83d"#, r#"\ude00!","\ud83d\u"#, r#"de01"]"#]),
        r#"["<0>!","\ud83d\ude01"]"#
    );
    assert_eq!(masked(&["ab"], &[r#"["\ud83dab\ud83d\n"]"#]), r#"["\ud83d<0>\ud83d\n"]"#);
}

#[test]
fn strings_are_looked_at_one_by_one() {
    assert_eq!(masked(&["ab"], &[r#"["a","b","ab"]"#]), r#"["a","b","<0>"]"#);
    assert_eq!(masked(&[r#"":""#], &[r#"{"a":"b"}"#]), r#"{"a":"b"}"#);
}

#[test]
fn what_is_no_json_is_a_text() {
    assert_eq!(masked(&["ab"], &["  call a", "b"]), "  call <0>");
    assert_eq!(masked(&["Xb"], &["{X", "b}"]), "{<0>}");
    assert_eq!(masked(&["ab"], &[r#"{"a"#, ""]), r#"{"a"#);
    assert_eq!(masked(&["ab"], &[r#"{"\u00"#]), r#"{"\u00"#);
}

#[test]
fn a_number_of_any_length_is_one_number() {
    let one = format!("[0.{}]", "1".repeat(3000));
    let many: Vec<&str> = one.split_inclusive(|_: char| true).collect();
    assert_eq!(masked(&["2"], &[&one]), one);
    assert_eq!(masked(&["2"], &many), one);
    assert_eq!(masked(&["11"], &[&one]), r#"["<0>"]"#);
    assert_eq!(masked(&["11"], &many), r#"["<0>"]"#);
}

#[test]
fn pieces_change_nothing() {
    let parts = [
        "\"", "a", "b", "5100", "{", "}", ":", ",", "[", " ", "\\n", "\\u0061", "\\ud83d", "\\ude00", "\\",
        "é", "1",
    ];
    let mut numbers = Numbers(0x0dd0_5eed_1234_5678);
    for _ in 0..4000 {
        let text = "{\"".to_owned() + &numbers.text(&parts, 20);
        let pieces = numbers.cut(&text, 4);
        assert_eq!(
            masked(&["ab", CARD, "a{2,4}"], &pieces),
            masked(&["ab", CARD, "a{2,4}"], &[&text]),
            "{pieces:?}"
        );
    }
}
