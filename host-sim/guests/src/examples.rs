//! What the example filters of the Rust SDK do: answer, change headers and bodies, ask a service before a request may
//! pass, tick, count, share, queue.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel, MetricType};

/// Starts what a configuration asks for. `refuse` is one that is not taken.
pub fn configure(configuration: &str) -> bool {
    match configuration.split(':').next() {
        Some("refuse") => false,
        Some("clock") => hostcalls::set_tick_period(Duration::from_millis(20)).is_ok(),
        Some("queue") => hostcalls::register_shared_queue("requests").is_ok(),
        _ => true,
    }
}

/// Counts the ticks, where others can see it.
pub fn tick(ticks: u32) {
    let _ = hostcalls::set_shared_data("ticks", Some(ticks.to_string().as_bytes()), None);
}

/// Takes what is in a queue, and counts it.
pub fn queue_ready(queue: u32) {
    while let Ok(Some(_)) = hostcalls::dequeue_shared_queue(queue) {
        count("queued_total", 1);
    }
}

/// The guest of a name, if it is one of these. What follows a colon is its own configuration.
pub fn http_context(configuration: &str) -> Option<Box<dyn HttpContext>> {
    let (name, rest) = configuration.split_once(':').unwrap_or((configuration, ""));
    match name {
        "headers" => Some(Box::new(Headers)),
        "body" => Some(Box::new(Body)),
        "auth" => Some(Box::new(Auth { cluster: rest.to_owned() })),
        "config" => Some(Box::new(Config { value: rest.to_owned() })),
        "clock" => Some(Box::new(Clock)),
        "queue" => Some(Box::new(Queue)),
        "env" => Some(Box::new(Env)),
        "greedy" => Some(Box::new(Greedy)),
        "endless" => Some(Box::new(Endless)),
        _ => None,
    }
}

fn count(name: &str, by: i64) {
    if let Ok(id) = hostcalls::define_metric(MetricType::Counter, name) {
        let _ = hostcalls::increment_metric(id, by);
    }
}

/// Answers `/hello` itself, and logs every header it sees.
struct Headers;

impl Context for Headers {}

impl HttpContext for Headers {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        for (name, value) in self.get_http_request_headers() {
            let _ = hostcalls::log(LogLevel::Info, &format!("request {name}: {value}"));
        }
        match self.get_http_request_header(":path") {
            Some(path) if path == "/hello" => {
                self.send_http_response(
                    200,
                    vec![("hello", "world"), ("powered-by", "proxy-wasm")],
                    Some(b"Hello!\n"),
                );
                Action::Pause
            }
            _ => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.add_http_response_header("x-seen", "yes");
        Action::Continue
    }
}

/// Holds an answer until it is whole, and replaces it if it holds a secret.
struct Body;

impl Context for Body {}

impl HttpContext for Body {
    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.set_http_response_header("content-length", None);
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        if !end {
            return Action::Pause;
        }
        if let Some(body) = self.get_http_response_body(0, size)
            && String::from_utf8_lossy(&body).contains("secret")
        {
            let new = format!("Original message body ({size} bytes) redacted.\n");
            self.set_http_response_body(0, size, new.as_bytes());
        }
        Action::Continue
    }
}

/// Asks a service whether a request may pass: it may if the service's answer is 200.
struct Auth {
    cluster: String,
}

impl Context for Auth {
    fn on_http_call_response(&mut self, _: u32, headers: usize, size: usize, _: usize) {
        let status = if headers == 0 { None } else { self.get_http_call_response_header(":status") };
        if status.as_deref() == Some("200") {
            let body = self.get_http_call_response_body(0, size).unwrap_or_default();
            self.set_http_request_header("x-asked", Some(&body.len().to_string()));
            self.resume_http_request();
            return;
        }
        let status = status.unwrap_or_default();
        self.send_http_response(403, vec![("x-service", &status)], Some(b"Access forbidden.\n"));
    }
}

impl HttpContext for Auth {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let headers = vec![(":method", "GET"), (":path", "/may-i"), (":authority", "auth")];
        match self.dispatch_http_call(&self.cluster, headers, None, vec![], Duration::from_millis(300)) {
            Ok(_) => Action::Pause,
            Err(_) => {
                self.send_http_response(500, vec![], Some(b"no such cluster\n"));
                Action::Pause
            }
        }
    }
}

/// Puts what it is configured with into a header.
struct Config {
    value: String,
}

impl Context for Config {}

impl HttpContext for Config {
    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.add_http_response_header("custom-header", &self.value);
        Action::Continue
    }
}

/// Tells how often its plugin has ticked.
struct Clock;

impl Context for Clock {}

impl HttpContext for Clock {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let (value, _) = self.get_shared_data("ticks");
        self.send_http_response(200, vec![], Some(&value.unwrap_or_default()));
        Action::Pause
    }
}

/// Leaves a note of every request for its plugin.
struct Queue;

impl Context for Queue {}

impl HttpContext for Queue {
    fn on_log(&mut self) {
        if let Some(queue) = self.resolve_shared_queue("", "requests") {
            let _ = self.enqueue_shared_queue(queue, Some(b"request"));
        }
    }
}

/// Tells a variable of its environment, and that there are no files.
struct Env;

impl Context for Env {}

impl HttpContext for Env {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let value = std::env::var("GREETING").unwrap_or_default();
        let file = std::fs::read_to_string("/etc/passwd").map_err(|error| error.to_string());
        let text = format!("{value}\n{}", file.err().unwrap_or_default());
        self.send_http_response(200, vec![], Some(text.as_bytes()));
        Action::Pause
    }
}

/// Takes all the memory there is.
struct Greedy;

impl Context for Greedy {}

impl HttpContext for Greedy {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if self.get_http_request_header("x-be-greedy").is_some() {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(vec![1; 1 << 20]);
            }
        }
        Action::Continue
    }
}

/// Never comes back.
struct Endless;

impl Context for Endless {}

impl HttpContext for Endless {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let mut rounds: u64 = 0;
        while self.get_http_request_header("x-be-endless").is_some() {
            rounds = std::hint::black_box(rounds.wrapping_add(1));
        }
        Action::Continue
    }
}
