//! The compact serialization (RFC 7515 section 7.1), read before anything is believed.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::claims::Claims;
use crate::json;
use crate::refusal::Refusal;

/// The longest token that is read, in bytes; the bound that Envoy has too.
pub const MAX_BYTES: usize = 8192;

/// A token whose form is good. Whether it is to be believed is another question.
#[derive(Debug)]
pub struct Token {
    /// Header and claims as they were signed.
    signed: String,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: Option<String>,
    header: Map<String, Value>,
    claims: Claims,
}

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    /// Where it is longer than [`MAX_BYTES`], not three segments of canonical base64url, where header or claims are no
    /// JSON objects with each name once, or where the header asks for what is not done here.
    pub fn parse(text: &str) -> Result<Token, Refusal> {
        if text.len() > MAX_BYTES {
            return Err(Refusal::TooLong);
        }
        let (header, claims, signature) = segments(text).ok_or(Refusal::Form)?;
        let signed = text.len() - signature.len() - 1;
        let decoded = object(header, Refusal::HeaderBase64, Refusal::HeaderJson)?;
        let (algorithm, key_id) = read_header(&decoded)?;
        let claims = Claims::read(object(claims, Refusal::ClaimsBase64, Refusal::ClaimsJson)?)?;
        let signature = BASE64.decode(signature).map_err(|_| Refusal::SignatureBase64)?;
        let signed = text.get(..signed).unwrap_or_default().to_owned();
        Ok(Token { signed, signature, algorithm, key_id, header: decoded, claims })
    }

    /// What it says. Not to be believed before its signature has been verified.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Its header (RFC 7515 section 4).
    pub fn header(&self) -> &Map<String, Value> {
        &self.header
    }

    /// The algorithm that it says it is signed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that it says it is signed with.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    pub(crate) fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

fn segments(text: &str) -> Option<(&str, &str, &str)> {
    let mut segments = text.split('.');
    let three = (segments.next()?, segments.next()?, segments.next()?);
    let (header, claims, signature) = three;
    let whole = segments.next().is_none() && ![header, claims, signature].contains(&"");
    whole.then_some(three)
}

fn object(segment: &str, base64: Refusal, json: Refusal) -> Result<Map<String, Value>, Refusal> {
    let text = BASE64.decode(segment).map_err(|_| base64)?;
    match json::read(&text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(json),
    }
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), Refusal> {
    let name = header.get("alg").and_then(Value::as_str).ok_or(Refusal::AlgorithmMissing)?;
    let algorithm = Algorithm::named(name).ok_or(Refusal::AlgorithmUnsupported)?;
    // RFC 7515 section 4.1.11: what is critical and not understood makes a token invalid. Nothing is understood.
    // RFC 7797 section 7: `b64` without `crit` is no better. RFC 7519 section 5.2: `cty` says that a token is inside.
    // It is a media type, with or without `application/` (RFC 7515 section 4.1.10).
    let content = header.get("cty").and_then(Value::as_str).map(str::to_ascii_lowercase);
    let nested = content.is_some_and(|it| ["jwt", "application/jwt"].contains(&it.as_str()));
    if nested || header.contains_key("crit") || header.contains_key("b64") {
        return Err(Refusal::Critical);
    }
    if ["jwk", "jku", "x5u", "x5c"].iter().any(|name| header.contains_key(*name)) {
        return Err(Refusal::EmbeddedKey);
    }
    match header.get("kid") {
        None => Ok((algorithm, None)),
        Some(Value::String(id)) => Ok((algorithm, Some(id.clone()))),
        Some(_) => Err(Refusal::KeyIdType),
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
