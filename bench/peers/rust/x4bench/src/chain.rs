//! Anvil side: genesis for the bench, gas audits, gas of batches, the chain's own ceiling.
use crate::http::{Conn, Rpc, Target, hex_u128};
use crate::pay;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes as ABytes, TxKind, U256, address, hex, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, sol};
use anyhow::{Context, Result, ensure};
use clap::Args;
use hyper::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub const TOKEN_IMPL: Address = address!("b000000000000000000000000000000000000001");
pub const BATCHER: Address = address!("b000000000000000000000000000000000000002");
pub const MULTICALL3: Address = address!("cA11bde05977b3631167028862bE2a173976CA11");
pub const PAY_TO: Address = address!("5e11e50000000000000000000000000000000001");
/// Only their presence is checked by some facilitators at start; never called in the bench.
const PLACEHOLDERS: [&str; 5] = [
    "0x000000000022D473030F116dDEE9F6B43aC78BA3",
    "0xdAcD51A54883eb67D95FAEb2BBfdC4a9a6BD2a3B",
    "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
    "0x4020615294c913F045dc10f0a5cdEbd86c280001",
    "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003",
];

sol! {
    struct Call3 { address target; bool allowFailure; bytes callData; }
    struct CallResult { bool success; bytes returnData; }
    function aggregate3(Call3[] calls) returns (CallResult[] out);
    function settle(address token, address to, bytes packed) returns (uint256 settled);
    function benchInit();
    function benchMint(address[] to, uint256 each);
    function balanceOf(address who) returns (uint256);
    function authorizationState(address who, bytes32 nonce) returns (bool);
    function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter,
        uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
}

#[derive(Args)]
pub struct InitArgs {
    #[arg(long, default_value = "http://127.0.0.1:18545/")]
    rpc: String,
    #[arg(long, default_value = "contracts/out.json")]
    contracts: String,
    /// Extra accounts to fund with native coin (facilitator signers)
    #[arg(long, value_delimiter = ',')]
    fund: Vec<String>,
}

fn payee(i: usize) -> Address {
    Address::from_slice(&keccak256(format!("x4bench payee {i}"))[12..])
}

async fn send(rpc: &mut Rpc, to: Address, data: Vec<u8>) -> Result<Value> {
    let from = rpc.call("eth_accounts", json!([])).await?[0].clone();
    let tx = json!({ "from": from, "to": to, "data": ABytes::from(data), "gas": "0x1000000" });
    let hash = rpc.call("eth_sendTransaction", json!([tx])).await?;
    // Now, instead of with the next block of a chain that makes one a second.
    rpc.call("evm_mine", json!([])).await?;
    for _ in 0..2000 {
        let r = rpc.call("eth_getTransactionReceipt", json!([hash])).await?;
        if !r.is_null() {
            ensure!(r["status"] == "0x1", "transaction reverted: {r}");
            return Ok(r);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("no receipt")
}

pub async fn init(a: InitArgs) -> Result<()> {
    let mut rpc = Rpc::new(&a.rpc)?;
    let out: Value = serde_json::from_str(&std::fs::read_to_string(&a.contracts)?)?;
    let code = |n: &str| out[n]["runtime"].as_str().context("contract missing").map(str::to_owned);
    let mut put = vec![
        (pay::TOKEN.to_string(), code("BenchTokenProxy")?),
        (TOKEN_IMPL.to_string(), code("BenchToken")?),
        (MULTICALL3.to_string(), code("BenchMulticall3")?),
        (BATCHER.to_string(), code("BenchBatchSettler")?),
    ];
    put.extend(PLACEHOLDERS.map(|p| (p.to_owned(), "0x60016001".to_owned())));
    for (who, what) in put {
        rpc.call("anvil_setCode", json!([who, what])).await?;
    }
    let word = |v: U256| format!("0x{v:064x}");
    let slots = [(0xA0u64, U256::from(1)), (0xA1, U256::from_be_slice(TOKEN_IMPL.as_slice()))];
    for (slot, value) in slots {
        let p = json!([pay::TOKEN, format!("0x{slot:x}"), word(value)]);
        rpc.call("anvil_setStorageAt", p).await?;
    }
    send(&mut rpc, pay::TOKEN, benchInitCall {}.abi_encode()).await?;
    // payees too: a seller's balance slot is never empty in steady state
    let payers = (0..pay::PAYERS).map(|i| pay::payer(i).address());
    let to: Vec<Address> = payers.chain([PAY_TO]).chain((0..200).map(payee)).collect();
    for part in to.chunks(256) {
        let each = U256::from(1_000_000_000_000u64);
        let mint = benchMintCall { to: part.to_vec(), each };
        send(&mut rpc, pay::TOKEN, mint.abi_encode()).await?;
    }
    for who in a.fund {
        rpc.call("anvil_setBalance", json!([who, "0x3635c9adc5dea00000"])).await?;
    }
    Ok(())
}

/// Totals of a block range, plus what reached the payee.
pub struct Audit {
    first_block: u128,
    balance: U256,
}

pub struct Totals {
    pub txs: usize,
    pub reverted: usize,
    pub gas: u128,
    pub moved: U256,
    pub blocks: u128,
    pub stuck: u128,
}

async fn balance(rpc: &mut Rpc) -> Result<U256> {
    let data = ABytes::from(balanceOfCall { who: PAY_TO }.abi_encode());
    let v = rpc.call("eth_call", json!([{ "to": pay::TOKEN, "data": data }, "latest"])).await?;
    Ok(v.as_str().context("balance")?.parse()?)
}

impl Audit {
    pub async fn start(rpc: &mut Rpc) -> Result<Self> {
        let first_block = rpc.number("eth_blockNumber", json!([])).await? + 1;
        Ok(Self { first_block, balance: balance(rpc).await? })
    }

    pub async fn finish(self, rpc: &mut Rpc) -> Result<Totals> {
        let mut status = Value::Null;
        for _ in 0..60 {
            status = rpc.call("txpool_status", json!([])).await?;
            if status["pending"] == "0x0" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let stuck = hex_u128(&status["pending"])? + hex_u128(&status["queued"])?;
        let last = rpc.number("eth_blockNumber", json!([])).await?;
        let (mut txs, mut reverted, mut gas) = (0, 0, 0);
        for n in self.first_block..=last {
            let r = rpc.call("eth_getBlockReceipts", json!([format!("0x{n:x}")])).await?;
            for receipt in r.as_array().into_iter().flatten() {
                txs += 1;
                reverted += usize::from(receipt["status"] != "0x1");
                gas += hex_u128(&receipt["gasUsed"])?;
            }
        }
        let moved = balance(rpc).await? - self.balance;
        let blocks = (last + 1).saturating_sub(self.first_block);
        Ok(Totals { txs, reverted, gas, moved, blocks, stuck })
    }
}

fn split(sig: &[u8; 65]) -> (u8, [u8; 32], [u8; 32]) {
    let (mut r, mut s) = ([0; 32], [0; 32]);
    r.copy_from_slice(&sig[..32]);
    s.copy_from_slice(&sig[32..64]);
    (if sig[64] < 27 { sig[64] + 27 } else { sig[64] }, r, s)
}

fn transfer_call(p: &pay::Signed) -> Vec<u8> {
    let (v, r, s) = split(&p.signature);
    let a = &p.auth;
    transferWithAuthorizationCall {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: a.validAfter,
        validBefore: a.validBefore,
        nonce: a.nonce,
        v,
        r: r.into(),
        s: s.into(),
    }
    .abi_encode()
}

fn packed(p: &pay::Signed) -> Vec<u8> {
    let (v, r, s) = split(&p.signature);
    let tail = |x: U256, n: usize| x.to_be_bytes::<32>()[32 - n..].to_vec();
    let a = &p.auth;
    [
        a.from.to_vec(),
        tail(a.value, 8),
        tail(a.validAfter, 5),
        tail(a.validBefore, 5),
        a.nonce.to_vec(),
        r.to_vec(),
        s.to_vec(),
        vec![v],
    ]
    .concat()
}

#[derive(Args)]
pub struct GasArgs {
    #[arg(long, default_value = "http://127.0.0.1:18545/")]
    rpc: String,
}

pub async fn gas(a: GasArgs) -> Result<()> {
    let mut rpc = Rpc::new(&a.rpc)?;
    let domain = pay::domain("USDC", "2", pay::TOKEN);
    let cases = [
        ("many payers, one payee", true, false),
        ("one payer, one payee", false, false),
        ("many payers, many payees", true, true),
    ];
    for (label, many_payers, many_payees) in cases {
        for n in [1usize, 10, 50, 100, 200] {
            let make = |salt: u64| -> Vec<pay::Signed> {
                (0..n)
                    .map(|i| {
                        let s = pay::payer(if many_payers { i } else { 0 });
                        let to = if many_payees { payee(i) } else { PAY_TO };
                        pay::sign(&s, &domain, to, 1000 + salt)
                    })
                    .collect()
            };
            let mut row = json!({ "kind": "gas", "case": label, "batch": n });
            let calls = make(0)
                .iter()
                .map(|p| Call3 { target: pay::TOKEN, allowFailure: true, callData: transfer_call(p).into() })
                .collect();
            let data = aggregate3Call { calls }.abi_encode();
            row["multicall3_calldata"] = json!(data.len() / n);
            let r = send(&mut rpc, MULTICALL3, data).await?;
            row["multicall3"] = json!(hex_u128(&r["gasUsed"])? / n as u128);
            if !many_payees {
                let blob: Vec<u8> = make(1).iter().flat_map(packed).collect();
                let call = settleCall { token: pay::TOKEN, to: PAY_TO, packed: blob.into() };
                let r = send(&mut rpc, BATCHER, call.abi_encode()).await?;
                let logs = r["logs"].as_array().map_or(0, Vec::len);
                ensure!(logs == 2 * n, "batcher settled {} of {n}", logs / 2);
                row["packed_batcher"] = json!(hex_u128(&r["gasUsed"])? / n as u128);
            }
            if n == 1 {
                let r = send(&mut rpc, pay::TOKEN, transfer_call(&make(2)[0])).await?;
                row["single"] = json!(hex_u128(&r["gasUsed"])?);
            }
            println!("{row}");
        }
    }
    Ok(())
}

#[derive(Args)]
pub struct CeilingArgs {
    #[arg(long, default_value = "http://127.0.0.1:18545/")]
    rpc: String,
    #[arg(short, long, default_value_t = 2000)]
    n: usize,
    #[arg(short, long, default_value_t = 16)]
    c: usize,
    /// Payments per transaction; above 1 they go through Multicall3
    #[arg(long, default_value_t = 1)]
    batch: usize,
    #[arg(long)]
    anvil_pid: Option<u32>,
    #[arg(long, default_value = "")]
    label: String,
}

pub async fn ceiling(a: CeilingArgs) -> Result<()> {
    let mut rpc = Rpc::new(&a.rpc)?;
    let domain = pay::domain("USDC", "2", pay::TOKEN);
    let senders: Vec<PrivateKeySigner> = (0..a.c)
        .map(|i| PrivateKeySigner::from_bytes(&keccak256(format!("x4bench sender {i}"))).expect("key"))
        .collect();
    let mut nonces = vec![];
    for s in &senders {
        rpc.call("anvil_setBalance", json!([s.address(), "0x3635c9adc5dea00000"])).await?;
        let p = json!([s.address(), "latest"]);
        nonces.push(rpc.number("eth_getTransactionCount", p).await? as u64);
    }
    // worker w sends the transactions of sender w in nonce order
    let mut work: Vec<Vec<String>> = vec![vec![]; a.c];
    for i in 0..a.n / a.batch {
        let w = i % a.c;
        let transfer =
            |k: usize| transfer_call(&pay::sign(&pay::payer(i * a.batch + k), &domain, PAY_TO, 1000));
        let (to, input) = if a.batch == 1 {
            (pay::TOKEN, transfer(0))
        } else {
            let one = |k| Call3 { target: pay::TOKEN, allowFailure: true, callData: transfer(k).into() };
            let calls = (0..a.batch).map(one).collect();
            (MULTICALL3, aggregate3Call { calls }.abi_encode())
        };
        let tx = TxEip1559 {
            chain_id: pay::CHAIN_ID,
            nonce: nonces[w],
            gas_limit: 60_000 + 60_000 * a.batch as u64,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000,
            to: TxKind::Call(to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: input.into(),
        };
        nonces[w] += 1;
        let signature = senders[w].sign_hash_sync(&tx.signature_hash())?;
        let raw = TxEnvelope::from(tx.into_signed(signature)).encoded_2718();
        work[w].push(format!("0x{}", hex::encode(raw)));
    }
    let audit = Audit::start(&mut rpc).await?;
    let cpu = a.anvil_pid.map(|p| crate::process::usage(p).cpu_s);
    let started = Instant::now();
    let refused = Arc::new(AtomicUsize::new(0));
    let target = Target::parse(&a.rpc)?;
    let tasks = work.into_iter().map(|list| {
        let (authority, path) = (target.authority.clone(), target.path.clone());
        let refused = refused.clone();
        async move {
            let mut conn = Conn::new(&authority);
            for raw in list {
                let body =
                    json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw] });
                let h = [("content-type", "application/json".to_owned())];
                let ok = conn.send(Method::POST, &path, &h, body.to_string().into()).await;
                let ok = ok.is_ok_and(|r| memchr::memmem::find(&r.body, b"\"error\"").is_none());
                refused.fetch_add(usize::from(!ok), Ordering::Relaxed);
            }
        }
    });
    futures::future::join_all(tasks).await;
    let accepted_s = started.elapsed().as_secs_f64();
    while rpc.call("txpool_status", json!([])).await?["pending"] != "0x0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mined_s = started.elapsed().as_secs_f64();
    let cpu_s = a.anvil_pid.zip(cpu).map(|(p, c)| crate::process::usage(p).cpu_s - c);
    let t = audit.finish(&mut rpc).await?;
    let moved = t.moved.to::<u64>() / 1000;
    println!(
        "{}",
        json!({
            "kind": "chain-ceiling", "label": a.label, "c": a.c, "n": a.n, "batch": a.batch,
            "refused": refused.load(Ordering::Relaxed), "txs": t.txs, "reverted": t.reverted,
            "moved": moved, "accepted_per_s": a.n as f64 / accepted_s,
            "mined_per_s": moved as f64 / mined_s, "blocks": t.blocks as u64,
            "gas_per_payment": t.gas as f64 / moved.max(1) as f64,
            "anvil_cpu_ms_per_payment": cpu_s.map(|c| c * 1000.0 / a.n as f64),
        })
    );
    Ok(())
}

#[derive(Args)]
pub struct ReadArgs {
    #[arg(long, default_value = "http://127.0.0.1:18545/")]
    rpc: String,
    #[arg(long)]
    anvil_pid: Option<u32>,
}

/// What the reads behind a verification cost the node: one call per payment in several styles,
/// then many payments folded into one aggregate3 call.
pub async fn reads(a: ReadArgs) -> Result<()> {
    let domain = pay::domain("USDC", "2", pay::TOKEN);
    let target = Target::parse(&a.rpc)?;
    let state = |p: &pay::Signed| {
        let call = |data: Vec<u8>| Call3 { target: pay::TOKEN, allowFailure: true, callData: data.into() };
        let used = authorizationStateCall { who: p.auth.from, nonce: p.auth.nonce };
        [call(balanceOfCall { who: p.auth.from }.abi_encode()), call(used.abi_encode())]
    };
    let simulate =
        |p: &pay::Signed| Call3 { target: pay::TOKEN, allowFailure: true, callData: transfer_call(p).into() };
    for (style, fold) in [
        ("balanceOf alone", 1usize),
        ("simulated transfer alone", 1),
        ("balance + nonce state, folded", 10),
        ("balance + nonce state, folded", 100),
        ("balance + nonce state, folded", 500),
        ("simulated transfers, folded", 10),
        ("simulated transfers, folded", 100),
    ] {
        let requests = if fold == 1 { 3000 } else { 20_000 / fold };
        let bodies: Vec<String> = (0..requests)
            .map(|i| {
                let signed = |k: usize| pay::sign(&pay::payer(i * fold + k), &domain, PAY_TO, 1000);
                let (to, data) = match (style, fold) {
                    ("balanceOf alone", _) => {
                        let who = pay::payer(i).address();
                        (pay::TOKEN, balanceOfCall { who }.abi_encode())
                    }
                    ("simulated transfer alone", _) => (pay::TOKEN, transfer_call(&signed(0))),
                    (s, _) => {
                        let calls = if s.starts_with("simulated") {
                            (0..fold).map(|k| simulate(&signed(k))).collect()
                        } else {
                            (0..fold).flat_map(|k| state(&signed(k))).collect()
                        };
                        (MULTICALL3, aggregate3Call { calls }.abi_encode())
                    }
                };
                let tx = json!({ "to": to, "data": ABytes::from(data) });
                json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [tx, "latest"] })
                    .to_string()
            })
            .collect();
        let next = std::cell::Cell::new(0usize);
        let bad = std::cell::Cell::new(0usize);
        let cpu = a.anvil_pid.map(|p| crate::process::usage(p).cpu_s);
        let started = Instant::now();
        let workers = (0..8).map(|_| async {
            let mut conn = Conn::new(&target.authority);
            let headers = [("content-type", "application/json".to_owned())];
            while let Some(body) = bodies.get(next.replace(next.get() + 1)) {
                let sent = body.clone().into();
                let r = conn.send(Method::POST, &target.path, &headers, sent).await;
                let ok = r.is_ok_and(|r| memchr::memmem::find(&r.body, b"\"error\"").is_none());
                bad.set(bad.get() + usize::from(!ok));
            }
        });
        futures::future::join_all(workers).await;
        let wall = started.elapsed().as_secs_f64();
        let payments = (requests * fold) as f64;
        let cpu_s = a.anvil_pid.zip(cpu).map(|(p, c)| crate::process::usage(p).cpu_s - c);
        println!(
            "{}",
            json!({
                "kind": "reads", "label": style, "fold": fold, "failed": bad.get(),
                "payments_per_s": payments / wall,
                "anvil_cpu_us_per_payment": cpu_s.map(|c| c * 1e6 / payments),
            })
        );
    }
    Ok(())
}
