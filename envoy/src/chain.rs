//! How Envoy is told whom a request may ask, in order. The module writes the clusters of a request's chain into a header; a
//! filter of a few lines behind it makes dynamic metadata of them, in which the route's cluster specifier finds the
//! cluster of each attempt. WebAssembly cannot write dynamic metadata itself (Envoy 1.40).

use resources::{Plan, Route};
use serde_json::{Value, json};

/// The name of the filter.
pub const FILTER: &str = "turnpike.chain";

/// Where the chain stands in the dynamic metadata.
const NAMESPACE: &str = "turnpike";

/// A cluster for each attempt, and no more retries than there are clusters. The route has been chosen before, with the
/// cluster of the first attempt, and has to be looked up again.
const SCRIPT: &str = "\
function envoy_on_request(handle)
  local headers = handle:headers()
  local chain = headers:get(\"x-turnpike-chain\")
  if chain == nil then
    return
  end
  headers:remove(\"x-turnpike-chain\")
  local groups = {}
  for name in string.gmatch(chain, \"[^,]+\") do
    groups[#groups + 1] = {name = name, clusters = {{cluster_name = name, weight = 1}}}
  end
  headers:replace(\"x-envoy-max-retries\", tostring(#groups - 1))
  handle:streamInfo():dynamicMetadata():set(\"turnpike\", \"priority_groups\", groups)
  handle:clearRouteCache()
end
";

/// The filter, which only the routes have that need it.
pub fn filter() -> Value {
    json!({ "name": FILTER, "disabled": true, "typed_config": script() })
}

/// What a route says that needs it.
pub fn enabled() -> Value {
    json!({ "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {} })
}

fn script() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": { "inline_string": SCRIPT },
    })
}

/// The cluster of each attempt: that of the request's own chain, or of the route's priorities where it has none.
pub fn specifier(plan: &Plan, route: &Route) -> Value {
    let mut priorities: Vec<u32> = route.backends.iter().map(|it| it.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let group = |priority: &u32| {
        let of = route.backends.iter().filter(|it| it.priority == *priority);
        let clusters = of.filter_map(|it| {
            let target = plan.targets.get(it.target)?;
            Some(json!({ "cluster_name": target.name, "weight": it.weight }))
        });
        json!({ "name": priority.to_string(), "clusters": clusters.collect::<Vec<_>>() })
    };
    json!({
        "name": "envoy.router.cluster_specifier_plugin.priority_group",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier",
            "override_metadata_namespace": NAMESPACE,
            "priority_groups": priorities.iter().map(group).collect::<Vec<_>>(),
        },
    })
}
