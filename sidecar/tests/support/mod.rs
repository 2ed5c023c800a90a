//! The sidecar as a process, with a client that sees what is on the wire.
#![allow(dead_code, reason = "each test file uses what it needs")]

pub mod process;
pub mod redis;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

pub use process::Sidecar;
use serde_json::{Value, json};

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    pub took: Duration,
}

impl Sidecar {
    pub fn start(args: &[&str]) -> Sidecar {
        Sidecar::spawn(
            Command::new(env!("CARGO_BIN_EXE_turnpike-sidecar")).args(["--listen", "127.0.0.1:0"]).args(args),
        )
    }

    /// A sidecar whose counters are there.
    pub fn on(server: &redis::Server) -> Sidecar {
        Sidecar::start(&["--redis", &server.url()])
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "", body.to_string().as_bytes())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", b"")
    }

    pub fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: sidecar\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        let begun = Instant::now();
        let bytes = match self.address.strip_prefix("unix:") {
            Some(path) => exchange(UnixStream::connect(path).unwrap(), &head, body),
            None => exchange(TcpStream::connect(&self.address).unwrap(), &head, body),
        };
        let (head, body) = bytes.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned(), took: begun.elapsed() }
    }

    /// A connection with a question on it, which stays open when it is answered.
    pub fn asking(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: sidecar\r\n\r\n").unwrap();
        stream
    }

    /// Asks for `amount` of `max` for the subject `key`.
    pub fn admit(&self, request: &str, limit: Value) -> Answer {
        self.post("/v1/admit", &json!({"request": request, "limits": [limit]}))
    }

    pub fn settle(&self, reservation: &str, used: u64) -> Value {
        self.post("/v1/settle", &json!({"items": [{"reservation": reservation, "used": [used]}]})).json()
    }
}

fn exchange(mut stream: impl Read + Write, head: &str, body: &[u8]) -> String {
    stream.write_all(head.as_bytes()).unwrap();
    // It may answer before it has read everything.
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

/// Whether something comes within this time.
pub fn answers(mut stream: &TcpStream, within: Duration) -> bool {
    stream.set_read_timeout(Some(within)).unwrap();
    stream.read(&mut [0; 1024]).is_ok_and(|bytes| bytes > 0)
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.body))
    }

    pub fn allowed(&self) -> bool {
        self.json()["allowed"].as_bool().unwrap_or_else(|| panic!("{} {}", self.status, self.body))
    }

    pub fn reservation(&self) -> String {
        self.json()["reservation"].as_str().unwrap_or_else(|| panic!("{}", self.body)).to_owned()
    }

    pub fn remaining(&self) -> u64 {
        self.json()["limits"][0]["remaining"].as_u64().unwrap()
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// A limit of which a request takes `amount`, in a window so long that no test comes upon its end: the next is in July 2027.
pub fn lasting(key: &str, max: u64, amount: u64) -> Value {
    limit(key, 300 * 86_400, max, amount)
}

pub fn limit(key: &str, seconds: u64, max: u64, amount: u64) -> Value {
    json!({
        "name": "tokens", "key": key, "max": max, "windowSeconds": seconds, "window": "fixed",
        "amount": {"constant": amount, "perInput": 0, "estimate": 0}, "mode": "enforce",
    })
}

/// Waits for what must become true within some seconds.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(10), "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
