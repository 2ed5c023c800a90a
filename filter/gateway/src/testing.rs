//! What the tests of this crate share. The same tests run natively and, under wasm-bindgen-test, on
//! `wasm32-unknown-unknown`: importing everything from here replaces `#[test]` there.

use std::rc::Rc;

#[cfg(not(target_arch = "wasm32"))]
pub use core::prelude::v1::test;
use policy::{Gateway, Plugin, Target};
#[cfg(target_arch = "wasm32")]
pub use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::event::{Answer, Arrival, Effect, Event, Flow, Step};
use crate::headers::Headers;

/// A downstream configuration, as written; the VM's environment holds `KEY`.
pub fn gateway(json: &str) -> Rc<Gateway> {
    match plugin(&format!(r#"{{"downstream":{json}}}"#)) {
        Plugin::Downstream(gateway) => Rc::new(gateway),
        Plugin::Upstream(_) => panic!("not a downstream configuration"),
    }
}

/// An upstream configuration, as written.
pub fn target(json: &str) -> Rc<Target> {
    match plugin(&format!(r#"{{"upstream":{json}}}"#)) {
        Plugin::Upstream(target) => Rc::new(target),
        Plugin::Downstream(_) => panic!("not an upstream configuration"),
    }
}

fn plugin(json: &str) -> Plugin {
    Plugin::read(json.as_bytes(), &|name| (name == "KEY").then(|| "sk-1".to_owned())).unwrap()
}

/// The beginning of a request from lines such as `:path: /openai`.
pub fn request(lines: &str, give: impl FnOnce(Arrival<'_>) -> Step) -> Step {
    let headers = headers(lines);
    let value = |name| headers.get(name);
    give(Arrival { headers: &headers, route: None, handover: value("handover"), end: value("end").is_some() })
}

/// The beginning of an answer; a line `local` makes it the host's own.
pub fn answer(lines: &str, give: impl FnOnce(Event<'_>) -> Step) -> Step {
    let headers = headers(lines);
    give(Event::Response(Answer { headers: &headers, local: headers.get("local"), end: false }))
}

fn headers(lines: &str) -> Headers<'_> {
    let pairs = lines.split('\n').map(str::trim).filter(|line| !line.is_empty());
    Headers::new(pairs.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n, v.as_bytes())).collect())
}

/// A step as lines of text.
pub fn show(step: &Step) -> String {
    let mut lines: Vec<String> = step.effects.iter().map(show_effect).collect();
    lines.push(match step.flow {
        Flow::Hold => "hold".into(),
        Flow::Pass => "pass".into(),
    });
    lines.join("\n")
}

fn show_effect(effect: &Effect) -> String {
    match effect {
        Effect::SetRequestHeader(name, value) => format!("set {name}: {value}"),
        Effect::RemoveRequestHeader(name) => format!("remove {name}"),
        Effect::RemoveResponseHeader(name) => format!("remove answer's {name}"),
        Effect::EditRequestBody(edits) => format!("edit body, growth {}", edits.growth()),
        Effect::ReplaceChunk(bytes) => format!("send {:?}", String::from_utf8_lossy(bytes)),
        Effect::Handover(path) => format!("hand over {path}"),
        Effect::Reply(reply) => {
            format!("reply {} {}: {}", reply.status, reply.reason.code(), reply.message)
        }
        Effect::Count(metric) => format!("count {metric:?}"),
        Effect::Log(level, line) => format!("log {level:?} {line}"),
    }
}
