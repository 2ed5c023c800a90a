//! Headers by which the gateway says who is calling. What clients send under these names is removed, in any spelling
//! that somebody behind the gateway could take for the name.

use std::borrow::Cow;

use jwt::Claims;
use policy::Gateway;
use policy::access::{ClaimHeader, ClaimPath};
use serde_json::Value;

use super::authenticate::Caller;
use crate::INTERNAL_PREFIX;

/// Whether a client may not send a header of this name.
pub fn is_internal(name: &str, policy: &Gateway) -> bool {
    let claimed = || policy.jwt_providers.iter().flat_map(|provider| &provider.claims_to_headers);
    folded(name).take(INTERNAL_PREFIX.len()).eq(INTERNAL_PREFIX.bytes())
        || claimed().any(|it| folded(name).eq(folded(&it.header)))
}

/// Servers that make variables of headers (CGI, WSGI) know neither case nor the difference of `-` and `_`.
fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() })
}

impl Caller {
    /// A claim of whichever token has it.
    pub fn claim(&self, path: &ClaimPath) -> Option<&Value> {
        self.passes.iter().find_map(|pass| pass.claims.get(path))
    }

    /// The headers that say who is calling.
    pub fn headers(&self, policy: &Gateway) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for pass in &self.passes {
            let Some(provider) = policy.jwt_providers.get(pass.provider) else { continue };
            for it in &provider.claims_to_headers {
                let Some(value) = text(&pass.claims, it) else { continue };
                match headers.iter_mut().find(|(name, _)| *name == it.header) {
                    Some((_, before)) if it.append => *before = format!("{before},{value}"),
                    Some((_, before)) => *before = value,
                    None => headers.push((it.header.clone(), value)),
                }
            }
        }
        headers
    }

    /// The claims of each pass under the name of its provider, as JSON, for filters that come after.
    pub fn published(&self, policy: &Gateway) -> Option<String> {
        let passes = self.passes.iter().filter_map(|pass| {
            let name = Value::from(policy.jwt_providers.get(pass.provider)?.name.as_str());
            Some(format!("{name}:{}", pass.json))
        });
        let passes: Vec<String> = passes.collect();
        (!passes.is_empty()).then(|| format!("{{{}}}", passes.join(",")))
    }
}

/// A claim as a text. One that is nothing, a list or an object is none.
pub fn plain(claim: &Value) -> Option<Cow<'_, str>> {
    let text: Cow<'_, str> = match claim {
        Value::String(text) => text.into(),
        plain @ (Value::Bool(_) | Value::Number(_)) => plain.to_string().into(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A claim as a header has it: lists and objects as base64 of their JSON, as Envoy writes them. What would break the
/// header is no value.
fn text(claims: &Claims, it: &ClaimHeader) -> Option<String> {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let text = match claims.get(&it.claim)? {
        nested @ (Value::Array(_) | Value::Object(_)) => BASE64_STANDARD.encode(nested.to_string()),
        claim => plain(claim)?.into_owned(),
    };
    (!text.chars().any(char::is_control)).then_some(text)
}
