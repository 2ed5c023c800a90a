//! The listener: threads that accept connections, and the translation between HTTP and frames.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};

use crate::admin;
use crate::chain::{Frame, is_last};
use crate::config::Config;
use crate::headers::HeaderMap;
use crate::metrics::Metrics;
use crate::shared::Shared;
use crate::stage::{self, Event, Right};
use crate::vm::host::Services;
use crate::worker::{Connection, Worker};

/// A running host. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts serving. When it returns, the plugins are configured and requests pass.
    ///
    /// # Errors
    /// A sentence about the address, the plugin or the cluster that does not work.
    pub fn start(mut config: Config) -> Result<Server, String> {
        let bind = |address: SocketAddr| {
            TcpListener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))
        };
        let listener = bind(config.listen)?;
        let admin_listener = config.admin.map(bind).transpose()?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let admin = admin_listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let services = Arc::new(Services {
            shared: Shared::default(),
            metrics: Metrics::new(std::mem::take(&mut config.stats_tags)),
            log: std::mem::replace(&mut config.log, Box::new(|_, _| {})),
            log_level: config.log_level,
            clusters: config.clusters.iter().map(|it| (it.name.clone(), !it.endpoints.is_empty())).collect(),
        });
        let config = Arc::new(config);
        let (stop, stopped) = watch::channel(false);
        let mut server = Server { address, admin, stop, threads: Vec::new() };
        for index in 0..config.workers.max(1) {
            let listener = listener.try_clone().map_err(|error| error.to_string())?;
            let (config, services, stopped) = (Arc::clone(&config), Arc::clone(&services), stopped.clone());
            server.thread(&format!("worker-{index}"), move |ready| {
                work(config, services, listener, address, stopped, ready);
            })?;
        }
        if let Some(listener) = admin_listener {
            let dump = config.dump();
            server.thread("admin", move |ready| admin::serve(listener, dump, services, stopped, ready))?;
        }
        Ok(server)
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it tells about itself.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Starts a thread and waits until it says that it is ready, or why it is not.
    fn thread(&mut self, name: &str, run: impl FnOnce(Ready) + Send + 'static) -> Result<(), String> {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || run(Ready(ready)));
        self.threads.push(thread.map_err(|error| error.to_string())?);
        is_ready.recv().unwrap_or_else(|_| Err("a thread has died".into()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        for thread in self.threads.drain(..) {
            // A thread that has died has nothing more to say.
            let _ = thread.join();
        }
    }
}

/// Says once whether a thread is ready.
pub struct Ready(std::sync::mpsc::Sender<Result<(), String>>);

impl Ready {
    /// Says it.
    pub fn say(self, result: Result<(), String>) {
        // Whoever has stopped waiting does not need to know.
        let _ = self.0.send(result);
    }
}

/// A runtime for one thread.
///
/// # Errors
/// A sentence of the operating system's.
pub fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}

/// The life of a worker thread.
fn work(
    config: Arc<Config>,
    services: Arc<Services>,
    listener: TcpListener,
    address: SocketAddr,
    mut stopped: watch::Receiver<bool>,
    ready: Ready,
) {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return ready.say(Err(error)),
    };
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        let (wake, mut woken) = mpsc::unbounded_channel();
        let started = Worker::start(config, services, wake).and_then(|worker| {
            listener.set_nonblocking(true).map_err(|error| error.to_string())?;
            let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
            Ok((worker, listener))
        });
        let (worker, listener) = match started {
            Ok(started) => started,
            Err(error) => return ready.say(Err(error)),
        };
        ready.say(Ok(()));
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                Some(wake) = woken.recv() => worker.wake(&wake),
                accepted = listener.accept() => if let Ok((stream, source)) = accepted {
                    let connection = Connection { source, destination: address };
                    spawn_local(speak(Rc::clone(&worker), stream, connection));
                },
            }
        }
    });
}

/// Runs futures on the thread that made them.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(async move { drop(future.await) });
    }
}

/// Speaks HTTP/1.1 or HTTP/2 on a connection, whichever the client begins with.
async fn speak(worker: Rc<Worker>, stream: tokio::net::TcpStream, connection: Connection) {
    // Without it, small pieces of a stream wait for each other.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(Rc::clone(&worker), request, connection));
    let mut builder = auto::Builder::new(Local);
    builder.http1().timer(TokioTimer::new()).http2().timer(TokioTimer::new());
    // A client that breaks the protocol or leaves is no news.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

type Answer = StreamBody<Pieces>;
type Pieces = std::pin::Pin<Box<dyn Stream<Item = io::Result<http_body::Frame<Bytes>>>>>;

/// Carries one request into a worker, and its answer out.
async fn answer(
    worker: Rc<Worker>,
    request: Request<Incoming>,
    connection: Connection,
) -> io::Result<Response<Answer>> {
    let protocol = if request.version() == http::Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" };
    let (headers, body) = incoming(request);
    let ended = body.is_end_stream();
    let (left, right) = stage::pair();
    let Right { requests, mut responses } = right;
    let first = Frame::Headers(headers.clone(), ended);
    let pump = async move {
        if requests.send(first).await.is_ok() && !ended {
            pump(body, &requests).await;
        }
        // The sender stays until the answer is out: its end would say that the client has left.
        requests.closed().await;
    };
    spawn_local(pump);
    spawn_local(async move { worker.serve(left, &headers, connection, protocol).await });
    loop {
        match responses.recv().await {
            Some(Event::Frame(Frame::Headers(map, _))) => return Ok(outgoing(&map, responses)),
            Some(Event::Reply(reply)) => return Ok(plain(reply.status, reply.body)),
            Some(Event::Frame(Frame::Data(..) | Frame::Trailers(_))) => {}
            Some(Event::Failed(_)) | None => return Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// The headers of a request with what Envoy adds to them, and its body.
fn incoming(request: Request<Incoming>) -> (HeaderMap, Incoming) {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let authority = head.uri.authority().map(http::uri::Authority::as_str).or(host).unwrap_or_default();
    let pseudo =
        [(":method", head.method.as_str()), (":path", path), (":authority", authority), (":scheme", "http")];
    let mut headers = HeaderMap::from_http(&pseudo, &head.headers);
    headers.set("x-forwarded-proto", b"http");
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let id = format!("{:08x}-{number:08x}", std::process::id());
    headers.set("x-request-id", id.as_bytes());
    (headers, body)
}

/// Carries a request's body; the end comes by itself, as in Envoy's HTTP/1 codec.
async fn pump(mut body: Incoming, requests: &mpsc::Sender<Frame>) {
    loop {
        let frame = match body.frame().await {
            None => Frame::Data(Vec::new(), true),
            // The client has left: the stage hears of it from the other side.
            Some(Err(_)) => return,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Frame::Data(data.to_vec(), false),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Frame::Trailers(HeaderMap::from_http(&[], &trailers)),
                    Err(_) => continue,
                },
            },
        };
        let last = is_last(&frame);
        if requests.send(frame).await.is_err() || last {
            return;
        }
    }
}

/// An answer whose body follows in events.
fn outgoing(headers: &HeaderMap, responses: mpsc::Receiver<Event>) -> Response<Answer> {
    let status = headers.text(":status").and_then(|it| it.parse().ok());
    let pieces = stream::unfold(Some(responses), |responses| async {
        let mut responses = responses?;
        match responses.recv().await? {
            Event::Frame(Frame::Data(bytes, end)) => {
                Some((Ok(http_body::Frame::data(bytes.into())), (!end).then_some(responses)))
            }
            Event::Frame(Frame::Trailers(map)) => Some((Ok(http_body::Frame::trailers(map.to_http())), None)),
            Event::Failed(_) => Some((Err(io::ErrorKind::ConnectionReset.into()), None)),
            // Headers come once, and a reply only before them.
            Event::Frame(Frame::Headers(..)) | Event::Reply(_) => None,
        }
    });
    let mut response = Response::new(StreamBody::new(Box::pin(pieces) as Pieces));
    *response.status_mut() = status.unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers.to_http();
    response
}

/// An answer of the host's own, past all filters.
fn plain(status: u16, body: Vec<u8>) -> Response<Answer> {
    let piece = stream::iter([Ok(http_body::Frame::data(Bytes::from(body)))]);
    let mut response = Response::new(StreamBody::new(Box::pin(piece) as Pieces));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    response
}
