//! One EVM chain as a facilitator sees it: a node, the keys that pay for gas, limits, and what can be remembered.

mod fold;
mod gas;
mod heads;
mod known;
mod logs;
mod nonces;
mod send;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, U64, U256};
use groat_core::{Fault, Network};
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) use self::fold::{Facts, question};
pub(crate) use self::gas::TransferGas;
pub(crate) use self::logs::LogsBack;
pub(crate) use self::nonces::Given;
use crate::gas_key::GasKey;
use crate::rpc::Rpc;

/// So many transactions that nobody knows are waited for at once. Anybody can make one up.
const STRANGERS_MAX: usize = 32;

/// Whom to simulate before a payment is called good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Simulate {
    /// Contract wallets; for others balance, nonce and signature say enough.
    #[default]
    Contracts,
    /// Everybody.
    Always,
}

/// What an operator allows on a chain.
#[derive(Debug, Clone)]
pub struct ChainLimits {
    /// Tokens that may be settled besides those of the asset table.
    pub assets: Vec<Address>,
    /// Payees that may be paid; empty means anybody.
    pub pay_to: Vec<Address>,
    /// The least that is settled of a token, in atomic units.
    pub min_prices: Vec<(Address, U256)>,
    /// Factories whose wallets may be deployed with their first payment (ERC-6492); empty means none.
    pub factories: Vec<Address>,
    /// Gas for one settlement of a plain account.
    pub gas_max: u64,
    /// Gas for one settlement of a contract wallet.
    pub gas_contract_max: u64,
    /// Gas for one settlement that deploys the wallet first.
    pub gas_deploy_max: u64,
    /// Gas for one transaction that settles several. Chains take at most 2^24 (EIP-7825).
    pub gas_batch_max: u64,
    /// Payments in one transaction.
    pub batch_max: usize,
    /// Longest validity of an authorization, in seconds.
    pub window_s_max: u64,
    /// An authorization must be good for at least so many seconds more.
    pub margin_s: u64,
}

impl Default for ChainLimits {
    fn default() -> Self {
        Self {
            assets: Vec::new(),
            pay_to: Vec::new(),
            min_prices: Vec::new(),
            factories: Vec::new(),
            gas_max: 250_000,
            gas_contract_max: 400_000,
            gas_deploy_max: 800_000,
            gas_batch_max: 1 << 24,
            batch_max: 300,
            window_s_max: 86_400,
            margin_s: 6,
        }
    }
}

/// How a chain is set up.
#[derive(Debug, Clone, Default)]
pub struct ChainOptions {
    /// What is allowed.
    pub limits: ChainLimits,
    /// Whom to simulate.
    pub simulate: Simulate,
}

/// A chain with a node and keys.
#[derive(Debug, Clone)]
pub struct Chain(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    network: Network,
    chain_id: u64,
    rpc: Rpc,
    keys: Vec<GasKey>,
    options: ChainOptions,
    heads: heads::Heads,
    fold: fold::Fold,
    market: gas::Market,
    known: known::Known,
    nonces: nonces::Nonces,
    sender: send::Sender,
    strangers: Semaphore,
}

impl Chain {
    /// A chain with its node and the keys that submit. Ask [`Chain::check_id`] before trusting the node.
    pub fn new(chain_id: u64, rpc: Rpc, keys: Vec<GasKey>, options: ChainOptions) -> Self {
        Self(Arc::new(Inner {
            network: Network::eip155(chain_id),
            chain_id,
            rpc,
            keys,
            options,
            heads: heads::Heads::default(),
            fold: fold::Fold::default(),
            market: gas::Market::default(),
            known: known::Known::default(),
            nonces: nonces::Nonces::default(),
            sender: send::Sender::default(),
            strangers: Semaphore::new(STRANGERS_MAX),
        }))
    }

    /// Which.
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    pub(crate) fn chain_id(&self) -> u64 {
        self.0.chain_id
    }

    /// Its node.
    pub fn rpc(&self) -> &Rpc {
        &self.0.rpc
    }

    /// A place to wait for a transaction that the node has never heard of; `None` when all are taken.
    pub(crate) fn stranger(&self) -> Option<SemaphorePermit<'_>> {
        self.0.strangers.try_acquire().ok()
    }

    pub(crate) fn options(&self) -> &ChainOptions {
        &self.0.options
    }

    pub(crate) fn limits(&self) -> &ChainLimits {
        &self.0.options.limits
    }

    pub(crate) fn keys(&self) -> &[GasKey] {
        &self.0.keys
    }

    pub(crate) fn key(&self, account: &str) -> Option<&GasKey> {
        let account = crate::account::parse(account)?;
        self.0.keys.iter().find(|key| key.address() == account)
    }

    /// Refuses a node of another chain (threat row E31).
    pub async fn check_id(&self) -> Result<(), Fault> {
        let id: U64 = self.rpc().ask("eth_chainId", ()).await?;
        if id.to::<u64>() == self.0.chain_id {
            return Ok(());
        }
        Err(Fault::garbled("chain", format!("the node serves chain {id}, not {}", self.0.chain_id)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What lies in these is a memory of the chain: whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
