//! HTTP over the simulated network: hyper's client and axum's server on turmoil's sockets.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tower::Service;
use turmoil::net::{TcpListener, TcpStream};

/// Where every host listens.
pub(crate) const PORT: u16 = 80;
/// How long a connection may take, as in production.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A client with a pool of connections, as reqwest has. Half-open ones are found out by a timeout only.
pub(crate) type Http = Client<Connector, Full<Bytes>>;

pub(crate) fn http() -> Http {
    Client::builder(TokioExecutor::new()).build(Connector)
}

/// An answer, whole.
pub(crate) type Answer = http::Response<Bytes>;

/// Sends a request and reads the whole answer; `None` when that does not work in time.
pub(crate) async fn exchange(http: &Http, request: Request<Full<Bytes>>, limit: Duration) -> Option<Answer> {
    let whole = async {
        let (parts, body) = http.request(request).await.ok()?.into_parts();
        Some(http::Response::from_parts(parts, body.collect().await.ok()?.to_bytes()))
    };
    tokio::time::timeout(limit, whole).await.ok().flatten()
}

/// Serves on this host until it dies.
pub(crate) async fn serve(router: Router) -> turmoil::Result {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    axum::serve(Listener(listener), router).await?;
    Ok(())
}

struct Listener(TcpListener);

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Opens connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connector;

impl Service<Uri> for Connector {
    type Response = Line;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Line>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, PORT))).await??;
            Ok(Line(TokioIo::new(stream)))
        })
    }
}

/// An open connection.
pub(crate) struct Line(TokioIo<TcpStream>);

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
