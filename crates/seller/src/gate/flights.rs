//! Payments in work in this process. Copies of one request wait for the answer of the first (threat row R01).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groat_core::PaymentId;
use groat_core::payment::Fingerprint;
use tokio::sync::{Notify, watch};

use super::Reply;

/// What must be the same for two requests to be copies of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prints {
    pub(crate) payment: Fingerprint,
    pub(crate) request: Fingerprint,
}

/// Everything in work.
pub(crate) struct Flights {
    map: Mutex<HashMap<PaymentId, Flight>>,
    empty: Notify,
    count_max: usize,
}

struct Flight {
    prints: Prints,
    reply: watch::Receiver<Option<Arc<Reply>>>,
}

/// A place in the queue of one payment.
pub(crate) enum Seat {
    /// Nobody works on it: you do.
    Lead(Ticket),
    /// Somebody does the same: wait.
    Follow(watch::Receiver<Option<Arc<Reply>>>),
    /// Somebody does something else with it.
    Taken,
    /// Too much is in work.
    Full,
}

impl Flights {
    pub(crate) fn new(count_max: usize) -> Arc<Self> {
        Arc::new(Self { map: Mutex::default(), empty: Notify::new(), count_max })
    }

    /// Takes a place.
    pub(crate) fn board(self: &Arc<Self>, id: PaymentId, prints: &Prints) -> Seat {
        let mut map = self.lock();
        let full = map.len() >= self.count_max;
        match map.entry(id) {
            Entry::Occupied(flight) if flight.get().prints == *prints => {
                Seat::Follow(flight.get().reply.clone())
            }
            Entry::Occupied(_) => Seat::Taken,
            Entry::Vacant(_) if full => Seat::Full,
            Entry::Vacant(place) => {
                let (sender, reply) = watch::channel(None);
                place.insert(Flight { prints: prints.clone(), reply });
                Seat::Lead(Ticket { flights: self.clone(), id, sender })
            }
        }
    }

    /// Whether a payment is in work.
    pub(crate) fn has(&self, id: &PaymentId) -> bool {
        self.lock().contains_key(id)
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Waits until nothing is in work.
    pub(crate) async fn drained(&self) {
        loop {
            let emptied = self.empty.notified();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentId, Flight>> {
        // Nothing can panic while it is held, and a map is whole at any time.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right and the duty to work on a payment; dropped, it frees the payment.
pub(crate) struct Ticket {
    flights: Arc<Flights>,
    id: PaymentId,
    sender: watch::Sender<Option<Arc<Reply>>>,
}

impl Ticket {
    /// Gives everybody who waits the answer. By now the book says the same to whoever comes later.
    pub(crate) fn land(self, reply: Reply) {
        self.sender.send_replace(Some(Arc::new(reply)));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut map = self.flights.lock();
        map.remove(&self.id);
        if map.is_empty() {
            self.flights.empty.notify_waiters();
        }
    }
}
