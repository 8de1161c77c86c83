//! One keep-alive HTTP/1.1 connection per load worker, and a JSON-RPC caller on top of it.
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;

pub struct Target {
    pub authority: String,
    pub path: String,
}

impl Target {
    pub fn parse(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").context("only http:// targets")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self { authority: authority.to_owned(), path: format!("/{path}") })
    }
    pub fn join(&self, path: &str) -> String {
        format!("{}{}", self.path.trim_end_matches('/'), path)
    }
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub struct Conn {
    authority: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Conn {
    pub fn new(authority: &str) -> Self {
        Self { authority: authority.to_owned(), sender: None }
    }

    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Reply> {
        let limit = Duration::from_secs(180);
        let out = tokio::time::timeout(limit, self.attempt(method, path, headers, body)).await;
        match out {
            Ok(Ok(r)) => Ok(r),
            Ok(Err(e)) => {
                self.sender = None;
                Err(e)
            }
            Err(_) => {
                self.sender = None;
                bail!("client timeout")
            }
        }
    }

    /// Connects, unless it is connected.
    pub async fn open(&mut self) -> Result<()> {
        if self.sender.as_ref().is_none_or(|s| s.is_closed()) {
            let stream = TcpStream::connect(&self.authority).await?;
            stream.set_nodelay(true)?;
            let (sender, conn) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(async move {
                let _ = conn.await;
            });
            self.sender = Some(sender);
        }
        Ok(())
    }

    async fn attempt(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Reply> {
        self.open().await?;
        let sender = self.sender.as_mut().expect("connected above");
        sender.ready().await?;
        let mut req = Request::builder().method(method).uri(path).header("host", &self.authority);
        for (k, v) in headers {
            req = req.header(*k, v);
        }
        let res = sender.send_request(req.body(Full::new(body))?).await?;
        let (parts, body) = res.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }
}

pub struct Rpc {
    conn: Conn,
    path: String,
}

impl Rpc {
    pub fn new(url: &str) -> Result<Self> {
        let t = Target::parse(url)?;
        Ok(Self { conn: Conn::new(&t.authority), path: t.path })
    }

    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let headers = [("content-type", "application/json".to_owned())];
        let reply = self.conn.send(Method::POST, &self.path, &headers, body.to_string().into()).await?;
        let mut v: Value = serde_json::from_slice(&reply.body)?;
        if let Some(e) = v.get("error") {
            bail!("{method}: {e}");
        }
        Ok(v["result"].take())
    }

    pub async fn number(&mut self, method: &str, params: Value) -> Result<u128> {
        let v = self.call(method, params).await?;
        hex_u128(&v)
    }
}

pub fn hex_u128(v: &Value) -> Result<u128> {
    let s = v.as_str().context("hex string expected")?;
    let digits = s.trim_start_matches("0x").trim_start_matches('0');
    Ok(if digits.is_empty() { 0 } else { u128::from_str_radix(digits, 16)? })
}
