//! `Settings` (gloo.solo.io/v1): what holds for the whole gateway. One field of it is ours to act on.

use crate::node::Object;

/// What holds for the whole gateway.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Whether a route without `rbac` lets nobody pass.
    pub require_rbac: bool,
}

/// Reads a spec. The other fields are about the control plane that is not here.
pub fn read(spec: &Object<'_>) -> Option<Settings> {
    spec.all();
    let Some(rbac) = spec.get("rbac") else { return Some(Settings::default()) };
    let require_rbac = rbac.object()?.get("requireRbac").map_or(Some(false), |it| it.truth())?;
    Some(Settings { require_rbac })
}
