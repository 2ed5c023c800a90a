//! The routes: one virtual host for each host name, every route with the name that the module knows it by.

use policy::PathMatch;
use resources::{Backend, Entry, Plan, Route};
use serde_json::{Value, json};

use crate::seconds;

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
    json!({ "name": route.name, "match": path_match(path), "route": action(plan, route) })
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
    match route.backends.as_slice() {
        [only] => json!({ "cluster": name(only), "timeout": timeout }),
        several => {
            let clusters = several.iter().map(|it| json!({ "name": name(it), "weight": it.weight }));
            json!({ "weighted_clusters": { "clusters": clusters.collect::<Vec<_>>() }, "timeout": timeout })
        }
    }
}
