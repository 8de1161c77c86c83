//! What has been spent, and who was paid before: read from the journal, decided under one lock.

use groat_core::books::Purchase;
use groat_core::policy::Spent;
use groat_core::{Fault, Network, Timestamp};
use groat_store::{Entry, Journal};

/// Everything that the policy and the resend rule want to know of the past.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Today's totals, counting everything not proved unpaid.
    pub(crate) spent: Spent,
    /// Who was paid last by this host on this network.
    pub(crate) pay_to_before: Option<String>,
    /// Payments of the same logical request that may be under way.
    pub(crate) outstanding: Vec<Entry<Purchase>>,
}

const PAGE: usize = 512;
/// How long after its end a payment may still turn out to be on the chain.
const MARGIN_S: u64 = 60;

/// Reads the journal for one request.
pub(crate) async fn past(
    journal: &Journal<Purchase>,
    request: &str,
    host: &str,
    network: Option<&Network>,
    now: Timestamp,
) -> Result<Past, Fault> {
    let mut past = Past::default();
    let mut latest = Timestamp::default();
    let mut after: Option<String> = None;
    loop {
        let page = journal.scan_all(after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(past) };
        after = Some(last.record.request.clone());
        for entry in page {
            let record = &entry.record;
            let live = record.outstanding().is_some_and(|signed| signed.valid_until.plus(MARGIN_S) > now);
            if live && logical(&record.request) == request {
                past.outstanding.push(entry.clone());
            }
            if !record.counts_as_spent() {
                continue;
            }
            if record.planned_at.day() == now.day() {
                let price = record.usd_micros.unwrap_or(u64::MAX);
                past.spent.day_usd_micros = past.spent.day_usd_micros.saturating_add(price);
                if record.host == host {
                    past.spent.host_day_usd_micros = past.spent.host_day_usd_micros.saturating_add(price);
                }
            }
            let same_shop = record.host == host && Some(&record.network) == network;
            if same_shop && record.planned_at >= latest {
                latest = record.planned_at;
                past.pay_to_before = Some(record.pay_to.clone());
            }
        }
    }
}

/// The key of a purchase is its logical request and a part that tells repetitions apart.
pub(crate) fn logical(key: &str) -> &str {
    key.split_once('/').map_or(key, |(request, _)| request)
}
