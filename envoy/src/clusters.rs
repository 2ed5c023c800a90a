//! The clusters: one for each target, with what makes a request fit for it in its own filter chain, one for each service
//! that the gateway itself asks, and the sidecar's.

use std::net::IpAddr;

use resources::{Address, Key, Plan, SIDECAR, Service, Target, Tls};
use serde_json::{Value, json};

use crate::listener::buffer_limit;
use crate::{Settings, endpoint, filter};

/// The clusters of a plan.
pub fn clusters(plan: &Plan, settings: &Settings) -> Vec<Value> {
    let targets = plan.targets.iter().map(|target| cluster(target, settings));
    let sidecar = settings.sidecar.as_ref().filter(|_| plan.needs_sidecar());
    let sidecar = sidecar.map(|address| sidecar_at(address, settings));
    targets.chain(plan.services.iter().map(|it| service(it, settings))).chain(sidecar).collect()
}

/// The sidecar. A request waits for it, so one that is not there is noticed soon.
fn sidecar_at(address: &Address, settings: &Settings) -> Value {
    let (kind, address) = match address {
        Address::Unix(path) => ("STATIC", json!({ "pipe": { "path": path } })),
        Address::Host(host, port) => (discovery(&[host]), endpoint(host, *port)),
    };
    json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": SIDECAR,
        "type": kind,
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "0.25s",
        "per_connection_buffer_limit_bytes": buffer_limit(settings),
        "circuit_breakers": {
            "thresholds": [{
                // Fewer than the sidecar serves at once: a connection beyond those waits for another to end, and these are
                // kept. A request beyond them waits here, and goes when one is free.
                "max_connections": 256, "max_pending_requests": 4096, "max_requests": 4096,
            }],
        },
        "load_assignment": {
            "cluster_name": SIDECAR,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}

/// How the addresses of hosts are found.
fn discovery(hosts: &[&str]) -> &'static str {
    if hosts.iter().all(|host| host.parse::<IpAddr>().is_ok()) { "STATIC" } else { "STRICT_DNS" }
}

/// A server that the gateway itself asks. Nothing is written into what it is asked.
fn service(service: &Service, settings: &Settings) -> Value {
    let hosts: Vec<&str> = service.hosts.iter().map(|(host, _)| host.as_str()).collect();
    let endpoints = service.hosts.iter();
    let endpoints = endpoints.map(|(host, port)| json!({ "endpoint": { "address": endpoint(host, *port) } }));
    let mut cluster = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": service.name,
        "alt_stat_name": stat_name(&service.name),
        "type": discovery(&hosts),
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": service.name,
            "endpoints": [{ "lb_endpoints": endpoints.collect::<Vec<_>>() }],
        },
    });
    if let (Some(tls), Some(fields)) = (&service.tls, cluster.as_object_mut()) {
        fields.insert("transport_socket".into(), transport_socket(tls, settings));
    }
    cluster
}

/// A cluster's name in metrics, where a dot ends it.
fn stat_name(name: &str) -> String {
    name.replace(['/', '.', ':'], "_")
}

/// The file that holds a target's key, below the configuration's folder. The name of a model may be any text: what is not
/// fit for a file's name is written as `%` and its bytes, so that no two targets have one file. Neither a namespace nor
/// `moderation` has a dot in it.
pub fn key_file(target: &Target) -> String {
    let (namespace, name) = target.name.split_once('/').unwrap_or(("", &target.name));
    let fit = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    format!("keys/{namespace}.{}.yaml", name.bytes().map(fit).collect::<String>())
}

fn cluster(target: &Target, settings: &Settings) -> Value {
    let mut cluster = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": target.name,
        "alt_stat_name": stat_name(&target.name),
        "type": discovery(&[&target.host]),
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "5s",
        "per_connection_buffer_limit_bytes": buffer_limit(settings),
        "circuit_breakers": {
            "thresholds": [{
                "max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096,
                // Counted on the cluster of the first attempt; Envoy's own default of 3 refuses failovers.
                "max_retries": 1024,
            }],
        },
        "upstream_connection_options": { "tcp_keepalive": { "keepalive_time": 60 } },
        "load_assignment": {
            "cluster_name": target.name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": endpoint(&target.host, target.port) } }] }],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol(target),
        },
    });
    if let (Some(tls), Some(fields)) = (&target.tls, cluster.as_object_mut()) {
        fields.insert("transport_socket".into(), transport_socket(tls, settings));
    }
    cluster
}

fn protocol(target: &Target) -> Value {
    let mut filters = vec![filter::upstream(target)];
    if let Key::Known(_) | Key::Missing(_) = &target.key {
        filters.push(credential_injector(target));
    }
    filters.push(json!({
        "name": "envoy.filters.http.upstream_codec",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec" },
    }));
    let mut options = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        // Shorter than what providers keep an idle connection for: reusing one that they close loses a request.
        "common_http_protocol_options": { "idle_timeout": "50s" },
    });
    // With TLS the provider chooses between HTTP/2 and HTTP/1.1.
    let (field, protocol) = match target.tls {
        Some(_) => ("auto_config", json!({ "http_protocol_options": {}, "http2_protocol_options": {} })),
        None => ("explicit_http_config", json!({ "http_protocol_options": {} })),
    };
    if let Some(fields) = options.as_object_mut() {
        fields.insert(field.into(), protocol);
        fields.insert("http_filters".into(), filters.into());
    }
    options
}

fn credential_injector(target: &Target) -> Value {
    json!({
        "name": "envoy.filters.http.credential_injector",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
            "overwrite": true,
            "credential": {
                "name": "envoy.http.injected_credentials.generic",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                    "credential": {
                        "name": target.name,
                        "sds_config": {
                            "path_config_source": {
                                "path": format!("./{}", key_file(target)),
                                "watched_directory": { "path": "./keys" },
                            },
                            "resource_api_version": "V3",
                        },
                    },
                },
            },
        },
    })
}

/// The name is asked for and checked explicitly: Envoy would derive it from the request before the cluster's filters
/// have written the target's host.
fn transport_socket(tls: &Tls, settings: &Settings) -> Value {
    let kind = if tls.name.parse::<IpAddr>().is_ok() { "IP_ADDRESS" } else { "DNS" };
    let validation = json!({
        "trusted_ca": { "filename": tls.ca_file.as_ref().unwrap_or(&settings.ca_file) },
        "match_typed_subject_alt_names": [{ "san_type": kind, "matcher": { "exact": tls.name } }],
    });
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": tls.name,
            "common_tls_context": {
                "tls_params": { "tls_minimum_protocol_version": "TLSv1_2" },
                "validation_context": validation,
            },
        },
    })
}
