//! An entry of `rateLimits`: from which values a request's descriptor is made, and what it counts.

use policy::written::{ClaimPath, Counts};

use super::action::{Action, action, claim};
use crate::node::{At, Node, Unknown};

/// What leads to limits.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Values in an order; none where only sets are meant.
    pub actions: Vec<Action>,
    /// Values in any order.
    pub sets: Vec<Action>,
    /// A claim that says another limit for its bearer.
    pub max_from: Option<ClaimPath>,
    /// What is counted.
    pub counts: Counts,
    /// Where it is written.
    pub at: At,
}

/// Reads `{actions, setActions, limit, type}`.
pub fn entry(node: &Node<'_>) -> Option<Entry> {
    let object = node.object()?;
    let actions = object.each("actions", action);
    let sets = object.each("setActions", action);
    let max_from = object.optional("limit", limit_override);
    let counted = object.optional("type", |it| it.choice_any_case(&["REQUEST", "TOKEN"]));
    object.finish(Unknown::Refuse);
    let (actions, sets) = (actions?, sets?);
    if actions.is_empty() && sets.is_empty() {
        node.refuse("makes no descriptor: expected `actions` or `setActions`");
        return None;
    }
    // On a route to a model tokens are meant where nothing is said.
    let counts = if counted? == Some("REQUEST") { Counts::Requests } else { Counts::Prompt };
    Some(Entry { actions, sets, max_from: max_from?, counts, at: node.at() })
}

/// Reads `{dynamicMetadata: {metadataKey}}`.
fn limit_override(node: &Node<'_>) -> Option<ClaimPath> {
    let object = node.object()?;
    let metadata = object.need("dynamicMetadata");
    object.finish(Unknown::Refuse);
    let metadata = metadata?.object()?;
    let key = metadata.need("metadataKey");
    metadata.finish(Unknown::Refuse);
    let key = key?;
    let path = claim(&key)?;
    if path.is_none() {
        key.refuse("only a claim of the caller's token can say another limit, expected the key envoy.filters.http.jwt_authn");
    }
    path
}
