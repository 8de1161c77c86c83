//! Signer nonces. They are given out in the same commit that stores the signed transaction, and never asked of the
//! node once a lane exists: two payments can then never share a nonce, nor one payment hold two (invariants I1, I8).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use groat_core::books::{Attempt, Book, Settlement};
use groat_core::ports::{Expect, Settler, Store, Write};
use groat_core::{Fault, Network};
use serde::{Deserialize, Serialize};

/// All lanes.
pub(super) struct Lanes {
    store: Arc<dyn Store>,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// One signer on one network, as it lies in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Lane {
    /// The nonce of the next transaction.
    next: u64,
}

/// A lane that is ours for the moment, with the nonce to sign for.
pub(super) struct Turn {
    key: String,
    expect: Expect,
    lane: Lane,
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

impl Lanes {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, turns: Mutex::default() }
    }

    /// Waits for the lane of this signer. A new lane begins where the chain says.
    pub(super) async fn turn(
        &self,
        settler: &dyn Settler,
        network: &Network,
        signer: &str,
    ) -> Result<Turn, Fault> {
        let key = format!("{network}/{signer}");
        let turns = Arc::clone(
            self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default(),
        );
        let turn = turns.lock_owned().await;
        let (expect, lane) = match self.store.get(Book::Lanes, &key).await? {
            Some(record) => {
                let lane =
                    serde_json::from_str(&record.body).map_err(|error| Fault::garbled("store", error))?;
                (Expect::Version(record.version), lane)
            }
            None => (Expect::Absent, Lane { next: settler.chain_nonce(network, signer).await? }),
        };
        Ok(Turn { key, expect, lane, _turn: turn })
    }
}

impl Turn {
    /// The nonce to sign for.
    pub(super) fn nonce(&self) -> u64 {
        self.lane.next
    }

    /// The writes that take the nonce for this payment, to be committed with the payment's own.
    pub(super) fn take(&self, attempt: &Attempt, settlement: &Settlement) -> Result<[Write; 2], Fault> {
        let next = Lane { next: self.lane.next + 1 };
        let body = serde_json::to_string(&next).map_err(|error| Fault::garbled("store", error))?;
        let lane = Write {
            book: Book::Lanes,
            key: self.key.clone(),
            expect: self.expect,
            state: "open",
            is_final: false,
            body,
        };
        // The safety net under the lock: this key can be written once, whatever else goes wrong.
        let nonce = Write {
            book: Book::Nonces,
            key: format!("{}/{}", self.key, attempt.nonce),
            expect: Expect::Absent,
            state: "taken",
            is_final: true,
            body: serde_json::json!({ "payment": settlement.id, "transaction": attempt.transaction })
                .to_string(),
        };
        Ok([lane, nonce])
    }
}
