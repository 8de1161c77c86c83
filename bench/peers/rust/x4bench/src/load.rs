//! Load modes. Every run prints one JSON line with its numbers.
use crate::chain::{Audit, PAY_TO};
use crate::http::{Conn, Reply, Rpc, Target};
use crate::pay;
use crate::process::{machine_cpu_s, usage};
use anyhow::{Context, Result, ensure};
use base64::Engine;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::blocks::Blocks;

#[derive(Args, Clone)]
pub struct LoadArgs {
    /// Facilitator base URL
    #[arg(long)]
    url: String,
    /// Name written into the result line
    #[arg(long, default_value = "")]
    label: String,
    #[arg(short, long, default_value_t = 16)]
    c: usize,
    /// Requests (for `duplicate`: number of distinct payments)
    #[arg(short, long, default_value_t = 1000)]
    n: usize,
    /// Chain, asked directly for the audit
    #[arg(long, default_value = "http://127.0.0.1:18545/")]
    rpc: String,
    /// Issue no new request after this many seconds
    #[arg(long, default_value_t = 1e9)]
    seconds: f64,
    /// Counting proxy in front of the chain
    #[arg(long)]
    proxy: Option<String>,
    /// Process to account CPU and memory to
    #[arg(long)]
    pid: Option<u32>,
    /// Watch for blocks, and tell how long after its block an answer came (`settle`)
    #[arg(long)]
    inclusion: bool,
    /// Do not print the result (warm-up)
    #[arg(long)]
    quiet: bool,
}

#[derive(Args, Clone)]
pub struct SellerArgs {
    #[arg(long)]
    url: String,
    /// Default: /free for free visits, /pass for those with a pass, else /paid
    #[arg(long)]
    path: Option<String>,
    #[arg(long, value_enum, default_value_t = Visit::Unpaid)]
    visit: Visit,
    /// `Authorization` header to add (dialects with access tokens)
    #[arg(long)]
    bearer: Option<String>,
    #[arg(long, default_value = "")]
    label: String,
    #[arg(short, long, default_value_t = 16)]
    c: usize,
    #[arg(short, long, default_value_t = 1000)]
    n: usize,
    /// Issue no new request after this many seconds
    #[arg(long, default_value_t = 1e9)]
    seconds: f64,
    #[arg(long)]
    pid: Option<u32>,
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Visit {
    Free,
    Unpaid,
    Paid,
    /// One payment, and then its pass
    Pass,
}

pub struct Shot {
    ms: f64,
    /// When the answer was there.
    pub ended: Instant,
    /// The answer, or what became of the connection.
    pub result: Result<Reply, String>,
}

struct Request {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// Connections that are open before the clock starts, a few at a time: how fast a listener accepts is not measured.
async fn connect(authority: &str, c: usize) -> Vec<Conn> {
    let mut open = vec![];
    while open.len() < c {
        let mut some: Vec<Conn> =
            (open.len()..c).take(CONNECT_AT_ONCE).map(|_| Conn::new(authority)).collect();
        // What fails here fails again, and is counted, when it is used.
        futures::future::join_all(some.iter_mut().map(Conn::open)).await;
        open.append(&mut some);
    }
    open
}

/// Well below the backlog of a listener.
const CONNECT_AT_ONCE: usize = 128;

/// Sends the requests over the connections, each worker taking the next one when it is free.
async fn fire(conns: Vec<Conn>, requests: &[Request], seconds: f64) -> (Vec<Shot>, f64) {
    let next = Cell::new(0usize);
    let started = Instant::now();
    let next = &next;
    let workers = conns.into_iter().map(|mut conn| async move {
        let mut shots = vec![];
        loop {
            let i = next.get();
            next.set(i + 1);
            let Some(r) = requests.get(i) else { break };
            if started.elapsed().as_secs_f64() > seconds {
                break;
            }
            let t = Instant::now();
            let result = conn.send(r.method.clone(), &r.path, &r.headers, r.body.clone()).await;
            let ms = t.elapsed().as_secs_f64() * 1e3;
            shots.push(Shot {
                ms,
                ended: Instant::now(),
                result: result.map_err(|e| format!("transport: {e}")),
            });
        }
        shots
    });
    let shots = futures::future::join_all(workers).await.into_iter().flatten().collect();
    (shots, started.elapsed().as_secs_f64())
}

fn latency(mut ms: Vec<f64>) -> Value {
    if ms.is_empty() {
        return Value::Null;
    }
    ms.sort_by(f64::total_cmp);
    let at = |q: f64| (ms[((ms.len() - 1) as f64 * q).round() as usize] * 1000.0).round() / 1000.0;
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0) })
}

/// CPU of the process under test, and how busy the whole machine was meanwhile.
struct Meter {
    pid: Option<u32>,
    cpu: f64,
    machine: f64,
    started: Instant,
}

impl Meter {
    fn start(pid: Option<u32>) -> Self {
        let cpu = pid.map_or(0.0, |p| usage(p).cpu_s);
        Self { pid, cpu, machine: machine_cpu_s(), started: Instant::now() }
    }
    fn finish(&self, out: &mut Value, ops: usize) {
        let busy = (machine_cpu_s() - self.machine) / self.started.elapsed().as_secs_f64();
        out["machine_busy_cores"] = json!((busy * 100.0).round() / 100.0);
        let Some(pid) = self.pid else { return };
        let u = usage(pid);
        out["cpu_ms_per_op"] = json!((u.cpu_s - self.cpu) * 1000.0 / ops.max(1) as f64);
        out["rss_mb"] = json!(u.rss_mb.round());
        out["peak_mb"] = json!(u.peak_mb.round());
    }
}

async fn proxy_call(proxy: &Option<String>, method: Method, path: &str) -> Result<Map<String, Value>> {
    let Some(url) = proxy else {
        return Ok(Map::new());
    };
    let t = Target::parse(url)?;
    let r = Conn::new(&t.authority).send(method, path, &[], Bytes::new()).await?;
    Ok(serde_json::from_slice(&r.body)?)
}

fn facilitator_requests(target: &Target, path: &str, n: usize) -> Result<Vec<Request>> {
    let accepted = pay::requirements(PAY_TO, 1000);
    let resource = json!({ "url": "http://bench.invalid/paid" });
    let payloads = pay::payloads(&accepted, Some(&resource), n)?;
    Ok(payloads
        .into_iter()
        .map(|p| Request {
            method: Method::POST,
            path: target.join(path),
            headers: vec![("content-type", "application/json".into())],
            body: pay::facilitator_body(p).into(),
        })
        .collect())
}

/// `(success, reason, transaction)` of a facilitator reply.
pub fn judge(result: &Result<Reply, String>) -> (bool, String, Option<String>) {
    let reply = match result {
        Ok(r) => r,
        Err(e) => return (false, e.clone(), None),
    };
    let v: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    let ok = v["isValid"] == true || v["success"] == true;
    if ok {
        return (true, String::new(), v["transaction"].as_str().map(str::to_owned));
    }
    let text = ["errorReason", "invalidReason", "error", "detail"]
        .iter()
        .filter_map(|k| v[*k].as_str())
        .chain(
            ["errorMessage", "invalidReasonDetails", "invalidMessage"].iter().filter_map(|k| v[*k].as_str()),
        )
        .collect::<Vec<_>>()
        .join(" | ");
    let short: String = text.chars().take(140).collect();
    (false, format!("{} {short}", reply.status.as_u16()), None)
}

fn tally(reasons: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for r in reasons {
        // collapse numbers and hex so that equal causes group together
        let key: String = r
            .split_whitespace()
            .map(|w| if w.starts_with("0x") { "0x…" } else { w })
            .collect::<Vec<_>>()
            .join(" ");
        *out.entry(key).or_insert(0) += 1;
    }
    out
}

async fn measure(a: &LoadArgs, kind: &str, path: &str) -> Result<(Value, Vec<Shot>)> {
    let target = Target::parse(&a.url)?;
    let requests = facilitator_requests(&target, path, a.n)?;
    let conns = connect(&target.authority, a.c.min(a.n)).await;
    proxy_call(&a.proxy, Method::POST, "/__reset").await?;
    let meter = Meter::start(a.pid);
    let (shots, wall) = fire(conns, &requests, a.seconds).await;
    let n = shots.len();
    let mut out = json!({ "kind": kind, "label": a.label, "c": a.c, "n": n, "wall_s": wall });
    meter.finish(&mut out, n);
    let calls = proxy_call(&a.proxy, Method::GET, "/__stats").await?;
    let per_op = |v: &Value| json!((v.as_f64().unwrap_or(0.0) / n as f64 * 1e4).round() / 1e4);
    out["rpc_per_op"] = calls.iter().map(|(k, v)| (k.clone(), per_op(v))).collect::<Map<_, _>>().into();
    let judged: Vec<_> = shots.iter().map(|s| judge(&s.result)).collect();
    let ok = judged.iter().filter(|j| j.0).count();
    out["ok"] = json!(ok);
    out["per_s"] = json!(ok as f64 / wall);
    out["ms"] = latency(shots.iter().map(|s| s.ms).collect());
    out["failures"] = json!(tally(judged.into_iter().filter(|j| !j.0).map(|j| j.1)));
    Ok((out, shots))
}

pub async fn verify(a: LoadArgs) -> Result<()> {
    let (out, _) = measure(&a, "verify", "/verify").await?;
    if !a.quiet {
        println!("{out}");
    }
    Ok(())
}

pub async fn settle(a: LoadArgs) -> Result<()> {
    let mut rpc = Rpc::new(&a.rpc)?;
    let audit = Audit::start(&mut rpc).await?;
    let blocks = a.inclusion.then(|| Blocks::watch(&a.rpc)).transpose()?;
    let (mut out, shots) = measure(&a, "settle", "/settle").await?;
    let t = audit.finish(&mut rpc).await?;
    if let Some(blocks) = blocks {
        out["after_block_ms"] = latency(blocks.delays(&mut rpc, &shots).await?);
    }
    let moved = t.moved.to::<u64>() / 1000;
    out["moved"] = json!(moved);
    out["txs"] = json!(t.txs);
    out["reverted"] = json!(t.reverted);
    out["blocks"] = json!(t.blocks as u64);
    out["stuck"] = json!(t.stuck as u64);
    out["gas_per_payment"] = json!(t.gas as f64 / moved.max(1) as f64);
    out["txs_per_payment"] = json!(t.txs as f64 / moved.max(1) as f64);
    if !a.quiet {
        println!("{out}");
    }
    Ok(())
}

pub async fn duplicate(a: LoadArgs) -> Result<()> {
    let mut rpc = Rpc::new(&a.rpc)?;
    let target = Target::parse(&a.url)?;
    let audit = Audit::start(&mut rpc).await?;
    let (mut successes, mut hashes, mut reasons) = (vec![], BTreeSet::new(), vec![]);
    let mut answers = vec![];
    let mut slowest = 0f64;
    for request in facilitator_requests(&target, "/settle", a.n)? {
        let copies: Vec<Request> = (0..a.c)
            .map(|_| Request {
                method: request.method.clone(),
                path: request.path.clone(),
                headers: request.headers.clone(),
                body: request.body.clone(),
            })
            .collect();
        let conns = connect(&target.authority, a.c).await;
        let (shots, wall) = fire(conns, &copies, 1e9).await;
        slowest = slowest.max(wall);
        let judged: Vec<_> = shots.iter().map(|s| judge(&s.result)).collect();
        successes.push(judged.iter().filter(|j| j.0).count());
        hashes.extend(judged.iter().filter_map(|j| j.2.clone()));
        let bodies = shots.iter().map(|s| s.result.as_ref().map(|r| &r.body).ok());
        answers.push(bodies.collect::<BTreeSet<_>>().len());
        reasons.extend(judged.into_iter().filter(|j| !j.0).map(|j| j.1));
    }
    let t = audit.finish(&mut rpc).await?;
    println!(
        "{}",
        json!({
            "kind": "duplicate", "label": a.label, "callers": a.c, "payments": a.n,
            "success_replies_per_payment": successes, "distinct_hashes": hashes.len(),
            "distinct_answers_per_payment": answers,
            "moved": t.moved.to::<u64>() / 1000, "txs": t.txs, "reverted": t.reverted,
            "stuck": t.stuck as u64, "gas_total": t.gas as u64, "slowest_group_s": slowest,
            "failures": tally(reasons.into_iter()),
        })
    );
    Ok(())
}

pub async fn seller(a: SellerArgs) -> Result<()> {
    let target = Target::parse(&a.url)?;
    let default = match a.visit {
        Visit::Free => "/free",
        Visit::Pass => "/pass",
        Visit::Unpaid | Visit::Paid => "/paid",
    };
    let path = target.join(a.path.as_deref().unwrap_or(default));
    let mut headers = vec![];
    if let Some(b) = &a.bearer {
        headers.push(("authorization", b.clone()));
    }
    let request = |headers: Vec<(&'static str, String)>| Request {
        method: Method::GET,
        path: path.clone(),
        headers,
        body: Bytes::new(),
    };
    let requests: Vec<Request> = if matches!(a.visit, Visit::Paid | Visit::Pass) {
        let probe = request(vec![]);
        let reply = Conn::new(&target.authority).send(probe.method, &probe.path, &[], Bytes::new()).await?;
        let text = reply.headers.get("payment-required").context("no PAYMENT-REQUIRED header")?;
        let offer: Value =
            serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(text.as_bytes())?)?;
        let count = if a.visit == Visit::Pass { 1 } else { a.n };
        let paid: Vec<Request> = pay::payloads(&offer["accepts"][0], offer.get("resource"), count)?
            .iter()
            .map(|p| request(vec![("payment-signature", pay::header_value(p))]))
            .collect();
        match (a.visit, paid.first()) {
            (Visit::Pass, Some(first)) => {
                let mut conn = Conn::new(&target.authority);
                let reply =
                    conn.send(first.method.clone(), &first.path, &first.headers, Bytes::new()).await?;
                let pass = reply.headers.get("x-payment-access-token").context("no pass for a payment")?;
                let pass = pass.to_str()?.to_owned();
                (0..a.n).map(|_| request(vec![("x-payment-access-token", pass.clone())])).collect()
            }
            _ => paid,
        }
    } else {
        (0..a.n).map(|_| request(headers.clone())).collect()
    };
    let expect = if a.visit == Visit::Unpaid { 402 } else { 200 };
    let conns = connect(&target.authority, a.c.min(a.n)).await;
    let meter = Meter::start(a.pid);
    let (shots, wall) = fire(conns, &requests, a.seconds).await;
    let mut out = json!({
        "kind": "seller", "visit": format!("{:?}", a.visit).to_lowercase(), "label": a.label,
        "c": a.c, "n": shots.len(), "wall_s": wall,
    });
    meter.finish(&mut out, shots.len());
    let status = |s: &Shot| match &s.result {
        Ok(r) => r.status.as_u16().to_string(),
        Err(e) => e.clone(),
    };
    let ok = shots.iter().filter(|s| status(s) == expect.to_string()).count();
    out["ok"] = json!(ok);
    out["per_s"] = json!(ok as f64 / wall);
    out["ms"] = latency(shots.iter().map(|s| s.ms).collect());
    out["statuses"] = json!(tally(shots.iter().map(status)));
    if let Some(Ok(r)) = shots.first().map(|s| &s.result) {
        let head: usize = r.headers.iter().map(|(k, v)| k.as_str().len() + v.len() + 4).sum();
        out["reply_bytes"] = json!(head + r.body.len());
    }
    ensure!(ok > 0, "no request had the expected status: {out}");
    if !a.quiet {
        println!("{out}");
    }
    Ok(())
}
