//! A chain with the contracts, accounts with keys, and three ways to call: do it, be refused, ask.

use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Log, Signature, TxKind, U256, hex};
use alloy_sol_types::{SolCall, SolEvent};
use groat_devchain::{ChainClock, Config, DevChain, Mining, agentxpay};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use serde_json::{Value, json};

use super::interfaces::ServiceRegistry;

/// The time at first; a day of UTC begins.
pub(crate) const START: u64 = 1_800_057_600;
/// The least a unit of gas costs; so nothing is left for a block's producer.
const GAS_PRICE: u128 = 1_000_000;
/// The well-known key of the first rich account.
const OWNER_KEY: [u8; 32] = hex!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");

/// Wei.
pub(crate) fn wei(count: impl Into<u128>) -> U256 {
    U256::from(count.into())
}

/// Somebody with a key and a coin.
#[derive(Clone)]
pub(crate) struct Account {
    key: SecretKey,
    pub(crate) address: Address,
}

impl Account {
    fn new(key: [u8; 32]) -> Self {
        let key = SecretKey::from_byte_array(key).unwrap();
        let public = PublicKey::from_secret_key(SECP256K1, &key);
        let address = Address::from_raw_public_key(&public.serialize_uncompressed()[1..]);
        Self { key, address }
    }
}

/// A transaction that is in a block.
pub(crate) struct Done {
    pub(crate) success: bool,
    pub(crate) logs: Vec<Log>,
    pub(crate) created: Option<Address>,
    /// What it cost beside its value.
    pub(crate) fee: U256,
}

impl Done {
    /// All events of this kind, in order, whoever said them.
    pub(crate) fn events<E: SolEvent>(&self) -> Vec<E> {
        let ours = self.logs.iter().filter(|log| log.topics().first() == Some(&E::SIGNATURE_HASH));
        ours.map(|log| E::decode_log(log).unwrap().data).collect()
    }
}

pub(crate) struct World {
    pub(crate) chain: DevChain,
    pub(crate) owner: Account,
    pub(crate) ada: Account,
    pub(crate) bob: Account,
    pub(crate) eve: Account,
}

impl World {
    pub(crate) fn new() -> Self {
        let config = Config { mining: Mining::Instant, clock: ChainClock::Fixed(START), ..Config::default() };
        let [ada, bob, eve] = [1, 2, 3].map(|number| Account::new([number; 32]));
        let world = Self { chain: DevChain::new(config), owner: Account::new(OWNER_KEY), ada, bob, eve };
        assert_eq!(world.owner.address, agentxpay::OWNER);
        for account in [&world.ada, &world.bob, &world.eve] {
            world.chain.set_balance(account.address, wei(10u128.pow(18)));
        }
        world
    }

    /// A service of Ada's at this price; its number.
    pub(crate) fn service(&self, price: u128) -> U256 {
        let call = ServiceRegistry::registerServiceCall {
            name: "weather".into(),
            description: "what it is like outside".into(),
            endpoint: "https://api.example/weather".into(),
            category: "data".into(),
            pricePerCall: wei(price),
        };
        let done = self.send(&self.ada, agentxpay::SERVICE_REGISTRY, 0, call);
        done.events::<ServiceRegistry::ServiceRegistered>()[0].serviceId
    }

    /// Does it; it must succeed.
    pub(crate) fn send(&self, from: &Account, to: Address, value: u128, call: impl SolCall) -> Done {
        let done = self.try_send(from, to, value, call.abi_encode());
        assert!(done.success, "a call that must succeed fails");
        done
    }

    /// Tries it and says what became of it.
    pub(crate) fn try_send(&self, from: &Account, to: Address, value: u128, data: Vec<u8>) -> Done {
        self.transact(from, TxKind::Call(to), value, data)
    }

    /// Deploys creation code.
    pub(crate) fn create(&self, from: &Account, code: Bytes) -> Address {
        self.transact(from, TxKind::Create, 0, code.to_vec()).created.unwrap()
    }

    fn transact(&self, from: &Account, to: TxKind, value: u128, data: Vec<u8>) -> Done {
        let nonce: U256 = self.request("eth_getTransactionCount", json!([from.address, "latest"]));
        let tx = TxLegacy {
            chain_id: Some(84532),
            nonce: nonce.to(),
            gas_price: GAS_PRICE,
            gas_limit: 10_000_000,
            to,
            value: wei(value),
            input: data.into(),
        };
        let digest = Message::from_digest(tx.signature_hash().0);
        let (id, bytes) = SECP256K1.sign_ecdsa_recoverable(digest, &from.key).serialize_compact();
        let signature = Signature::from_bytes_and_parity(&bytes, i32::from(id) == 1);
        let raw = Bytes::from(TxEnvelope::Legacy(tx.into_signed(signature)).encoded_2718());
        let receipt: Value = self.request("eth_sendRawTransactionSync", json!([raw]));
        let read = |name: &str| serde_json::from_value::<U256>(receipt[name].clone()).unwrap();
        Done {
            success: receipt["status"] == "0x1",
            logs: receipt["logs"].as_array().unwrap().iter().map(log).collect(),
            created: serde_json::from_value(receipt["contractAddress"].clone()).unwrap(),
            fee: read("gasUsed") * read("effectiveGasPrice"),
        }
    }

    /// Tries it; it must be refused. What it was refused with.
    pub(crate) fn refused(&self, from: &Account, to: Address, value: u128, call: impl SolCall) -> Bytes {
        let data = Bytes::from(call.abi_encode());
        let call = json!([{ "from": from.address, "to": to, "value": wei(value), "data": data }, "latest"]);
        let error = self.chain.request("eth_call", call).expect_err("a call that must fail succeeds");
        assert!(!self.try_send(from, to, value, data.to_vec()).success, "it fails as a call only");
        serde_json::from_value(error.data.unwrap()).unwrap()
    }

    /// Asks a contract.
    pub(crate) fn ask<C: SolCall>(&self, to: Address, call: C) -> C::Return {
        let data = Bytes::from(call.abi_encode());
        let answer: Bytes = self.request("eth_call", json!([{ "to": to, "data": data }, "latest"]));
        C::abi_decode_returns(&answer).unwrap()
    }

    /// Asks a contract what it must refuse to answer.
    pub(crate) fn ask_refused(&self, to: Address, call: impl SolCall) -> Bytes {
        let data = Bytes::from(call.abi_encode());
        let error =
            self.chain.request("eth_call", json!([{ "to": to, "data": data }, "latest"])).unwrap_err();
        serde_json::from_value(error.data.unwrap()).unwrap()
    }

    /// The coins of an account.
    pub(crate) fn coins(&self, account: Address) -> U256 {
        self.request("eth_getBalance", json!([account, "latest"]))
    }

    fn request<T: serde::de::DeserializeOwned>(&self, method: &str, params: Value) -> T {
        let answer = self.chain.request(method, params);
        serde_json::from_value(answer.unwrap_or_else(|error| panic!("{method}: {error:?}"))).unwrap()
    }
}

fn log(value: &Value) -> Log {
    let read = |name: &str| value[name].clone();
    let topics: Vec<B256> = serde_json::from_value(read("topics")).unwrap();
    let data: Bytes = serde_json::from_value(read("data")).unwrap();
    Log::new(serde_json::from_value(read("address")).unwrap(), topics, data).unwrap()
}
