//! OpenAI's moderation of a prompt: `POST /v1/moderations`.

use policy::guard::Moderation;
use serde_json::Value;

use super::messages::Message;
use crate::HANDOVER_HEADER;
use crate::event::CallOut;

const PATH: &str = "/v1/moderations";

/// The question. The cluster's own filters write host and key.
pub fn ask(moderation: &Moderation, messages: &[Message]) -> CallOut {
    let lines: Vec<String> = messages.iter().map(|it| format!("role: {}:\n{}", it.role, it.text)).collect();
    let headers = [
        (":method", "POST"),
        (":path", PATH),
        (":authority", "moderation"),
        (":scheme", "http"),
        ("content-type", "application/json"),
        (HANDOVER_HEADER, PATH),
    ];
    let (model, input) = (Value::from(moderation.model.as_str()), Value::from(lines.join("\n")));
    let body = format!("{{\"model\":{model},\"input\":{input}}}");
    CallOut {
        cluster: moderation.cluster.clone(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: body.into_bytes(),
        timeout: moderation.timeout,
    }
}

/// Whether anything was found objectionable. `None` where the answer is none.
pub fn flagged(body: &[u8]) -> Option<bool> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let results = answer.get("results")?.as_array()?;
    let flags: Vec<bool> = results.iter().map(|it| it.get("flagged")?.as_bool()).collect::<Option<_>>()?;
    if flags.is_empty() { None } else { Some(flags.contains(&true)) }
}
