//! The engine: one book, one queue for each network, one watch for each transaction.
//!
//! A caller asks the book first and the chain second ([`Engine::settle`]). What is good goes into a queue ([`queue`]),
//! from which signers fetch as much as fits into one transaction ([`lane`]); what was sent is watched until its block
//! is final ([`watch`]). Callers only wait, so a caller that hangs up cancels nothing (threat rows R02, R07).

mod depth;
mod exposure;
mod flights;
mod lane;
mod news;
mod observed;
mod queue;
mod recent;
mod resume;
mod sought;
mod taken;
mod terms;
mod watch;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use groat_core::books::{PaymentEvent, Settlement, SettlementState, Slot};
use groat_core::ports::{
    Cashier, Clock, Facilitator, Kind, Observer, PaymentStatus, Settler, Store, Supported,
};
use groat_core::{
    Claim, Failure, Fault, Network, Offer, Payment, PaymentId, Reason, Receipt, Timestamp, Verified,
};
use groat_failpoints::reach;
use groat_store::{Entry, Journal};

use exposure::Room;
use flights::{Flight, Flights, Landing};
use news::Outbox;
use queue::Queues;
use recent::Recent;
use sought::Sought;
use terms::{ended, fitting, same_terms};
use watch::Watch;
use watched::Watched;

pub use news::Bell;
pub(crate) use news::newest;
pub use resume::{ChainNonces, LaneStatus, ResumeError, Resumed};

/// How patient the engine is.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// How long a caller of `settle` waits before it is told `settlement_pending`.
    pub wait: Duration,
    /// How long between two looks at a transaction when no block comes.
    pub look_interval: Duration,
    /// After how many fruitless looks the same bytes are sent again.
    pub looks_per_broadcast: u32,
    /// A transaction that so many blocks have passed by is signed again for more gas.
    pub bump_after_blocks: u64,
    /// Transactions of one signer on their way at once. Nodes keep at least 16 for an account.
    pub in_flight_max: usize,
    /// For so many seconds a payment that was called good counts against its payer's balance.
    pub promise_s: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        // Official clients give up after 90 s (protocol page 02, section 2.5); the answer must come well before.
        Self {
            wait: Duration::from_secs(30),
            look_interval: Duration::from_secs(2),
            looks_per_broadcast: 3,
            bump_after_blocks: 3,
            in_flight_max: 16,
            promise_s: 60,
        }
    }
}

/// Verifies and settles in this process. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    settlers: Vec<Arc<dyn Settler>>,
    observers: Vec<Arc<dyn Observer>>,
    cashiers: Vec<Arc<dyn Cashier>>,
    store: Arc<dyn Store>,
    journal: Journal<Settlement>,
    slots: Journal<Slot>,
    outbox: Outbox,
    queues: Queues,
    flights: Flights,
    watched: Watched,
    recent: Recent,
    sought: Sought,
    /// The book was found to lack what the chain knows: it was put back, or is new.
    is_restored: AtomicBool,
    has_started: AtomicBool,
    clock: Arc<dyn Clock>,
    options: EngineOptions,
}

impl Engine {
    /// An engine over these mechanisms, this store and this clock.
    pub fn new(
        settlers: Vec<Arc<dyn Settler>>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        options: EngineOptions,
    ) -> Self {
        Self::observing(settlers, Vec::new(), store, clock, options)
    }

    /// The same, for schemes too whose payments are only looked at.
    pub fn observing(
        settlers: Vec<Arc<dyn Settler>>,
        observers: Vec<Arc<dyn Observer>>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        options: EngineOptions,
    ) -> Self {
        Self::taking(settlers, observers, Vec::new(), store, clock, options)
    }

    /// The same, for schemes too whose money lies in a book of ours.
    pub fn taking(
        settlers: Vec<Arc<dyn Settler>>,
        observers: Vec<Arc<dyn Observer>>,
        cashiers: Vec<Arc<dyn Cashier>>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        options: EngineOptions,
    ) -> Self {
        Self(Arc::new(Inner {
            settlers,
            observers,
            cashiers,
            journal: Journal::new(Arc::clone(&store)),
            slots: Journal::new(Arc::clone(&store)),
            outbox: Outbox::new(Journal::new(Arc::clone(&store))),
            store,
            queues: Queues::new(options.in_flight_max),
            flights: Flights::default(),
            watched: Watched::default(),
            recent: Recent::default(),
            sought: Sought::default(),
            is_restored: AtomicBool::new(false),
            has_started: AtomicBool::new(false),
            clock,
            options,
        }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Takes up every transaction that a crash or a fault left open. Call it before the first request and every now
    /// and then; it returns how many payments wait for one.
    pub async fn recover(&self) -> Result<usize, Fault> {
        self.compare_nonces().await?;
        self.look_after_seen().await?;
        let mut count = 0;
        let mut after: Option<String> = None;
        loop {
            let page = self.0.slots.scan_open(after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = Some(groat_core::books::Aggregate::key(&last.record));
            for slot in page {
                count += self.resume(slot).await?;
            }
        }
    }

    /// At the start nonces that are not in the book mean that it was put back (KP16); later, that somebody else uses
    /// the account.
    async fn compare_nonces(&self) -> Result<(), Fault> {
        let has_started = self.0.has_started.swap(true, Ordering::Relaxed);
        for (network, signer) in self.lanes().await? {
            let Some(settler) = self.0.settlers.iter().find(|settler| settler.speaks(&network)) else {
                continue;
            };
            if !settler.signers(&network).contains(&signer) {
                continue;
            }
            match self.catch_up(settler.as_ref(), &network, &signer, has_started).await {
                Ok(false) => {
                    for settler in self.sharing(&network, &signer) {
                        self.heed_lane(settler, &network, &signer).await?;
                    }
                }
                Ok(true) if has_started => {
                    for settler in self.sharing(&network, &signer) {
                        self.0.queues.of(settler, &network).halt(&signer);
                    }
                }
                Ok(true) => self.0.is_restored.store(true, Ordering::Relaxed),
                Err(fault) => tracing::warn!(%network, signer, %fault, "cannot compare nonces"),
            }
        }
        Ok(())
    }

    /// The mechanisms whose transactions an account signs: its lane is one, their queues are several.
    fn sharing(&self, network: &Network, signer: &str) -> impl Iterator<Item = &Arc<dyn Settler>> {
        let here = self.0.settlers.iter().filter(move |settler| settler.speaks(network));
        here.filter(move |settler| settler.signers(network).iter().any(|known| known == signer))
    }

    /// Watches a slot from the book; nothing when somebody in this process does.
    async fn resume(&self, slot: Entry<Slot>) -> Result<usize, Fault> {
        let settler = Arc::clone(match self.settler(&slot.record.scheme, &slot.record.network) {
            Ok(settler) => settler,
            Err(reason) => {
                tracing::error!(network = %slot.record.network, %reason, "a transaction is open on what is not set up");
                return Ok(0);
            }
        });
        let queue = self.0.queues.of(&settler, &slot.record.network);
        let mut riders = Vec::with_capacity(slot.record.payments.len());
        for id in &slot.record.payments {
            riders.extend(self.0.journal.load(&id.to_string()).await?);
        }
        let place = queue.place_now(&slot.record.signer);
        let Some(watch) = Watch::begin(self, &queue, slot, riders, place, 0) else { return Ok(0) };
        let count = watch.count();
        tokio::spawn(watch.run());
        Ok(count)
    }

    /// Waits for the end of a payment that is submitted already, by whomever.
    async fn follow(&self, record: &Settlement, landing: Landing) {
        landing.hand_over();
        if let Err(fault) = self.look_after(record).await {
            self.0.flights.end(record, Err(fault.into()));
        }
    }

    /// The same for whoever cannot wait.
    fn follow_later(&self, record: Settlement) {
        let engine = self.clone();
        tokio::spawn(async move {
            if let Err(fault) = engine.look_after(&record).await {
                engine.0.flights.end(&record, Err(fault.into()));
            }
        });
    }

    async fn look_after(&self, record: &Settlement) -> Result<(), Fault> {
        if let Some(slot) = record.slot()
            && let Some(slot) = self.0.slots.load(slot).await?
        {
            self.resume(slot).await?;
        }
        // It may have ended before anybody knew that we wait.
        let entry = self.0.journal.load(&record.id.to_string()).await?;
        if let Some(Entry { record, .. }) = entry
            && let Some(end) = ended(&record)
        {
            self.0.flights.end(&record, end);
        }
        Ok(())
    }

    /// Whether payments of this offer are taken here.
    pub fn takes(&self, offer: &Offer) -> bool {
        self.observer(offer).is_some()
            || self.cashier(offer).is_some()
            || self.settler(&offer.scheme, &offer.network).is_ok()
    }

    /// Whether anything on this network is taken here.
    pub(crate) fn works_on(&self, network: &Network) -> bool {
        self.is_taken_from(network)
            || self.settler_of(network).is_some()
            || self.observer_of(network).is_some()
    }

    fn settler(&self, scheme: &str, network: &Network) -> Result<&Arc<dyn Settler>, Reason> {
        let mut of_scheme = self.0.settlers.iter().filter(|settler| settler.scheme() == scheme).peekable();
        if of_scheme.peek().is_none() {
            return Err(Reason::UnsupportedScheme);
        }
        of_scheme.find(|settler| settler.speaks(network)).ok_or(Reason::InvalidNetwork)
    }

    /// Checks a payment against the chain, whatever the book says.
    async fn examine(&self, payment: &Payment, offer: &Offer) -> Result<Verified, Failure> {
        let settler = self.settler(&offer.scheme, &offer.network)?;
        let claim = settler.verify(payment, offer, self.now()).await?;
        fitting(claim, offer, settler.as_ref())
    }

    async fn wait(
        &self,
        mut flight: Flight,
        offer: &Offer,
        settler: &dyn Settler,
    ) -> Result<Receipt, Failure> {
        let landed = tokio::time::timeout(self.0.options.wait, flight.landed()).await;
        // One nonce can be signed for two payees or prices; whoever asks second waits for the payment of the first.
        let (amount, pay_to) = flight.price();
        let same = same_terms(amount, &pay_to, offer, settler);
        match landed {
            _ if !same => Err(Reason::AmountMismatch.into()),
            Ok(landed) => landed,
            Err(_) => Err(Fault::Pending { transaction: flight.transaction() }.into()),
        }
    }

    fn held(&self, verified: Verified, payment: &Payment) -> Settlement {
        let (claim, offer) = verified.into_parts();
        Settlement {
            id: claim.key.id(),
            network: claim.network,
            asset: claim.asset,
            payer: claim.payer,
            pay_to: claim.pay_to,
            amount: claim.amount,
            valid_until: claim.valid_until,
            held_at: self.now(),
            alone: claim.alone,
            gas: 0,
            told: false,
            reverted: false,
            payment: payment.clone(),
            offer,
            state: SettlementState::Released,
        }
    }

    /// Examines a payment, and takes room for it beside everything else that its payer has promised.
    async fn admit(&self, id: PaymentId, payment: &Payment, offer: &Offer) -> Result<Verified, Failure> {
        for _ in 0..ADMISSIONS_MAX {
            let verified = self.examine(payment, offer).await?;
            let (claim, now) = (verified.claim(), self.now());
            let until = claim.valid_until.min(now.plus(self.0.options.promise_s));
            match self.0.flights.exposure.promise(id, claim, now, until) {
                Room::Taken => return Ok(verified),
                Room::None => return Err(Failure::from(Reason::InsufficientBalance).by(&claim.payer)),
                Room::After(other) => {
                    if let Some(mut flight) = self.0.flights.join(&other) {
                        // Whatever becomes of it, the balance is asked again.
                        let _ = tokio::time::timeout(self.0.options.look_interval, flight.landed()).await;
                    }
                }
            }
        }
        let payer = self.examine(payment, offer).await?.claim().payer.clone();
        Err(Failure::from(Reason::InsufficientBalance).by(&payer))
    }

    /// A seat in the flight of a payment: by the book first, and by the chain when the book does not know it.
    async fn board(&self, id: PaymentId, payment: &Payment, offer: &Offer) -> Result<Flight, Failure> {
        let Some(entry) = self.0.journal.load(&id.to_string()).await? else {
            return self.begin(id, payment, offer, None).await;
        };
        let record = &entry.record;
        let settler = self.settler(&offer.scheme, &offer.network)?;
        if !same_terms(record.amount, &record.pay_to, offer, settler.as_ref()) {
            return Err(Reason::AmountMismatch.into());
        }
        if let Some(end) = ended(record) {
            return Ok(Flight::over(record, end));
        }
        if record.slot().is_none() {
            return self.begin(id, payment, offer, Some(entry)).await;
        }
        let (flight, landing) = self.0.flights.join_or_start(record)?;
        if let Some(landing) = landing {
            self.follow(record, landing).await;
        }
        Ok(flight)
    }

    /// Examines a payment that is not in the book, or is free again, and queues it.
    async fn begin(
        &self,
        id: PaymentId,
        payment: &Payment,
        offer: &Offer,
        known: Option<Entry<Settlement>>,
    ) -> Result<Flight, Failure> {
        let version = known.as_ref().map(|entry| entry.version);
        // What was said of it stays said.
        let (told, reverted, gas) = known
            .map_or((false, false, 0), |entry| (entry.record.told, entry.record.reverted, entry.record.gas));
        let settler = self.settler(&offer.scheme, &offer.network)?;
        let queue = self.0.queues.of(settler, &offer.network);
        match self.admit(id, payment, offer).await {
            Ok(verified) => {
                reach("KP3");
                let held = Settlement { told, reverted, gas, ..self.held(verified, payment) };
                let (flight, landing) = self.0.flights.join_or_start(&held)?;
                if let Some(landing) = landing {
                    self.enqueue(&queue, landing.record().clone(), version, landing);
                }
                Ok(flight)
            }
            // Between our look and now somebody else submitted it: that is a payment like any other (threat row E09).
            // Only what this engine saw unused counts; else an old payment could be shown to a second facilitator.
            Err(Failure::Refused(refusal)) if refusal.reason == Reason::NonceAlreadyUsed => {
                let seen = self.0.recent.take(&id).filter(|seen| seen.offer == *offer);
                let by_us_only = seen.is_none();
                let Some(record) = seen.or_else(|| self.forgotten(id, payment, offer, &refusal)) else {
                    return Err(Failure::Refused(refusal));
                };
                let record = Settlement { told, reverted, gas, ..record };
                let (flight, landing) = self.0.flights.join_or_start(&record)?;
                if let Some(landing) = landing {
                    let job = queue::Job {
                        settlement: record,
                        version,
                        landing,
                        since: tokio::time::Instant::now(),
                    };
                    self.turn_down(settler.as_ref(), job, Failure::Refused(refusal), by_us_only).await;
                }
                Ok(flight)
            }
            Err(failure) => Err(failure),
        }
    }

    /// After the book was put back: what it may have known of a payment whose authorization is used. Its proof was
    /// checked before its state.
    fn forgotten(
        &self,
        id: PaymentId,
        payment: &Payment,
        offer: &Offer,
        refusal: &groat_core::Refusal,
    ) -> Option<Settlement> {
        if !self.0.is_restored.load(Ordering::Relaxed) {
            return None;
        }
        let (_, valid_until) = self.settler(&offer.scheme, &offer.network).ok()?.key(payment, offer).ok()?;
        Some(Settlement {
            id,
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payer: refusal.payer.clone()?,
            pay_to: offer.pay_to.clone(),
            amount: offer.amount,
            valid_until,
            held_at: self.now(),
            alone: false,
            gas: 0,
            told: false,
            reverted: false,
            payment: payment.clone(),
            offer: offer.clone(),
            state: SettlementState::Released,
        })
    }
}

/// How often a payment waits for others of its payer before it is refused.
const ADMISSIONS_MAX: usize = 3;
/// Records per page of a scan.
const PAGE: usize = 256;

#[async_trait]
impl Facilitator for Engine {
    async fn supported(&self) -> Result<Supported, Fault> {
        let mut supported = Supported::default();
        for settler in &self.0.settlers {
            for (network, signers) in settler.ready().await {
                let family = format!("{}:*", network.namespace());
                let known = supported.signers.entry(family).or_default();
                for signer in signers {
                    if !known.contains(&signer) {
                        known.push(signer);
                    }
                }
                let kind = |version| Kind {
                    version,
                    scheme: settler.scheme().to_owned(),
                    network: network.clone(),
                    extra: serde_json::Map::new(),
                };
                supported.kinds.push(kind(2));
                if network.v1_name().is_some() {
                    supported.kinds.push(kind(1));
                }
            }
        }
        for observer in &self.0.observers {
            for network in observer.ready().await {
                let scheme = observer.scheme().to_owned();
                supported.kinds.push(Kind { version: 2, scheme, network, extra: serde_json::Map::new() });
            }
        }
        for cashier in &self.0.cashiers {
            for network in cashier.ready().await {
                let scheme = cashier.scheme().to_owned();
                supported.kinds.push(Kind { version: 2, scheme, network, extra: serde_json::Map::new() });
            }
        }
        Ok(supported)
    }

    async fn verify(&self, payment: &Payment, offer: &Offer) -> Result<Claim, Failure> {
        if let Some(observer) = self.observer(offer) {
            return self.verify_seen(observer.as_ref(), payment, offer).await;
        }
        if let Some(cashier) = self.cashier(offer) {
            return self.verify_taken(cashier.as_ref(), payment, offer).await;
        }
        let settler = self.settler(&offer.scheme, &offer.network)?;
        let (key, _) = settler.key(payment, offer)?;
        let verified = self.admit(key.id(), payment, offer).await?;
        // On chain a submitted payment still looks good; the book knows better.
        if let Some(entry) = self.0.journal.load(&key.id().to_string()).await? {
            let reason = match entry.record.state {
                SettlementState::Settled(_) | SettlementState::Failed { .. } => {
                    Some(Reason::NonceAlreadyUsed)
                }
                SettlementState::Submitted { .. } => Some(Reason::PaymentInProgress),
                SettlementState::Released => None,
            };
            if let Some(reason) = reason {
                return Err(Failure::from(reason).by(&verified.claim().payer));
            }
        }
        // Told before anybody does work for what could not be settled.
        if self.0.queues.of(settler, &offer.network).is_stopped() {
            let why = format!("every signer on {} is halted", offer.network);
            return Err(Fault::unavailable("signer", why).into());
        }
        let claim = verified.claim().clone();
        self.0.recent.remember(self.held(verified, payment), self.now());
        Ok(claim)
    }

    async fn settle(&self, payment: &Payment, offer: &Offer) -> Result<Receipt, Failure> {
        if let Some(observer) = self.observer(offer) {
            return self.settle_seen(observer.as_ref(), payment, offer).await;
        }
        if let Some(cashier) = self.cashier(offer) {
            return self.settle_taken(cashier.as_ref(), payment, offer).await;
        }
        let settler = self.settler(&offer.scheme, &offer.network)?;
        let (key, _) = settler.key(payment, offer)?;
        let id = key.id();
        let flight = match self.0.flights.join(&id) {
            Some(flight) => flight,
            None => match self.board(id, payment, offer).await {
                // Another instance may have settled it since the book was asked.
                Err(Failure::Refused(refusal)) if refusal.reason == Reason::NonceAlreadyUsed => {
                    match self.0.journal.load(&id.to_string()).await? {
                        Some(_) => self.board(id, payment, offer).await?,
                        None => return Err(refusal.into()),
                    }
                }
                boarded => boarded?,
            },
        };
        self.wait(flight, offer, settler.as_ref()).await
    }

    async fn status(&self, id: &PaymentId) -> Result<Option<PaymentStatus>, Fault> {
        let Some(entry) = self.0.journal.load(&id.to_string()).await? else { return Ok(None) };
        let (mut record, depth) = self.standing(entry).await;
        if let SettlementState::Submitted { slot, transaction } = &mut record.state
            && let Some(slot) = self.0.slots.load(slot).await?
            && let Some(last) = slot.record.attempts.last()
        {
            transaction.clone_from(&last.transaction);
        }
        Ok(Some(PaymentStatus {
            depth,
            id: record.id,
            payer: record.payer,
            pay_to: record.pay_to,
            network: record.network,
            asset: record.asset,
            amount: record.amount,
            valid_until: record.valid_until,
            gas: record.gas,
            reverted: record.reverted,
            state: record.state,
        }))
    }

    async fn events(&self, after: u64, count_max: usize) -> Result<Vec<PaymentEvent>, Fault> {
        let page = self.0.outbox.journal.scan_all(Some(&PaymentEvent::key_of(after)), count_max).await?;
        Ok(page.into_iter().map(|entry| entry.record).collect())
    }
}
