//! A plan as a complete Envoy configuration: a bootstrap and the files it watches.
//!
//! Everything that can change is in a file of its own that Envoy follows (xDS from files, replaced by an atomic
//! rename): listener, routes, the module's configuration, clusters, keys. Paths are relative, so the same plan gives
//! the same bytes wherever they go, and Envoy is started in their folder. Keys are in files that only the cluster's
//! `credential_injector` reads: neither the module nor a config dump ever has them.

mod chain;
mod clusters;
mod filter;
mod listener;
mod routes;
mod yaml;

use std::net::SocketAddr;

use resources::{Address, Key, Plan};
use serde_json::{Value, json};

/// The bootstrap, which Envoy is started with.
pub const BOOTSTRAP: &str = "envoy.yaml";

/// Where the module has to be.
pub const MODULE: &str = "turnpike.wasm";

/// What a configuration needs to know beside the plan.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients come in.
    pub listen: SocketAddr,
    /// Where Envoy tells about itself.
    pub admin: SocketAddr,
    /// A bigger request body is refused, in bytes.
    pub max_request_bytes: u64,
    /// A PEM file of the authorities that are believed where an upstream names none: Envoy does not look for the
    /// system's by itself.
    pub ca_file: String,
    /// Where the access log goes, if the plan asks for one: a file, or `-` for Envoy's standard output.
    pub access_log: String,
    /// Where the sidecar is, as Envoy will find it. It is asked only where the plan needs it.
    pub sidecar: Option<Address>,
}

/// The property in which the module leaves a request's line of the access log.
pub const ACCESS_LOG_PROPERTY: &str = "turnpike.access";

/// Where most systems, and Envoy's own images, keep their authorities.
pub const SYSTEM_CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name below the configuration's folder.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The configuration without keys. The same plan and settings give the same bytes.
pub fn render(plan: &Plan, settings: &Settings) -> Vec<File> {
    let file = |name: &str, value: Value| File { name: name.to_owned(), text: yaml::text(&value) };
    vec![
        file(BOOTSTRAP, bootstrap(plan, settings)),
        file("listener.yaml", resource(vec![listener::listener(plan, settings)])),
        file("routes.yaml", resource(vec![routes::routes(plan)])),
        file("filter.yaml", resource(vec![filter::downstream(plan)])),
        file("clusters.yaml", resource(clusters::clusters(plan, settings))),
    ]
}

/// The files of the keys. They hold secrets: whoever writes them keeps others from reading them.
pub fn render_keys(plan: &Plan) -> Vec<File> {
    let keys = plan.targets.iter().filter_map(|target| match &target.key {
        Key::Known(key) => Some((target, key)),
        Key::Absent | Key::Passthrough | Key::Missing(_) => None,
    });
    keys.map(|(target, key)| File {
        name: clusters::key_file(target),
        text: yaml::text(&resource(vec![json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": target.name,
            "generic_secret": { "secret": { "inline_string": format!("Bearer {}", key.expose()) } },
        })])),
    })
    .collect()
}

fn bootstrap(plan: &Plan, settings: &Settings) -> Value {
    let tags =
        plan.labels().map(|label| json!({ "tag_name": label, "regex": policy::metric_label_regex(label) }));
    json!({
        "node": { "id": "turnpike", "cluster": "turnpike" },
        "admin": { "address": address(settings.admin) },
        "dynamic_resources": {
            "lds_config": watched("listener.yaml"),
            "cds_config": watched("clusters.yaml"),
        },
        "stats_config": { "stats_tags": tags.collect::<Vec<_>>() },
        "overload_manager": {
            "resource_monitors": [{
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": 50_000,
                },
            }],
        },
    })
}

/// A file that Envoy follows.
fn watched(file: &str) -> Value {
    json!({ "path_config_source": { "path": format!("./{file}") }, "resource_api_version": "V3" })
}

fn resource(resources: Vec<Value>) -> Value {
    json!({ "resources": resources })
}

fn address(address: SocketAddr) -> Value {
    endpoint(&address.ip().to_string(), address.port())
}

fn endpoint(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

/// A duration as protobuf's JSON writes it.
fn seconds(duration: std::time::Duration) -> String {
    format!("{}s", duration.as_millis() as f64 / 1000.0)
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
