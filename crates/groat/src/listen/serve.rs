//! The accept loop: one task a connection, with limits, and an end that lets requests finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tower::{ServiceExt, service_fn};

use super::framing::{Framed, Suspicion};

/// How long the head of a request may take (threat row H20).
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections at a time; more wait in the kernel.
const CONNECTIONS_MAX: usize = 8_192;
/// How long requests may still take when the process is told to stop. What they began is in the book.
const GRACE: Duration = Duration::from_secs(10);

/// A server that runs in tasks of its own; it takes no more requests when this is dropped.
pub(crate) struct Serving {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    /// The address that was really taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests and waits for those under way.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

/// Serves a router.
pub(crate) fn spawn(listener: TcpListener, router: Router) -> anyhow::Result<Serving> {
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(accept(listener, router, stopped));
    Ok(Serving { address, stop, task })
}

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    let open = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    loop {
        let Ok(permit) = Arc::clone(&open).acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, or a client that left at once: neither ends the server.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = told(&mut stopped) => break,
        };
        let (io, service) = guarded(stream, router.clone());
        let connection = graceful.watch(http.serve_connection(io, service).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
}

/// Returns when the server is told to stop, or dropped.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

type Service = TowerToHyperService<
    tower::util::BoxCloneSyncService<
        Request<hyper::body::Incoming>,
        Response<Body>,
        std::convert::Infallible,
    >,
>;

/// A connection, and a router that refuses what its framing leaves in doubt.
fn guarded(stream: TcpStream, router: Router) -> (TokioIo<Framed<TcpStream>>, Service) {
    let _ = stream.set_nodelay(true);
    let suspicion = Suspicion::default();
    let io = TokioIo::new(Framed::new(stream, suspicion.clone()));
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (router, suspicion) = (router.clone(), suspicion.clone());
        async move { answer(router, request, &suspicion).await }
    });
    (io, TowerToHyperService::new(tower::util::BoxCloneSyncService::new(service)))
}

async fn answer(
    router: Router,
    request: Request<hyper::body::Incoming>,
    suspicion: &Suspicion,
) -> Result<Response<Body>, std::convert::Infallible> {
    let old = request.version() <= Version::HTTP_11;
    if old && suspicion.is_raised() {
        return Ok(refusal());
    }
    // Where a chunked body ends is a matter of opinion between servers: nothing follows it on this connection.
    let last = old && request.headers().contains_key(TRANSFER_ENCODING);
    let mut response = router.oneshot(request.map(Body::new)).await?;
    if last {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// To a request that two servers could read in two ways (threat row H11; RFC 9112, sections 2.2 and 6.3).
fn refusal() -> Response<Body> {
    let body = r#"{"error":"ambiguous_request","message":"the request could be read in two ways: send lines that end in CR LF, and one length"}"#;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
