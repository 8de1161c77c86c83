//! One EVM chain as a facilitator sees it: a node, the keys that pay for gas, limits, and what can be remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, U64, U256};
use groat_core::{Fault, Network};
use tokio::sync::watch;

use crate::gas_key::GasKey;
use crate::rpc::Rpc;
use crate::transaction::Fees;

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
    /// Factories whose wallets may be deployed with their first payment (ERC-6492); empty means none.
    pub factories: Vec<Address>,
    /// Gas for one settlement of a plain account.
    pub gas_max: u64,
    /// Gas for one settlement of a contract wallet.
    pub gas_contract_max: u64,
    /// Gas for one settlement that deploys the wallet first.
    pub gas_deploy_max: u64,
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
            factories: Vec::new(),
            gas_max: 250_000,
            gas_contract_max: 400_000,
            gas_deploy_max: 800_000,
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
    contracts: Mutex<HashMap<Address, ()>>,
    head: watch::Sender<u64>,
    polling: tokio::sync::Mutex<()>,
}

/// Most contracts remembered as deployed; beyond it the memory starts over.
const CONTRACTS_MAX: usize = 4096;

impl Chain {
    /// A chain with its node and the keys that submit. Ask [`Chain::check_id`] before trusting the node.
    pub fn new(chain_id: u64, rpc: Rpc, keys: Vec<GasKey>, options: ChainOptions) -> Self {
        Self(Arc::new(Inner {
            network: Network::eip155(chain_id),
            chain_id,
            rpc,
            keys,
            options,
            contracts: Mutex::new(HashMap::new()),
            head: watch::Sender::new(0),
            polling: tokio::sync::Mutex::new(()),
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

    /// Whether there is a contract at the address. Only a yes is remembered.
    pub(crate) async fn has_code(&self, contract: Address) -> Result<bool, Fault> {
        let remembered = |known: &Mutex<HashMap<Address, ()>>| {
            known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&contract)
        };
        if remembered(&self.0.contracts) {
            return Ok(true);
        }
        if self.rpc().code(contract).await?.is_empty() {
            return Ok(false);
        }
        let mut contracts = self.0.contracts.lock().unwrap_or_else(PoisonError::into_inner);
        if contracts.len() >= CONTRACTS_MAX {
            contracts.clear();
        }
        contracts.insert(contract, ());
        Ok(true)
    }

    /// What gas costs now: twice the base fee of the newest block, and the node's tip.
    pub(crate) async fn fees(&self) -> Result<Fees, Fault> {
        let (head, tip) =
            tokio::join!(self.rpc().head(), self.rpc().try_ask::<_, U256>("eth_maxPriorityFeePerGas", ()));
        let base = saturate(head?.base_fee_per_gas.unwrap_or_default());
        // Not every node knows the question; then one gwei is what wallets assume.
        let tip = tip?.map_or(1_000_000_000, saturate);
        Ok(Fees { max_fee: base.saturating_mul(2).saturating_add(tip), tip })
    }

    /// Returns when there is a new block, or after the timeout. However many wait, one asks the node.
    pub(crate) async fn wait_block(&self, timeout: Duration) {
        let mut head = self.0.head.subscribe();
        let deadline = tokio::time::Instant::now() + timeout;
        tokio::select! {
            _ = head.changed() => {}
            () = self.poll_until(deadline) => {}
        }
    }

    async fn poll_until(&self, deadline: tokio::time::Instant) {
        let Ok(_turn) = tokio::time::timeout_at(deadline, self.0.polling.lock()).await else { return };
        while tokio::time::Instant::now() < deadline {
            if let Ok(number) = self.rpc().ask::<_, U64>("eth_blockNumber", ()).await {
                let number = number.to::<u64>();
                if self.0.head.send_if_modified(|head| std::mem::replace(head, number) != number) {
                    return;
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Between two looks for a new block. One small request; blocks come every second at the fastest.
const POLL_INTERVAL: Duration = Duration::from_millis(40);

fn saturate(value: U256) -> u128 {
    value.try_into().unwrap_or(u128::MAX)
}
