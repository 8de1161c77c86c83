//! The paid exchange: decide, write down, sign, write down, send, and never sign twice.

use groat_core::books::{Purchase, PurchaseEvent, PurchaseState, SignedPayment};
use groat_core::payment::{DialectId, ReceiptOutcome};
use groat_core::policy::Decision;
use groat_core::ports::PayRequest;
use groat_core::{Challenge, Reason, Receipt, Timestamp};
use groat_store::{Applied, Entry};
use http::StatusCode;
use reqwest::{Request, Response};
use tokio::time::Instant;

use super::{AskView, Bought, BuyError, Client, PaidWith, host};
use crate::signer::is_published;

/// What the seller's answer to a paid request means.
enum Verdict {
    /// Paid, or at least served.
    Bought(Option<Receipt>),
    /// Send the same again after so many seconds.
    Unknown { transaction: Option<String>, wait_s: u64 },
    /// The seller says no. Its word releases nothing (threat rows Y12, Y17).
    Refused(Reason),
}

/// Seconds between two tries when the seller names none.
const WAIT_S: u64 = 1;

impl Client {
    /// Decides, reserves the budget, signs. What is returned has been written down and not been sent.
    pub(super) async fn plan_and_sign(
        &self,
        fingerprint: &str,
        request: &Request,
        dialect: &DialectId,
        challenge: &Challenge,
    ) -> Result<Entry<Purchase>, BuyError> {
        let _turn = self.turn.lock().await;
        let plan = self.weigh(fingerprint, request.url(), dialect, challenge).await?;
        let Some(planned) = plan.chosen.and_then(|index| plan.offers.get(index)) else {
            return Err(plan.refusal());
        };
        let offer = planned.offer.clone();
        let allowed_by = match &planned.decision {
            Some(Decision::Allow(rule)) => rule.clone(),
            Some(Decision::Ask(why)) => {
                let ask = AskView {
                    host: host(request.url()),
                    offer: offer.clone(),
                    usd_micros: planned.usd_micros.unwrap_or_default(),
                    why: why.clone(),
                };
                if !self.buyer.approver.approve(&ask).await {
                    return Err(BuyError::NotApproved(why.clone()));
                }
                "a person".to_owned()
            }
            _ => return Err(plan.refusal()),
        };
        self.refuse_published_key()?;
        let now = self.buyer.clock.now();
        let nonce = random()?;
        let purchase = Purchase {
            request: format!("{fingerprint}/{}", alloy_primitives::hex::encode(&nonce[..8])),
            title: format!("{} {}", request.method(), request.url()),
            host: host(request.url()),
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            pay_to: offer.pay_to.clone(),
            amount: offer.amount,
            usd_micros: planned.usd_micros,
            allowed_by,
            planned_at: now,
            state: PurchaseState::Planned,
        };
        let taken = || BuyError::fault("the journal has this purchase already");
        let entry = self.journal.create(purchase).await?.ok_or_else(taken)?;
        let payer = self.payer(&offer).ok_or_else(|| plan.refusal())?;
        let window_s_max = self.buyer.policy.window_s_max;
        let pay = PayRequest { dialect, offer: &offer, now, window_s_max, nonce };
        let payment = match payer.pay(pay, self.buyer.signer.as_ref()).await {
            Ok(payment) => self.buyer.dialects.accept(payment, challenge, &offer),
            Err(error) => {
                self.note(entry, PurchaseEvent::Refuse(Reason::Released)).await?;
                return Err(error.into());
            }
        };
        let (key, valid_until) = payer
            .key(&payment, &offer)
            .map_err(|reason| BuyError::fault(format!("our own payment: {reason}")))?;
        let signed = SignedPayment { id: key.id(), payment, offer, valid_until };
        self.note(entry, PurchaseEvent::Sign(Box::new(signed))).await
    }

    /// Sends a payment that an earlier call signed.
    pub(super) async fn resend(&self, request: Request, entry: Entry<Purchase>) -> Result<Bought, BuyError> {
        self.send(request, entry, true).await
    }

    /// Sends the signed payment, again and again while the outcome is unknown and patience lasts.
    pub(super) async fn send(
        &self,
        request: Request,
        entry: Entry<Purchase>,
        resent: bool,
    ) -> Result<Bought, BuyError> {
        let entry = self.note(entry, PurchaseEvent::Send).await?;
        let Some(signed) = entry.record.outstanding().cloned() else {
            return Err(BuyError::fault("the journal lost a signed payment"));
        };
        let mut request = request;
        self.buyer.dialects.write_payment(&signed.payment, request.headers_mut())?;
        let deadline = Instant::now() + self.buyer.options.patience;
        loop {
            let copy = request.try_clone().ok_or_else(|| BuyError::fault("the body must be in memory"))?;
            let (verdict, response) = match self.http.execute(copy).await {
                Ok(response) => (self.judge(&response), Some(response)),
                Err(_) => (Verdict::Unknown { transaction: None, wait_s: WAIT_S }, None),
            };
            match (verdict, response) {
                (Verdict::Bought(receipt), Some(response)) => {
                    self.note(entry, PurchaseEvent::Buy(receipt.clone())).await?;
                    let dialect = signed.payment.dialect.clone();
                    let payment = PaidWith { id: signed.id, offer: signed.offer, receipt, dialect, resent };
                    return Ok(Bought { response, payment: Some(payment) });
                }
                (Verdict::Refused(reason), _) => {
                    let retry_after_s = signed.valid_until.since(self.buyer.clock.now()) + 60;
                    return Err(BuyError::Refused { reason, id: signed.id, retry_after_s });
                }
                (Verdict::Unknown { transaction, wait_s }, _) => {
                    let next = Instant::now() + std::time::Duration::from_secs(wait_s);
                    if next > deadline || dead(signed.valid_until, self.buyer.clock.now()) {
                        return Err(BuyError::Pending { id: signed.id, transaction });
                    }
                    tokio::time::sleep_until(next).await;
                }
                (Verdict::Bought(_), None) => {
                    return Err(BuyError::Pending { id: signed.id, transaction: None });
                }
            }
        }
    }

    fn judge(&self, response: &Response) -> Verdict {
        // An unreadable receipt is no receipt; the status then speaks alone.
        let receipt = self.buyer.dialects.read_receipt(response.headers()).ok().flatten();
        let status = response.status();
        match receipt {
            Some(receipt) if receipt.is_settled() => Verdict::Bought(Some(receipt)),
            Some(Receipt { outcome: ReceiptOutcome::Failed(reason), .. }) => Verdict::Refused(reason),
            Some(Receipt { transaction, .. }) => Verdict::Unknown { transaction, wait_s: wait_s(response) },
            None if status.is_success() => Verdict::Bought(None),
            None if status == StatusCode::PAYMENT_REQUIRED || status == StatusCode::PRECONDITION_FAILED => {
                Verdict::Refused(self.refusal(response))
            }
            None if status == StatusCode::CONFLICT
                || status.is_server_error()
                || status == StatusCode::TOO_MANY_REQUESTS =>
            {
                Verdict::Unknown { transaction: None, wait_s: wait_s(response) }
            }
            // Anything else answers the request itself, unpaid: the seller took no money for it.
            None => Verdict::Bought(None),
        }
    }

    fn refusal(&self, response: &Response) -> Reason {
        let challenge = self.buyer.dialects.read_challenge(response.headers(), &[]).ok().flatten();
        Reason::from_code(
            &challenge.map_or_else(|| "payment refused".to_owned(), |(_, challenge)| challenge.error),
        )
    }

    /// Writes an event down. Without the journal nothing goes on.
    async fn note(&self, entry: Entry<Purchase>, event: PurchaseEvent) -> Result<Entry<Purchase>, BuyError> {
        match self.journal.apply(entry, event, self.buyer.clock.now()).await? {
            Applied::Done(entry) => Ok(entry),
            Applied::Stale | Applied::Impossible(_) => {
                Err(BuyError::fault("another process works on the same purchase: repeat the command"))
            }
        }
    }

    fn refuse_published_key(&self) -> Result<(), BuyError> {
        let account = self.buyer.signer.account();
        let published = account.parse().is_ok_and(is_published);
        if published && !self.buyer.options.published_keys {
            return Err(BuyError::fault(format!(
                "everybody has the key of {account}: make your own with `groat wallet new`"
            )));
        }
        Ok(())
    }
}

fn wait_s(response: &Response) -> u64 {
    let value = response.headers().get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    value.and_then(|text| text.parse().ok()).map_or(WAIT_S, |seconds: u64| seconds.clamp(1, 60))
}

fn dead(valid_until: Timestamp, now: Timestamp) -> bool {
    now > valid_until.plus(60)
}

fn random() -> Result<[u8; 32], BuyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| BuyError::fault("the machine gives no randomness"))?;
    Ok(bytes)
}
