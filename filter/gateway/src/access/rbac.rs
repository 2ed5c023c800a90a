//! Stage `authorize`, as far as headers decide it: claims against the principals of a route.

use jwt::Claims;
use policy::access::{ClaimRule, Must, Principal, Rbac, RbacPolicy};
use serde_json::Value;

use super::authenticate::{Caller, Pass};
use super::models::Models;
use crate::path::{is_plain, split_query};
use crate::reply::{Reason, Reply};

/// Which models a caller may use, if the caller may use the route at all.
///
/// # Errors
/// 403; which policy would have allowed it is for the log only.
pub fn authorize(rbac: Option<&Rbac>, caller: &Caller, method: &str, path: &str) -> Result<Models, Reply> {
    let Some(rbac) = rbac else { return Ok(Models::Any) };
    let policies = rbac.policies.iter().filter(|policy| permits(policy, method, path));
    let principals = policies.flat_map(|policy| &policy.principals);
    let allowed = principals.flat_map(|principal| {
        let passes = caller.passes.iter().filter(|pass| is(principal, pass));
        passes.map(|pass| models(principal, &pass.claims))
    });
    allowed.reduce(Models::or).ok_or_else(|| {
        Reply::new(403, Reason::RbacAccessDenied, "RBAC: access denied").because(&wanted(rbac))
    })
}

fn permits(policy: &RbacPolicy, method: &str, path: &str) -> bool {
    let path = split_query(path).0;
    // A path that leads elsewhere than it looks has no prefix.
    let below = |prefix: &String| path.starts_with(prefix.as_str()) && is_plain(path);
    policy.path_prefix.as_ref().is_none_or(below)
        && (policy.methods.is_empty() || policy.methods.iter().any(|it| it.eq_ignore_ascii_case(method)))
}

fn is(principal: &Principal, pass: &Pass) -> bool {
    principal.provider.is_none_or(|provider| provider == pass.provider)
        && principal.claims.iter().all(|rule| fits(rule, &pass.claims))
}

fn fits(rule: &ClaimRule, claims: &Claims) -> bool {
    match (&rule.must, claims.get(&rule.claim)) {
        (Must::Equal(text), Some(Value::String(claim))) => claim == text,
        (Must::Be(truth), Some(Value::Bool(claim))) => claim == truth,
        (Must::Contain(text), Some(Value::Array(list))) => list.iter().any(|it| it.as_str() == Some(text)),
        (Must::Match(regex), Some(Value::String(claim))) => regex.is_match(claim),
        _ => false,
    }
}

fn models(principal: &Principal, claims: &Claims) -> Models {
    let Some(path) = &principal.models else { return Models::Any };
    let listed = match claims.get(path) {
        Some(Value::String(model)) => vec![model.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    Models::Listed(listed)
}

/// What would have been let through, without what the caller said.
fn wanted(rbac: &Rbac) -> String {
    let claims =
        |it: &Principal| it.claims.iter().map(ClaimRule::to_string).collect::<Vec<_>>().join(" and ");
    let policy = |it: &RbacPolicy| {
        let principals: Vec<String> = it.principals.iter().map(claims).collect();
        format!("policy {} asks for {}", it.name, principals.join(", or "))
    };
    match rbac.policies.as_slice() {
        [] => "the route has no policy, so nobody may use it".to_owned(),
        policies => policies.iter().map(policy).collect::<Vec<_>>().join("; "),
    }
}
