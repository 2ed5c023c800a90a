//! One Envoy with a listener for each way of doing a thing, another one as the provider behind it, and the processor
//! time that the first one takes for a request.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use labs::gateway::start_envoy;
use labs::project;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Requests are sent over so many connections at a time.
const CONNECTIONS: usize = 16;

/// A chat of one kilobyte.
const CHAT_BYTES: usize = 1024;

/// What every request is answered.
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;

/// A running Envoy, its provider if that is one as well, and its listeners in the order of their filters.
pub struct Envoys {
    gateway: Process,
    _provider: Option<Process>,
    listeners: Vec<SocketAddr>,
}

struct Process(Child, #[allow(dead_code, reason = "held for its end")] TempDir);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn address(of: SocketAddr) -> Value {
    json!({"socket_address": {"address": of.ip().to_string(), "port_value": of.port()}})
}

fn listener(number: usize, at: SocketAddr, filters: &[Value], action: &Value) -> Value {
    let mut filters = filters.to_vec();
    filters.push(json!({"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}));
    let mut route = json!({"name": "openai", "match": {"prefix": "/"}});
    route.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
    json!({
        "name": format!("listener-{number}"),
        "address": address(at),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "bench",
                "route_config": {"virtual_hosts": [{"name": "any", "domains": ["*"], "routes": [route]}]},
                "http_filters": filters,
            },
        }]}],
    })
}

fn run(listeners: Vec<Value>, clusters: Value, ready: SocketAddr) -> Process {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({
        "node": {"id": "bench", "cluster": "bench"},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    });
    let path = folder.path().join("envoy.json");
    fs::write(&path, config.to_string()).unwrap();
    let child = start_envoy(&path);
    let mut process = Process(child, folder);
    let begun = Instant::now();
    while TcpStream::connect(ready).is_err() {
        assert_eq!(process.0.try_wait().unwrap(), None, "Envoy did not start");
        assert!(begun.elapsed() < Duration::from_secs(60), "Envoy is not ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

impl Envoys {
    /// Starts an Envoy with a listener for each list of filters, and another one as the provider.
    pub fn start(filters: &[Vec<Value>]) -> Envoys {
        let provider_at = free();
        let answer = json!({"direct_response": {"status": 200, "body": {"inline_string": ANSWER}}});
        let provider = run(vec![listener(0, provider_at, &[], &answer)], json!([]), provider_at);
        Envoys { _provider: Some(provider), ..Envoys::before(provider_at, filters) }
    }

    /// Starts an Envoy with a listener for each list of filters, before a provider that is there already.
    pub fn before(provider_at: SocketAddr, filters: &[Vec<Value>]) -> Envoys {
        let listeners: Vec<SocketAddr> = filters.iter().map(|_| free()).collect();
        let to_provider = json!({"route": {"cluster": "provider", "timeout": "0s"}});
        let configured = filters.iter().enumerate();
        let configured = configured.map(|(i, it)| listener(i, listeners[i], it, &to_provider)).collect();
        let cluster = json!([{
            "name": "provider",
            "type": "STATIC",
            "load_assignment": {"cluster_name": "provider", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(provider_at)}}]}]},
        }]);
        let gateway = run(configured, cluster, *listeners.last().unwrap());
        Envoys { gateway, _provider: None, listeners }
    }

    /// Where a listener is.
    pub fn address(&self, listener: usize) -> SocketAddr {
        self.listeners[listener]
    }

    /// The microseconds of processor time that a listener takes for a request, over so many requests. Each of them has
    /// the next one of these tokens.
    pub fn cost(&self, listener: usize, requests: usize, tokens: &[String]) -> f64 {
        self.cost_of(listener, requests, |number| chat(tokens.get(number % tokens.len().max(1))))
    }

    /// The same for other requests, by their number.
    pub fn cost_of(
        &self,
        listener: usize,
        requests: usize,
        request: impl Fn(usize) -> Vec<u8> + Sync,
    ) -> f64 {
        cost_at(self.listeners[listener], self.gateway.0.id(), requests, request)
    }
}

/// The microseconds of processor time that a process takes for a request to an address, over so many requests.
pub fn cost_at(
    address: SocketAddr,
    pid: u32,
    requests: usize,
    request: impl Fn(usize) -> Vec<u8> + Sync,
) -> f64 {
    let before = processor_time(pid);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS.min(requests) {
            scope.spawn(|| send(address, requests, &request, &next));
        }
    });
    let spent = processor_time(pid) - before;
    spent.as_secs_f64() * 1e6 / requests as f64
}

fn send(address: SocketAddr, requests: usize, request: &impl Fn(usize) -> Vec<u8>, next: &AtomicUsize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= requests {
            return;
        }
        stream.write_all(&request(number)).unwrap();
        receive(&mut stream);
    }
}

/// Reads an answer to its end, and leaves the connection open.
fn receive(stream: &mut TcpStream) {
    let (mut got, mut end) = (Vec::new(), None);
    let mut buffer = [0; 65536];
    loop {
        let more = stream.read(&mut buffer).unwrap();
        assert_ne!(more, 0, "the connection was closed");
        got.extend_from_slice(&buffer[..more]);
        let end = *end.get_or_insert_with(|| {
            let at = got.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
            let head = String::from_utf8_lossy(&got[..at]).to_lowercase();
            assert!(head.starts_with("http/1.1 200 ok"), "{}", String::from_utf8_lossy(&got));
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            length.map(|length| at + 4 + length.parse::<usize>().unwrap())
        });
        if end.map_or(got.ends_with(b"\r\n0\r\n\r\n"), |end| got.len() >= end) {
            return;
        }
    }
}

/// A chat of one kilobyte.
pub fn chat(token: Option<&String>) -> Vec<u8> {
    let body = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"TEXT"}]}"#;
    let text: String = "How are you? ".chars().cycle().take(CHAT_BYTES - body.len() + 4).collect();
    let token = token.map(|it| format!("authorization: Bearer {it}\r\n")).unwrap_or_default();
    request("/openai", &token, &body.replace("TEXT", &text))
}

/// A request with a JSON body.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    request(path, "", body)
}

fn request(path: &str, header: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{header}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The module as a filter.
pub fn module(configuration: &Value) -> Value {
    json!({"name": "turnpike", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "turnpike", "root_id": "turnpike", "allow_on_headers_stop_iteration": true,
            "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": project::module()}}},
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration.to_string()},
        },
    }})
}

/// What all threads of a process have spent on a processor.
fn processor_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let spent = tasks.filter_map(|task| nanoseconds(&task.ok()?.path())).sum();
    Duration::from_nanos(spent)
}

fn nanoseconds(task: &Path) -> Option<u64> {
    fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
}
