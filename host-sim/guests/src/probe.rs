//! A guest that does what each request asks of it, and writes down what the host says: for finding out what a host
//! does, and for proving that two hosts do the same.
//!
//! The header `x-probe` holds the script: `phase=action,action;phase=action`. A phase is a callback, a body's last one
//! being `request_end` or `response_end`; its actions are done in order each time it comes, or with `phase@cluster` only
//! on the way to that cluster. What happens is written under the name in `x-id`; a request with that name in `x-trace`
//! is answered with it. In a VM whose configuration is `upstream` the headers are `x-probe-up` and `x-trace-up`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use host_calls::{self as host, Buffer, Map, Message};
use proxy_wasm::hostcalls::{get_buffer, get_property, get_shared_data, set_shared_data};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType};

thread_local! {
    /// What has been written down, by name. It lives as long as the VM.
    static TRACES: RefCell<HashMap<String, Vec<String>>> = RefCell::default();
    /// Streams that wait for the next tick.
    static WAITING: RefCell<Vec<Probe>> = RefCell::default();
    /// What the names of this VM's headers end with.
    static SUFFIX: Cell<&'static str> = const { Cell::new("") };
}

/// Reads the VM's configuration, of so many bytes.
pub fn start(size: usize) {
    let configuration = get_buffer(BufferType::VmConfiguration, 0, size).ok().flatten();
    SUFFIX.set(if configuration.is_some_and(|it| it == b"upstream") { "-up" } else { "" });
}

/// At each tick of the root context, does what is asked for in the phase `woken` of streams that wait.
pub fn tick() {
    for mut probe in WAITING.take() {
        match host::speak_for(probe.context) {
            Ok(()) => probe.play("woken", "", 10),
            Err(error) => {
                probe.note(format!("gone: status {}", error.status));
                Action::Continue
            }
        };
    }
}

/// One stream under test.
#[derive(Default, Clone)]
pub struct Probe {
    context: u32,
    id: String,
    script: HashMap<String, Vec<String>>,
}

impl Probe {
    /// The probe of a stream.
    pub fn new(context: u32) -> Probe {
        Probe { context, ..Probe::default() }
    }

    fn note(&self, line: String) {
        TRACES.with_borrow_mut(|traces| traces.entry(self.id.clone()).or_default().push(line));
    }

    /// Does what the script has for a phase. `size` is that of the body at hand.
    fn play(&mut self, phase: &str, facts: &str, size: usize) -> Action {
        let mut action = Action::Continue;
        if self.id.is_empty() {
            return action;
        }
        self.note(format!("{phase}{facts}"));
        for step in self.steps(phase) {
            if step == "pause" {
                action = Action::Pause;
                continue;
            }
            let said = self.act(phase, &step, size);
            self.note(format!("  {step} -> {said}"));
        }
        action
    }

    fn steps(&self, phase: &str) -> Vec<String> {
        if let Some(steps) = self.script.get(phase) {
            return steps.clone();
        }
        let cluster = host::property(&["xds", "cluster_name"]).unwrap_or_default();
        self.script.get(&format!("{phase}@{cluster}")).cloned().unwrap_or_default()
    }

    fn act(&self, phase: &str, step: &str, size: usize) -> String {
        let body = if phase.starts_with("response") { Buffer::ResponseBody } else { Buffer::RequestBody };
        let mut words = step.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let done = |result: host::Result<()>| match result {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("status {}", error.status),
        };
        match word() {
            "set-request" => done(host::set_header(Map::Request, word(), word())),
            "set-response" => done(host::set_header(Map::Response, word(), word())),
            "remove-request" => done(host::remove_header(Map::Request, word())),
            "get-request" => header(Map::Request, word()),
            "get-response" => header(Map::Response, word()),
            "body" => match host::buffer(body, size.max(1)) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(error) => format!("status {}", error.status),
            },
            "splice" => {
                let mut number = || word().parse().unwrap_or(0);
                let (start, len) = (number(), number());
                done(host::splice(body, start, len, word().as_bytes()))
            }
            "property" => {
                host::property(&word().split('/').collect::<Vec<_>>()).unwrap_or_else(|| "none".into())
            }
            "number" => number(word()),
            "property-to-request" => {
                let (property, name) = (word(), word());
                let value = host::property(&[property]).unwrap_or_else(|| "none".into());
                done(host::set_header(Map::Request, name, &value))
            }
            "count" => {
                let (name, by) = (word(), word().parse().unwrap_or(0));
                done(host::counter(name).and_then(|id| host::add(id, by)))
            }
            "set-property" => done(host::set_property(word(), word())),
            "shared-set" => match set_shared_data(word(), Some(word().as_bytes()), None) {
                Ok(()) => "ok".into(),
                Err(status) => format!("status {}", status as u32),
            },
            "shared-get" => match get_shared_data(word()) {
                Ok((Some(value), _)) => String::from_utf8_lossy(&value).into_owned(),
                Ok((None, _)) => "none".into(),
                Err(status) => format!("status {}", status as u32),
            },
            "reply" => done(host::reply(
                word().parse().unwrap_or(0),
                "probe",
                &[("x-by", "probe")],
                word().as_bytes(),
            )),
            "wait" => {
                WAITING.with_borrow_mut(|waiting| waiting.push(self.clone()));
                "ok".into()
            }
            "resume-request" => done(host::resume(Message::Request)),
            "resume-response" => done(host::resume(Message::Response)),
            "call" => {
                let (cluster, path) = (word(), word());
                let headers = vec![(":method", "GET"), (":path", path), (":authority", "probe")];
                match self.dispatch_http_call(cluster, headers, None, vec![], Duration::from_millis(300)) {
                    Ok(_) => "ok".into(),
                    Err(status) => format!("status {}", status as u32),
                }
            }
            // What every other guest here must not do.
            "trap" => std::process::abort(),
            unknown => format!("unknown: {unknown}"),
        }
    }
}

/// A property of eight bytes.
fn number(path: &str) -> String {
    let bytes = get_property(path.split('/').collect()).ok().flatten();
    let number = bytes.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    number.map_or_else(|| "none".into(), |number| number.to_string())
}

fn header(map: Map, name: &str) -> String {
    match host::header(map, name) {
        Ok(value) => value,
        Err(error) if error.status == host::NOT_FOUND => "none".into(),
        Err(error) => format!("status {}", error.status),
    }
}

impl Context for Probe {
    fn on_http_call_response(&mut self, _: u32, headers: usize, size: usize, _: usize) {
        let status = if headers == 0 { "none".into() } else { header(Map::Call, ":status") };
        let facts = format!(" status={status} body={size}");
        self.play("call", &facts, size);
    }

    fn on_done(&mut self) -> bool {
        self.play("done", "", 0);
        true
    }
}

impl HttpContext for Probe {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        let suffix = SUFFIX.get();
        let asked = header(Map::Request, &format!("x-trace{suffix}"));
        if asked != "none" {
            let lines = TRACES.with_borrow(|traces| traces.get(&asked).map(|lines| lines.join("\n")));
            let _ = host::reply(200, "trace", &[], lines.unwrap_or_default().as_bytes());
            return Action::Pause;
        }
        let id = header(Map::Request, "x-id");
        if id != "none" {
            self.id = id;
        }
        let script = header(Map::Request, &format!("x-probe{suffix}"));
        for part in script.split(';') {
            if let Some((phase, steps)) = part.split_once('=') {
                self.script.insert(phase.to_owned(), steps.split(',').map(str::to_owned).collect());
            }
        }
        self.play("request_headers", &format!(" end={end}"), 0)
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.play(if end { "request_end" } else { "request_body" }, &format!(" {size}"), size)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.play("request_trailers", "", 0)
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        self.play("response_headers", &format!(" end={end}"), 0)
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.play(if end { "response_end" } else { "response_body" }, &format!(" {size}"), size)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.play("response_trailers", "", 0)
    }

    fn on_log(&mut self) {
        self.play("log", "", 0);
    }
}
