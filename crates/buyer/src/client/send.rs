//! The paid exchange: note, send, and send exactly the same again while the outcome is unknown.

use std::time::Duration;

use groat_core::books::{Purchase, PurchaseEvent};
use groat_core::{Fault, Receipt, Timestamp};
use groat_failpoints::reach;
use groat_store::{Applied, Entry};
use reqwest::Request;
use tokio::time::Instant;

use super::judge::Verdict;
use super::reserve::{Ticket, dead_in_s};
use super::{Bought, BuyError, Client, PaidWith};

impl Client {
    /// Sends the signed payment, again and again while the outcome is unknown and patience lasts.
    pub(super) async fn send(&self, mut request: Request, ticket: Ticket) -> Result<Bought, BuyError> {
        let Ticket { entry, resent, _flight } = ticket;
        let Some(signed) = entry.record.outstanding().cloned() else {
            return Err(BuyError::fault("the purchase journal lost a signed payment"));
        };
        self.buyer.dialects.write_payment(&signed.payment, request.headers_mut())?;
        let entry = self.note(entry, PurchaseEvent::Send).await?;
        let deadline = Instant::now() + self.buyer.options.patience;
        let mut resends = 0;
        loop {
            let copy = request.try_clone().ok_or_else(BuyError::stream)?;
            let answer = self.exchange(copy).await;
            reach("KP18");
            match self.judge(answer).await {
                Verdict::Bought(receipt, response) => {
                    self.note_bought(entry, receipt.clone()).await;
                    self.keep_pass(&request, &response).await;
                    let dialect = signed.payment.dialect.clone();
                    let payment = PaidWith { id: signed.id, offer: signed.offer, receipt, dialect, resent };
                    return Ok(Bought { response: *response, payment: Some(payment) });
                }
                Verdict::Refused { reason, status, message } => {
                    tracing::warn!(payment = %signed.id, status, "refused");
                    let retry_after_s = dead_in_s(signed.valid_until, self.now());
                    return Err(BuyError::Refused { reason, id: signed.id, status, message, retry_after_s });
                }
                Verdict::Unknown { transaction, again_after } => {
                    let next = again_after.map(|after| Instant::now() + after);
                    let is_over =
                        self.now() > signed.valid_until || resends >= self.buyer.options.resends_max;
                    match next.filter(|next| !is_over && *next <= deadline) {
                        Some(next) => tokio::time::sleep_until(next).await,
                        None => {
                            let retry_after_s = again_after.unwrap_or(Duration::ZERO).as_secs();
                            return Err(BuyError::Pending { id: signed.id, transaction, retry_after_s });
                        }
                    }
                    resends += 1;
                }
            }
        }
    }

    /// Writes an event down before it happens. Without the journal nothing goes on; that another process has come
    /// further with the same payment is fine.
    async fn note(&self, entry: Entry<Purchase>, event: PurchaseEvent) -> Result<Entry<Purchase>, Fault> {
        let key = entry.record.request.clone();
        let mut entry = entry;
        loop {
            match self.journal.apply(entry, event.clone(), self.now()).await? {
                Applied::Done(entry) | Applied::Impossible(entry) => return Ok(entry),
                Applied::Stale => {
                    let gone = || Fault::garbled("store", "a purchase is gone");
                    entry = self.journal.load(&key).await?.ok_or_else(gone)?;
                }
            }
        }
    }

    /// The answer is here and must not be lost because the journal is: then the purchase stays open, and the next
    /// call for the same sends the same payment.
    async fn note_bought(&self, entry: Entry<Purchase>, receipt: Option<Receipt>) {
        if let Err(fault) = self.note(entry, PurchaseEvent::Buy(receipt)).await {
            tracing::error!(%fault, "a purchase was not written down");
        }
    }

    fn now(&self) -> Timestamp {
        self.buyer.clock.now()
    }
}
