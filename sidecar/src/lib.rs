//! The service beside the gateway: what a filter cannot hold, because it has one memory for each worker and forgets
//! it with every reload. So far it says that it is well; counters, cached answers and passages move in here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::{TcpListener, UnixListener};

/// Where the service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A socket in the file system: whoever may open it may ask.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("expected a path after `unix:`".into()),
            Some(path) => Ok(Address::Unix(path.into())),
            None => {
                text.parse().map(Address::Tcp).map_err(|_| "expected `127.0.0.1:8081` or `unix:/path`".into())
            }
        }
    }
}

/// Serves until `stop` is done. `ready` hears where, once it does.
///
/// # Errors
/// A sentence about the address.
pub async fn serve(
    address: &Address,
    ready: impl FnOnce(&Address),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot listen on {address:?}: {error}");
    let router = router();
    match address {
        Address::Tcp(socket) => {
            let listener = TcpListener::bind(socket).await.map_err(cannot)?;
            let bound = listener.local_addr().map_err(cannot)?;
            // Without it, an answer over HTTP/2 waits 40 ms for its last piece.
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            ready(&Address::Tcp(bound));
            axum::serve(listener, router).with_graceful_shutdown(stop).await
        }
        Address::Unix(path) => {
            // A socket that nobody listens on any more is in the way.
            if UnixListener::bind(path).is_err() && tokio::net::UnixStream::connect(path).await.is_err() {
                let _ = std::fs::remove_file(path);
            }
            let listener = UnixListener::bind(path).map_err(cannot)?;
            ready(address);
            let served = axum::serve(listener, router).with_graceful_shutdown(stop).await;
            let _ = std::fs::remove_file(path);
            served
        }
    }
    .map_err(|error| error.to_string())
}

fn router() -> Router {
    // Alive, and able to do its work: the same as long as it depends on nobody.
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(|| async { "ok\n" }))
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_is_a_socket_or_a_path() {
        assert_eq!("127.0.0.1:1".parse(), Ok(Address::Tcp("127.0.0.1:1".parse().unwrap())));
        assert_eq!("unix:/tmp/a".parse(), Ok(Address::Unix("/tmp/a".into())));
        assert!("localhost".parse::<Address>().is_err());
        assert!("unix:".parse::<Address>().is_err());
    }
}
