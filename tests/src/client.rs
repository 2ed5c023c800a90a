//! An HTTP/1.1 client that sees every byte: what came, when, and whether it came to its end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Ask {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// When each piece of the body came, counted from the request, and its bytes.
    pub pieces: Vec<(Duration, Vec<u8>)>,
    /// Whether the message came to its end.
    pub complete: bool,
}

/// How long a lab waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

impl Ask {
    /// A request without a body.
    pub fn get(path: &str) -> Ask {
        Ask { method: "GET".into(), path: path.into(), headers: Vec::new(), body: Vec::new(), chunked: false }
    }

    /// A request with a JSON body.
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Ask {
        let ask = Ask { method: "POST".into(), body: body.into(), ..Ask::get(path) };
        ask.header("content-type", "application/json")
    }

    /// A chat completion that says hello.
    pub fn chat(path: &str) -> Ask {
        Ask::post(path, r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Say hello."}]}"#)
    }

    /// The same, streamed.
    pub fn chat_stream(path: &str) -> Ask {
        let body =
            r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Say hello."}]}"#;
        Ask::post(path, body)
    }

    /// With a header more.
    pub fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.retain(|(n, _)| !(n == "content-type" && name == n));
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a token.
    pub fn bearer(self, token: &str) -> Ask {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With another method.
    pub fn method(mut self, method: &str) -> Ask {
        self.method = method.into();
        self
    }

    /// With its body in chunks.
    pub fn chunked(mut self) -> Ask {
        self.chunked = true;
        self
    }

    /// Sends it and waits for all of the answer.
    pub fn send(&self, to: SocketAddr) -> Reply {
        let (mut stream, begun) = self.start(to);
        read(&mut stream, begun)
    }

    /// Sends it, and leaves the answer to be read or not.
    pub fn start(&self, to: SocketAddr) -> (TcpStream, Instant) {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let begun = Instant::now();
        // A server that has answered already may not want the rest.
        let _ = stream.write_all(&self.bytes(to));
        (stream, begun)
    }

    fn bytes(&self, to: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head.push_str(&format!("host: {to}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut out = head.into_bytes();
        if self.chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            for piece in self.body.chunks(1000) {
                out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        } else {
            if !self.body.is_empty() {
                out.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
            }
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&self.body);
        }
        out
    }
}

impl Reply {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The status, and the message of the error if it is one.
    pub fn said(&self) -> (u16, String) {
        match self.status {
            200 => (200, String::new()),
            status => (status, self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()),
        }
    }

    /// The code of an error of the gateway's own. It has to be the same in the body and in the header, and the body
    /// has to be one that OpenAI's SDKs understand.
    pub fn code(&self) -> String {
        let body = self.json();
        let error = &body["error"];
        let code = error["code"].as_str().unwrap_or_else(|| panic!("no error: {}", self.text()));
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        assert_eq!(self.header("x-turnpike-reason"), Some(code));
        assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{body}");
        assert!(error["type"].is_string() && error["param"].is_null(), "{body}");
        code.to_owned()
    }
}

/// Reads an answer until it is whole or breaks off.
pub fn read(stream: &mut TcpStream, begun: Instant) -> Reply {
    let mut raw = Vec::new();
    let mut head_end = None;
    let mut pieces: Vec<(Duration, usize)> = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                raw.extend_from_slice(&buffer[..count]);
                skip_interim(&mut raw);
                head_end = head_end.or_else(|| find(&raw, b"\r\n\r\n").map(|at| at + 4));
                pieces.push((begun.elapsed(), raw.len()));
                // A server that has answered before it had the whole request waits a second before it closes.
                if head_end.is_some_and(|at| announced(&raw[..at]).is_some_and(|it| raw.len() >= at + it)) {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("no end of an answer in {PATIENCE:?}")
            }
            Err(_) => break,
        }
    }
    let head_end = head_end.unwrap_or_else(|| panic!("no answer, only {:?}", String::from_utf8_lossy(&raw)));
    let head = String::from_utf8_lossy(&raw[..head_end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|it| it.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut reply =
        Reply { status: status.unwrap_or(0), headers, body: Vec::new(), pieces: Vec::new(), complete: false };
    let chunked = reply.header("transfer-encoding") == Some("chunked");
    let length = announced(&raw[..head_end]);
    let mut shown = 0;
    for (when, end) in pieces {
        let bytes = &raw[head_end.min(end)..end];
        let (body, complete) = if chunked {
            unchunk(bytes)
        } else {
            (bytes.to_vec(), length.is_none_or(|length| bytes.len() >= length))
        };
        if body.len() > shown {
            reply.pieces.push((when, body[shown..].to_vec()));
            shown = body.len();
        }
        reply.complete = complete;
        reply.body = body;
    }
    reply
}

/// The length that a head announces.
fn announced(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_lowercase();
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    line.trim().parse().ok()
}

/// `100 Continue` is not the answer.
fn skip_interim(raw: &mut Vec<u8>) {
    while raw.starts_with(b"HTTP/1.1 100") {
        let Some(end) = find(raw, b"\r\n\r\n") else { return };
        raw.drain(..end + 4);
    }
}

/// The bytes in chunks, and whether the last one is there.
fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = find(bytes, b"\r\n") else { return (body, false) };
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap_or("?"), 16);
        let Ok(size) = size else { return (body, false) };
        bytes = &bytes[line + 2..];
        if size == 0 {
            return (body, true);
        }
        let here = size.min(bytes.len());
        body.extend_from_slice(&bytes[..here]);
        if bytes.len() < size + 2 {
            return (body, false);
        }
        bytes = &bytes[size + 2..];
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
