//! After a crash: everything that was signed and has no answer is taken up, without knowing what was asked for.

use groat_core::PaymentId;
use groat_core::books::{Purchase, PurchaseState};
use reqwest::{Method, Request};

use super::reserve::Ticket;
use super::{Bought, BuyError, Client, logical};
use crate::past;

/// What became of a purchase that was left open.
#[derive(Debug)]
pub struct Resumed {
    /// Its payment; `None` when none was signed.
    pub id: Option<PaymentId>,
    /// Method and URL.
    pub title: String,
    /// The answer that it has bought, or why there is none.
    pub outcome: Result<Bought, BuyError>,
}

impl Client {
    /// Takes up every purchase that is open: sends the same payment again, and no other. What was asked for with a body
    /// cannot be asked for again here, because bodies are not kept; that is said, and the same command does it.
    pub async fn resume(&self) -> Result<Vec<Resumed>, BuyError> {
        let open = {
            let _turn = self.past.lock().await;
            past::open(&self.journal).await?
        };
        let mut all = Vec::new();
        for entry in open {
            let purchase = &entry.record;
            if matches!(purchase.state, PurchaseState::Planned) {
                // Nothing was signed, so nothing can have left; its place is given back when it is old.
                continue;
            }
            let (id, title) = (purchase.outstanding().map(|signed| signed.id), purchase.title.clone());
            let Some(flight) = self.flights.begin(&purchase.request) else { continue };
            let outcome = match request_of(purchase) {
                Some(request) => self.send(request, Ticket { entry, resent: true, _flight: flight }).await,
                None => Err(BuyError::fault(format!(
                    "`{title}` had a body: repeat the same command, it will not pay twice"
                ))),
            };
            all.push(Resumed { id, title, outcome });
        }
        Ok(all)
    }
}

/// The request of a purchase, when it was one without a body.
fn request_of(purchase: &Purchase) -> Option<Request> {
    let (method, url) = purchase.title.split_once(' ')?;
    let request = Request::new(Method::from_bytes(method.as_bytes()).ok()?, url.parse().ok()?);
    (logical(&request).ok()? == past::logical(&purchase.request)).then_some(request)
}
