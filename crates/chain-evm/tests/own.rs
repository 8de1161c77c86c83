//! Transactions of a wallet's own: their nonces, and what became of them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::{Address, B256, U256, address, hex};
use async_trait::async_trait;
use groat_chain_evm::pay_proof::PayProofEvm;
use groat_chain_evm::{ByHashEvm, Chain, ChainOptions, ExactEvm, NATIVE, Purse, Rpc};
use groat_core::payment::DialectId;
use groat_core::ports::{Fate, PayRequest, Payer, SignError, Signer, TypedIntent};
use groat_core::{Amount, Network, Offer, Payment, Reason, Timestamp};
use groat_devchain::{ChainClock, Config, DevChain, Mining, USDC, X402_PAY};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
/// The second well-known development key.
const KEY: [u8; 32] = hex!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d");
const BUYER: Address = address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
const SELLER: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
const DIALECT: DialectId = DialectId::new("agentxpay");

/// A key that signs so often and then no more.
struct Key(AtomicUsize);

impl Key {
    fn signing(times: usize) -> Self {
        Self(AtomicUsize::new(times))
    }
}

#[async_trait]
impl Signer for Key {
    fn account(&self) -> String {
        BUYER.to_string()
    }

    async fn sign(&self, intent: &TypedIntent) -> Result<Vec<u8>, SignError> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| SignError::Refused("no more".to_owned()))?;
        let key = SecretKey::from_byte_array(KEY).unwrap();
        let message = Message::from_digest(intent.digest);
        let (id, bytes) = SECP256K1.sign_ecdsa_recoverable(message, &key).serialize_compact();
        Ok([&bytes[..], &[27 + u8::try_from(i32::from(id)).unwrap()]].concat())
    }
}

struct World {
    node: DevChain,
    by_hash: ByHashEvm,
    pay_proof: PayProofEvm,
    key: Key,
}

fn network() -> Network {
    Network::eip155(84532)
}

impl World {
    fn new() -> Self {
        let config = Config { mining: Mining::Manual, clock: ChainClock::Fixed(NOW), ..Config::default() };
        let node = DevChain::new(config);
        node.set_balance(BUYER, U256::from(10).pow(U256::from(20)));
        node.mint_usdc(BUYER, U256::from(1_000_000));
        let chain = Chain::new(84532, Rpc::local(node.transport()), vec![], ChainOptions::default());
        let purse = Purse { direct: true, ..Purse::default() };
        let by_hash = ByHashEvm::buying(vec![chain.clone()], purse);
        let pay_proof = PayProofEvm::knowing(vec![(network(), X402_PAY)]).on(vec![chain]);
        Self { node, by_hash, pay_proof, key: Key::signing(usize::MAX) }
    }

    fn ask(&self, method: &str, params: Value) -> Value {
        self.node.request(method, params).unwrap()
    }

    /// A coin's smallest part, straight to the seller.
    async fn coin(&self) -> Payment {
        self.paid(&self.by_hash, &coin(), &self.key).await.unwrap()
    }

    async fn paid(&self, payer: &dyn Payer, offer: &Offer, key: &Key) -> Result<Payment, SignError> {
        let now = Timestamp(NOW);
        payer.pay(PayRequest { dialect: &DIALECT, offer, now, window_s_max: 300, nonce: [7; 32] }, key).await
    }

    fn send(&self, payment: &Payment) {
        self.ask("eth_sendRawTransaction", json!([payment.proof["raw"]]));
    }

    fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([format!("{blocks:#x}")]));
    }

    async fn fate(&self, payment: &Payment) -> Fate {
        self.by_hash.fate(payment, &coin()).await.unwrap()
    }
}

fn offer(scheme: &str, asset: &str, extra: Value) -> Offer {
    Offer {
        scheme: scheme.to_owned(),
        network: network(),
        asset: asset.to_owned(),
        amount: Amount::from_units(10_000),
        pay_to: SELLER.to_owned(),
        timeout_s: 60,
        extra: extra.as_object().unwrap().clone(),
        price: None,
        dialect: None,
        currency: None,
        verbatim: None,
    }
}

fn coin() -> Offer {
    offer("transaction", NATIVE, json!({}))
}

/// A request of x402-pay/1 that is good for ten minutes.
fn request() -> Offer {
    let extra = json!({
        "id": "pay_01J8R4X2Z00000000000000000",
        "currency": "USDC",
        "chain": "eip155:84532",
        "nonce": "n",
        "expires": NOW + 600,
        "requestHash": B256::repeat_byte(5),
    });
    offer("x402-pay", &USDC.to_string(), extra)
}

/// The nonce in the bytes of a payment.
fn nonce(payment: &Payment) -> u64 {
    use alloy_consensus::{Transaction, TxEnvelope};
    use alloy_eips::eip2718::Decodable2718;
    let raw = hex::decode(payment.proof["raw"].as_str().unwrap()).unwrap();
    TxEnvelope::decode_2718(&mut raw.as_slice()).unwrap().nonce()
}

#[tokio::test]
async fn all_schemes_of_a_wallet_count_the_nonces_of_an_account_together() {
    let world = World::new();
    let first = world.coin().await;
    let second = world.paid(&world.pay_proof, &request(), &world.key).await.unwrap();
    let third = world.coin().await;
    assert_eq!([&first, &second, &third].map(nonce), [0, 1, 2]);
}

#[tokio::test]
async fn a_transaction_that_comes_to_nothing_leaves_no_gap() {
    let world = World::new();
    // The authorization and the transaction are signed, the proof is not.
    for times in [0, 1, 2] {
        let refused = world.paid(&world.pay_proof, &request(), &Key::signing(times)).await;
        assert!(matches!(refused, Err(SignError::Refused(_))), "{refused:?}");
    }
    let first = world.coin().await;
    let dropped = world.paid(&world.pay_proof, &request(), &world.key).await.unwrap();
    assert_eq!([&first, &dropped].map(nonce), [0, 1]);
    world.pay_proof.discard(&dropped);
    let next = world.coin().await;
    assert_eq!(nonce(&next), 1);
    world.send(&first);
    world.send(&next);
    world.mine(1);
    assert!(matches!(world.fate(&next).await, Fate::Paid(_)));
}

#[tokio::test]
async fn c02_a_transaction_is_dead_when_another_has_its_nonce_for_good_and_not_before() {
    let world = World::new();
    let ours = world.coin().await;
    let hash = ours.proof["hash"].as_str().unwrap().to_owned();
    let open = Fate::Open { transaction: Some(hash.clone()) };
    assert_eq!(world.fate(&ours).await, open);
    world.mine(20);
    assert_eq!(world.fate(&ours).await, open, "no block says anything of its nonce");

    world.by_hash.discard(&ours);
    let other = Offer { amount: Amount::from_units(9), ..coin() };
    let other = world.paid(&world.by_hash, &other, &world.key).await.unwrap();
    assert_eq!((nonce(&other), nonce(&ours)), (0, 0));
    world.send(&other);
    world.mine(1);
    assert_eq!(world.fate(&ours).await, open, "the newest block may be replaced");
    world.mine(9);
    assert_eq!(world.fate(&ours).await, open);
    world.mine(1);
    assert_eq!(world.fate(&ours).await, Fate::Dead(Reason::from_code("transaction_replaced")));
    match world.fate(&other).await {
        Fate::Paid(Some(receipt)) => assert_eq!(receipt.transaction.as_deref(), other.proof["hash"].as_str()),
        fate => panic!("{fate:?}"),
    }
}

#[tokio::test]
async fn a_request_is_dead_when_its_authorization_is_and_paid_when_that_was_used() {
    let world = World::new();
    let (unsent, sent) =
        (world.paid(&world.pay_proof, &request(), &world.key).await.unwrap(), world.coin().await);
    let fate = async |payment| world.pay_proof.fate(payment, &request()).await.unwrap();
    assert!(matches!(fate(&unsent).await, Fate::Open { transaction: Some(_) }));
    // Its transaction could still be mined, and would move nothing.
    world.ask("evm_setNextBlockTimestamp", json!([NOW + 600]));
    world.mine(1);
    assert!(matches!(fate(&unsent).await, Fate::Open { .. }), "another node may be behind");
    world.ask("evm_setNextBlockTimestamp", json!([NOW + 661]));
    world.mine(1);
    assert_eq!(fate(&unsent).await, Fate::Dead(Reason::Expired));
    let late = world.pay_proof.publish(&unsent).await;
    assert_eq!(late, Err(Reason::Expired.into()));
    assert_eq!(world.ask("txpool_status", json!([]))["pending"], "0x0", "it is not sent late");
    assert_eq!(nonce(&sent), 1);

    let world = World::new();
    let paid = world.paid(&world.pay_proof, &request(), &world.key).await.unwrap();
    world.send(&paid);
    world.mine(1);
    assert!(matches!(world.pay_proof.fate(&paid, &request()).await, Ok(Fate::Paid(Some(_)))));
}

#[tokio::test]
async fn an_authorization_that_ended_unused_is_dead_by_the_clock_of_the_chain() {
    let world = World::new();
    let chain = Chain::new(84532, Rpc::local(world.node.transport()), vec![], ChainOptions::default());
    let exact = ExactEvm::on(vec![chain]);
    let offer = offer("exact", &USDC.to_string(), json!({ "name": "USDC", "version": "2" }));
    let payment = world.paid(&exact, &offer, &world.key).await.unwrap();
    assert_eq!(exact.fate(&payment, &offer).await, Ok(Fate::Open { transaction: None }));
    // It was good for 60 s; a minute later every node knows.
    for (time, dead) in [(NOW + 120, false), (NOW + 121, true)] {
        world.ask("evm_setNextBlockTimestamp", json!([time]));
        world.mine(1);
        let fate = exact.fate(&payment, &offer).await.unwrap();
        assert_eq!(fate == Fate::Dead(Reason::Expired), dead, "{fate:?}");
    }
    // Without a node nobody can say.
    assert_eq!(ExactEvm::offline().fate(&payment, &offer).await, Ok(Fate::Open { transaction: None }));
}

/// A node that answers everything with what a contract of a stranger says when it reverts.
fn reverting(words: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let asked: Value = loop {
                let mut piece = [0; 4096];
                let count = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let body = text.split_once("\r\n\r\n").map(|(_, body)| serde_json::from_str(body));
                match body {
                    Some(Ok(asked)) => break asked,
                    _ => assert!(count > 0, "{text}"),
                }
            };
            let error = json!({ "code": 3, "message": format!("execution reverted: {words}") });
            let body = json!({ "jsonrpc": "2.0", "id": asked["id"], "error": error }).to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    url
}

#[tokio::test]
async fn y06_what_a_contract_of_a_stranger_says_does_not_turn_the_terminal() {
    let url = reverting("no\u{1b}[2J\u{202e}sey");
    let rpc = Rpc::http(&url, std::time::Duration::from_secs(5)).unwrap();
    let chain = Chain::new(84532, rpc, vec![], ChainOptions::default());
    let purse = Purse { direct: true, managers: vec![(network(), BUYER)], ..Purse::default() };
    let wallet = ByHashEvm::buying(vec![chain], purse);
    let world = World::new();
    // Of the estimate, and of the manager's registry.
    let mut service = offer("transaction", NATIVE, json!({ "serviceId": "1" }));
    service.pay_to = BUYER.to_string();
    for offer in [coin(), service] {
        match world.paid(&wallet, &offer, &world.key).await {
            Err(SignError::Offer(text)) => {
                assert!(text.contains("execution reverted: no [2J sey"), "{text:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}
