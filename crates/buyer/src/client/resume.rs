//! After a crash: everything that was signed and has no answer is taken up, without knowing what was asked for.

use groat_core::PaymentId;
use groat_core::books::{Purchase, PurchaseEvent, PurchaseState};
use groat_core::ports::Fate;
use groat_core::{Reason, Timestamp};
use groat_store::Entry;
use reqwest::{Method, Request};

use super::flights::Flight;
use super::reserve::Ticket;
use super::send::Wanted;
use super::standing::{Standing, may_land};
use super::{Bought, BuyError, Client, logical};
use crate::past;

/// So long after a payment is dead its seller is asked for the answer all the same: it may have been taken in time, and
/// sellers keep answers for a day.
const ANSWERS_KEPT_S: u64 = 86_400;

/// What became of a purchase that was left open.
#[derive(Debug)]
pub struct Resumed {
    /// Its payment.
    pub id: PaymentId,
    /// Method and URL.
    pub title: String,
    /// How it stands now.
    pub ending: Ending,
}

/// How a purchase that was left open stands now.
#[derive(Debug)]
pub enum Ending {
    /// It has its answer, whole. It stays open until [`Client::received`] is told of that.
    Bought(Box<Bought>),
    /// It is over without an answer. A sentence that says whether anything was paid.
    Closed(&'static str),
    /// There is no answer.
    Failed(BuyError),
}

impl Client {
    /// Takes up every purchase that is open: sends the same payment again, and no other. Bodies and header fields are not
    /// kept, so what was asked for with them cannot be asked for again here; that is said, and the same command does it. What
    /// can be taken no more is closed.
    pub async fn resume(&self) -> Result<Vec<Resumed>, BuyError> {
        let open = {
            let _turn = self.past.lock().await;
            past::open(&self.journal).await?
        };
        let mut all = Vec::new();
        for entry in open {
            let Some(flight) = self.flights.begin(&entry.record.request) else { continue };
            let Some(id) = entry.record.outstanding().map(|signed| signed.id) else {
                // Nothing was signed, so nothing can have left; its place is given back when it is old.
                if past::is_abandoned(&entry.record, self.buyer.clock.now()) {
                    self.release(entry).await?;
                }
                continue;
            };
            let title = entry.record.title.clone();
            let ending = self.take_up(entry, flight).await.unwrap_or_else(Ending::Failed);
            all.push(Resumed { id, title, ending });
        }
        Ok(all)
    }

    async fn take_up(&self, entry: Entry<Purchase>, flight: Flight) -> Result<Ending, BuyError> {
        match self.standing(&entry.record).await {
            Standing::Live => self.ask_again(entry, flight).await,
            Standing::MayLand { transaction } => {
                Err(may_land(&entry.record, transaction).unwrap_or_else(BuyError::busy))
            }
            Standing::Dead(reason) => {
                self.give_up(entry, reason).await?;
                Ok(Ending::Closed("nothing was paid, and nothing can be any more"))
            }
            Standing::Over => self.close(entry, flight).await,
        }
    }

    /// Sends a payment again that may be taken, or has been.
    async fn ask_again(&self, entry: Entry<Purchase>, flight: Flight) -> Result<Ending, BuyError> {
        let purchase = &entry.record;
        let Some(request) = request_of(purchase) else {
            let what = if purchase.has_fields { "header fields" } else { "a body" };
            return Err(BuyError::fault(format!(
                "it was asked for with {what}, which are not kept: repeat the same command, it will not pay twice"
            )));
        };
        let ticket = Ticket { entry, resent: true, _flight: flight };
        Ok(Ending::Bought(Box::new(self.send(request, ticket, Wanted::Whole).await?)))
    }

    /// A payment whose time is over: closed when it was certainly not taken, shown for the sake of the answer when it may
    /// have been, and closed in the end.
    async fn close(&self, entry: Entry<Purchase>, flight: Flight) -> Result<Ending, BuyError> {
        let Some(signed) = entry.record.outstanding() else {
            return Ok(Ending::Closed("another process has closed it"));
        };
        if matches!(entry.record.state, PurchaseState::Signed(_)) {
            self.give_up(entry, Reason::Expired).await?;
            return Ok(Ending::Closed("it was never sent, and is good no more: nothing was paid"));
        }
        let fate = match self.payer(&signed.offer) {
            Some(payer) => payer.fate(&signed.payment, &signed.offer).await.ok(),
            None => None,
        };
        if let Some(Fate::Dead(reason)) = fate {
            self.give_up(entry, reason).await?;
            return Ok(Ending::Closed("it ended unused, as its chain shows: nothing was paid"));
        }
        if self.is_answer_kept(signed.valid_until) && request_of(&entry.record).is_some() {
            return self.ask_again(entry, flight).await.map_err(|error| match error {
                BuyError::Pending { .. } => BuyError::fault(
                    "nobody can take it any more, and its seller does not say whether it was taken in time: resume again \
                     later; asking for the same anew pays anew",
                ),
                error => error,
            });
        }
        self.note(entry, PurchaseEvent::Lapse).await?;
        Ok(Ending::Closed(
            "nobody can take it any more; whether it was taken in time is not known here, so it counts as paid",
        ))
    }

    fn is_answer_kept(&self, valid_until: Timestamp) -> bool {
        valid_until.plus(ANSWERS_KEPT_S) > self.buyer.clock.now()
    }
}

/// The request of a purchase, when it was one without a body and without header fields.
fn request_of(purchase: &Purchase) -> Option<Request> {
    let (method, url) = purchase.title.split_once(' ')?;
    let request = Request::new(Method::from_bytes(method.as_bytes()).ok()?, url.parse().ok()?);
    let is_it = logical(&request).ok()? == past::logical(&purchase.request);
    (is_it && !purchase.has_fields).then_some(request)
}
