//! The engine: one book, one driver per payment, one lane per signer.
//!
//! A caller asks the book first and the chain second. Whatever has been held is worked on by a task of its own
//! ([`drive`]); callers only wait for it, so a caller that hangs up cancels nothing (threat rows R02, R07).

mod drive;
mod flights;
mod lanes;
mod recent;
mod terms;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use groat_core::books::{Settlement, SettlementState};
use groat_core::ports::{Clock, Facilitator, Kind, PaymentStatus, Settler, Store, Supported};
use groat_core::{Claim, Failure, Fault, Network, Offer, Payment, PaymentId, Reason, Receipt, Verified};
use groat_store::Journal;

use flights::{Flight, Flights};
use lanes::Lanes;
use recent::Recent;
use terms::{ended, same_terms};

/// How patient the engine is.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// How long a caller of `settle` waits before it is told `settlement_pending`.
    pub wait: Duration,
    /// How long between two looks at a transaction when no block comes.
    pub look_interval: Duration,
    /// After how many fruitless looks the same bytes are sent again.
    pub looks_per_broadcast: u32,
}

impl Default for EngineOptions {
    fn default() -> Self {
        // Official clients give up after 90 s (protocol page 02, section 2.5); the answer must come well before.
        Self { wait: Duration::from_secs(30), look_interval: Duration::from_secs(2), looks_per_broadcast: 3 }
    }
}

/// Verifies and settles in this process. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    settlers: Vec<Arc<dyn Settler>>,
    journal: Journal<Settlement>,
    lanes: Lanes,
    flights: Flights,
    recent: Recent,
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
        Self(Arc::new(Inner {
            settlers,
            journal: Journal::new(Arc::clone(&store)),
            lanes: Lanes::new(store),
            flights: Flights::default(),
            recent: Recent::default(),
            clock,
            options,
        }))
    }

    /// Takes up everything that a crash or a fault left open, and sends again what holds up a signer. Call it before
    /// the first request and every now and then; it returns how many payments are open.
    pub async fn recover(&self) -> Result<usize, Fault> {
        let count = self.resume().await?;
        for (network, signer) in self.0.lanes.all().await? {
            if let Some(settler) = self.0.settlers.iter().find(|settler| settler.speaks(&network)) {
                self.tend(settler.as_ref(), &network, &signer).await;
            }
        }
        Ok(count)
    }

    async fn resume(&self) -> Result<usize, Fault> {
        let mut count = 0;
        let mut after: Option<String> = None;
        loop {
            let page = self.0.journal.scan_open(after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = Some(last.record.id.to_string());
            for entry in page {
                count += 1;
                self.fly(entry.record.id, None)?;
            }
        }
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
        let claim = settler.verify(payment, offer, self.0.clock.now()).await?;
        let payer = claim.payer.clone();
        let same = |one: &str, other: &str| settler.same_account(one, other);
        Verified::compare(claim, offer, same).map_err(|reason| Failure::from(reason).by(&payer))
    }

    /// The flight of a payment; a new one when nobody works on it. `fresh` is the record to begin with, when there
    /// is none in the book yet.
    fn fly(&self, id: PaymentId, fresh: Option<Settlement>) -> Result<Flight, Fault> {
        self.0.flights.join_or(id, |landing| {
            let engine = self.clone();
            tokio::spawn(async move { engine.drive(id, fresh, landing).await });
        })
    }

    async fn wait(
        &self,
        mut flight: Flight,
        offer: &Offer,
        settler: &dyn Settler,
    ) -> Result<Receipt, Failure> {
        let landed = tokio::time::timeout(self.0.options.wait, flight.landed()).await;
        // One nonce can be signed for two payees or prices; whoever asks second waits for the payment of the first.
        let same = flight.price().is_none_or(|(amount, pay_to)| same_terms(amount, &pay_to, offer, settler));
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
            held_at: self.0.clock.now(),
            payment: payment.clone(),
            offer,
            state: SettlementState::Held,
        }
    }

    /// Examines a payment that is not in the book, or was given back, and starts its flight.
    async fn begin(&self, id: PaymentId, payment: &Payment, offer: &Offer) -> Result<Flight, Failure> {
        match self.examine(payment, offer).await {
            Ok(verified) => Ok(self.fly(id, Some(self.held(verified, payment)))?),
            // Between our look and now somebody else submitted it: that is a payment like any other (threat row E09).
            // Only what this engine saw unused counts; else an old payment could be shown to a second facilitator.
            Err(Failure::Refused(refusal)) if refusal.reason == Reason::NonceAlreadyUsed => {
                match self.0.recent.take(&id) {
                    Some(held) if held.offer == *offer => Ok(self.fly(id, Some(held))?),
                    _ => Err(Failure::Refused(refusal)),
                }
            }
            Err(failure) => Err(failure),
        }
    }
}

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
        Ok(supported)
    }

    async fn verify(&self, payment: &Payment, offer: &Offer) -> Result<Claim, Failure> {
        let settler = self.settler(&offer.scheme, &offer.network)?;
        let verified = self.examine(payment, offer).await?;
        let (key, _) = settler.key(payment, offer)?;
        // On chain a submitted payment still looks good; the book knows better.
        if let Some(entry) = self.0.journal.load(&key.id().to_string()).await? {
            let reason = match entry.record.state {
                SettlementState::Settled(_) | SettlementState::Failed { .. } => {
                    Some(Reason::NonceAlreadyUsed)
                }
                SettlementState::Submitted { .. } => Some(Reason::PaymentInProgress),
                SettlementState::Held | SettlementState::Released => None,
            };
            if let Some(reason) = reason {
                return Err(Failure::from(reason).by(&verified.claim().payer));
            }
        }
        let claim = verified.claim().clone();
        self.0.recent.remember(self.held(verified, payment), self.0.clock.now());
        Ok(claim)
    }

    async fn settle(&self, payment: &Payment, offer: &Offer) -> Result<Receipt, Failure> {
        let settler = self.settler(&offer.scheme, &offer.network)?;
        let (key, _) = settler.key(payment, offer)?;
        let id = key.id();
        let flight = match self.0.flights.join(&id) {
            Some(flight) => flight,
            None => match self.0.journal.load(&id.to_string()).await? {
                None => self.begin(id, payment, offer).await?,
                Some(entry) => match ended(&entry.record) {
                    _ if !same_terms(entry.record.amount, &entry.record.pay_to, offer, settler.as_ref()) => {
                        return Err(Reason::AmountMismatch.into());
                    }
                    Some(end) => return end,
                    None if entry.record.state == SettlementState::Released => {
                        self.begin(id, payment, offer).await?
                    }
                    None => self.fly(id, None)?,
                },
            },
        };
        self.wait(flight, offer, settler.as_ref()).await
    }

    async fn status(&self, id: &PaymentId) -> Result<Option<PaymentStatus>, Fault> {
        let entry = self.0.journal.load(&id.to_string()).await?;
        Ok(entry.map(|entry| {
            let record = entry.record;
            PaymentStatus {
                id: record.id,
                payer: record.payer,
                pay_to: record.pay_to,
                network: record.network,
                asset: record.asset,
                amount: record.amount,
                valid_until: record.valid_until,
                state: record.state,
            }
        }))
    }
}
