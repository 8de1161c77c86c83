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
    /// Frees the payment, and then gives everybody who waits the answer: who hears it and comes again must not be given it again
    /// when it says "not yet". By now the book says the same to whoever comes later.
    pub(crate) fn land(self, reply: Arc<Reply>) {
        let sender = self.sender.clone();
        drop(self);
        sender.send_replace(Some(reply));
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake, Waker};

    use groat_core::key::KeyKind;
    use groat_core::{Network, PaymentKey};
    use http::StatusCode;

    use super::*;

    /// Looks at the payment in the very moment in which it is woken.
    struct Look(Arc<Flights>, PaymentId, AtomicBool);

    impl Wake for Look {
        fn wake(self: Arc<Self>) {
            self.2.store(self.0.has(&self.1), Ordering::SeqCst);
        }
    }

    /// Else whoever sends the same again at once would be given the old answer, also one that says "not yet".
    #[test]
    fn who_gets_an_answer_finds_the_payment_free() {
        let flights = Flights::new(8);
        let id = PaymentKey::new(KeyKind::Transaction, &Network::eip155(1), &[b"one"]).id();
        let print = Fingerprint::of(&[b"the same"]);
        let prints = Prints { payment: print.clone(), request: print };
        let Seat::Lead(ticket) = flights.board(id, &prints) else { panic!("it was free") };
        let Seat::Follow(mut waiting) = flights.board(id, &prints) else { panic!("it was in work") };
        let look = Arc::new(Look(Arc::clone(&flights), id, AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&look));
        let mut answer = pin!(waiting.wait_for(Option::is_some));
        assert!(answer.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        ticket.land(Arc::new(Reply::error(StatusCode::SERVICE_UNAVAILABLE, "not_yet", "later")));
        assert!(!look.2.load(Ordering::SeqCst), "it was still in work when its answer came");
        assert!(answer.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        assert!(matches!(flights.board(id, &prints), Seat::Lead(_)));
    }
}
