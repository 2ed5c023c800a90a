//! Policies for labs, with providers that are on this machine.

use std::net::SocketAddr;

use crate::tokens::issuer;

/// A provider without TLS. `settings` are further fields of `spec.ai.openai`.
pub fn upstream(name: &str, address: SocketAddr, settings: &str) -> String {
    let (host, port) = (address.ip(), address.port());
    format!(
        "apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {{name: {name}, namespace: lab}}
spec: {{ai: {{openai: {{customHost: {{host: {host}, port: {port}}}, {settings}}}}}}}
---
"
    )
}

/// A provider without TLS and with a key.
pub fn keyed(name: &str, address: SocketAddr, key: &str) -> String {
    upstream(name, address, &format!("authToken: {{inline: {key}}}"))
}

/// Doors to a provider, with a prompt guard on the one of `openai`.
pub fn guarded(provider: SocketAddr, guard: &str) -> String {
    options("RouteOption", "HTTPRoute", "openai", &format!("ai: {{promptGuard: {{{guard}}}}}"))
        + &doors(provider)
}

/// Doors to a provider, with budgets on the one of `openai`.
pub fn budgets(provider: SocketAddr, list: &str) -> String {
    options("RouteOption", "HTTPRoute", "openai", &format!("budgets: [{list}]")) + &doors(provider)
}

/// The same for a hundred requests at once on a busy machine: they wait for the sidecar as long as it takes.
pub fn patient(policies: &str) -> String {
    let settings = "apiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {name: patient, namespace: lab}\nspec: {ratelimitServer: {requestTimeout: 15s}}\n---\n";
    settings.to_owned() + policies
}

/// A route by path prefix to one upstream. `more` are further fields of its rule.
pub fn route(prefix: &str, upstream: &str, more: &str) -> String {
    let name = prefix.trim_matches('/').replace('/', "-");
    let name = if name.is_empty() { "root" } else { &name };
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: lab}}
spec:
  rules:
  - {{matches: [{{path: {{value: {prefix}}}}}], {more} backendRefs: [{{name: {upstream}, kind: Upstream, group: gloo.solo.io}}]}}
---
"
    )
}

/// One keyed provider behind one prefix: what most labs need.
pub fn simple(address: SocketAddr) -> String {
    keyed("openai", address, "sk-lab") + &route("/openai", "openai", "")
}

/// A gateway, a provider, and a route from the one to the other.
pub fn doors(provider: SocketAddr) -> String {
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: lab}\nspec: {listeners: [{name: http, port: 80}]}\n---\n";
    let route = route("/openai", "openai", "").replace("spec:\n", "spec:\n  parentRefs: [{name: gw}]\n");
    gateway.to_owned() + &keyed("openai", provider, "sk-lab") + &route
}

/// Options that hang on something: `kind`, and what its target is.
pub fn options(kind: &str, target: &str, name: &str, options: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: {kind}\nmetadata: {{name: access, namespace: lab}}\nspec: {{targetRefs: [{{kind: {target}, name: {name}}}], options: {{{options}}}}}\n---\n"
    )
}

/// What believes the tokens that the labs' issuer signs with EdDSA.
pub fn local_jwt() -> String {
    let jwks = issuer().jwks("EdDSA", "e");
    format!("jwt: {{providers: {{solo: {{issuer: solo.io, jwks: {{local: {{key: '{jwks}'}}}}}}}}}}")
}
