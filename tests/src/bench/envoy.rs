//! The bench's Envoy.

use std::net::SocketAddr;

use super::{Guest, Servers};

/// The clusters that the header `x-chain` names, in order; `one` without it.
const CHAIN: &str = r#"inline_cluster_specifier_plugin:
                    {extension: {name: envoy.router.cluster_specifier_plugin.priority_group, typed_config: {
                      "@type": type.googleapis.com/envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier,
                      override_metadata_namespace: bench,
                      priority_groups: [{name: one, clusters: [{cluster_name: one, weight: 1}]}]}}}"#;

/// Makes the header an override of the route's clusters. Envoy goes on with the last of them as long as retries are
/// left, so their number has to be said as well.
const LUA: &str = r#"
                  function envoy_on_request(stream)
                    local chain = stream:headers():get("x-chain")
                    if chain == nil then return end
                    stream:headers():remove("x-chain")
                    local groups = {}
                    for name in string.gmatch(chain, "[^, ]+") do
                      groups[#groups + 1] = {name = name, clusters = {{cluster_name = name, weight = 1}}}
                    end
                    stream:streamInfo():dynamicMetadata():set("bench", "priority_groups", groups)
                    stream:headers():replace("x-envoy-max-retries", tostring(math.min(#groups, 3) - 1))
                  stream:clearRouteCache()
                  end
"#;

/// The bootstrap of an Envoy.
pub fn yaml(guest: &Guest, address: SocketAddr, admin: SocketAddr, servers: &Servers) -> String {
    let Servers { a, b, shut, all, .. } = *servers;
    let env: Vec<String> = guest.env.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let configuration = guest.configuration.replace('\'', "\'\'");
    let wasm = |vm_id: &str, vm_configuration: &str| {
        format!(
            r#"{{name: guest, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm,
          config: {{name: guest, root_id: guest, failure_policy: FAIL_RELOAD, allow_on_headers_stop_iteration: true,
            vm_config: {{vm_id: "{vm_id}", runtime: envoy.wasm.runtime.v8, code: {{local: {{filename: "{}"}}}},
              configuration: {{"@type": type.googleapis.com/google.protobuf.StringValue, value: "{vm_configuration}"}},
              environment_variables: {{key_values: {{{}}}}}}},
            configuration: {{"@type": type.googleapis.com/google.protobuf.StringValue, value: '{configuration}'}}}}}}}}"#,
            guest.module.display(),
            env.join(", ")
        )
    };
    let cluster = |name: &str, server: Option<SocketAddr>, options: &str| {
        let servers = server.map_or_else(String::new, |it| {
            format!(
                "{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}",
                it.ip(),
                it.port()
            )
        });
        format!(
            "  - {{name: {name}, type: STATIC, connect_timeout: 1s, {options}
     load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{servers}]}}]}}}}\n"
        )
    };
    let route = |name: &str, cluster: &str, timeout: &str| {
        format!(
            "              - {{name: {name}, match: {{path_separated_prefix: /{name}}}, route: {{cluster: {cluster}, timeout: {timeout}}}}}\n"
        )
    };
    let filtered = |vm_id: &str, vm_configuration: &str| {
        format!(
            r#"typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
      explicit_http_config: {{http_protocol_options: {{}}}},
      http_filters: [{},
        {{name: codec, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec}}}}]}}}},"#,
            wasm(vm_id, vm_configuration)
        )
    };
    let again = |name: &str, when: &str| {
        format!(
            r#"              - name: {name}
                match: {{path_separated_prefix: /{name}}}
                route:
                  {CHAIN}
                  timeout: 0s
                  retry_policy:
                    {{retry_on: "{when}", retriable_status_codes: [429], num_retries: 2, per_try_timeout: 0.5s,
                      refresh_cluster_on_retry: true, retry_back_off: {{base_interval: 0.001s}}}}
"#
        )
    };
    let everything = all.map_or_else(String::new, |_| {
        // What Envoy's own logs, rate limits and policies would know of the caller.
        let caller = "response_headers_to_add: [{header: {key: x-caller, value: '%FILTER_STATE(wasm.turnpike.caller:PLAIN)%'}}]";
        format!("              - {{name: all, match: {{prefix: /}}, route: {{cluster: all, timeout: 0s}}, {caller}}}\n")
    });
    let routes = [
        everything,
        route("a", "a", "0s"),
        route("b", "b", "0s"),
        route("up", "up", "0s"),
        route("dead", "dead", "0s"),
        route("empty", "empty", "0s"),
        route("slow", "a", "0.3s"),
        route("lost", "nowhere", "0s"),
        route("socket", "socket", "0s"),
        again("chain", "retriable-status-codes,5xx,reset,connect-failure"),
        again("careful", "retriable-status-codes,connect-failure"),
    ];
    let clusters = [
        cluster("a", Some(a), ""),
        cluster("b", Some(b), ""),
        cluster("up", Some(a), &filtered("upstream", "")),
        cluster("same", Some(a), &filtered("", "")),
        cluster("dead", Some("127.0.0.1:9".parse().unwrap()), ""),
        cluster("empty", None, ""),
        cluster("all", all, ""),
        cluster("one", Some(a), &filtered("", "upstream")),
        cluster("two", Some(b), &filtered("", "upstream")),
        cluster("gone", Some("127.0.0.1:9".parse().unwrap()), &filtered("", "upstream")),
        cluster("shut", Some(shut), &filtered("", "upstream")),
        cluster("vacant", None, &filtered("", "upstream")),
        format!(
            "  - {{name: socket, type: STATIC, load_assignment: {{cluster_name: socket, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{pipe: {{path: {}}}}}}}}}]}}]}}}}\n",
            servers.socket.display()
        ),
    ];
    format!(
        r#"node: {{id: bench, cluster: bench}}
admin: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}
static_resources:
  listeners:
  - name: bench
    address: {{socket_address: {{address: {}, port_value: {}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          http_protocol_options: {{enable_trailers: true}}
          access_log:
          - name: lines
            filter: {{extension_filter: {{name: cel, typed_config: {{
              "@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter,
              expression: "'wasm.lab.line' in filter_state"}}}}}}
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
              path: access.log, log_format: {{text_format_source: {{inline_string: "%FILTER_STATE(wasm.lab.line:PLAIN)%\n"}}}}}}
          route_config:
            validate_clusters: false
            virtual_hosts:
            - name: any
              domains: ["*"]
              routes:
{}
          http_filters:
          - {}
          - name: lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |{}
          - {{name: router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}
  clusters:
{}
"#,
        admin.ip(),
        admin.port(),
        address.ip(),
        address.port(),
        routes.concat(),
        wasm("", ""),
        LUA,
        clusters.concat()
    )
}
