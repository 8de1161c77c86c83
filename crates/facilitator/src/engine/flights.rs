//! Who is working on which payment, and how others wait for the end of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groat_core::books::Settlement;
use groat_core::{Amount, Failure, Fault, PaymentId, Receipt};
use tokio::sync::watch;

/// What is known of a flight.
#[derive(Debug, Clone, Default)]
struct Progress {
    price: Option<(Amount, String)>,
    transaction: Option<String>,
    end: Option<Result<Receipt, Failure>>,
}

/// A seat in somebody's flight.
#[derive(Debug, Clone)]
pub(super) struct Flight(watch::Receiver<Progress>);

/// The pilot's side. Dropping it ends the flight.
#[derive(Debug)]
pub(super) struct Landing {
    /// `None` once the flight is off the list.
    id: Option<PaymentId>,
    progress: watch::Sender<Progress>,
    flights: Flights,
}

/// All flights of this process: at most one per payment.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<PaymentId, Flight>>>);

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentId, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The flight of a payment, if there is one.
    pub(super) fn join(&self, id: &PaymentId) -> Option<Flight> {
        self.lock().get(id).cloned()
    }

    /// The flight of a payment; `start` is called with the pilot's side when there is none.
    pub(super) fn join_or(&self, id: PaymentId, start: impl FnOnce(Landing)) -> Result<Flight, Fault> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&id) {
            return Ok(flight.clone());
        }
        if flights.len() >= FLIGHTS_MAX {
            return Err(Fault::unavailable("facilitator", "too many payments at once"));
        }
        let (progress, receiver) = watch::channel(Progress::default());
        let flight = Flight(receiver);
        flights.insert(id, flight.clone());
        start(Landing { id: Some(id), progress, flights: self.clone() });
        Ok(flight)
    }
}

/// Beyond this new payments are put off; each costs a task and a few kilobytes.
const FLIGHTS_MAX: usize = 100_000;

impl Flight {
    /// Waits for the end.
    pub(super) async fn landed(&mut self) -> Result<Receipt, Failure> {
        let ended =
            self.0.wait_for(|progress| progress.end.is_some()).await.map(|progress| progress.end.clone());
        // An error means that the pilot is gone without a word, a bug or a shutdown: nothing is known.
        ended.ok().flatten().unwrap_or_else(|| Err(Fault::Pending { transaction: None }.into()))
    }

    /// How much it pays to whom, once that has been read from the book.
    pub(super) fn price(&self) -> Option<(Amount, String)> {
        self.0.borrow().price.clone()
    }

    /// The transaction under way.
    pub(super) fn transaction(&self) -> Option<String> {
        self.0.borrow().transaction.clone()
    }
}

impl Landing {
    /// Tells those who wait what is being paid.
    pub(super) fn carries(&self, record: &Settlement) {
        self.progress.send_if_modified(|progress| {
            let news = progress.price.is_none();
            progress.price.get_or_insert_with(|| (record.amount, record.pay_to.clone()));
            news
        });
    }

    /// Tells those who wait which transaction carries the payment.
    pub(super) fn submitted(&self, transaction: &str) {
        self.progress.send_modify(|progress| progress.transaction = Some(transaction.to_owned()));
    }

    /// Ends the flight. It is taken off the list first: whoever asks after the end begins anew from the book.
    pub(super) fn end(mut self, end: Result<Receipt, Failure>) {
        self.unlist();
        self.progress.send_modify(|progress| progress.end = Some(end));
    }

    fn unlist(&mut self) {
        if let Some(id) = self.id.take() {
            self.flights.lock().remove(&id);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.unlist();
    }
}
