//! Sees every transaction on its way to the node, and what must hold of them at that moment.

use std::collections::BTreeSet;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes};

use super::Chain;
use crate::stage::lock;

/// A transaction of one of our facilitators.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) hash: B256,
    sender: Address,
    nonce: u64,
    input: Bytes,
    /// When a reorganisation last took it out of its block.
    unmined_ms: Option<u64>,
}

/// Whoever acts on what a block said may learn only afterwards that the block is gone: the longest pause between two
/// looks at a block, the wait in the queue and a few lost replies.
const UNAWARE_MS: u64 = 60_000;

impl Chain {
    /// Looks at signed bytes that a facilitator sends; `authorizations` are all that were ever signed.
    pub(crate) fn observe(&self, raw: &[u8], authorizations: &[B256]) -> Option<B256> {
        let envelope = TxEnvelope::decode_2718(&mut &*raw).ok()?;
        let sent = Sent {
            hash: *envelope.tx_hash(),
            sender: envelope.recover_signer().ok()?,
            nonce: envelope.nonce(),
            input: envelope.input().clone(),
            unmined_ms: None,
        };
        let hash = sent.hash;
        let mut all = lock(&self.sent);
        if self.is_ours(sent.sender) && all.iter().all(|earlier| earlier.hash != hash) {
            self.stage.note("sent to the node", sent.nonce, || hash.to_string());
            for earlier in all.iter().filter(|earlier| earlier.sender == sent.sender) {
                self.compare(earlier, &sent, authorizations);
            }
            all.push(sent);
        }
        Some(hash)
    }

    /// The transactions of our facilitators that are in blocks.
    pub(super) fn mined_of_ours(&self) -> Vec<B256> {
        let sent = lock(&self.sent);
        sent.iter().map(|sent| sent.hash).filter(|hash| self.is_mined(&hash.to_string())).collect()
    }

    /// After a reorganisation: which of those that were mined are so no longer.
    pub(super) fn note_unmined(&self, mined: &[B256], now_ms: u64) {
        for sent in lock(&self.sent).iter_mut().filter(|sent| mined.contains(&sent.hash)) {
            if !self.is_mined(&sent.hash.to_string()) {
                sent.unmined_ms = Some(now_ms);
            }
        }
    }

    fn compare(&self, earlier: &Sent, sent: &Sent, authorizations: &[B256]) {
        if earlier.nonce == sent.nonce {
            // More gas for the same payments, or for some or none of them, is all that a second transaction with a
            // nonce may be (invariant I8).
            let carried = |sent: &Sent| -> BTreeSet<B256> {
                authorizations.iter().filter(|nonce| contains(&sent.input, nonce)).copied().collect()
            };
            let (before, now) = (carried(earlier), carried(sent));
            if !now.is_subset(&before) && !before.is_empty() {
                let text = format!("{} and {} have nonce {}", earlier.hash, sent.hash, sent.nonce);
                self.stage.broken("a signer nonce belongs to one settlement", &text);
            }
            return;
        }
        // A second nonce for a payment only when the first has been spent for nothing (invariant I1). That a
        // reorganisation un-spends it at that moment cannot be known; the token then pays one of the two.
        let is_news = |at_ms| self.stage.now_ms() < at_ms + UNAWARE_MS;
        if earlier.unmined_ms.is_some_and(is_news) {
            return;
        }
        let both = |nonce: &&B256| contains(&earlier.input, nonce) && contains(&sent.input, nonce);
        for nonce in authorizations.iter().filter(both) {
            let is_spent = self.mined_count(sent.sender) > earlier.nonce;
            if !is_spent && !self.is_shaken(nonce) {
                let text = format!("{nonce} in {} and {}", earlier.hash, sent.hash);
                self.stage.broken("a payment has one live signer nonce", &text);
            }
        }
    }
}

fn contains(input: &[u8], nonce: &B256) -> bool {
    input.windows(32).any(|window| window == nonce.as_slice())
}
