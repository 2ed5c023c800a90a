//! The server of a mock provider: a thread of its own, stopped when it is dropped.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::openai::{self, Answer, Asked};
use crate::script::{Cut, How, Script};

/// A request that the provider has received.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `host`, or `:authority` in HTTP/2.
    pub host: String,
    /// Names in lower case, and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
}

/// How the provider proves who it is.
pub type Tls = Arc<rustls::ServerConfig>;

/// Hears of every request.
type Listener = Box<dyn Fn(&Recorded) + Send + Sync>;

/// A running provider.
pub struct Mock {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    script: Mutex<Script>,
    requests: Mutex<Vec<Recorded>>,
    numbers: AtomicU64,
    /// Requests since the script began.
    played: AtomicU64,
    abandoned: AtomicU64,
    listener: Option<Listener>,
}

impl Recorded {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Mock {
    /// Starts a provider. Port 0 takes a free one.
    ///
    /// # Errors
    /// A sentence about the address.
    pub fn start(listen: SocketAddr, script: Script) -> Result<Mock, String> {
        Mock::launch(listen, script, None, None)
    }

    /// Starts a provider that speaks TLS.
    ///
    /// # Errors
    /// A sentence about the address.
    pub fn start_tls(listen: SocketAddr, script: Script, tls: Tls) -> Result<Mock, String> {
        Mock::launch(listen, script, Some(tls), None)
    }

    /// Starts a provider that tells of every request instead of remembering it.
    ///
    /// # Errors
    /// A sentence about the address.
    pub fn start_told(
        listen: SocketAddr,
        script: Script,
        listener: impl Fn(&Recorded) + Send + Sync + 'static,
    ) -> Result<Mock, String> {
        Mock::launch(listen, script, None, Some(Box::new(listener)))
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has been asked so far.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.requests).clone()
    }

    /// How many streams nobody let come to their end.
    pub fn abandoned(&self) -> u64 {
        self.shared.abandoned.load(Ordering::Relaxed)
    }

    /// Forgets what it has been asked.
    pub fn forget(&self) {
        lock(&self.shared.requests).clear();
    }

    /// Does something else from now on.
    pub fn play(&self, script: Script) {
        *lock(&self.shared.script) = script;
        self.shared.played.store(0, Ordering::Relaxed);
    }

    fn launch(
        listen: SocketAddr,
        script: Script,
        tls: Option<Tls>,
        listener: Option<Listener>,
    ) -> Result<Mock, String> {
        let socket =
            TcpListener::bind(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
        let address = socket.local_addr().map_err(|error| error.to_string())?;
        socket.set_nonblocking(true).map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            requests: Mutex::default(),
            numbers: AtomicU64::new(1),
            played: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            listener,
        });
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let state = Arc::clone(&shared);
        let run = move || runtime.block_on(serve(socket, state, tls, stopped));
        let thread =
            std::thread::Builder::new().name("mock".into()).spawn(run).map_err(|error| error.to_string())?;
        Ok(Mock { address, shared, stop, thread: Some(thread) })
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A thread that has died has nothing more to say.
            let _ = thread.join();
        }
    }
}

/// No thread dies while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    socket: TcpListener,
    shared: Arc<Shared>,
    tls: Option<Tls>,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(socket) else { return };
    let tls = tls.map(TlsAcceptor::from);
    loop {
        let stream = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let _ = stream.set_nodelay(true);
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client that leaves or breaks the protocol is no news.
            match tls {
                None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        drop(builder.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            }
        });
    }
}

type Body = StreamBody<Pin<Box<dyn Stream<Item = io::Result<http_body::Frame<Bytes>>> + Send>>>;

/// Answers, or hangs up.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let host = head.headers.get("host").map(text);
    let authority = head.uri.authority().map(ToString::to_string);
    let recorded = Recorded {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        host: host.or(authority).unwrap_or_default(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body,
        version: format!("{:?}", head.version),
    };
    let script = current(&shared);
    let number = shared.numbers.fetch_add(1, Ordering::Relaxed);
    let response = respond(&recorded, &script, number, &shared);
    match &shared.listener {
        Some(listener) => listener(&recorded),
        None => lock(&shared.requests).push(recorded),
    }
    if !script.delay.is_zero() {
        tokio::time::sleep(script.delay).await;
    }
    if script.hang_up { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(response) }
}

/// What is played for the next request.
fn current(shared: &Shared) -> Script {
    let script = lock(&shared.script).clone();
    let played = shared.played.fetch_add(1, Ordering::Relaxed);
    match script.times {
        Some(times) if played >= times => {
            Script { text: script.text, chunks: script.chunks, ..Script::default() }
        }
        Some(_) | None => script,
    }
}

fn respond(recorded: &Recorded, script: &Script, number: u64, shared: &Arc<Shared>) -> Response<Body> {
    let document = |status: u16, kind: &str, text: String| {
        let length = http::HeaderValue::from(text.len());
        let mut response = build(script, status, kind, whole(text));
        response.headers_mut().insert("content-length", length);
        response
    };
    if script.status != 200 {
        return document(script.status, "application/json", openai::error(script.status).to_string());
    }
    if script.echo {
        return document(200, "text/plain", dump(recorded));
    }
    if let Some(page) = &script.page {
        return document(200, "application/json", page.clone());
    }
    if let Some(pieces) = &script.stream {
        return build(script, 200, "text/event-stream", paced(pieces.clone(), script, Arc::clone(shared)));
    }
    let json = recorded.json();
    let path = recorded.path.split('?').next().unwrap_or_default();
    let asked = Asked { method: &recorded.method, path, body: &json, number };
    match openai::answer(&asked, script.text.as_deref(), script.chunks.as_deref()) {
        Answer::Document(value) => document(200, "application/json", value.to_string()),
        Answer::Events(events) => {
            let events = events.into_iter().map(String::into_bytes).collect();
            build(script, 200, "text/event-stream", paced(events, script, Arc::clone(shared)))
        }
        Answer::NotFound => document(404, "application/json", openai::error(404).to_string()),
    }
}

fn build(script: &Script, status: u16, kind: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = script.content_type.as_deref().unwrap_or(kind);
    let own = [("content-type".to_owned(), kind.to_owned())];
    for (name, value) in own.iter().chain(&script.headers) {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A body of known length.
fn whole(text: String) -> Body {
    StreamBody::new(Box::pin(stream::iter([Ok(http_body::Frame::data(Bytes::from(text)))])))
}

/// Events one after the other, each after a while, perhaps not to the end.
fn paced(mut events: Vec<Vec<u8>>, script: &Script, shared: Arc<Shared>) -> Body {
    let delay = script.chunk_delay;
    let mut breaks = false;
    if let Some(Cut { after, how }) = script.cut {
        let next = events.get(after).cloned().unwrap_or_default();
        events.truncate(after);
        match how {
            How::End => {}
            How::HalfEvent => events.push(next.iter().take(next.len() / 2).copied().collect()),
            How::Close => breaks = true,
        }
    }
    let mut pieces: Vec<io::Result<Vec<u8>>> = events.into_iter().map(Ok).collect();
    if breaks {
        pieces.push(Err(io::ErrorKind::BrokenPipe.into()));
    }
    let begun = (pieces.into_iter(), Unfinished { shared, left: true });
    let paced = stream::unfold(begun, move |(mut rest, unfinished)| async move {
        let Some(piece) = rest.next() else {
            unfinished.finish();
            return None;
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        Some((piece.map(|bytes| http_body::Frame::data(Bytes::from(bytes))), (rest, unfinished)))
    });
    StreamBody::new(Box::pin(paced))
}

/// A stream that counts as abandoned should it be dropped before its end.
struct Unfinished {
    shared: Arc<Shared>,
    left: bool,
}

impl Unfinished {
    fn finish(mut self) {
        self.left = false;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.shared.abandoned.fetch_add(u64::from(self.left), Ordering::Relaxed);
    }
}

/// A request as text.
fn dump(recorded: &Recorded) -> String {
    let Recorded { method, path, headers, body, .. } = recorded;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    format!("{method} {path} HTTP/1.1\n{headers}\n{}", String::from_utf8_lossy(body))
}
