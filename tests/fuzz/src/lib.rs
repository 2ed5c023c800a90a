//! What must hold whatever bytes are taken for a token, for keys, for a text in pieces or for a stream.
//!
//! Each function here is a target of `make fuzz`, and a test tries it with the seeds in `corpus` and with many small
//! changes of them. It panics where something does not hold.

// What goes wrong here is meant to stop it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod cuts;
mod masker;
mod strength;

use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use jwt::{Claims, Expectation, KeySet, MAX_BYTES, Refusal, Token};
use serde_json::Value;

pub use answers::answers;
pub use masker::masker;

/// A token that is taken has one form, and says one thing. Bytes in three lines are also taken for what a token's
/// segments say, so that a fuzzer need not find out what base64 is.
pub fn token(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        one_form(text);
    }
    let segments = data.splitn(3, |byte| *byte == b'\n').map(|it| BASE64.encode(it));
    one_form(&segments.collect::<Vec<_>>().join("."));
}

fn one_form(text: &str) {
    let Ok(token) = Token::parse(text) else { return };
    assert!(text.len() <= MAX_BYTES);
    let segments: Vec<&str> = text.split('.').collect();
    assert_eq!(segments.len(), 3);
    for segment in &segments {
        let bytes = BASE64.decode(segment).unwrap();
        assert_eq!(BASE64.encode(bytes), *segment, "a segment that could be written in two ways");
    }
    let header: Value = serde_json::from_slice(&BASE64.decode(segments[0]).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64.decode(segments[1]).unwrap()).unwrap();
    assert_eq!(Value::Object(token.header().clone()), header);
    assert_eq!(*token.claims().as_value(), claims);
    for (segment, value) in segments.iter().zip([&header, &claims]) {
        each_name_once(&BASE64.decode(segment).unwrap(), value);
    }
    assert_eq!(header["alg"], token.algorithm().name());
    assert_eq!(header.get("kid").map(Value::as_str), token.key_id().map(Some));
    for refused in ["crit", "b64", "jwk", "jku", "x5u", "x5c"] {
        assert!(header.get(refused).is_none(), "{refused}");
    }
    for claim in ["exp", "nbf"] {
        assert!(claims.get(claim).is_none_or(Value::is_number), "{claim}");
    }
    expected(token.claims(), &claims);
}

/// `serde_json` takes the last of two names: where a text has as many names as what it made of it, none stood twice.
fn each_name_once(json: &[u8], value: &Value) {
    assert_eq!(colons(json), names(value), "a name stands twice");
}

/// The colons of a JSON text that are outside its strings: one for each name.
fn colons(json: &[u8]) -> usize {
    let (mut count, mut inside, mut escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b':' if !inside => count += 1,
            _ => {}
        }
    }
    count
}

fn names(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(|it| 1 + names(it)).sum(),
        Value::Array(list) => list.iter().map(names).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// What is asked of claims is what a reader of their JSON would ask, and no token is good for ever.
fn expected(claims: &Claims, json: &Value) {
    const NOW: u32 = 2_000_000_000;
    let now = f64::from(NOW);
    let expectation = Expectation {
        issuer: Some("solo.io".into()),
        audiences: vec!["a".into()],
        clock_skew_seconds: 60,
        require_expiry: true,
    };
    let audience =
        json["aud"] == "a" || json["aud"].as_array().is_some_and(|it| it.contains(&Value::from("a")));
    let verdict = match (json["nbf"].as_f64(), json["exp"].as_f64()) {
        _ if json["iss"] != "solo.io" => Err(Refusal::IssuerUnknown),
        (Some(start), _) if start - 60.0 > now => Err(Refusal::NotYetValid),
        (_, Some(end)) if end + 60.0 < now => Err(Refusal::Expired),
        (_, None) => Err(Refusal::ExpiryRequired),
        (_, Some(_)) if !audience => Err(Refusal::AudienceNotAllowed),
        (_, Some(_)) => Ok(()),
    };
    assert_eq!(expectation.check(claims, NOW.into()), verdict, "{json}");
    let far = Expectation { require_expiry: true, ..Expectation::default() }.check(claims, u64::MAX / 2);
    assert!(far.is_err(), "no token is good for ever: {json}");
}

/// Keys that are taken are strong public ones or long secrets, and what is wrong with others is said in a sentence.
/// Bytes below a line are also taken for what a PEM block of that name says.
pub fn keys(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        strong_or_refused(text);
    }
    let label = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let (Ok(name), Some(der)) = (std::str::from_utf8(label), data.get(label.len() + 1..)) {
        let lines = BASE64_STANDARD.encode(der).into_bytes();
        let lines: Vec<&str> = lines.chunks(64).map(|it| std::str::from_utf8(it).unwrap()).collect();
        let pem = format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n"));
        if let Some(keys) = strong_or_refused(&pem) {
            assert!(["PUBLIC KEY", "RSA PUBLIC KEY"].contains(&name.trim()), "{name}");
            assert!(keys.skipped().is_empty());
            strength::of_der(name.trim(), der);
        }
    }
}

fn strong_or_refused(text: &str) -> Option<KeySet> {
    match KeySet::read(text) {
        Ok(keys) => {
            assert!(!text.contains("PRIVATE KEY-----") || !text.trim_start().starts_with("-----BEGIN"));
            if let Ok(Value::Object(json)) = serde_json::from_str(text.trim()) {
                let list = json.get("keys").and_then(Value::as_array).map_or(1, Vec::len);
                assert!(keys.skipped().len() < list, "a set of nothing");
                let json = Value::Object(json);
                each_name_once(text.as_bytes(), &json);
                strength::of_json(&json);
            }
            assert_eq!(KeySet::read(text).map(|it| it.skipped().to_vec()), Ok(keys.skipped().to_vec()));
            Some(keys)
        }
        Err(problem) => {
            assert!(!problem.to_string().is_empty());
            None
        }
    }
}

/// Public keys whose private halves are nowhere: nothing that a fuzzer makes up has been signed with them.
static KEYS: LazyLock<KeySet> =
    LazyLock::new(|| KeySet::read(include_str!("../corpus/keys/jwks.json")).unwrap());

/// Tokens that were signed with these keys, and are good as long as nobody changes them.
const SIGNED: &str = include_str!("../corpus/signed.txt");

/// A token that was signed with the secret among the seeds.
const WITH_SECRET: &str = include_str!("../corpus/token/claims");

/// No signature is good but those that were made. What stands above the last line is taken for keys, because a key that
/// somebody made up must not make a signature good either.
pub fn verify(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (verdict, text) = match text.rsplit_once('\n') {
        None => (verdict(&KEYS, text), text),
        Some((keys, text)) => match KeySet::read(keys) {
            Ok(keys) => (verdict(&keys, text), text),
            Err(_) => return,
        },
    };
    match verdict {
        None | Some(Err(Refusal::UnknownKey)) => {}
        Some(Err(Refusal::SignatureInvalid)) if data.contains(&b'\n') => {}
        Some(Err(Refusal::SignatureInvalid)) => {
            assert!(SIGNED.lines().all(|it| it != text), "a good token is refused");
        }
        Some(Err(refusal)) => panic!("{refusal:?} is no question of keys"),
        Some(Ok(())) => {
            let made = SIGNED.lines().chain([WITH_SECRET]).any(|it| it == text);
            assert!(made, "a token that nobody has signed: {text}");
        }
    }
}

/// What is said of a text, if it is a token at all.
fn verdict(keys: &KeySet, text: &str) -> Option<Result<(), Refusal>> {
    let token = Token::parse(text).ok()?;
    let _ = Expectation::default().check(token.claims(), 0);
    Some(keys.verify(&token))
}

#[cfg(test)]
mod tests;
