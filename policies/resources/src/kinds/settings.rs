//! `Settings` (gloo.solo.io/v1): what holds for the whole gateway. One field of it is ours to act on, and `accessLog` is
//! a field of our own.

use policy::written::{AccessLog, ClaimPath};

use crate::node::{Node, Object, Unknown};

/// What holds for the whole gateway.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether a route without `rbac` lets nobody pass.
    pub require_rbac: bool,
    /// What is logged of each request; nothing if absent.
    pub access_log: Option<AccessLog>,
}

/// Reads a spec. The other fields are about the control plane that is not here.
pub fn read(spec: &Object<'_>) -> Option<Settings> {
    let rbac = spec.get("rbac").map_or(Some(None), |it| it.object().map(Some))?;
    let require_rbac = rbac.and_then(|it| it.get("requireRbac")).map_or(Some(false), |it| it.truth())?;
    let access_log = spec.get("accessLog").map_or(Some(None), |it| access_log(&it).map(Some))?;
    Some(Settings { require_rbac, access_log })
}

fn access_log(at: &Node<'_>) -> Option<AccessLog> {
    let object = at.object()?;
    let caller = object.get("caller").map_or(Some(None), |it| claim(&it).map(Some))?;
    object.finish(Unknown::Warn);
    Some(AccessLog { caller })
}

/// A claim by its name, or by the names on the way to it.
fn claim(at: &Node<'_>) -> Option<ClaimPath> {
    if at.is_list() { at.texts().map(ClaimPath::Nested) } else { at.text().map(ClaimPath::Name) }
}
