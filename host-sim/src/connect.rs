//! Connections to the servers of a cluster.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{Cluster, Endpoint, Tls};

/// Connects to the servers of one cluster in turn, whatever host a request names.
#[derive(Clone)]
pub struct Connector {
    endpoints: Arc<[Endpoint]>,
    next: Arc<AtomicUsize>,
    timeout: Duration,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A connection, protected or not.
pub enum Io {
    /// As it is.
    Plain(TokioIo<Socket>),
    /// TLS.
    Tls(Box<TokioIo<TlsStream<Socket>>>),
}

/// What bytes go through: TCP, or a socket in the file system.
pub type Socket = Box<dyn Stream>;

/// A stream of bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connector {
    /// A connector for a cluster.
    ///
    /// # Errors
    /// A sentence about its TLS settings.
    pub fn new(cluster: &Cluster) -> Result<Connector, String> {
        let tls = cluster.tls.as_ref().map(client).transpose();
        Ok(Connector {
            endpoints: cluster.endpoints.iter().cloned().collect(),
            next: Arc::default(),
            timeout: cluster.connect_timeout,
            tls: tls.map_err(|error| format!("cluster {}: {error}", cluster.name))?,
        })
    }

    /// Whether there is no server to connect to.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    async fn connect(self) -> io::Result<Io> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.endpoints.len().max(1);
        let Some(endpoint) = self.endpoints.get(turn) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the cluster has no endpoints"));
        };
        let socket: Socket = match endpoint {
            Endpoint::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        match self.tls {
            None => Ok(Io::Plain(TokioIo::new(socket))),
            Some((tls, name)) => Ok(Io::Tls(Box::new(TokioIo::new(tls.connect(name, socket).await?)))),
        }
    }
}

/// A TLS client that believes what the cluster believes, and asks for HTTP/2 first.
fn client(tls: &Tls) -> Result<(TlsConnector, ServerName<'static>), String> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(file) => {
            let all = CertificateDer::pem_file_iter(file)
                .map_err(|error| format!("{}: {error}", file.display()))?;
            for certificate in all {
                let certificate = certificate.map_err(|error| format!("{}: {error}", file.display()))?;
                roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("no certificate authority is known; set SSL_CERT_FILE or name a file".into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config =
        builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name =
        ServerName::try_from(tls.name.clone()).map_err(|_| format!("`{}` is no host name", tls.name))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

impl tower_service::Service<Uri> for Connector {
    type Response = Io;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Io>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let timeout = connector.timeout;
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the connection took too long");
            tokio::time::timeout(timeout, connector.connect()).await.map_err(late)?
        })
    }
}

impl Connection for Io {
    fn connected(&self) -> Connected {
        match self {
            Io::Tls(stream) if stream.inner().get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            Io::Tls(_) | Io::Plain(_) => Connected::new(),
        }
    }
}

impl Read for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::{Connector, Io};
    use crate::config::{Cluster, Endpoint};

    fn connector(sockets: &[&Path]) -> Connector {
        let cluster = Cluster {
            name: "unix".into(),
            endpoints: sockets.iter().map(|path| Endpoint::Unix(path.into())).collect(),
            tls: None,
            connect_timeout: Duration::from_secs(1),
            filters: Vec::new(),
        };
        Connector::new(&cluster).unwrap()
    }

    #[tokio::test]
    async fn sockets_in_the_file_system_are_servers_like_others() {
        let folder = tempfile::tempdir().unwrap();
        let (here, gone) = (folder.path().join("here"), folder.path().join("gone"));
        let listener = UnixListener::bind(&here).unwrap();
        let connector = connector(&[&here, &gone]);
        let Io::Plain(io) = connector.clone().connect().await.unwrap() else { panic!("nothing protects it") };
        let (mut client, (mut server, _)) = (TokioIo::into_inner(io), listener.accept().await.unwrap());
        client.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        assert!(connector.clone().connect().await.is_err(), "the next in turn does not listen");
        assert!(connector.connect().await.is_ok());
    }
}
