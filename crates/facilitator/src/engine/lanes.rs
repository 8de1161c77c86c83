//! Signer nonces. They are given out in the same commit that stores the signed transaction, and never asked of the
//! node once a lane exists: two payments can then never share a nonce, nor one payment hold two (invariants I1, I8).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use groat_core::books::{Attempt, Book, Settlement};
use groat_core::ports::{Expect, Settler, Store, Write};
use groat_core::{Fault, Network, PaymentId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// All lanes.
pub(super) struct Lanes {
    store: Arc<dyn Store>,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// When the unspent nonces of a lane were looked at last.
    tended: Mutex<HashMap<String, Instant>>,
}

/// One signer on one network, as it lies in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Lane {
    /// The nonce of the next transaction.
    next: u64,
}

/// A nonce that was given out, with what was signed for it.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    /// For this payment.
    payment: PaymentId,
    transaction: String,
    raw: String,
}

/// The most transactions that are sent again at once: the first of them holds up all others anyway.
const UNSPENT_MAX: usize = 32;

/// A lane that is ours for the moment, with the nonce to sign for.
pub(super) struct Turn {
    key: String,
    expect: Expect,
    lane: Lane,
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

impl Lanes {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, turns: Mutex::default(), tended: Mutex::default() }
    }

    /// Network and signer of every lane.
    pub(super) async fn all(&self) -> Result<Vec<(Network, String)>, Fault> {
        let mut lanes = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(Book::Lanes, after.as_deref(), true, PAGE).await?;
            let Some(last) = page.last() else { return Ok(lanes) };
            after = Some(last.key.clone());
            for (network, signer) in page.iter().filter_map(|record| record.key.rsplit_once('/')) {
                lanes.extend(Network::parse(network).ok().map(|network| (network, signer.to_owned())));
            }
        }
    }

    /// What was signed for nonces that no block has spent, the lowest first. Whatever became of their payments: one of
    /// them missing holds up the signer (invariant I13), and bytes that were sent once can be sent again, because an
    /// authorization moves money once. Nothing when somebody has looked less than `pause` ago.
    pub(super) async fn unspent(
        &self,
        settler: &dyn Settler,
        network: &Network,
        signer: &str,
        pause: Duration,
    ) -> Result<Vec<Attempt>, Fault> {
        let key = lane_key(network, signer);
        let mut unspent = Vec::new();
        if !self.begin(&key, pause) {
            return Ok(unspent);
        }
        let Some(record) = self.store.get(Book::Lanes, &key).await? else { return Ok(unspent) };
        let lane: Lane = read(&record.body)?;
        let spent = settler.spent_nonces(network, signer).await?;
        for nonce in (spent..lane.next).take(UNSPENT_MAX) {
            let taken = self.store.get(Book::Nonces, &format!("{key}/{nonce}")).await?;
            let Some(record) = taken else { continue };
            let Taken { transaction, raw, .. } = read(&record.body)?;
            unspent.push(Attempt { transaction, raw, signer: signer.to_owned(), nonce, at: Timestamp(0) });
        }
        Ok(unspent)
    }

    fn begin(&self, key: &str, pause: Duration) -> bool {
        let (now, mut tended) = (Instant::now(), lock(&self.tended));
        let due = tended.get(key).is_none_or(|last| now.duration_since(*last) >= pause);
        if due {
            tended.insert(key.to_owned(), now);
        }
        due
    }

    /// Waits for the lane of this signer. A new lane begins where the chain says.
    pub(super) async fn turn(
        &self,
        settler: &dyn Settler,
        network: &Network,
        signer: &str,
    ) -> Result<Turn, Fault> {
        let key = lane_key(network, signer);
        let turns = Arc::clone(lock(&self.turns).entry(key.clone()).or_default());
        let turn = turns.lock_owned().await;
        let (expect, lane) = match self.store.get(Book::Lanes, &key).await? {
            Some(record) => (Expect::Version(record.version), read(&record.body)?),
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
        let body = write(&next)?;
        let taken = Taken {
            payment: settlement.id,
            transaction: attempt.transaction.clone(),
            raw: attempt.raw.clone(),
        };
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
            body: write(&taken)?,
        };
        Ok([lane, nonce])
    }
}

/// Lanes per page of a scan.
const PAGE: usize = 64;

fn lane_key(network: &Network, signer: &str) -> String {
    format!("{network}/{signer}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held, and a map is whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, Fault> {
    serde_json::from_str(body).map_err(|error| Fault::garbled("store", error))
}

fn write(record: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(record).map_err(|error| Fault::garbled("store", error))
}
