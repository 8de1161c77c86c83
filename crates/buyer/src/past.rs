//! What the journal says of the past: what has been spent, who was paid, what may be under way.
//!
//! Keys of purchases begin with the time, so that a decision reads the last minute and what is still open, and not
//! the whole book. The first decision of a process reads everything.

use std::collections::BTreeMap;

use groat_core::books::{Purchase, PurchaseState};
use groat_core::policy::Spent;
use groat_core::{Fault, Network, Offer, Timestamp};
use groat_store::{Entry, Journal};

const PAGE: usize = 512;

/// A purchase must be in the journal so soon after it was planned, or it is given up: others rely on it.
pub(crate) const LATE_S: u64 = 30;
/// Older purchases are read once. Larger than [`LATE_S`], so that none of another process is missed.
const CLOSED_AFTER_S: u64 = 60;
/// A purchase that is planned and not signed for so long will not be.
const ABANDONED_AFTER_S: u64 = 600;

/// The key of a purchase: when it was planned, its logical request, what tells repetitions apart, and the logical
/// request before any redirect.
pub(crate) fn key(planned_at: Timestamp, request: &str, asked: &str, nonce: &[u8; 32]) -> String {
    format!("{:012}-{request}-{}-{asked}", planned_at.0, alloy_primitives::hex::encode(&nonce[..8]))
}

/// The logical request in a key.
pub(crate) fn logical(key: &str) -> &str {
    key.split('-').nth(1).unwrap_or_default()
}

/// The logical request before any redirect in a key; keys of earlier versions have none.
pub(crate) fn asked(key: &str) -> &str {
    key.split('-').nth(3).unwrap_or_else(|| logical(key))
}

/// The part of the past that will not change, kept so that it is read once.
#[derive(Debug, Default)]
pub(crate) struct Past {
    upto: Option<String>,
    seen_at: Timestamp,
    closed: Sums,
}

/// The past as it is now.
#[derive(Debug)]
pub(crate) struct View {
    /// When it was read.
    pub(crate) now: Timestamp,
    /// Every purchase that is not final, of whatever age.
    pub(crate) open: Vec<Entry<Purchase>>,
    sums: Sums,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    usd_micros: u64,
    payments: u64,
}

#[derive(Debug, Default, Clone)]
struct Sums {
    /// By UTC day, whether they came out of a balance, and host name.
    spent: BTreeMap<(u64, bool, String), Sum>,
    /// Who was paid last by a host on a network, and when.
    payees: BTreeMap<(String, Network, bool), (Timestamp, String)>,
}

impl Past {
    /// Reads what is new. `without` is the key of a purchase that shall not count.
    pub(crate) async fn look(
        &mut self,
        journal: &Journal<Purchase>,
        now: Timestamp,
        without: Option<&str>,
    ) -> Result<View, Fault> {
        if now.plus(LATE_S) < self.seen_at {
            // The clock was put back: purchases may now appear before those that were read.
            *self = Self::default();
        }
        self.seen_at = now;
        // Yesterday is kept: the clock may be put back a little at midnight.
        self.closed.spent.retain(|(day, ..), _| day + 1 >= now.day());
        let mut recent = Vec::new();
        let mut after = self.upto.clone();
        let mut closing = true;
        loop {
            let page = journal.scan_all(after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.record.request.clone());
            for Entry { record, .. } in page {
                if without == Some(record.request.as_str()) {
                    closing = false;
                    continue;
                }
                closing = closing && is_closed(&record, now);
                if closing {
                    self.closed.add(&record);
                    self.upto = Some(record.request);
                } else {
                    recent.push(record);
                }
            }
        }
        let mut sums = self.closed.clone();
        recent.iter().for_each(|purchase| sums.add(purchase));
        Ok(View { now, open: open(journal).await?, sums })
    }
}

/// Everything in the journal that is not final.
pub(crate) async fn open(journal: &Journal<Purchase>) -> Result<Vec<Entry<Purchase>>, Fault> {
    let mut open = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = journal.scan_open(after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(open) };
        after = Some(last.record.request.clone());
        open.extend(page);
    }
}

/// Whether its place in the sums is settled. What was sent counts from then on; that it may turn out unpaid one day
/// only frees what was reserved, and may be noticed late.
fn is_closed(purchase: &Purchase, now: Timestamp) -> bool {
    let age_s = now.since(purchase.planned_at);
    match purchase.state {
        // It is given back some day, and then counts no more.
        PurchaseState::Planned => false,
        PurchaseState::Signed(_) => age_s > 6 * ABANDONED_AFTER_S,
        _ => age_s > CLOSED_AFTER_S,
    }
}

/// Whether a purchase was planned so long ago that whoever planned it is gone.
pub(crate) fn is_abandoned(purchase: &Purchase, now: Timestamp) -> bool {
    matches!(purchase.state, PurchaseState::Planned) && now.since(purchase.planned_at) > ABANDONED_AFTER_S
}

impl Sums {
    fn add(&mut self, purchase: &Purchase) {
        if !purchase.counts_as_spent() {
            return;
        }
        let name = host_name(&purchase.host).to_owned();
        let place = (purchase.planned_at.day(), is_prepaid(&purchase.network), name);
        let spent = self.spent.entry(place).or_default();
        // What has no known value is never bought; should it be there, nothing more is.
        spent.usd_micros = spent.usd_micros.saturating_add(purchase.usd_micros.unwrap_or(u64::MAX));
        spent.payments = spent.payments.saturating_add(1);
        if matches!(purchase.state, PurchaseState::Planned | PurchaseState::Signed(_)) {
            return;
        }
        let payee = (purchase.host.clone(), purchase.network.clone(), is_token(&purchase.asset));
        let payee = self.payees.entry(payee).or_default();
        if purchase.planned_at >= payee.0 {
            *payee = (purchase.planned_at, purchase.pay_to.clone());
        }
    }
}

impl View {
    /// Today's totals: everything that is not proved unpaid. A host is one host, whatever its port. What leaves the wallet and
    /// what leaves balances are counted apart: a balance was paid for when it was topped up.
    pub(crate) fn spent(&self, host: &str, prepaid: bool) -> Spent {
        let mut spent = Spent::default();
        for (name, sum) in self.sums_of_today(prepaid) {
            spent.day_usd_micros = spent.day_usd_micros.saturating_add(sum.usd_micros);
            spent.day_payments = spent.day_payments.saturating_add(sum.payments);
            if name == host_name(host) {
                spent.host_day_usd_micros = sum.usd_micros;
            }
        }
        spent
    }

    /// Today's money by host, out of the wallet or out of balances.
    pub(crate) fn today(&self, prepaid: bool) -> impl Iterator<Item = (&str, u64)> {
        self.sums_of_today(prepaid).map(|(name, sum)| (name, sum.usd_micros))
    }

    fn sums_of_today(&self, prepaid: bool) -> impl Iterator<Item = (&str, Sum)> {
        let day = self.now.day();
        self.sums
            .spent
            .iter()
            .filter(move |((of, of_balances, _), _)| (*of, *of_balances) == (day, prepaid))
            .map(|((.., name), sum)| (name.as_str(), *sum))
    }

    /// Who was paid last by this host (and port) on this network, after the pin was last taken away. In a chain's own coin
    /// that may be another account than in tokens: a contract that passes it on.
    pub(crate) fn payee(&self, host: &str, offer: &Offer, forgotten: Option<Timestamp>) -> Option<&str> {
        let place = (host.to_owned(), offer.network.clone(), is_token(&offer.asset));
        let (at, account) = self.sums.payees.get(&place)?;
        forgotten.is_none_or(|forgotten| *at > forgotten).then_some(account)
    }
}

/// Whether payments on this network come out of a balance that was paid for before.
pub(crate) fn is_prepaid(network: &Network) -> bool {
    network.namespace() == "ledger"
}

/// Whether an asset is a contract, not the coin of its chain.
fn is_token(asset: &str) -> bool {
    asset.starts_with("0x")
}

/// A host without its port.
pub(crate) fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests;
