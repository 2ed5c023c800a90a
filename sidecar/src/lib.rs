//! The service beside the gateway: what a filter cannot hold, because it has one memory for each worker and forgets
//! it with every reload. It keeps budgets: what is reserved before a request goes to a model, and settled after it.
//!
//! `admission` reads what the gateway asks, `store` counts, `ticket` is what a reservation looks like on its way; `service` is
//! the three over HTTP. Between a reservation and its settlement the sidecar holds nothing.

mod admission;
mod bounded;
mod error;
pub mod log;
mod metrics;
mod service;
pub mod store;
mod ticket;
mod tokens;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use axum::serve::ListenerExt;
use bounded::Bounded;
use tokio::net::{TcpListener, UnixListener, UnixStream};

pub use service::{Service, Settings};
pub use ticket::Secret;

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
    service: Service,
    ready: impl FnOnce(&Address),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot listen on {address:?}: {error}");
    let most = service.connections();
    let router = service::router(Arc::new(service));
    match address {
        Address::Tcp(socket) => {
            let listener = TcpListener::bind(socket).await.map_err(cannot)?;
            let bound = listener.local_addr().map_err(cannot)?;
            // Without it, an answer over HTTP/2 waits 40 ms for its last piece.
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            ready(&Address::Tcp(bound));
            axum::serve(Bounded::new(listener, most), router).with_graceful_shutdown(stop).await
        }
        Address::Unix(path) => {
            let listener = bind(path).await.map_err(cannot)?;
            ready(address);
            let listener = Bounded::new(listener, most);
            let served = axum::serve(listener, router).with_graceful_shutdown(stop).await;
            let _ = std::fs::remove_file(path);
            served
        }
    }
    .map_err(|error| error.to_string())
}

/// A socket that nobody listens on any more is in the way, and is replaced.
async fn bind(path: &Path) -> std::io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error)
            if error.kind() == ErrorKind::AddrInUse
                && std::fs::metadata(path)?.file_type().is_socket()
                && UnixStream::connect(path).await.is_err() =>
        {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
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

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_on_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let first = super::bind(&path).await.unwrap();
        assert!(super::bind(&path).await.is_err());
        drop(first);
        assert!(super::bind(&path).await.is_ok());
        let file = folder.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        assert!(super::bind(&file).await.is_err() && file.exists());
    }
}
