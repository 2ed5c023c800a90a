//! What a host tells about itself, under the paths that Envoy's admin interface has.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

use crate::server::{Ready, runtime};
use crate::vm::host::Services;

/// What the interface tells.
struct Told {
    config: String,
    services: Arc<Services>,
}

/// The life of the admin thread.
pub fn serve(
    listener: TcpListener,
    config: Value,
    services: Arc<Services>,
    mut stopped: watch::Receiver<bool>,
    ready: Ready,
) {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return ready.say(Err(error)),
    };
    let told = Arc::new(Told { config: format!("{config:#}\n"), services });
    LocalSet::new().block_on(&runtime, async move {
        let nonblocking = listener.set_nonblocking(true);
        let listener = match nonblocking.and_then(|()| tokio::net::TcpListener::from_std(listener)) {
            Ok(listener) => listener,
            Err(error) => return ready.say(Err(error.to_string())),
        };
        ready.say(Ok(()));
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    let told = Arc::clone(&told);
                    let service = service_fn(move |request| answer(Arc::clone(&told), request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    spawn_local(async move { drop(connection.serve_connection(TokioIo::new(stream), service).await) });
                },
            }
        }
    });
}

async fn answer(told: Arc<Told>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, kind, body) = match request.uri().path() {
        "/ready" => (StatusCode::OK, "text/plain", "LIVE\n".to_owned()),
        "/config_dump" => (StatusCode::OK, "application/json", told.config.clone()),
        "/stats/prometheus" => {
            (StatusCode::OK, "text/plain; version=0.0.4", told.services.metrics.prometheus())
        }
        _ => {
            let paths = "expected /ready, /config_dump or /stats/prometheus\n";
            (StatusCode::NOT_FOUND, "text/plain", paths.to_owned())
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    Ok(response)
}
