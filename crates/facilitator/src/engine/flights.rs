//! Which payments are on their way in this process, and how others wait for the end of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groat_core::books::Settlement;
use groat_core::{Amount, Failure, Fault, PaymentId, Reason, Receipt};
use tokio::sync::watch;

use super::exposure::Exposure;

/// What is known of a flight.
#[derive(Debug, Clone)]
struct Progress {
    amount: Amount,
    pay_to: String,
    transaction: Option<String>,
    end: Option<Result<Receipt, Failure>>,
}

/// A seat in somebody's flight.
#[derive(Debug, Clone)]
pub(super) struct Flight(watch::Receiver<Progress>);

/// The duty to end a flight. Dropping it ends the flight: nothing is known.
#[derive(Debug)]
pub(super) struct Landing {
    record: Settlement,
    flights: Flights,
    is_mine: bool,
}

/// All flights of this process: at most one per payment.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights {
    flights: Arc<Mutex<HashMap<PaymentId, watch::Sender<Progress>>>>,
    /// A payment in flight counts against its payer.
    pub(super) exposure: Exposure,
}

/// Beyond this new payments are put off; each costs a few kilobytes.
const FLIGHTS_MAX: usize = 100_000;

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentId, watch::Sender<Progress>>> {
        // Nothing panics while it is held.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The flight of a payment, if there is one.
    pub(super) fn join(&self, id: &PaymentId) -> Option<Flight> {
        self.lock().get(id).map(|progress| Flight(progress.subscribe()))
    }

    /// The flight of a payment, and the duty to end it when it is new.
    pub(super) fn join_or_start(&self, record: &Settlement) -> Result<(Flight, Option<Landing>), Fault> {
        let mut flights = self.lock();
        if let Some(progress) = flights.get(&record.id) {
            return Ok((Flight(progress.subscribe()), None));
        }
        if flights.len() >= FLIGHTS_MAX {
            return Err(Fault::unavailable("facilitator", "too many payments at once"));
        }
        let (amount, pay_to) = (record.amount, record.pay_to.clone());
        let (progress, receiver) = watch::channel(Progress { amount, pay_to, transaction: None, end: None });
        flights.insert(record.id, progress);
        drop(flights);
        Ok((Flight(receiver), Some(self.landing(record))))
    }

    /// The duty to end a flight that goes on in another transaction; it is started when there is none.
    pub(super) fn take_over(&self, record: &Settlement) -> Result<Landing, Fault> {
        let (_, landing) = self.join_or_start(record)?;
        Ok(landing.unwrap_or_else(|| self.landing(record)))
    }

    fn landing(&self, record: &Settlement) -> Landing {
        self.exposure.settling(record);
        Landing { record: record.clone(), flights: self.clone(), is_mine: true }
    }

    /// Tells those who wait which transaction carries the payment.
    pub(super) fn submitted(&self, id: &PaymentId, transaction: &str) {
        if let Some(progress) = self.lock().get(id) {
            progress.send_modify(|progress| progress.transaction = Some(transaction.to_owned()));
        }
    }

    /// Ends the flight of a payment. It is taken off the list first: whoever asks after the end begins anew from the
    /// book. One nonce can be signed for two payees, and another instance may have taken the other one: its end is no
    /// end of ours.
    pub(super) fn end(&self, record: &Settlement, end: Result<Receipt, Failure>) {
        let flight = self.lock().remove(&record.id);
        if let Some(progress) = flight {
            progress.send_modify(|progress| {
                let same = (progress.amount, &progress.pay_to) == (record.amount, &record.pay_to);
                progress.end = Some(if same { end } else { Err(Reason::AmountMismatch.into()) });
            });
        }
    }
}

impl Flight {
    /// One that has landed long ago.
    pub(super) fn over(record: &Settlement, end: Result<Receipt, Failure>) -> Self {
        let (amount, pay_to) = (record.amount, record.pay_to.clone());
        Self(watch::channel(Progress { amount, pay_to, transaction: None, end: Some(end) }).1)
    }

    /// Waits for the end.
    pub(super) async fn landed(&mut self) -> Result<Receipt, Failure> {
        let ended =
            self.0.wait_for(|progress| progress.end.is_some()).await.map(|progress| progress.end.clone());
        // An error means that the duty was lost, by a bug or a shutdown: nothing is known.
        ended.ok().flatten().unwrap_or_else(|| Err(Fault::Pending { transaction: None }.into()))
    }

    /// How much it pays to whom.
    pub(super) fn price(&self) -> (Amount, String) {
        let progress = self.0.borrow();
        (progress.amount, progress.pay_to.clone())
    }

    /// The transaction under way.
    pub(super) fn transaction(&self) -> Option<String> {
        self.0.borrow().transaction.clone()
    }
}

impl Landing {
    /// The payment.
    pub(super) fn record(&self) -> &Settlement {
        &self.record
    }

    /// Ends the flight of a payment that was not submitted.
    pub(super) fn end(mut self, end: Result<Receipt, Failure>) {
        self.is_mine = false;
        self.flights.exposure.forget(&self.record);
        self.flights.end(&self.record, end);
    }

    /// Ends it as the book says, into which another instance has written.
    pub(super) fn end_by(mut self, book: &Settlement, end: Result<Receipt, Failure>) {
        self.is_mine = false;
        self.flights.exposure.forget(&self.record);
        self.flights.end(book, end);
    }

    /// Leaves the duty to whoever watches the transaction, who knows the payment by its id.
    pub(super) fn hand_over(mut self) {
        self.is_mine = false;
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if self.is_mine {
            self.flights.exposure.forget(&self.record);
            self.flights.end(&self.record, Err(Fault::Pending { transaction: None }.into()));
        }
    }
}
