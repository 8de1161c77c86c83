//! A model chain: blocks, mempool, reorganisations. No cryptography, no gas; everything else that can surprise.

mod direct;
mod ledger;
mod miner;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

pub(crate) use direct::{Direct, Made, Request, Way, fnv};
pub(crate) use ledger::{
    Account, Action, Authorization, AuthorizationId, Ledger, Receipt, Transaction, Transfer, Used, hash_text,
};
pub(crate) use miner::mine;

use crate::Planted;
use crate::fault::Fault;
use crate::stage::{Stage, lock};

/// A block, with the state after it.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) time: u64,
    pub(crate) after: Arc<Ledger>,
    transactions: Vec<Transaction>,
}

/// The one true chain and what waits for it.
pub(crate) struct Chain {
    stage: Arc<Stage>,
    state: Mutex<State>,
    news: Notify,
}

struct State {
    blocks: Vec<Block>,
    mempool: BTreeMap<(Account, u64), Transaction>,
    /// The authorizations that a signer has ever sent for a nonce (invariant I8).
    assigned: BTreeMap<(Account, u64), BTreeSet<AuthorizationId>>,
    /// Authorizations whose fate a reorganisation may have changed.
    shaken: BTreeSet<AuthorizationId>,
    /// The same of transactions by which payers paid directly.
    shaken_direct: BTreeSet<u64>,
    is_down: bool,
    /// Makes the hashes of blocks differ from those they replace.
    epoch: u64,
}

impl Chain {
    pub(crate) fn new(stage: Arc<Stage>, balances: BTreeMap<Account, u64>) -> Self {
        let ledger = Arc::new(Ledger { balances, ..Ledger::default() });
        let genesis = Block { number: 0, time: stage.now_s(), after: ledger, transactions: Vec::new() };
        let begun = State {
            blocks: vec![genesis],
            mempool: BTreeMap::new(),
            assigned: BTreeMap::new(),
            shaken: BTreeSet::new(),
            shaken_direct: BTreeSet::new(),
            is_down: false,
            epoch: 0,
        };
        Self { stage, state: Mutex::new(begun), news: Notify::new() }
    }

    /// The block that a node `lag` blocks behind takes for the last.
    pub(crate) fn view(&self, lag: usize) -> Block {
        let state = lock(&self.state);
        state.blocks[state.blocks.len().saturating_sub(lag + 1)].clone()
    }

    pub(crate) fn head(&self) -> Block {
        self.view(0)
    }

    /// The state before everything.
    pub(crate) fn genesis(&self) -> Arc<Ledger> {
        Arc::clone(&lock(&self.state).blocks[0].after)
    }

    /// The next block or reorganisation.
    pub(crate) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    pub(crate) fn is_down(&self) -> bool {
        lock(&self.state).is_down && !self.stage.is_calm()
    }

    pub(crate) fn set_down(&self, down: bool) {
        lock(&self.state).is_down = down;
    }

    pub(crate) fn is_shaken(&self, authorization: &AuthorizationId) -> bool {
        lock(&self.state).shaken.contains(authorization)
    }

    pub(crate) fn is_direct_shaken(&self, hash: u64) -> bool {
        lock(&self.state).shaken_direct.contains(&hash)
    }

    /// Whether the node knows a transaction that is not in a block.
    pub(crate) fn is_waiting(&self, hash: u64) -> bool {
        lock(&self.state).mempool.values().any(|transaction| transaction.hash() == hash)
    }

    /// The nonce after everything that is mined and waits, as `eth_getTransactionCount` says it for `pending`.
    pub(crate) fn pending_nonce(&self, account: Account) -> u64 {
        let state = lock(&self.state);
        let mut nonce = state.last().after.nonce(account);
        while state.mempool.contains_key(&(account, nonce)) {
            nonce += 1;
        }
        nonce
    }

    /// Takes a transaction into the mempool; the error is the node's.
    pub(crate) fn submit(&self, transaction: Transaction) -> Result<(), &'static str> {
        let place = (transaction.sender, transaction.nonce);
        let mut state = lock(&self.state);
        let hash = transaction.hash();
        let carried: BTreeSet<_> = transaction.authorizations().into_iter().collect();
        let assigned = state.assigned.entry(place).or_default();
        // A replacement may carry less, and never anything else.
        if !assigned.is_superset(&carried) && !assigned.is_empty() && transaction.sender == Account::GAS {
            let text = format!("nonce {} was signed for {assigned:?} and {carried:?}", transaction.nonce);
            self.stage.broken("one nonce, one set of payments", text);
        }
        assigned.extend(carried);
        let last = state.last();
        if last.after.receipts.contains_key(&hash) {
            return Ok(());
        }
        if transaction.nonce < last.after.nonce(transaction.sender) {
            return Err("nonce too low");
        }
        match state.mempool.get(&place) {
            Some(waiting) if waiting.hash() != hash && transaction.fee <= waiting.fee + waiting.fee / 10 => {
                return Err("replacement transaction underpriced");
            }
            _ => {}
        }
        self.stage.note("in the mempool", transaction.nonce, || hash_text(hash));
        state.mempool.insert(place, transaction);
        Ok(())
    }

    /// A new block of what waits; not everything gets in.
    pub(crate) fn add_block(&self) {
        let mut state = lock(&self.state);
        let time = self.stage.now_s().max(state.last().time + 1);
        state.extend(&self.stage, time);
        drop(state);
        self.news.notify_waiters();
    }

    /// The node forgets one transaction that waits.
    pub(crate) fn evict(&self) {
        let mut state = lock(&self.state);
        let chosen = self.stage.below(state.mempool.len() as u64);
        let place = state.mempool.keys().nth(usize::try_from(chosen).unwrap_or(0)).copied();
        if let Some(place) = place {
            state.mempool.remove(&place);
            self.stage.note("evicted", place.1, || place.0.to_string());
        }
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !lock(&self.state).mempool.is_empty()
    }

    /// Replaces the last blocks by as many others with the same times.
    pub(crate) fn reorganise(&self, depth: usize) {
        let mut state = lock(&self.state);
        state.epoch += 1;
        let keep = state.blocks.len().saturating_sub(depth).max(1);
        let replaced = state.blocks.split_off(keep);
        let mut thrown: Vec<Transaction> =
            replaced.iter().flat_map(|block| block.transactions.iter().cloned()).collect();
        state.shaken.extend(thrown.iter().flat_map(Transaction::authorizations));
        state.shaken_direct.extend(thrown.iter().filter_map(Transaction::direct));
        thrown.retain(|_| !self.stage.strikes(Fault::ReorgLoses));
        for transaction in thrown {
            state.mempool.insert((transaction.sender, transaction.nonce), transaction);
        }
        for block in &replaced {
            let transactions = state.extend(&self.stage, block.time);
            state.shaken.extend(transactions.iter().flat_map(Transaction::authorizations));
            state.shaken_direct.extend(transactions.iter().filter_map(Transaction::direct));
        }
        self.stage.note("reorganised", replaced.len() as u64, String::new);
        drop(state);
        self.news.notify_waiters();
    }
}

impl State {
    fn last(&self) -> &Block {
        // There is always the genesis block.
        &self.blocks[self.blocks.len() - 1]
    }

    fn extend(&mut self, stage: &Stage, time: u64) -> Vec<Transaction> {
        let number = self.last().number + 1;
        let mut after = Arc::clone(&self.last().after);
        let receipt = Receipt { ok: false, block: number, block_hash: number << 16 | self.epoch };
        let mut transactions = Vec::new();
        let mut passed_over = BTreeSet::new();
        loop {
            let ready: Vec<_> = self
                .mempool
                .keys()
                .filter(|place| after.nonce(place.0) == place.1 && !passed_over.contains(*place))
                .copied()
                .collect();
            if ready.is_empty() {
                break;
            }
            let place = ready[usize::try_from(stage.below(ready.len() as u64)).unwrap_or(0)];
            if stage.chance(150) {
                passed_over.insert(place);
                continue;
            }
            let Some(transaction) = self.mempool.remove(&place) else { break };
            let careless = stage.planted(Planted::DoubleSpend);
            Arc::make_mut(&mut after).execute(&transaction, time, receipt, careless);
            let ok = after.receipts.get(&transaction.hash()).is_some_and(|receipt| receipt.ok);
            stage.note(if ok { "mined" } else { "mined and reverted" }, number, || {
                format!(
                    "{} nonce {} {:?}",
                    hash_text(transaction.hash()),
                    transaction.nonce,
                    transaction.action
                )
            });
            transactions.push(transaction);
        }
        // What can never be mined any more is dropped, as nodes do.
        self.mempool.retain(|place, _| after.nonce(place.0) <= place.1);
        self.blocks.push(Block { number, time, after, transactions: transactions.clone() });
        transactions
    }
}
