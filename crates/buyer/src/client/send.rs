//! The paid exchange: note, send, and send exactly the same again while the outcome is unknown.

use std::time::Duration;

use groat_core::books::{Purchase, PurchaseEvent, PurchaseState, SignedPayment};
use groat_core::ports::Fate;
use groat_core::reason::printable;
use groat_core::{Failure, Fault, Payment, Reason, Receipt, Timestamp};
use groat_failpoints::reach;
use groat_store::{Applied, Entry};
use groat_wire::Asked;
use groat_wire::token::Given;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use reqwest::{Request, Response};
use tokio::time::Instant;

use super::flights::Flight;
use super::judge::Verdict;
use super::reserve::Ticket;
use super::standing::{dead_in_s, may_land};
use super::{Bought, BuyError, Client, PaidWith};

/// How long a seller of tokens may take; one of them never answers what it cannot read.
const ORDER_TIMEOUT: Duration = Duration::from_secs(15);

/// How much of an answer is waited for before the purchase is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Its head; the body may be a stream.
    Head,
    /// All of it, and that it has arrived.
    Whole,
}

/// A purchase that has its answer and is open until that has arrived.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) entry: Entry<Purchase>,
    pub(super) receipt: Option<Receipt>,
    /// Nobody in this process takes it for a lost one meanwhile.
    _flight: Flight,
}

impl Client {
    /// Sends the signed payment, again and again while the outcome is unknown and patience lasts.
    pub(super) async fn send(
        &self,
        mut request: Request,
        ticket: Ticket,
        wanted: Wanted,
    ) -> Result<Bought, BuyError> {
        let Ticket { entry, resent, _flight } = ticket;
        let Some(signed) = entry.record.outstanding().cloned() else {
            return Err(BuyError::fault("the purchase journal lost a signed payment"));
        };
        if self.is_unsent_and_late(&entry.record) {
            self.give_up(entry, Reason::Expired).await?;
            return Err(BuyError::fault(
                "it was signed too late for its offer, and not sent: repeat the command",
            ));
        }
        let shown = self.proved(&request, &signed).await?;
        self.buyer.dialects.write_payment(&shown, request.headers_mut())?;
        let order = self.order(&signed)?;
        let entry = self.note(entry, PurchaseEvent::Send).await?;
        if matches!(entry.record.state, PurchaseState::Refused { .. } | PurchaseState::Lapsed { .. }) {
            return Err(BuyError::fault("another process has given this payment up: repeat the command"));
        }
        let (entry, own) = self.publish(entry, &signed).await?;
        let deadline = Instant::now() + self.buyer.options.patience;
        let mut resends = 0;
        loop {
            let copy = order.as_ref().unwrap_or(&request).try_clone().ok_or_else(BuyError::stream)?;
            let limit = if order.is_some() { ORDER_TIMEOUT } else { self.buyer.options.timeout };
            let answer = self.exchange_within(copy, limit).await;
            reach("KP18");
            let verdict = match (self.judge(answer).await, wanted, &order) {
                (verdict, Wanted::Whole, None) => self.whole(verdict).await,
                (verdict, ..) => verdict,
            };
            match verdict {
                Verdict::Bought(receipt, mut response) => {
                    let receipt = receipt.or(own);
                    let mut closing = None;
                    if order.is_some() {
                        let given = self.given(&signed, *response).await?;
                        self.keep_given(&mut request, &given).await;
                        reach("KP19");
                        self.note_bought(entry, receipt.clone()).await;
                        reach("KP20");
                        *response = self.with_given(request, &signed, wanted).await?;
                    } else {
                        self.keep_pass(&request, &response).await;
                        match wanted {
                            Wanted::Head => self.note_bought(entry, receipt.clone()).await,
                            Wanted::Whole => {
                                closing = Some(Closing { entry, receipt: receipt.clone(), _flight });
                            }
                        }
                    }
                    let dialect = signed.payment.dialect.clone();
                    let payment = PaidWith { id: signed.id, offer: signed.offer, receipt, dialect, resent };
                    return Ok(Bought { response: *response, payment: Some(payment), closing });
                }
                Verdict::Refused { reason, status, message } => {
                    tracing::warn!(payment = %signed.id, status, "refused");
                    let retry_after_s = dead_in_s(signed.valid_until, self.now());
                    if retry_after_s == 0 {
                        // Nobody can take it any more, so it needs to be shown no more.
                        self.note(entry, PurchaseEvent::Lapse).await?;
                    }
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

    /// Whether it is a transaction that never left and would come too late. Sent, nobody could say what becomes of it.
    fn is_unsent_and_late(&self, purchase: &Purchase) -> bool {
        let PurchaseState::Signed(signed) = &purchase.state else { return false };
        let is_transaction = self.payer(&signed.offer).is_some_and(|payer| payer.is_paid_before());
        is_transaction && self.now() > signed.valid_until
    }

    /// The payment as it is shown, with a signature over this very request where the owner wants that. It is not written
    /// down: whoever takes the payment up again signs again.
    async fn proved(&self, request: &Request, signed: &SignedPayment) -> Result<Payment, BuyError> {
        let payment = signed.payment.clone();
        if !self.buyer.options.prove_payer {
            return Ok(payment);
        }
        let body =
            request.body().map_or(Some(&[][..]), |body| body.as_bytes()).ok_or_else(BuyError::stream)?;
        let asked = Asked { method: request.method().as_str(), url: request.url().as_str(), body };
        let lines = self.buyer.dialects.payer_lines(&payment, &asked);
        match (lines, self.payer(&signed.offer)) {
            (Some(lines), Some(payer)) => {
                let proved = payer.prove(payment, &lines, self.buyer.signer.as_ref()).await;
                proved.map_err(|error| BuyError::fault(error.to_string()))
            }
            _ => Ok(payment),
        }
    }

    /// Makes the payment happen, where that is the payer's part. It is written down, so whatever breaks here is taken up by
    /// the next call, with the same transaction. Once its offer is over it is only looked for.
    async fn publish(
        &self,
        entry: Entry<Purchase>,
        signed: &SignedPayment,
    ) -> Result<(Entry<Purchase>, Option<Receipt>), BuyError> {
        let Some(payer) = self.payer(&signed.offer) else { return Ok((entry, None)) };
        let is_late = payer.is_paid_before() && self.now() > signed.valid_until;
        let published = match is_late {
            false => payer.publish(&signed.payment).await,
            true => match payer.fate(&signed.payment, &signed.offer).await {
                Ok(Fate::Paid(own)) => Ok(own),
                Ok(Fate::Dead(reason)) => Err(reason.into()),
                Ok(Fate::Open { transaction }) => {
                    return Err(may_land(&entry.record, transaction).unwrap_or_else(BuyError::busy));
                }
                Err(fault) => Err(fault.into()),
            },
        };
        match published {
            Ok(own) => Ok((entry, own)),
            Err(Failure::Refused(refusal)) => {
                let reason = refusal.reason.clone();
                self.note(entry, PurchaseEvent::Refuse(reason.clone())).await?;
                let message = "the transaction moved nothing, and never will".to_owned();
                Err(BuyError::Refused { reason, id: signed.id, status: 402, message, retry_after_s: 0 })
            }
            Err(Failure::Fault(fault)) => {
                tracing::warn!(payment = %signed.id, %fault, "the transaction is not known to be in a block");
                Err(BuyError::Pending {
                    id: signed.id,
                    transaction: None,
                    retry_after_s: fault.retry_after_s(),
                })
            }
        }
    }

    /// The verdict on an answer with its body. Where that breaks off, the seller is asked for the same again.
    async fn whole(&self, verdict: Verdict) -> Verdict {
        let Verdict::Bought(receipt, response) = verdict else { return verdict };
        match complete(*response).await {
            Ok(response) => Verdict::Bought(receipt, Box::new(response)),
            Err(error) => {
                tracing::warn!(error = %error.without_url(), "the answer broke off");
                let transaction = receipt.and_then(|receipt| receipt.transaction);
                let transaction = transaction.map(|text| printable(&text, 100));
                Verdict::Unknown { transaction, again_after: Some(self.buyer.options.resend_after) }
            }
        }
    }

    /// The request that carries the payment, when that is not the one that is paid for.
    fn order(&self, signed: &SignedPayment) -> Result<Option<Request>, BuyError> {
        let Some(at) = &signed.order_at else { return Ok(None) };
        let lost = || BuyError::fault("the purchase journal lost where a token is sold");
        let body = self.buyer.dialects.write_order(&signed.payment).ok_or_else(lost)??;
        let mut order = Request::new(reqwest::Method::POST, at.parse().map_err(|_| lost())?);
        order.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *order.body_mut() = Some(body.into());
        Ok(Some(order))
    }

    /// The token of an answer. What cannot be read may have cost money all the same: the order is sent again later.
    async fn given(&self, signed: &SignedPayment, response: Response) -> Result<Given, BuyError> {
        let pending = || BuyError::Pending { id: signed.id, transaction: None, retry_after_s: 1 };
        let (_, body) = self.read(response).await.map_err(|_| pending())?;
        let given = self.buyer.dialects.read_given(&signed.payment.dialect, &body);
        given.ok().flatten().ok_or_else(pending)
    }

    /// The answer to the request itself, now that it shows the token. The token is kept, so whatever breaks here costs
    /// nothing but a repetition.
    async fn with_given(
        &self,
        request: Request,
        signed: &SignedPayment,
        wanted: Wanted,
    ) -> Result<Response, BuyError> {
        let lost = || {
            BuyError::fault(
                "paid, and the answer did not come: repeat the command, the token that was bought is kept",
            )
        };
        let copy = request.try_clone().ok_or_else(BuyError::stream)?;
        let response = self.exchange(request).await.map_err(|_| lost())?;
        if response.status() != StatusCode::PAYMENT_REQUIRED {
            return match wanted {
                Wanted::Head => Ok(response),
                Wanted::Whole => complete(response).await.map_err(|_| lost()),
            };
        }
        self.forget_pass(&copy).await;
        let status = response.status().as_u16();
        let message = "it sold a token and does not take it".to_owned();
        let reason = Reason::from_code("token_refused");
        Err(BuyError::Refused { reason, id: signed.id, status, message, retry_after_s: 0 })
    }

    /// Writes an event down before it happens. Without the journal nothing goes on; that another process has come
    /// further with the same payment is fine.
    pub(super) async fn note(
        &self,
        entry: Entry<Purchase>,
        event: PurchaseEvent,
    ) -> Result<Entry<Purchase>, Fault> {
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
    pub(super) async fn note_bought(&self, entry: Entry<Purchase>, receipt: Option<Receipt>) {
        if let Err(fault) = self.note(entry, PurchaseEvent::Buy(receipt)).await {
            tracing::error!(%fault, "a purchase was not written down");
        }
    }

    fn now(&self) -> Timestamp {
        self.buyer.clock.now()
    }
}

/// An answer with its body in memory.
async fn complete(mut response: Response) -> Result<Response, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
    }
    let (parts, _) = http::Response::from(response).into_parts();
    Ok(http::Response::from_parts(parts, body).into())
}
