//! The module as a filter, in both places.

use policy::written;
use resources::{Key, Plan, Target};
use serde_json::{Value, json};

use crate::MODULE;

/// The listener's filter, as the extension that the listener discovers.
pub fn downstream(plan: &Plan) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "turnpike",
        "typed_config": wasm("turnpike", "listener", &plan.downstream()),
    })
}

/// A cluster's filter. The key is added after it, by Envoy.
pub fn upstream(target: &Target) -> Value {
    let credential = match &target.key {
        Key::Known(_) | Key::Missing(_) => written::Credential::Injected,
        Key::Passthrough => written::Credential::Passthrough,
        Key::Absent => written::Credential::None,
    };
    // A VM of their own: a call of the listener's filter to this cluster runs this filter at once, in the middle of the
    // callback that makes the call, and no VM can be entered twice (H14).
    let config = wasm("turnpike-upstream", "cluster", &target.upstream(credential));
    json!({ "name": "turnpike", "typed_config": config })
}

/// A VM that dies is loaded again, and nothing passes without it: `FAIL_OPEN` would let every later request go
/// unchecked. The body keeps coming while the headers are held, because the prompt decides about them (H1).
///
/// All VMs of one id share what they remember of providers in trouble; `place`, which is no news to the module, makes those
/// of the listener and those of the clusters two.
fn wasm(name: &str, place: &str, configuration: &written::Plugin) -> Value {
    // A configuration is made of texts and numbers: it always has a JSON form. As a text, because Envoy hands a Struct
    // to the module in protobuf's binary form.
    let value = serde_json::to_string_pretty(configuration).unwrap_or_default();
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name,
            "root_id": "turnpike",
            "failure_policy": "FAIL_RELOAD",
            "allow_on_headers_stop_iteration": true,
            "vm_config": {
                "vm_id": "turnpike",
                "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": place },
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": format!("./{MODULE}") } },
            },
            "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": value },
        },
    })
}
