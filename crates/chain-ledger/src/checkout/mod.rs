//! The scheme `external-order`: an order is paid at somebody else's, and its id buys what it was made for.
//!
//! What they say in a webhook is only a reason to ask them: an order is paid when they answer so.

mod mock;
mod observe;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use groat_core::books::{Aggregate, Checkout, CheckoutEvent, CheckoutState};
use groat_core::key::KeyKind;
use groat_core::ports::{Checkouts, Fields, ForeignStatus, Mechanism, OrderDriver, Store, Token};
use groat_core::{Failure, Fault, Network, Offer, Payment, PaymentKey, Reason, Terms, Timestamp};
use groat_store::{Applied, Entry, Journal};
use serde_json::{Value, json};

use crate::Currency;
use crate::offer::offer;

pub use mock::{MockDriver, Webhook};

/// The scheme.
pub const SCHEME: &str = "external-order";
/// What an order's id calls itself at the token endpoint.
pub const PERMIT_TYPE: &str = "ExternalOrder";
/// How long a payer may take.
pub const TIMEOUT_S: u64 = 15 * 60;
/// The family of its networks: `checkout:name`.
const NAMESPACE: &str = "checkout";
/// Records per page of a scan.
const PAGE: usize = 256;
/// Orders that wait for their money at once. Anybody may make one for nothing, and each is a call to whoever takes the money.
const OPEN_MAX: usize = 10_000;
/// How often a write that others overtook is tried again.
const TRIES_MAX: usize = 16;

/// Orders with one driver. Cheap to clone.
#[derive(Clone)]
pub struct CheckoutOrders {
    driver: Arc<dyn OrderDriver>,
    network: Network,
    currencies: Vec<Currency>,
    journal: Journal<Checkout>,
    /// Those that were open when they were looked after the last time, and those made since.
    open: Arc<AtomicUsize>,
}

impl std::fmt::Debug for CheckoutOrders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckoutOrders").field("network", &self.network).finish_non_exhaustive()
    }
}

impl CheckoutOrders {
    /// Orders that this driver takes the money for. The error is a sentence.
    pub fn new(
        driver: Arc<dyn OrderDriver>,
        currencies: Vec<Currency>,
        store: Arc<dyn Store>,
    ) -> Result<Self, String> {
        let network = Network::parse(&format!("{NAMESPACE}:{}", driver.name()))
            .map_err(|_| "a driver's name has up to 32 letters, digits, `-` and `_`".to_owned())?;
        Ok(Self { driver, network, currencies, journal: Journal::new(store), open: Arc::default() })
    }

    fn currency(&self, symbol: &str) -> Option<&Currency> {
        self.currencies.iter().find(|currency| currency.symbol == symbol)
    }

    /// Looks after every order that is open: asks what became of it, and ends what nobody paid in time. To be called every
    /// now and then; it answers how many were looked at.
    pub async fn tend(&self, now: Timestamp) -> Result<usize, Fault> {
        let mut after: Option<String> = None;
        let (mut count, mut open) = (0, 0);
        loop {
            let page = self.journal.scan_open(after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else {
                self.open.store(open, Ordering::Relaxed);
                return Ok(count);
            };
            after = Some(last.record.key());
            for entry in page.into_iter().filter(|entry| entry.record.network == self.network) {
                count += 1;
                match self.look_after(entry, now).await {
                    Ok(entry) => open += usize::from(!entry.record.is_final()),
                    Err(fault) => {
                        open += 1;
                        tracing::warn!(%fault, "what became of an order cannot be told now");
                    }
                }
            }
        }
    }

    /// Asks what became of an order and writes it down.
    async fn look_after(&self, entry: Entry<Checkout>, now: Timestamp) -> Result<Entry<Checkout>, Fault> {
        let mut entry = entry;
        if let (CheckoutState::Created | CheckoutState::Captured | CheckoutState::Webhooked, Some(foreign)) =
            (entry.record.state, entry.record.foreign_id.clone())
        {
            let mut status = self.driver.fetch_order_status(&foreign).await?;
            if status == ForeignStatus::Approved {
                if entry.record.state == CheckoutState::Created {
                    entry = self.apply(entry, CheckoutEvent::Capture, now).await?;
                }
                status = self.driver.capture_order(&foreign).await?;
            }
            match status {
                ForeignStatus::Paid(amount) if amount >= entry.record.amount => {
                    return self.apply(entry, CheckoutEvent::Pay, now).await;
                }
                ForeignStatus::Paid(amount) => {
                    tracing::error!(order = %entry.record.id, %amount, "an order was paid in part only");
                }
                ForeignStatus::Failed => return self.apply(entry, CheckoutEvent::Fail, now).await,
                ForeignStatus::Waiting | ForeignStatus::Approved => {}
            }
        }
        if !entry.record.is_final() && now >= entry.record.expires_at {
            return self.apply(entry, CheckoutEvent::Cancel, now).await;
        }
        Ok(entry)
    }

    /// Writes an event down. What cannot happen any more has happened: the record then says what is so.
    async fn apply(
        &self,
        mut entry: Entry<Checkout>,
        event: CheckoutEvent,
        now: Timestamp,
    ) -> Result<Entry<Checkout>, Fault> {
        for _ in 0..TRIES_MAX {
            let key = entry.record.key();
            match self.journal.apply(entry, event.clone(), now).await? {
                Applied::Done(entry) | Applied::Impossible(entry) => return Ok(entry),
                Applied::Stale => {
                    let again = self.journal.load(&key).await?;
                    entry = again.ok_or_else(|| Fault::garbled("store", "an order is gone"))?;
                }
            }
        }
        Err(Fault::unavailable("store", "others write to the same order all the time"))
    }
}

#[async_trait]
impl Checkouts for CheckoutOrders {
    fn network(&self) -> &Network {
        &self.network
    }

    async fn begin(&self, offer: &Offer, now: Timestamp) -> Result<Checkout, Failure> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= OPEN_MAX {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Fault::unavailable("orders", "too many wait for their money: ask again later").into());
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| Fault::unavailable("randomness", error))?;
        let order = Checkout {
            id: format!("ord_{}", data_encoding::HEXLOWER.encode(&random)),
            network: self.network.clone(),
            foreign_id: None,
            payment_link: None,
            currency: offer.asset.clone(),
            amount: offer.amount,
            pay_to: offer.pay_to.clone(),
            at: now,
            expires_at: now.plus(TIMEOUT_S),
            state: CheckoutState::New,
        };
        // Written before anybody hears of it: money for an order that nobody knows would be lost.
        let entry = self.journal.create(order).await?;
        let entry = entry.ok_or_else(|| Fault::unavailable("randomness", "two orders have one id"))?;
        let (foreign_id, payment_link) = self.driver.create_order(&entry.record).await?;
        let entry = self.apply(entry, CheckoutEvent::Create { foreign_id, payment_link }, now).await?;
        Ok(entry.record)
    }

    async fn hear(&self, fields: &Fields, body: &[u8], now: Timestamp) -> Result<Option<Checkout>, Failure> {
        if !self.driver.verify_webhook(fields, body) {
            return Ok(None);
        }
        let Some(id) = self.driver.extract_order_id(body) else { return Ok(None) };
        let Some(entry) = self.journal.load(&id).await? else { return Ok(None) };
        if entry.record.network != self.network {
            return Ok(None);
        }
        let entry = self.apply(entry, CheckoutEvent::Webhook, now).await?;
        Ok(Some(self.settle_late(entry, now).await?.record))
    }
}

impl CheckoutOrders {
    /// Money that comes after the time is asked for too.
    async fn settle_late(&self, entry: Entry<Checkout>, now: Timestamp) -> Result<Entry<Checkout>, Fault> {
        let (CheckoutState::Cancel, Some(foreign)) = (entry.record.state, &entry.record.foreign_id) else {
            return self.look_after(entry, now).await;
        };
        match self.driver.fetch_order_status(foreign).await? {
            ForeignStatus::Paid(amount) if amount >= entry.record.amount => {
                self.apply(entry, CheckoutEvent::Pay, now).await
            }
            _ => Ok(entry),
        }
    }
}

impl Mechanism for CheckoutOrders {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        *network == self.network
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        if terms.scheme != SCHEME || !self.speaks(&terms.network) {
            return Ok(None);
        }
        let known = |symbol: &str| {
            self.currency(symbol).ok_or_else(|| format!("`{symbol}` is not taken by {}", terms.network))
        };
        let extra = [("permitType".to_owned(), json!(PERMIT_TYPE))].into_iter().collect();
        offer(terms, known, terms.pay_to.clone(), extra).map(Some)
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let id = order_id(&payment.proof)?;
        Ok((PaymentKey::new(KeyKind::Order, &offer.network, &[id.as_bytes()]), Timestamp(u64::MAX)))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        one == other
    }

    fn is_paid_before(&self) -> bool {
        true
    }

    fn token(&self, _network: &Network, asset: &str) -> Option<Token> {
        self.currency(asset).map(Currency::token)
    }
}

/// The id in a proof.
fn order_id(proof: &Value) -> Result<&str, Reason> {
    let id = proof.get("order_id").and_then(Value::as_str).ok_or(Reason::InvalidPayload)?;
    let digits = id.strip_prefix("ord_").filter(|digits| digits.len() == 64).ok_or(Reason::InvalidPayload)?;
    let is_hex = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then_some(id).ok_or(Reason::InvalidPayload)
}
