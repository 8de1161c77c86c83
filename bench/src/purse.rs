//! A chain, its engine, and payers with signed payments.

use std::sync::Arc;

use alloy_primitives::U256;
use groat_buyer::LocalSigner;
use groat_chain_evm::{Chain, ChainOptions, ExactEvm, GasKey, Rpc};
use groat_core::offer::Ask;
use groat_core::ports::{Mechanism, PayRequest, Payer, Store};
use groat_core::{Network, Offer, Payment, Price, Terms, Timestamp};
use groat_devchain::{Config, DevChain, Mining};
use groat_facilitator::{Engine, EngineOptions};
use groat_wire::x402_v2;

const CHAIN_ID: u64 = 84532;

/// A chain that makes a block for every transaction, and an engine on it.
pub struct World {
    /// The chain.
    pub chain: DevChain,
    /// Verifies and settles.
    pub engine: Engine,
}

impl World {
    /// A world whose engine keeps its book here.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let chain = DevChain::new(Config { mining: Mining::Instant, ..Config::default() });
        let settler = settler(&chain);
        let now = || Timestamp(now());
        let engine = Engine::new(vec![Arc::new(settler)], store, Arc::new(now), EngineOptions::default());
        Self { chain, engine }
    }
}

/// The settling half on this chain, with a gas key that has money.
pub fn settler(chain: &DevChain) -> ExactEvm {
    let key = GasKey::from_bytes(random()).unwrap();
    chain.set_balance(key.address(), U256::from(10).pow(U256::from(24)));
    ExactEvm::on(vec![Chain::new(
        CHAIN_ID,
        Rpc::local(chain.transport()),
        vec![key],
        ChainOptions::default(),
    )])
}

/// Payers with money.
pub struct Purse(Vec<LocalSigner>);

impl Purse {
    /// So many payers on this chain, each with a thousand dollars.
    pub fn new(chain: &DevChain, payers: usize) -> Self {
        let signers: Vec<LocalSigner> = (0..payers).map(|_| LocalSigner::random().unwrap()).collect();
        for signer in &signers {
            chain.mint_usdc(signer.address(), U256::from(1_000_000_000));
        }
        Self(signers)
    }

    /// Signed payments of one cent each, from all payers in turn.
    pub async fn sign(&self, count: usize) -> Vec<Payment> {
        let (dialect, offer, mechanism) = (x402_v2::ID, offer(), ExactEvm::offline());
        let mut payments = Vec::with_capacity(count);
        for signer in self.0.iter().cycle().take(count) {
            let now = Timestamp(now());
            let request =
                PayRequest { dialect: &dialect, offer: &offer, now, window_s_max: 3600, nonce: random() };
            payments.push(mechanism.pay(request, signer).await.unwrap());
        }
        payments
    }
}

/// One cent on Base Sepolia.
pub fn offer() -> Offer {
    let terms = Terms {
        scheme: "exact".into(),
        network: Network::eip155(CHAIN_ID),
        price: Ask::Price(Price::parse("$0.01").unwrap()),
        pay_to: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".into(),
        timeout_s: 3600,
    };
    ExactEvm::offline().offer(&terms).unwrap().unwrap()
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
