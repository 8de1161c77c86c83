//! The chain: the real dev chain in the time of the simulation, with an observer who sees every transaction.

mod observer;
pub(crate) mod outsider;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, U256};
use groat_devchain::{ChainClock, Config, DevChain, Mining, USDC};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::stage::{Stage, lock};
use crate::world::{CHAIN_ID, gas_key};
use observer::Sent;

/// What a buyer has to begin with, in atomic units.
pub(crate) const PURSE: u64 = 1_000_000;

/// What a unit of gas costs on a quiet day, in wei.
const BASE_FEE: u64 = 1_000_000;

/// Money that moved by an authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) payer: Address,
    pub(crate) nonce: B256,
    pub(crate) to: Address,
    pub(crate) value: u64,
    pub(crate) transaction: B256,
    /// Who submitted it.
    pub(crate) sender: Address,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    topics: Vec<B256>,
    data: String,
    transaction_hash: B256,
}

/// The chain and what is known of it beside it.
pub(crate) struct Chain {
    pub(crate) dev: DevChain,
    stage: Arc<Stage>,
    signers: Vec<Address>,
    sent: Mutex<Vec<Sent>>,
    /// Authorizations whose transfer was in a block that was replaced.
    shaken: Mutex<BTreeSet<B256>>,
    next_block_ms: Mutex<u64>,
    block_ms: u64,
}

impl Chain {
    pub(crate) fn new(stage: Arc<Stage>, ledgers: usize) -> Self {
        let clock = ChainClock::Fixed(stage.now_s());
        let dev =
            DevChain::new(Config { chain_id: CHAIN_ID, mining: Mining::Manual, clock, history: 10_000 });
        let signers: Vec<Address> =
            (0..ledgers).filter_map(|ledger| gas_key(ledger).ok()).map(|key| key.address()).collect();
        for signer in &signers {
            dev.set_balance(*signer, U256::from(10).pow(U256::from(20)));
        }
        let block_ms = stage.between(1_000, 3_000);
        Self {
            dev,
            stage,
            signers,
            sent: Mutex::default(),
            shaken: Mutex::default(),
            next_block_ms: Mutex::new(block_ms),
            block_ms,
        }
    }

    /// Asks without a network: for those who see everything.
    pub(crate) fn ask<T: DeserializeOwned>(&self, method: &str, params: Value) -> Option<T> {
        serde_json::from_value(self.dev.request(method, params).ok()?).ok()
    }

    /// Makes the blocks that are due.
    pub(crate) fn tick(&self) {
        let now_ms = self.stage.now_ms();
        let mut next_block_ms = lock(&self.next_block_ms);
        if now_ms < *next_block_ms {
            return;
        }
        *next_block_ms = now_ms + self.block_ms;
        if self.stage.strikes(Fault::BlockHeld) {
            *next_block_ms += self.stage.between(0, 10_000);
        }
        if self.stage.strikes(Fault::Evicted) {
            self.evict();
        }
        if self.stage.strikes(Fault::Reorg) {
            let (depth, forget) = (self.stage.between(1, 3), self.stage.strikes(Fault::ReorgForgets));
            let (before, mined) = (self.transfers(), self.mined_of_ours());
            self.dev.reorg(depth, forget);
            let after = self.transfers();
            let lost = before.into_iter().filter(|transfer| !after.contains(transfer));
            lock(&self.shaken).extend(lost.map(|transfer| transfer.nonce));
            self.note_unmined(&mined, now_ms);
        }
        if self.stage.strikes(Fault::FeeSpike) {
            let fee = BASE_FEE * self.stage.between(2, 40);
            let _ = self.dev.request("anvil_setNextBlockBaseFeePerGas", json!([fee]));
        }
        let ahead_s = if self.stage.strikes(Fault::BlockAhead) { self.stage.between(1, 12) } else { 0 };
        self.dev.set_time(self.stage.now_s() + ahead_s);
        self.dev.mine(1);
        self.stage.note("block", self.dev.block_number(), String::new);
    }

    /// Whether a reorganisation has taken back its transfer once.
    pub(crate) fn is_shaken(&self, nonce: &B256) -> bool {
        lock(&self.shaken).contains(nonce)
    }

    /// Whether this account is one of our facilitators'.
    pub(crate) fn is_ours(&self, account: Address) -> bool {
        self.signers.contains(&account)
    }

    pub(crate) fn signers(&self) -> &[Address] {
        &self.signers
    }

    /// How many transactions of an account are in blocks.
    pub(crate) fn mined_count(&self, account: Address) -> u64 {
        let count: Option<U256> = self.ask("eth_getTransactionCount", json!([account, "latest"]));
        count.unwrap_or_default().saturating_to()
    }

    /// Whether a transaction is in a block of the canonical chain.
    pub(crate) fn is_mined(&self, transaction: &str) -> bool {
        let receipt: Option<Value> = self.ask("eth_getTransactionReceipt", json!([transaction]));
        receipt.is_some_and(|receipt| receipt.is_object())
    }

    /// Every transfer by authorization on the canonical chain, in order.
    pub(crate) fn transfers(&self) -> Vec<Transfer> {
        let filter = json!([{ "address": USDC, "fromBlock": "0x0", "toBlock": "latest" }]);
        let logs: Vec<Log> = self.ask("eth_getLogs", filter).unwrap_or_default();
        let used = alloy_primitives::keccak256("AuthorizationUsed(address,bytes32)");
        // The token tells of the authorization first and then of the money.
        let pairs = logs.iter().zip(logs.iter().skip(1)).filter(|(log, _)| log.topics.first() == Some(&used));
        let read = |(used, moved): (&Log, &Log)| {
            let account = |topic: &B256| Address::from_word(*topic);
            let value: U256 = moved.data.parse().ok()?;
            let transaction: Value = self.ask("eth_getTransactionByHash", json!([used.transaction_hash]))?;
            Some(Transfer {
                payer: account(used.topics.get(1)?),
                nonce: *used.topics.get(2)?,
                to: account(moved.topics.get(2)?),
                value: value.saturating_to(),
                transaction: used.transaction_hash,
                sender: serde_json::from_value(transaction["from"].clone()).ok()?,
            })
        };
        pairs.filter_map(read).collect()
    }

    /// Forgets one of our transactions that wait.
    fn evict(&self) {
        let waiting: Vec<B256> = lock(&self.sent)
            .iter()
            .map(|sent| sent.hash)
            .filter(|hash| !self.is_mined(&hash.to_string()))
            .collect();
        if let Some(hash) = waiting.get(usize::try_from(self.stage.below(waiting.len() as u64)).unwrap_or(0))
        {
            let _ = self.dev.request("anvil_dropTransaction", json!([hash]));
        }
    }
}
