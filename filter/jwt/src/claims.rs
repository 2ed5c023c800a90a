//! What a token says (RFC 7519 section 4), and what it has to say.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The claims of a token. The registered ones that are looked at here are of their types.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    all: Value,
    expires_at: Option<f64>,
    not_before: Option<f64>,
}

/// What a token has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// `iss`, exactly. `None`: anything, or nothing.
    pub issuer: Option<String>,
    /// One of these has to be in `aud`, exactly. Empty: `aud` is not looked at.
    pub audiences: Vec<String>,
    /// By how much the issuer's clock may differ, in seconds.
    pub clock_skew_seconds: u64,
    /// Whether a token has to have an end.
    pub require_expiry: bool,
}

impl Claims {
    pub(crate) fn read(all: Map<String, Value>) -> Result<Claims, Refusal> {
        for name in ["iss", "sub"] {
            if all.get(name).is_some_and(|it| !it.is_string()) {
                return Err(Refusal::ClaimType(name));
            }
        }
        let audience = match all.get("aud") {
            None | Some(Value::String(_)) => true,
            Some(Value::Array(list)) => list.iter().all(Value::is_string),
            Some(_) => false,
        };
        if !audience {
            return Err(Refusal::ClaimType("aud"));
        }
        let (expires_at, not_before) = (time(&all, "exp")?, time(&all, "nbf")?);
        Ok(Claims { all: Value::Object(all), expires_at, not_before })
    }

    /// A claim, or one inside it. The path is from the outside in.
    pub fn get(&self, path: &[String]) -> Option<&Value> {
        path.iter().try_fold(&self.all, |value, name| value.as_object()?.get(name))
    }

    /// All of them, as a JSON object.
    pub fn as_value(&self) -> &Value {
        &self.all
    }

    /// `iss` (RFC 7519 section 4.1.1).
    pub fn issuer(&self) -> Option<&str> {
        self.all.get("iss")?.as_str()
    }

    /// The members of `aud` (RFC 7519 section 4.1.3).
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        let audience = self.all.get("aud");
        let list = audience.and_then(Value::as_array).into_iter().flatten();
        list.chain(audience.filter(|it| it.is_string())).filter_map(Value::as_str)
    }

    /// `exp`, in seconds since the Unix epoch (RFC 7519 section 4.1.4).
    pub fn expires_at(&self) -> Option<f64> {
        self.expires_at
    }

    /// `nbf`, in seconds since the Unix epoch (RFC 7519 section 4.1.5).
    pub fn not_before(&self) -> Option<f64> {
        self.not_before
    }
}

/// A `NumericDate` (RFC 7519 section 2), as far as there can be such a time.
fn time(all: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, Refusal> {
    let Some(value) = all.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|it| (0.0..9e15).contains(it));
    seconds.map(Some).ok_or(Refusal::ClaimType(name))
}

impl Expectation {
    /// Whether claims are as they have to be at a time (in seconds since the Unix epoch).
    ///
    /// # Errors
    /// The first thing that they are not: issuer, times, audience, in this order.
    pub fn check(&self, claims: &Claims, now: u64) -> Result<(), Refusal> {
        if self.issuer.is_some() && self.issuer.as_deref() != claims.issuer() {
            return Err(Refusal::IssuerUnknown);
        }
        // Exact as long as clocks are: a float has 53 bits of seconds.
        let (now, skew) = (now as f64, self.clock_skew_seconds as f64);
        if claims.not_before.is_some_and(|from| now + skew < from) {
            return Err(Refusal::NotYetValid);
        }
        match claims.expires_at {
            Some(end) if now > end + skew => return Err(Refusal::Expired),
            None if self.require_expiry => return Err(Refusal::ExpiryRequired),
            Some(_) | None => {}
        }
        let allowed = |audience: &str| self.audiences.iter().any(|it| it == audience);
        if !self.audiences.is_empty() && !claims.audiences().any(allowed) {
            return Err(Refusal::AudienceNotAllowed);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
