//! Account nonces of transactions that a wallet makes: two must not get one, and one that comes to nothing must leave no gap,
//! or everything behind it waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U64};
use groat_core::Fault;

use super::{Chain, lock};

/// So long a nonce is kept for what was signed with it. By then it has been sent, and the node counts it; or nobody will send
/// it. Should somebody all the same, one of the two comes to nothing.
const KEPT: Duration = Duration::from_secs(120);

/// The nonces that were given out, by account, and when. All schemes on a chain share them.
#[derive(Debug, Default)]
pub(super) struct Nonces(Mutex<HashMap<Address, BTreeMap<u64, Instant>>>);

/// A nonce for one transaction; free again when this is dropped before it is kept.
#[derive(Debug)]
pub(crate) struct Given<'c> {
    chain: &'c Chain,
    from: Address,
    nonce: u64,
    kept: bool,
}

impl Chain {
    /// The next nonce of an account that nobody here has.
    pub(crate) async fn give_nonce(&self, from: Address) -> Result<Given<'_>, Fault> {
        let pending: U64 = self.rpc().ask("eth_getTransactionCount", (from, "pending")).await?;
        let mut all = lock(&self.0.nonces.0);
        let nonce = next(all.entry(from).or_default(), pending.to(), Instant::now());
        Ok(Given { chain: self, from, nonce, kept: false })
    }

    /// Nothing will be sent with this nonce after all.
    pub(crate) fn free_nonce(&self, from: Address, nonce: u64) {
        if let Some(given) = lock(&self.0.nonces.0).get_mut(&from) {
            given.remove(&nonce);
        }
    }
}

/// The lowest that is free, now taken.
fn next(given: &mut BTreeMap<u64, Instant>, pending: u64, now: Instant) -> u64 {
    given.retain(|_, since| now.saturating_duration_since(*since) < KEPT);
    let mut nonce = pending;
    while given.contains_key(&nonce) {
        nonce = nonce.saturating_add(1);
    }
    given.insert(nonce, now);
    nonce
}

impl Given<'_> {
    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }

    /// What was signed with it will be sent.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.chain.free_nonce(self.from, self.nonce);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_nonce_is_next_and_none_is_kept_for_ever() {
        let (mut given, start) = (BTreeMap::new(), Instant::now());
        assert_eq!([0; 3].map(|_| next(&mut given, 5, start)), [5, 6, 7]);
        given.remove(&6);
        assert_eq!([0; 2].map(|_| next(&mut given, 5, start)), [6, 8]);
        // The node has seen some of them; one that answers late does not.
        assert_eq!([7, 5].map(|pending| next(&mut given, pending, start)), [9, 10]);
        assert_eq!(next(&mut given, 7, start + KEPT), 7);
    }
}
