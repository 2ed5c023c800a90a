use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};

use super::{MAX_BYTES, Token};
use crate::testing::test;
use crate::{Algorithm, Refusal};

/// RFC 7519 section 3.1, which is RFC 7515 appendix A.1: its JSON has line ends and blanks.
const EXAMPLE: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A token with this header and these claims and a signature of four zeros.
fn token(header: &str, claims: &str) -> String {
    format!("{}.{}.AAAAAA", BASE64.encode(header), BASE64.encode(claims))
}

fn of_header(header: &str) -> Result<Token, Refusal> {
    Token::parse(&token(header, "{}"))
}

fn refusal_of(text: &str) -> Option<Refusal> {
    Token::parse(text).err()
}

#[test]
fn the_example_of_the_standard_is_read() {
    let token = Token::parse(EXAMPLE).unwrap();
    assert_eq!(token.algorithm(), Algorithm::Hs256);
    assert_eq!((token.key_id(), token.header()["typ"].as_str()), (None, Some("JWT")));
    assert_eq!((token.claims().issuer(), token.claims().expires_at()), (Some("joe"), Some(1_300_819_380.0)));
    assert_eq!(token.claims().as_value()["http://example.com/is_root"], true);
    assert_eq!(token.signed(), EXAMPLE.rsplit_once('.').unwrap().0.as_bytes());
    assert_eq!(token.signature().len(), 32);
}

#[test]
fn three_segments_are_a_token_and_nothing_else_is() {
    let (signed, signature) = EXAMPLE.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    for text in [
        "",
        ".",
        "..",
        "...",
        "abc",
        "a.b",
        signed,
        &format!("{signed}."),
        &format!(".{claims}.{signature}"),
        &format!("{header}..{signature}"),
        &format!("{EXAMPLE}."),
        &format!(".{EXAMPLE}"),
        &format!("{EXAMPLE}.{signature}"),
        // RFC 7515 section 7.2: the same as JSON.
        &format!(r#"{{"protected":"{header}","payload":"{claims}","signature":"{signature}"}}"#),
    ] {
        assert_eq!(refusal_of(text), Some(Refusal::Form), "{text}");
    }
}

#[test]
fn a_segment_has_one_spelling_only() {
    let segments: Vec<&str> = EXAMPLE.split('.').collect();
    let refusals = [Refusal::HeaderBase64, Refusal::ClaimsBase64, Refusal::SignatureBase64];
    for (i, refusal) in refusals.into_iter().enumerate() {
        let segment = segments[i];
        let cut = segment.strip_suffix(|_: char| true).unwrap();
        // RFC 4648 sections 3.2, 3.3, 3.5 and 5: padding, other characters, unused bits, the other alphabet.
        for spelt in [
            format!("{segment}="),
            format!("{segment}=="),
            format!(" {segment}"),
            format!("{segment}\n"),
            format!("{cut} "),
            format!("{cut}+"),
            format!("{cut}/"),
            format!("{cut}%41"),
        ] {
            let mut all = segments.clone();
            all[i] = &spelt;
            assert_eq!(refusal_of(&all.join(".")), Some(refusal), "{spelt}");
        }
    }
    let good = token(r#"{"alg":"RS256","kid":"a"}"#, "{}");
    assert_eq!(refusal_of(&good), None);
    for (end, other, refusal) in [
        ("fQ.", "fR.", Refusal::HeaderBase64),
        (".e30.", ".e31.", Refusal::ClaimsBase64),
        (".AAAAAA", ".AAAAAB", Refusal::SignatureBase64),
    ] {
        assert!(good.contains(end));
        assert_eq!(refusal_of(&good.replace(end, other)), Some(refusal), "unused bits have to be zero");
    }
    assert_eq!(refusal_of(&good.replace("AAAAAA", "-_-_-_-_")), None, "the alphabet for URLs");
}

#[test]
fn a_token_is_as_long_as_the_bound_at_most() {
    // A segment has 0, 2 or 3 characters more than a multiple of 4.
    let filled = |length: usize| {
        let signed = token(r#"{"alg":"RS256"}"#, "{}").replace("AAAAAA", "");
        let claims = if (length - signed.len()) % 4 == 1 { "{ }" } else { "{}" };
        let signed = token(r#"{"alg":"RS256"}"#, claims).replace("AAAAAA", "");
        let signature = "A".repeat(length - signed.len());
        format!("{signed}{signature}")
    };
    for length in [MAX_BYTES - 1, MAX_BYTES] {
        assert_eq!(filled(length).len(), length);
        assert_eq!(refusal_of(&filled(length)), None, "{length}");
    }
    assert_eq!(refusal_of(&filled(MAX_BYTES + 1)), Some(Refusal::TooLong));
    assert_eq!(refusal_of(&"a".repeat(1 << 20)), Some(Refusal::TooLong));
}

#[test]
fn the_algorithm_is_one_that_is_known_by_its_exact_name() {
    for name in ["HS256", "RS384", "PS512", "ES256", "ES384", "EdDSA"] {
        let token = of_header(&format!(r#"{{"alg":"{name}"}}"#)).unwrap();
        assert_eq!(token.algorithm().to_string(), name);
    }
    for name in
        ["none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "RS257", "ES512", "ES256K", "EDDSA", "dir"]
    {
        let refused = of_header(&format!(r#"{{"alg":"{name}"}}"#)).err();
        assert_eq!(refused, Some(Refusal::AlgorithmUnsupported), "{name}");
    }
    for header in ["{}", r#"{"alg":null}"#, r#"{"alg":7}"#, r#"{"alg":["RS256"]}"#, r#"{"ALG":"RS256"}"#] {
        assert_eq!(of_header(header).err(), Some(Refusal::AlgorithmMissing), "{header}");
    }
}

#[test]
fn what_a_header_asks_for_and_is_not_done_here_makes_a_token_invalid() {
    for (member, refusal) in [
        (r#""crit":["exp"]"#, Refusal::Critical),
        (r#""crit":[]"#, Refusal::Critical),
        (r#""crit":null"#, Refusal::Critical),
        (r#""b64":true"#, Refusal::Critical),
        (r#""b64":false,"crit":["b64"]"#, Refusal::Critical),
        (r#""cty":"JWT""#, Refusal::Critical),
        (r#""cty":"jwt""#, Refusal::Critical),
        (r#""cty":"application/JWT""#, Refusal::Critical),
        (r#""jwk":{"kty":"oct","k":"AA"}"#, Refusal::EmbeddedKey),
        (r#""jku":"https://example.com""#, Refusal::EmbeddedKey),
        (r#""x5u":"https://example.com""#, Refusal::EmbeddedKey),
        (r#""x5c":[]"#, Refusal::EmbeddedKey),
        (r#""kid":7"#, Refusal::KeyIdType),
        (r#""kid":null"#, Refusal::KeyIdType),
        (r#""kid":["a"]"#, Refusal::KeyIdType),
    ] {
        assert_eq!(of_header(&format!(r#"{{"alg":"RS256",{member}}}"#)).err(), Some(refusal), "{member}");
    }
    let harmless =
        of_header(r#"{"alg":"RS256","typ":"at+jwt","x5t":"a","kid":"../../a'b","zip":1}"#).unwrap();
    assert_eq!(harmless.key_id(), Some("../../a'b"), "an opaque text");
}

#[test]
fn no_name_stands_twice_in_a_header_or_in_claims() {
    for header in [
        r#"{"alg":"RS256","alg":"RS256"}"#,
        r#"{"alg":"none","\u0061lg":"RS256"}"#,
        r#"{"alg":"RS256","x":{"a":1,"a":1}}"#,
    ] {
        assert_eq!(of_header(header).err(), Some(Refusal::HeaderJson), "{header}");
    }
    for claims in [
        r#"{"sub":"a","sub":"b"}"#,
        r#"{"sub":"a","s\u0075b":"b"}"#,
        r#"{"llms":{"openai":[],"openai":["gpt-4o"]}}"#,
        r#"{"a":[[{"b":0,"b":0}]]}"#,
    ] {
        let refused = refusal_of(&token(r#"{"alg":"RS256"}"#, claims));
        assert_eq!(refused, Some(Refusal::ClaimsJson), "{claims}");
    }
}

#[test]
fn header_and_claims_are_objects() {
    for json in
        ["", "null", "[]", "\"a\"", "1", "{", "{}{}", "{} ,", "\u{feff}{}", "{'a':1}", "{\"a\":\"\u{1}\"}"]
    {
        assert_eq!(
            of_header(json).err(),
            Some(if json.is_empty() { Refusal::Form } else { Refusal::HeaderJson }),
            "{json}"
        );
        let refused = refusal_of(&token(r#"{"alg":"RS256"}"#, json));
        assert_eq!(
            refused,
            Some(if json.is_empty() { Refusal::Form } else { Refusal::ClaimsJson }),
            "{json}"
        );
    }
    let not_utf8 =
        format!("{}.{}.AAAA", BASE64.encode(r#"{"alg":"RS256"}"#), BASE64.encode(b"{\"a\":\"\xff\"}"));
    assert_eq!(refusal_of(&not_utf8), Some(Refusal::ClaimsJson));
}
