//! An event of the contract and the requests that it may be of.

use groat_core::books::{Asked, AskedEvent, AskedState, EventKind, Paid, PaymentEvent};
use groat_core::payment::DialectId;
use groat_core::ports::RequestPaid;
use groat_core::{Fault, Network, Offer, Payment, PaymentId, Reason};
use groat_store::Entry;
use serde_json::json;

use super::Requests;

/// Records in one page.
const PAGE: usize = 64;
/// How often a record is tried again because somebody else wrote first.
const TRIES_MAX: usize = 16;

impl Requests {
    /// Settles every request that this event pays. After an error it has to be shown again.
    pub(super) async fn heed(&self, network: &Network, event: &RequestPaid) -> Result<(), Fault> {
        // Keys of one hash stand together, right behind it.
        let mut after = event.topic.clone();
        loop {
            let page = self.0.asked.scan_all(Some(&after), PAGE).await?;
            let own = page.into_iter().take_while(|entry| entry.record.topic == event.topic);
            let own: Vec<_> = own.collect();
            let Some(last) = own.last() else { return Ok(()) };
            after = Asked::key_of(&last.record.topic, &last.record.caller);
            for entry in own {
                if self.fits(&entry.record, network, event) {
                    self.change(entry, &AskedEvent::Settle(event.paid.clone())).await?;
                }
            }
        }
    }

    /// Whether an event pays a request (threat row T07): the id alone says nothing, anybody can pay one unit to it.
    fn fits(&self, asked: &Asked, network: &Network, event: &RequestPaid) -> bool {
        asked.network == *network
            && asked.amount == event.amount
            && asked.currency == event.currency
            && self.0.chain.same_account(&asked.seller, &event.seller)
            && event.paid.at <= asked.expires
    }

    /// Writes a change, with what has to be told of it, whoever else writes meanwhile.
    pub(super) async fn change(&self, mut entry: Entry<Asked>, event: &AskedEvent) -> Result<(), Fault> {
        let now = self.0.clock.now();
        let key = Asked::key_of(&entry.record.topic, &entry.record.caller);
        for _ in 0..TRIES_MAX {
            use groat_core::books::Aggregate;
            let Some(next) = entry.record.clone().apply(event.clone(), now) else { return Ok(()) };
            let told = self
                .told(&entry.record, &next)?
                .map(|(kind, payment, paid)| PaymentEvent::of_request(&next, payment, kind, paid, now));
            let write = self.0.asked.stage(&entry, &next);
            if self.0.engine.commit_telling(write, told).await? {
                return Ok(());
            }
            entry = match self.0.asked.load(&key).await? {
                Some(entry) => entry,
                None => return Err(Fault::garbled("store", "a request has vanished")),
            };
        }
        Err(Fault::unavailable("store", "too many write at once"))
    }

    fn told<'p>(
        &self,
        before: &'p Asked,
        after: &'p Asked,
    ) -> Result<Option<(EventKind, PaymentId, &'p Paid)>, Fault> {
        let (kind, paid) = match (&before.state, &after.state) {
            (AskedState::Open | AskedState::Expired, AskedState::Settled(paid)) => (EventKind::Settled, paid),
            (AskedState::Settled(paid), AskedState::Open) => (EventKind::Reverted, paid),
            _ => return Ok(None),
        };
        let payment = self.payment_of(after).map_err(|reason| Fault::garbled("store", reason))?;
        Ok(Some((kind, payment, paid)))
    }

    /// The id under which the payment of a request is known, whoever makes it.
    fn payment_of(&self, asked: &Asked) -> Result<PaymentId, Reason> {
        let scheme = self.0.chain.scheme().to_owned();
        let payment = Payment {
            dialect: DialectId::new("want-pay"),
            scheme: scheme.clone(),
            network: asked.network.clone(),
            proof: json!({
                "algorithm": "",
                "signingInput": "",
                "signature": "0x",
                "claims": { "sub": asked.id },
            }),
            accepted: None,
            resource: None,
            extensions: serde_json::Map::new(),
        };
        let offer = Offer {
            scheme,
            network: asked.network.clone(),
            asset: asked.asset.clone(),
            amount: asked.amount,
            pay_to: asked.seller.clone(),
            timeout_s: 0,
            extra: serde_json::Map::new(),
            price: None,
            dialect: None,
            currency: None,
            verbatim: None,
        };
        Ok(self.0.chain.key(&payment, &offer)?.0.id())
    }
}
