//! A chain, an engine, and payers with keys.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use groat_chain_evm::proof::{Authorization, Proof};
use groat_chain_evm::typed_data::Domain;
use groat_chain_evm::{Chain, ChainLimits, ChainOptions, ExactEvm, GasKey, PermitEvm, Rpc, account};
use groat_core::offer::Ask;
use groat_core::payment::DialectId;
use groat_core::ports::{Mechanism, Store};
use groat_core::{Network, Offer, Payment, Price, Terms, Timestamp};
use groat_devchain::{ChainClock, Config, DevChain, Mining, USDC};
use groat_facilitator::{Engine, EngineOptions};
use groat_store::MemoryStore;
use secp256k1::{Message, SECP256K1, SecretKey};

/// When it is, in every test.
pub(crate) const NOW: u64 = 1_800_000_000;
/// Who is paid.
pub(crate) const PAY_TO: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/// The facilitator's gas key.
pub(crate) fn gas_key() -> GasKey {
    GasKey::from_bytes([0x42; 32]).unwrap()
}

pub(crate) struct World {
    pub(crate) chain: DevChain,
    pub(crate) store: MemoryStore,
    pub(crate) engine: Engine,
    options: ChainOptions,
}

impl World {
    pub(crate) fn new(mining: Mining) -> Self {
        Self::with(mining, ChainLimits::default())
    }

    /// A world whose operator allows something else.
    pub(crate) fn with(mining: Mining, limits: ChainLimits) -> Self {
        let chain = DevChain::new(Config { mining, clock: ChainClock::Fixed(NOW), ..Config::default() });
        chain.set_balance(gas_key().address(), U256::from(10).pow(U256::from(20)));
        let store = MemoryStore::default();
        let options = ChainOptions { limits, ..ChainOptions::default() };
        let engine = engine(&chain, &store, &options);
        Self { chain, store, engine, options }
    }

    /// Another facilitator with another book on the same chain.
    pub(crate) fn stranger(&self) -> Self {
        let (chain, store, options) = (self.chain.clone(), MemoryStore::default(), self.options.clone());
        let engine = engine(&chain, &store, &options);
        Self { chain, store, engine, options }
    }

    /// Another instance of this facilitator, on the same chain and book.
    pub(crate) fn instance(&self) -> Self {
        let (chain, store, options) = (self.chain.clone(), self.store.clone(), self.options.clone());
        let engine = engine(&chain, &store, &options);
        Self { chain, store, engine, options }
    }

    /// The engine of another instance, with the book seen through something else.
    pub(crate) fn engine_on(&self, store: Arc<dyn Store>) -> Engine {
        engine_on(&self.chain, store, &self.options)
    }

    /// Another engine on the same chain and store, as after a restart.
    pub(crate) fn restart(&mut self) {
        self.engine = engine(&self.chain, &self.store, &self.options);
    }

    /// A payer with ten dollars.
    pub(crate) fn payer(&self, seed: u8) -> Payer {
        let payer = Payer(SecretKey::from_byte_array([seed; 32]).unwrap());
        self.chain.mint_usdc(payer.address(), U256::from(10_000_000));
        payer
    }

    /// Puts tokens of any kind into an account: balances lie in slot 1 (`contracts/README.md`).
    pub(crate) fn give(&self, token: Address, account: Address, units: u64) {
        let slot = keccak256((account, U256::from(1)).abi_encode());
        let value = B256::from(U256::from(units));
        self.chain.request("anvil_setStorageAt", serde_json::json!([token, slot, value])).unwrap();
    }

    pub(crate) fn received(&self) -> U256 {
        self.chain.usdc_balance(account::parse(PAY_TO).unwrap())
    }

    /// How many transactions the facilitator has had mined.
    pub(crate) fn transactions(&self) -> u64 {
        let count =
            self.chain.request("eth_getTransactionCount", serde_json::json!([gas_key().address(), "latest"]));
        u64::from_str_radix(count.unwrap().as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }
}

fn engine(chain: &DevChain, store: &MemoryStore, options: &ChainOptions) -> Engine {
    engine_on(chain, Arc::new(store.clone()), options)
}

fn engine_on(chain: &DevChain, store: Arc<dyn Store>, options: &ChainOptions) -> Engine {
    let evm = Chain::new(84532, Rpc::local(chain.transport()), vec![gas_key()], options.clone());
    let clock = chain.clone();
    Engine::new(
        vec![Arc::new(ExactEvm::on(vec![evm.clone()])), Arc::new(PermitEvm::on(vec![evm]))],
        store,
        Arc::new(move || Timestamp(clock.now())),
        EngineOptions {
            wait: Duration::from_secs(5),
            look_interval: Duration::from_millis(50),
            looks_per_broadcast: 3,
            ..EngineOptions::default()
        },
    )
}

/// One cent on Base Sepolia.
pub(crate) fn offer() -> Offer {
    let terms = Terms {
        scheme: "exact".into(),
        network: Network::eip155(84532),
        price: Ask::Price(Price::parse("$0.01").unwrap()),
        pay_to: PAY_TO.into(),
        timeout_s: 60,
    };
    ExactEvm::offline().offer(&terms).unwrap().unwrap()
}

pub(crate) struct Payer(pub(crate) SecretKey);

impl Payer {
    pub(crate) fn address(&self) -> alloy_primitives::Address {
        GasKey::from_bytes(self.0.secret_bytes()).unwrap().address()
    }

    pub(crate) fn authorization(&self, nonce: u8) -> Authorization {
        Authorization {
            from: self.address(),
            to: account::parse(PAY_TO).unwrap(),
            value: U256::from(10_000),
            valid_after: U256::ZERO,
            valid_before: U256::from(NOW + 60),
            nonce: B256::repeat_byte(nonce),
        }
    }

    pub(crate) fn sign(&self, authorization: &Authorization) -> [u8; 65] {
        self.sign_for(USDC, authorization)
    }

    /// A signature over the same on another token; all tokens of the chain share name and version.
    pub(crate) fn sign_for(&self, asset: Address, authorization: &Authorization) -> [u8; 65] {
        let domain = Domain { name: "USDC".into(), version: "2".into(), chain_id: 84532, asset };
        let message = Message::from_digest(domain.digest(authorization).0);
        let (recovery, bytes) = SECP256K1.sign_ecdsa_recoverable(message, &self.0).serialize_compact();
        let mut signature = [0; 65];
        signature[..64].copy_from_slice(&bytes);
        signature[64] = 27 + u8::try_from(i32::from(recovery)).unwrap();
        signature
    }

    /// A good payment of one cent.
    pub(crate) fn pay(&self, nonce: u8) -> Payment {
        let authorization = self.authorization(nonce);
        payment(&authorization, &self.sign(&authorization))
    }
}

pub(crate) fn payment(authorization: &Authorization, signature: &[u8]) -> Payment {
    Payment {
        dialect: DialectId::new("x402-v2"),
        scheme: "exact".into(),
        network: Network::eip155(84532),
        proof: Proof::write(authorization, signature),
        accepted: None,
        resource: None,
        extensions: serde_json::Map::new(),
    }
}
