//! The routes: one virtual host for each host name, every route with the name that the module knows it by.

use policy::PathMatch;
use policy::written::NoAnswer;
use resources::{Backend, Entry, Failover, Plan, Route};
use serde_json::{Value, json};

use crate::{chain, seconds};

/// The route configuration.
pub fn routes(plan: &Plan) -> Value {
    let mut hosts: Vec<Option<&str>> = Vec::new();
    for entry in &plan.entries {
        let host = entry.host.as_deref();
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let virtual_hosts = hosts.iter().map(|host| virtual_host(plan, *host));
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "turnpike",
        "ignore_port_in_host_matching": true,
        "virtual_hosts": virtual_hosts.collect::<Vec<_>>(),
    })
}

/// A host's own routes and, after them, those of every pattern that takes the host too.
fn virtual_host(plan: &Plan, host: Option<&str>) -> Value {
    let takes = |entry: &&Entry| match (entry.host.as_deref(), host) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(pattern), Some(host)) => covers(pattern, host),
    };
    let routes = plan
        .entries
        .iter()
        .filter(takes)
        .filter_map(|entry| plan.routes.get(entry.route).map(|it| route(plan, it, &entry.path)));
    json!({
        "name": host.unwrap_or("any"),
        "domains": [host.unwrap_or("*")],
        "routes": routes.collect::<Vec<_>>(),
    })
}

fn covers(pattern: &str, host: &str) -> bool {
    pattern == host || pattern.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix))
}

fn route(plan: &Plan, route: &Route, path: &PathMatch) -> Value {
    let mut value = json!({ "name": route.name, "match": path_match(path), "route": action(plan, route) });
    if let (Some(_), Some(fields)) = (failover(route), value.as_object_mut()) {
        fields.insert("typed_per_filter_config".into(), json!({ chain::FILTER: chain::enabled() }));
    }
    value
}

/// The failover of a route that has any.
fn failover(route: &Route) -> Option<&Failover> {
    route.failover.as_ref().filter(|_| route.attempts() > 1)
}

fn path_match(path: &PathMatch) -> Value {
    match path {
        PathMatch::Exact(path) => json!({ "path": path }),
        PathMatch::Prefix(prefix) => match prefix.trim_end_matches('/') {
            "" => json!({ "prefix": "/" }),
            prefix => json!({ "path_separated_prefix": prefix }),
        },
    }
}

/// Streams take as long as they take: only a policy bounds an answer as a whole, and idleness is bounded always.
fn action(plan: &Plan, route: &Route) -> Value {
    let name = |it: &Backend| plan.targets.get(it.target).map_or("", |target| &target.name);
    let timeout = route.timeout.map_or("0s".to_owned(), seconds);
    if let Some(failover) = failover(route) {
        return json!({
            "timeout": timeout,
            "retry_policy": retry_policy(failover, route.attempts()),
            "inline_cluster_specifier_plugin": { "extension": chain::specifier(plan, route) },
        });
    }
    match route.backends.as_slice() {
        [only] => json!({ "cluster": name(only), "timeout": timeout }),
        several => {
            let clusters = several.iter().map(|it| json!({ "name": name(it), "weight": it.weight }));
            json!({ "weighted_clusters": { "clusters": clusters.collect::<Vec<_>>() }, "timeout": timeout })
        }
    }
}

/// The failures after which Envoy goes on to the next of the chain, and how. How often follows from the chain of each
/// request; what is written here is for one without.
fn retry_policy(failover: &Failover, attempts: u32) -> Value {
    let on = &failover.written.on;
    let mut names = Vec::new();
    if !on.statuses.is_empty() {
        names.push("retriable-status-codes");
    }
    if on.server_errors {
        names.push("5xx");
    }
    match on.no_answer {
        NoAnswer::Never => {}
        NoAnswer::Connect => names.extend(["connect-failure", "refused-stream"]),
        NoAnswer::Any => names.extend(["reset", "connect-failure", "refused-stream"]),
    }
    let (base, most) = failover.back_off;
    let mut policy = json!({
        "retry_on": names.join(","),
        "num_retries": attempts.saturating_sub(1),
        "refresh_cluster_on_retry": true,
        "retry_back_off": { "base_interval": seconds(base), "max_interval": seconds(most) },
    });
    if let Some(fields) = policy.as_object_mut() {
        if !on.statuses.is_empty() {
            fields.insert("retriable_status_codes".into(), json!(on.statuses));
        }
        if let Some(timeout) = failover.first_byte_timeout {
            fields.insert("per_try_timeout".into(), json!(seconds(timeout)));
        }
    }
    policy
}
