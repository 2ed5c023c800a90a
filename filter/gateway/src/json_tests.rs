use super::{MAX_DEPTH, Token, TooDeep, Walk, decoded, encoded, located};
use crate::testing::test;

fn tokens(json: &str) -> String {
    let mut walk = Walk::new(json);
    let mut out = Vec::new();
    while let Some(token) = walk.next().unwrap() {
        out.push(match token {
            Token::Object(at) => format!("{{{at}"),
            Token::Array(at) => format!("[{at}"),
            Token::End(at) => format!("}}{at}"),
            Token::Name(range) => format!("{}:", walk.text(&range)),
            Token::Text(range) => format!("'{}'", walk.text(&range)),
            Token::Number(range) | Token::Word(range) => walk.text(&range).into_owned(),
        });
    }
    assert_eq!(walk.depth(), 0);
    out.join(" ")
}

#[test]
fn everything_is_told_in_order() {
    assert_eq!(
        tokens(r#" {"a" : [1, -2.5e3,"x\"y"],"b\u0063":{"d":null,"e":{}}, "f":[]} "#),
        r#"{1 a: [8 1 -2.5e3 'x"y' }26 bc: {37 d: null e: {51 }53 }54 f: [60 }62 }63"#
    );
    assert_eq!(tokens("12"), "12");
    assert_eq!(tokens(r#""""#), "''");
    assert_eq!(tokens(r#"["a","b",{"c":"d"},"e"]"#), "[0 'a' 'b' {9 c: 'd' }18 'e' }23");
}

#[test]
fn what_is_nested_too_deeply_is_not_read() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(!tokens(&nested(MAX_DEPTH)).is_empty());
    let json = nested(MAX_DEPTH + 1);
    let mut walk = Walk::new(&json);
    let refused = std::iter::from_fn(|| walk.next().transpose()).find_map(Result::err);
    assert_eq!(refused, Some(TooDeep));
}

#[test]
fn escapes_are_decoded_and_found_again() {
    let raw = r#"a\nb\u00e9\ud83d\ude00\"c\\"#;
    assert_eq!(decoded(raw), "a\nbé😀\"c\\");
    let places = |range: std::ops::Range<usize>| raw.get(located(raw, &[range]).first()?.clone());
    assert_eq!(places(0..1), Some("a"));
    assert_eq!(places(1..3), Some(r"\nb"));
    assert_eq!(places(3..5), Some(r"\u00e9"));
    assert_eq!(places(2..9), Some(r"b\u00e9\ud83d\ude00"));
    assert_eq!(places(9..12), Some(r#"\"c\\"#));
    assert_eq!(located(raw, &[0..1, 2..3, 10..11]), [0..1, 3..4, 24..25]);
    assert_eq!(decoded(r"\ud83dx\udc00"), "\u{fffd}x\u{fffd}");
    assert_eq!(encoded("a\"\n"), r#"a\"\n"#);
}
