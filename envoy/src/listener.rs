//! The listener: what is let in, and in what shape.

use resources::Plan;
use serde_json::{Value, json};

use crate::{ACCESS_LOG_PROPERTY, Settings, address, chain, watched};

/// Room for what belongs to a request beside its body, so that the module sees every body that it would take and
/// refuses the rest itself. Bytes.
const SLACK: u64 = 64 * 1024;

/// How much of a message Envoy may hold for the module, in bytes.
pub fn buffer_limit(settings: &Settings) -> u64 {
    settings.max_request_bytes + SLACK
}

/// The one listener.
pub fn listener(plan: &Plan, settings: &Settings) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "turnpike",
        "address": address(settings.listen),
        "per_connection_buffer_limit_bytes": buffer_limit(settings),
        "filter_chains": [{
            "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": connection_manager(plan, settings),
            }],
        }],
    })
}

fn connection_manager(plan: &Plan, settings: &Settings) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "turnpike",
        "codec_type": "AUTO",
        // A client is a client, also on the same machine and in a private network: its x-envoy-* headers are not Envoy's
        // own. Nobody has this address; a list with no address in it would mean all private networks.
        "use_remote_address": true,
        "internal_address_config": { "cidr_ranges": [{ "address_prefix": "255.255.255.255", "prefix_len": 32 }] },
        // Policies are bound to paths: a path has one spelling.
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {
            "idle_timeout": "900s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 65_536,
            "initial_connection_window_size": 1_048_576,
        },
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "300s",
        "local_reply_config": local_replies(),
        "rds": { "route_config_name": "turnpike", "config_source": watched("routes.yaml") },
        "http_filters": [
            {
                "name": "turnpike",
                "config_discovery": {
                    "config_source": watched("filter.yaml"),
                    "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
                },
            },
            chain::filter(),
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": true,
                },
            },
        ],
    });
    if let (Some(_), Some(fields)) = (&plan.access_log, manager.as_object_mut()) {
        fields.insert("access_log".into(), json!([access_log(settings)]));
    }
    manager
}

/// The module's line for each request that it has seen. It is there when Envoy writes its logs (H27).
fn access_log(settings: &Settings) -> Value {
    let format = json!({
        "text_format_source": { "inline_string": format!("%FILTER_STATE(wasm.{ACCESS_LOG_PROPERTY}:PLAIN)%\n") },
    });
    let config = match settings.access_log.as_str() {
        "-" => json!({
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": format,
        }),
        path => json!({
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": format,
        }),
    };
    json!({
        "name": "turnpike",
        "filter": {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                    "expression": format!("'wasm.{ACCESS_LOG_PROPERTY}' in filter_state"),
                },
            },
        },
        "typed_config": config,
    })
}

/// What Envoy says before the module has been asked, or when it cannot be, in the shape that SDKs show. The module's
/// own answers, and those of providers that it has asked itself, are known by their headers and stay as they are.
fn local_replies() -> Value {
    let not_ours = json!({
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                "expression": "!('x-turnpike-reason' in response.headers) && !('x-turnpike-attempts' in response.headers)",
            },
        },
    });
    let below_500 = json!({
        "status_code_filter": {
            "comparison": { "op": "LE", "value": { "default_value": 499, "runtime_key": "turnpike.client_error" } },
        },
    });
    let mapper = |filter: Value, kind: &str| {
        json!({
            "filter": filter,
            "headers_to_add": [{ "header": { "key": "x-turnpike-reason", "value": "host_error" } }],
            "body_format_override": {
                "json_format": {
                    "error": {
                        "message": "the gateway could not serve this request (%RESPONSE_CODE_DETAILS%)",
                        "type": kind,
                        "param": null,
                        "code": "host_error",
                    },
                },
            },
        })
    };
    let client_error = json!({ "and_filter": { "filters": [not_ours, below_500] } });
    json!({ "mappers": [mapper(client_error, "invalid_request_error"), mapper(not_ours, "server_error")] })
}
