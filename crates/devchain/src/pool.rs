//! Transactions that wait: by sender and nonce, the dearest first.

use std::collections::{BTreeMap, HashMap};

use alloy_primitives::{Address, B256};

use crate::transaction::Signed;

/// The mempool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    waiting: HashMap<Address, BTreeMap<u64, Signed>>,
}

impl Pool {
    /// Takes a transaction in; one with the same nonce is replaced when this one pays a tenth more.
    pub(crate) fn insert(&mut self, tx: Signed) -> Result<(), &'static str> {
        let lane = self.waiting.entry(tx.sender).or_default();
        if let Some(old) = lane.get(&tx.nonce()) {
            let enough = |new: u128, old: u128| new >= old.saturating_add(old / 10).max(old + 1);
            if old.hash == tx.hash {
                return Err("already known");
            }
            if !enough(tx.max_fee(), old.max_fee()) || !enough(tx.tip(), old.tip()) {
                return Err("replacement transaction underpriced");
            }
        }
        lane.insert(tx.nonce(), tx);
        Ok(())
    }

    /// A transaction that waits.
    pub(crate) fn find(&self, hash: B256) -> Option<&Signed> {
        self.all().find(|tx| tx.hash == hash)
    }

    /// Everything that waits, by sender and nonce.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Signed> {
        self.waiting.values().flat_map(BTreeMap::values)
    }

    /// Forgets a transaction; whether it was there.
    pub(crate) fn remove(&mut self, hash: B256) -> bool {
        let found = self.find(hash).map(|tx| (tx.sender, tx.nonce()));
        found.is_some_and(|(sender, nonce)| {
            self.waiting.get_mut(&sender).is_some_and(|lane| lane.remove(&nonce).is_some())
        })
    }

    /// Forgets what a block has overtaken.
    pub(crate) fn prune(&mut self, sender: Address, nonce: u64) {
        if let Some(lane) = self.waiting.get_mut(&sender) {
            *lane = lane.split_off(&nonce);
            if lane.is_empty() {
                self.waiting.remove(&sender);
            }
        }
    }

    /// The next transaction of each sender that could go now, the dearest first.
    pub(crate) fn ready(&self, nonce_of: impl Fn(Address) -> u64, base_fee: u64) -> Vec<Signed> {
        let mut ready: Vec<Signed> = self
            .waiting
            .iter()
            .filter_map(|(sender, lane)| lane.get(&nonce_of(*sender)))
            .filter(|tx| tx.max_fee() >= u128::from(base_fee))
            .cloned()
            .collect();
        ready.sort_by_key(|tx| (std::cmp::Reverse(tx.tip()), tx.hash));
        ready
    }

    /// The nonce after everything that waits in an unbroken row.
    pub(crate) fn next_nonce(&self, sender: Address, nonce: u64) -> u64 {
        let Some(lane) = self.waiting.get(&sender) else { return nonce };
        (nonce..).find(|nonce| !lane.contains_key(nonce)).unwrap_or(nonce)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.values().map(BTreeMap::len).sum()
    }
}
