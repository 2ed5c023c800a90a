//! The last part of a request's way: an HTTP client for each cluster.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;

use crate::chain::{Frame, is_last};
use crate::config::Cluster;
use crate::connect::Connector;
use crate::headers::HeaderMap;
use crate::stage::{Event, Left};
use crate::traffic::{Failure, host_reply};

/// A client for the servers of one cluster.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<Connector, RequestBody>,
    scheme: &'static str,
    empty: bool,
}

impl Client {
    /// A client for a cluster.
    ///
    /// # Errors
    /// A sentence about its TLS settings.
    pub fn new(cluster: &Cluster) -> Result<Client, String> {
        let connector = Connector::new(cluster)?;
        let empty = connector.is_empty();
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Client { http, scheme: if cluster.tls.is_some() { "https" } else { "http" }, empty })
    }

    /// Whether the cluster has no server.
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Carries one request to the cluster and its answer back.
    pub async fn carry(self, mut left: Left) {
        let Some(Frame::Headers(headers, end)) = left.requests.recv().await else { return };
        let Left { requests, responses } = left;
        let body = RequestBody { frames: (!end).then_some(requests) };
        let request = match request(&headers, self.scheme, body) {
            Ok(request) => request,
            Err(what) => {
                let reply = host_reply(400, &what, "http.invalid_request");
                let _ = responses.send(Event::Reply(reply)).await;
                return;
            }
        };
        let answer = tokio::select! {
            biased;
            () = responses.closed() => return,
            answer = self.http.request(request) => answer,
        };
        match answer {
            Ok(answer) => relay(answer, &responses).await,
            Err(error) => drop(responses.send(Event::Failed(failure(&error))).await),
        }
    }
}

/// Sends an answer back, piece by piece.
async fn relay(answer: http::Response<Incoming>, responses: &mpsc::Sender<Event>) {
    let (head, mut body) = answer.into_parts();
    let headers = HeaderMap::from_http(&[(":status", head.status.as_str())], &head.headers);
    let ended = body.is_end_stream();
    if responses.send(Event::Frame(Frame::Headers(headers, ended))).await.is_err() || ended {
        return;
    }
    loop {
        let next = tokio::select! {
            biased;
            () = responses.closed() => return,
            next = body.frame() => next,
        };
        // As in Envoy's HTTP/1 codec, the end comes by itself: no bytes, and nothing follows.
        let (event, last) = match next {
            None => (Event::Frame(Frame::Data(Vec::new(), true)), true),
            Some(Err(_)) => (Event::Failed(Failure::Reset), true),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => (Event::Frame(Frame::Data(data.to_vec(), false)), false),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => {
                        (Event::Frame(Frame::Trailers(HeaderMap::from_http(&[], &trailers))), true)
                    }
                    Err(_) => continue,
                },
            },
        };
        if responses.send(event).await.is_err() || last {
            return;
        }
    }
}

fn request(headers: &HeaderMap, scheme: &str, body: RequestBody) -> Result<Request<RequestBody>, String> {
    let pseudo =
        |name: &str| headers.text(name).filter(|it| !it.is_empty()).ok_or(format!("{name} is missing"));
    let method = Method::from_bytes(pseudo(":method")?.as_bytes()).map_err(|error| error.to_string())?;
    let uri: Result<Uri, _> = Uri::builder()
        .scheme(scheme)
        .authority(pseudo(":authority")?)
        .path_and_query(pseudo(":path")?)
        .build();
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri.map_err(|error| error.to_string())?;
    *request.headers_mut() = headers.to_http();
    Ok(request)
}

fn failure(error: &legacy::Error) -> Failure {
    if error.is_connect() { Failure::Connect } else { Failure::Reset }
}

/// A request body that is made of frames.
pub struct RequestBody {
    frames: Option<mpsc::Receiver<Frame>>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            let Some(frames) = &mut this.frames else { return Poll::Ready(None) };
            let frame = std::task::ready!(frames.poll_recv(cx));
            if frame.as_ref().is_none_or(is_last) {
                this.frames = None;
            }
            match frame {
                // A body that stops before its end must not look as if it were whole.
                None => return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
                Some(Frame::Data(bytes, _)) if !bytes.is_empty() => {
                    return Poll::Ready(Some(Ok(http_body::Frame::data(bytes.into()))));
                }
                Some(Frame::Trailers(map)) => {
                    return Poll::Ready(Some(Ok(http_body::Frame::trailers(map.to_http()))));
                }
                Some(Frame::Data(..) | Frame::Headers(..)) => {}
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_none()
    }
}
