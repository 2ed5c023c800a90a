//! Properties of a stream, by the names and encodings that Envoy gives them: texts as they are, numbers as eight
//! little-endian bytes, truth values as one.

use std::time::UNIX_EPOCH;

use crate::traffic::Traffic;

/// What a plugin is, for the properties that say so.
#[derive(Debug, Clone)]
pub struct PluginNames {
    /// `plugin_name`
    pub name: String,
    /// `plugin_root_id`
    pub root_id: String,
    /// `plugin_vm_id`
    pub vm_id: String,
}

/// The property at a path; `None` where there is none.
pub fn get(path: &[&str], plugin: &PluginNames, traffic: Option<&Traffic>) -> Option<Vec<u8>> {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    match path {
        ["plugin_name"] => text(&plugin.name),
        ["plugin_root_id"] => text(&plugin.root_id),
        ["plugin_vm_id"] => text(&plugin.vm_id),
        ["node", "id"] => text("host-sim"),
        _ => of_stream(path, traffic?),
    }
}

fn of_stream(path: &[&str], traffic: &Traffic) -> Option<Vec<u8>> {
    let text = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
    let facts = &traffic.facts;
    match path {
        ["request", rest @ ..] => of_request(rest, traffic),
        ["response", rest @ ..] => of_response(rest, traffic),
        ["route_name"] | ["xds", "route_name"] => text(&facts.route),
        ["cluster_name"] | ["xds", "cluster_name"] => text(&traffic.common.cluster.borrow()),
        ["upstream", "request_attempt_count"] => Some(traffic.common.attempts.get().to_le_bytes().to_vec()),
        ["source", "address"] => text(&facts.source?.to_string()),
        ["source", "port"] => Some(i64::from(facts.source?.port()).to_le_bytes().to_vec()),
        ["destination", "address"] => text(&facts.destination?.to_string()),
        ["destination", "port"] => Some(i64::from(facts.destination?.port()).to_le_bytes().to_vec()),
        ["connection", "mtls"] => Some(vec![0]),
        // What a guest has set is found under its own name, and under Envoy's.
        ["filter_state", name] => facts_of(traffic, name.strip_prefix("wasm.")?),
        [name] => facts_of(traffic, name),
        _ => None,
    }
}

fn facts_of(traffic: &Traffic, name: &str) -> Option<Vec<u8>> {
    traffic.common.filter_state.borrow().get(name).cloned()
}

fn of_request(path: &[&str], traffic: &Traffic) -> Option<Vec<u8>> {
    let headers = traffic.request_headers.as_ref()?;
    let header = |name: &str| headers.get(name).map(<[u8]>::to_vec);
    let facts = &traffic.facts;
    match path {
        ["path"] => header(":path"),
        ["url_path"] => {
            let path = headers.text(":path")?;
            Some(path.split('?').next().unwrap_or(path).as_bytes().to_vec())
        }
        ["query"] => Some(headers.text(":path")?.split_once('?')?.1.as_bytes().to_vec()),
        ["host"] => header(":authority"),
        ["scheme"] => header(":scheme"),
        ["method"] => header(":method"),
        ["headers", name] => header(name),
        ["id"] => header("x-request-id"),
        ["referer"] => header("referer"),
        ["useragent"] => header("user-agent"),
        ["protocol"] => Some(facts.protocol.as_bytes().to_vec()),
        ["time"] => {
            let since = facts.start.duration_since(UNIX_EPOCH).ok()?;
            Some(i64::try_from(since.as_nanos()).ok()?.to_le_bytes().to_vec())
        }
        _ => None,
    }
}

fn of_response(path: &[&str], traffic: &Traffic) -> Option<Vec<u8>> {
    if path == ["code_details"] {
        let details = traffic.common.code_details.borrow();
        return (!details.is_empty()).then(|| details.as_bytes().to_vec());
    }
    let headers = traffic.response_headers.as_ref()?;
    match path {
        ["code"] => Some(headers.text(":status")?.parse::<i64>().ok()?.to_le_bytes().to_vec()),
        ["headers", name] => headers.get(name).map(<[u8]>::to_vec),
        _ => None,
    }
}
