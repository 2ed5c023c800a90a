//! What must hold whatever bytes are taken for a token or for keys.
//!
//! Each function here is a target of `make fuzz`, and a test tries it with the seeds in `corpus` and with many small
//! changes of them. It panics where something does not hold.

// What goes wrong here is meant to stop it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use jwt::{Expectation, KeySet, MAX_BYTES, Refusal, Token};
use serde_json::Value;

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
    // `serde_json` takes the last of two names: where that changes nothing, and the texts have as many names as the
    // values have, no name stood twice.
    assert_eq!(Value::Object(token.header().clone()), header);
    assert_eq!(*token.claims().as_value(), claims);
    for (segment, value) in segments.iter().zip([&header, &claims]) {
        let text = BASE64.decode(segment).unwrap();
        assert_eq!(colons(&text), names(value), "a name stands twice");
    }
    assert_eq!(header["alg"], token.algorithm().name());
    for refused in ["crit", "b64", "jwk", "jku", "x5u", "x5c"] {
        assert!(header.get(refused).is_none(), "{refused}");
    }
    for claim in ["exp", "nbf"] {
        assert!(claims.get(claim).is_none_or(Value::is_number), "{claim}");
    }
    let expectation = Expectation { require_expiry: true, ..Expectation::default() };
    let ends = token.claims().expires_at();
    let far = u64::MAX / 2;
    assert!(expectation.check(token.claims(), far).is_err(), "no token is good for ever: {ends:?}");
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

/// Keys that are taken are public ones or long secrets, and what is wrong with others is said in a sentence.
pub fn keys(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match KeySet::read(text) {
        Ok(keys) => {
            assert!(!text.contains("PRIVATE KEY-----") || !text.trim_start().starts_with("-----BEGIN"));
            if let Ok(Value::Object(json)) = serde_json::from_str(text) {
                let list = json.get("keys").and_then(Value::as_array).map_or(1, Vec::len);
                assert!(keys.skipped().len() < list, "a set of nothing");
            }
            assert_eq!(KeySet::read(text).map(|it| it.skipped().to_vec()), Ok(keys.skipped().to_vec()));
        }
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
}

/// Public keys whose private halves are nowhere: nothing that a fuzzer makes up has been signed with them.
const KEYS: &str = include_str!("../corpus/keys/jwks.json");

/// Tokens that were signed with these keys, and are good as long as nobody changes them.
const SIGNED: &str = include_str!("../corpus/signed.txt");

/// No signature is good but those that were made.
pub fn verify(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let keys = KeySet::read(KEYS).unwrap();
    let Ok(token) = Token::parse(text) else { return };
    let verdict = keys.verify(&token);
    if SIGNED.lines().any(|it| it == text) {
        assert_eq!(verdict, Ok(()), "a good token is refused");
    } else {
        let known = [Err(Refusal::UnknownKey), Err(Refusal::SignatureInvalid)];
        assert!(known.contains(&verdict), "a token that nobody has signed: {text}");
    }
}

#[cfg(test)]
mod tests;
