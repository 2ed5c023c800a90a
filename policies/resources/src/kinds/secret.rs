//! `Secret`: a provider's key, under the name `Authorization`, with or without `Bearer `.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::node::{Node, Object};

/// A secret of which only the key is ours to read.
#[derive(Debug)]
pub struct Secret {
    /// The key, if the secret has one.
    pub key: Option<KeyText>,
}

/// A key as written.
#[derive(Debug, Clone)]
pub enum KeyText {
    /// The key itself.
    Literal(policy::Secret),
    /// `${NAME}`: the environment variable that holds it.
    Variable(String),
}

/// The name under which a secret holds a key.
const FIELD: &str = "Authorization";

/// Reads a document. What else a secret holds is not looked at.
pub fn read(document: &Object<'_>) -> Option<Secret> {
    for field in ["type", "immutable", "spec"] {
        document.get(field);
    }
    let (data, plain) = (document.get("data"), document.get("stringData"));
    // As in Kubernetes, `stringData` wins.
    let key = match (field(plain), field(data)) {
        (Some(plain), _) => key_text(&plain),
        (None, Some(encoded)) => decode(&encoded).and_then(|text| checked(&encoded, &text)),
        (None, None) => None,
    };
    Some(Secret { key })
}

/// A key that is written out, or the name of the variable that holds it.
pub fn key_text(node: &Node<'_>) -> Option<KeyText> {
    checked(node, &node.text()?)
}

fn field(data: Option<Node<'_>>) -> Option<Node<'_>> {
    let all = data.and_then(|it| it.object()).map(|it| it.all()).unwrap_or_default();
    all.into_iter().find(|(name, _)| name == FIELD).map(|(_, node)| node)
}

fn decode(node: &Node<'_>) -> Option<String> {
    let compact: String = node.text()?.split_whitespace().collect();
    let text = STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if text.is_none() {
        node.refuse("no base64 of a text, which is what `data` holds; plain texts go into `stringData`");
    }
    text
}

fn checked(node: &Node<'_>, text: &str) -> Option<KeyText> {
    let key = bearer(text);
    if key.is_empty() || key.chars().any(|c| c.is_whitespace() || c.is_control()) {
        node.refuse("no key: expected `sk-…`, `Bearer sk-…` or `${NAME}` for an environment variable");
        return None;
    }
    let variable = key.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    match variable {
        Some(name) if is_variable(name) => Some(KeyText::Variable(name.to_owned())),
        Some(_) => {
            node.refuse("`${…}` names no environment variable: letters, digits and `_` are expected");
            None
        }
        None => Some(KeyText::Literal(policy::Secret::new(key.to_owned()))),
    }
}

/// A key without its scheme.
pub fn bearer(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("Bearer ").unwrap_or(text).trim()
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
