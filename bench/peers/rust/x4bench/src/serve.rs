//! The small servers of the rig: counting RPC proxy, fake facilitator, hello-world.
use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use memchr::memmem;
use serde_json::json;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;

#[derive(Args)]
pub struct PortArgs {
    #[arg(long)]
    port: u16,
}

#[derive(Args)]
pub struct ProxyArgs {
    #[arg(long)]
    port: u16,
    #[arg(long, default_value = "http://127.0.0.1:18545/")]
    upstream: String,
}

/// Enough for thousands that connect at once.
const BACKLOG: u32 = 16_384;
/// Requests under way to the chain; more wait in the proxy, whose sockets are not without number.
const UPSTREAM_MAX: usize = 1024;

type Out = Response<Full<Bytes>>;

async fn listen<F, R>(port: u16, handler: F) -> Result<()>
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Out> + Send + 'static,
{
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    let listener = socket.listen(BACKLOG)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: those who wait are served when others leave.
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let handler = handler.clone();
        tokio::spawn(async move {
            let service = service_fn(move |req| {
                let reply = handler(req);
                async move { Ok::<_, Infallible>(reply.await) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn json_reply(body: impl Into<Bytes>) -> Out {
    Response::builder()
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .expect("static response")
}

pub async fn hello(args: PortArgs) -> Result<()> {
    listen(args.port, |_| async { json_reply(r#"{"ok":true}"#) }).await
}

pub async fn fake_facilitator(args: PortArgs) -> Result<()> {
    let zero = "0x1111111111111111111111111111111111111111";
    let net = "eip155:84532";
    let verify: Bytes = json!({ "isValid": true, "payer": zero }).to_string().into();
    let settle: Bytes = json!({
        "success": true, "transaction": format!("0x{}", "22".repeat(32)),
        "network": net, "payer": zero,
    })
    .to_string()
    .into();
    let supported: Bytes = json!({
        "kinds": [{ "x402Version": 2, "scheme": "exact", "network": net }],
        "extensions": [], "signers": { net: [zero] },
    })
    .to_string()
    .into();
    listen(args.port, move |req: Request<Incoming>| {
        let reply = match req.uri().path() {
            "/verify" => verify.clone(),
            "/settle" => settle.clone(),
            _ => supported.clone(),
        };
        async move {
            let _ = req.into_body().collect().await;
            json_reply(reply)
        }
    })
    .await
}

struct Proxy {
    client: Client<HttpConnector, Full<Bytes>>,
    counts: Mutex<BTreeMap<String, u64>>,
    upstream: String,
    turns: Semaphore,
    /// Answer chain reads with constants instead of asking the chain
    stub: AtomicBool,
    /// Added to every request, to imitate a remote RPC endpoint
    delay_ms: AtomicU64,
}

pub async fn rpc_proxy(args: ProxyArgs) -> Result<()> {
    let port = args.port;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client =
        Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(20)).build(connector);
    let proxy = Arc::new(Proxy {
        client,
        counts: Mutex::default(),
        upstream: args.upstream,
        turns: Semaphore::new(UPSTREAM_MAX),
        stub: AtomicBool::new(false),
        delay_ms: AtomicU64::new(0),
    });
    listen(port, move |req| {
        let proxy = proxy.clone();
        async move {
            proxy.handle(req).await.unwrap_or_else(|e| {
                let mut r = json_reply(e.to_string());
                *r.status_mut() = StatusCode::BAD_GATEWAY;
                r
            })
        }
    })
    .await
}

impl Proxy {
    async fn handle(&self, req: Request<Incoming>) -> Result<Out> {
        match (req.method(), req.uri().path()) {
            (&Method::GET, "/__stats") => {
                return Ok(json_reply(serde_json::to_vec(&*self.counts.lock().expect("lock"))?));
            }
            (&Method::POST, "/__reset") => {
                self.counts.lock().expect("lock").clear();
                return Ok(json_reply("{}"));
            }
            (&Method::POST, "/__config") => {
                let query = req.uri().query().unwrap_or_default();
                let value = |key| query.split('&').find_map(|kv| kv.strip_prefix(key)?.parse().ok());
                self.stub.store(value("stub=") == Some(1u64), Relaxed);
                self.delay_ms.store(value("delay_ms=").unwrap_or(0), Relaxed);
                return Ok(json_reply("{}"));
            }
            _ => {}
        }
        let body = req.into_body().collect().await?.to_bytes();
        self.count(&body);
        let delay = self.delay_ms.load(Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if self.stub.load(Relaxed)
            && let Some(reply) = crate::stub::answer(&body)
        {
            return Ok(json_reply(reply));
        }
        let _turn = self.turns.acquire().await?;
        let up =
            Request::post(&self.upstream).header("content-type", "application/json").body(Full::new(body))?;
        let (parts, body) = self.client.request(up).await?.into_parts();
        let mut reply = json_reply(body.collect().await?.to_bytes());
        *reply.status_mut() = parts.status;
        Ok(reply)
    }

    /// Counts calls by method and HTTP round trips by themselves (a batch is one round trip).
    fn count(&self, body: &[u8]) {
        let mut counts = self.counts.lock().expect("lock");
        *counts.entry("http_requests".into()).or_default() += 1;
        for at in memmem::find_iter(body, b"\"method\"") {
            let mut parts = body[at + 8..].split(|&b| b == b'"');
            let _colon = parts.next();
            let name = parts.next().map(String::from_utf8_lossy).unwrap_or_default();
            *counts.entry(name.into_owned()).or_default() += 1;
        }
    }
}
