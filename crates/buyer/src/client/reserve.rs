//! Before a payment leaves: find a lost one, or decide, reserve, sign, and write everything down first.

use groat_core::books::{Purchase, PurchaseEvent, PurchaseState, SignedPayment};
use groat_core::payment::DialectId;
use groat_core::policy::Decision;
use groat_core::ports::{PayRequest, Payer};
use groat_core::{Challenge, Network, Offer, Payment, Reason, Timestamp};
use groat_failpoints::reach;
use groat_store::{Applied, Entry};
use reqwest::Request;

use super::choose::PlannedOffer;
use super::flights::Flight;
use super::standing::{Standing, dead_in_s, may_land};
use super::url::{host, same_origin};
use super::{AskView, BuyError, Client};
use crate::past::{self, LATE_S, Past, View};
use crate::signer::is_published;

/// What somebody wants to buy.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) fingerprint: &'a str,
    /// The fingerprint before any redirect.
    pub(super) asked: &'a str,
    pub(super) request: &'a Request,
    pub(super) dialect: &'a DialectId,
    pub(super) challenge: &'a Challenge,
}

/// A purchase that this call works on.
pub(super) struct Ticket {
    pub(super) entry: Entry<Purchase>,
    /// Whether the payment was signed by an earlier call.
    pub(super) resent: bool,
    pub(super) _flight: Flight,
}

/// What came of an attempt to reserve.
enum Reserved {
    /// The budget is reserved for this offer.
    New(Ticket, Box<PlannedOffer>),
    /// An earlier payment for the same wish may be under way.
    Lost(Ticket),
    /// A person has to say.
    Ask(Box<AskView>),
}

impl Client {
    /// A payment that an earlier call signed for the same request, and that may be under way.
    pub(super) async fn lost(&self, fingerprint: &str) -> Result<Option<Ticket>, BuyError> {
        if self.buyer.options.again {
            return Ok(None);
        }
        let _turn = self.past.lock().await;
        self.find_lost(past::open(&self.journal).await?, fingerprint).await
    }

    /// Decides, reserves the budget, signs. What is returned has been written down and not been sent.
    pub(super) async fn reserve_and_sign(&self, wish: Wish<'_>) -> Result<Ticket, BuyError> {
        let mut approved = None;
        loop {
            // A person may take long: nobody waits for the turn meanwhile.
            let reserved = self.reserve(&mut *self.past.lock().await, wish, approved.as_ref()).await?;
            match reserved {
                Reserved::New(ticket, planned) => return self.sign(wish, ticket, &planned).await,
                Reserved::Lost(ticket) => return Ok(ticket),
                Reserved::Ask(ask) => {
                    if !self.buyer.approver.approve(&ask).await {
                        return Err(BuyError::NotApproved(format!("{}, and nobody approved it", ask.why)));
                    }
                    approved = Some(ask.offer);
                }
            }
        }
    }

    pub(super) async fn look(&self, past: &mut Past, without: Option<&str>) -> Result<View, BuyError> {
        Ok(past.look(&self.journal, self.buyer.clock.now(), without).await?)
    }

    async fn find_lost(
        &self,
        open: Vec<Entry<Purchase>>,
        fingerprint: &str,
    ) -> Result<Option<Ticket>, BuyError> {
        for entry in open.into_iter().filter(|entry| past::logical(&entry.record.request) == fingerprint) {
            let Some(flight) = self.flights.begin(&entry.record.request) else { continue };
            // What was planned and never signed cannot have left; its place is given back.
            let entry = match entry.record.state {
                PurchaseState::Planned => self.release(entry).await?,
                _ => Some(entry),
            };
            let Some(entry) = entry else { continue };
            match self.standing(&entry.record).await {
                Standing::Live => return Ok(Some(Ticket { entry, resent: true, _flight: flight })),
                Standing::MayLand { transaction } => {
                    return Err(may_land(&entry.record, transaction).unwrap_or_else(BuyError::busy));
                }
                Standing::Dead(reason) => self.give_up(entry, reason).await?,
                Standing::Over => {}
            }
        }
        Ok(None)
    }

    /// A payment for the same wish that a redirect led to another address. It cannot be sent here, and no other is
    /// signed: else whoever leads elsewhere each time would be paid each time (threat row Y12).
    async fn elsewhere(&self, open: &[Entry<Purchase>], wish: Wish<'_>, now: Timestamp) -> Option<BuyError> {
        for purchase in open.iter().map(|entry| &entry.record) {
            let key = purchase.request.as_str();
            let is_it = past::asked(key) == wish.asked && past::logical(key) != wish.fingerprint;
            let Some(signed) = purchase.outstanding().filter(|_| is_it) else { continue };
            let Some(_flight) = self.flights.begin(key) else { continue };
            match self.standing(purchase).await {
                Standing::Live => {
                    let retry_after_s = dead_in_s(signed.valid_until, now);
                    return Some(BuyError::Pending { id: signed.id, transaction: None, retry_after_s });
                }
                Standing::MayLand { transaction } => return may_land(purchase, transaction),
                Standing::Over | Standing::Dead(_) => {}
            }
        }
        None
    }

    /// One turn: nobody in this process decides meanwhile. Other processes are looked for afterwards.
    async fn reserve(
        &self,
        past: &mut Past,
        wish: Wish<'_>,
        approved: Option<&Offer>,
    ) -> Result<Reserved, BuyError> {
        let mut view = self.look(past, None).await?;
        if self.sweep(&view).await? {
            view = self.look(past, None).await?;
        }
        if !self.buyer.options.again {
            let open = std::mem::take(&mut view.open);
            let elsewhere = self.elsewhere(&open, wish, view.now).await;
            if let Some(ticket) = self.find_lost(open, wish.fingerprint).await? {
                return Ok(Reserved::Lost(ticket));
            }
            if let Some(pending) = elsewhere {
                return Err(pending);
            }
        }
        let plan = self.weigh(&view, wish.request.url(), wish.dialect, wish.challenge)?;
        let Some(planned) = plan.chosen() else {
            return Err(plan.refusal());
        };
        let payer = self.payer(&planned.offer).ok_or_else(|| plan.refusal())?;
        self.refuse_published_key(&planned.offer.network)?;
        let allowed_by = match &planned.decision {
            Some(Decision::Allow(rule)) => rule.clone(),
            Some(Decision::Ask(_)) if approved == Some(&planned.offer) => "a person".to_owned(),
            Some(Decision::Ask(why)) => {
                return Ok(Reserved::Ask(Box::new(self.ask_view(wish, planned, why))));
            }
            _ => return Err(plan.refusal()),
        };
        let purchase = purchase(wish, planned, allowed_by, view.now, random()?);
        // Nobody can have flown with a number that was just drawn.
        let flight = self.flights.begin(&purchase.request).ok_or_else(BuyError::busy)?;
        let entry = self.journal.create(purchase).await?.ok_or_else(BuyError::busy)?;
        if let Err(error) = self.look_again(past, wish, payer.as_ref(), planned, &entry.record).await {
            self.release(entry).await?;
            return Err(error);
        }
        let ticket = Ticket { entry, resent: false, _flight: flight };
        Ok(Reserved::New(ticket, Box::new(planned.clone())))
    }

    /// Another process may have reserved since we looked. The last of those who wrote sees all others, so budgets
    /// hold; both may step back, which costs nothing but a repetition (threat row Y21).
    async fn look_again(
        &self,
        past: &mut Past,
        wish: Wish<'_>,
        payer: &dyn Payer,
        planned: &PlannedOffer,
        mine: &Purchase,
    ) -> Result<(), BuyError> {
        let view = self.look(past, Some(&mine.request)).await?;
        if view.now.since(mine.planned_at) > LATE_S {
            return Err(BuyError::fault("the purchase journal is too slow: repeat the command"));
        }
        let decision = self.decide(&view, wish.request.url(), payer, &planned.offer, planned.usd_micros);
        if let Decision::Deny(denial) = decision {
            return Err(BuyError::Denied(vec![denial]));
        }
        if self.buyer.options.again {
            return Ok(());
        }
        for entry in view.open {
            let other = &entry.record;
            let same_wish = past::logical(&other.request) == wish.fingerprint
                || past::asked(&other.request) == wish.asked;
            if !same_wish || other.request == mine.request || self.flights.begin(&other.request).is_none() {
                continue;
            }
            // Of two that are planned, the one with the smaller key goes on, and makes sure that the other cannot.
            let yields = match other.state {
                PurchaseState::Planned => {
                    other.request < mine.request || self.release(entry).await?.is_some()
                }
                _ => matches!(self.standing(other).await, Standing::Live | Standing::MayLand { .. }),
            };
            if yields {
                return Err(BuyError::busy());
            }
        }
        Ok(())
    }

    async fn sign(&self, wish: Wish<'_>, ticket: Ticket, planned: &PlannedOffer) -> Result<Ticket, BuyError> {
        let Ticket { entry, resent, _flight } = ticket;
        match self.signed(wish, &entry.record, &planned.offer).await {
            Ok(signed) => {
                let now = self.buyer.clock.now();
                let sign = PurchaseEvent::Sign(Box::new(signed.clone()));
                match self.journal.apply(entry, sign, now).await? {
                    Applied::Done(entry) => {
                        reach("KP17");
                        Ok(Ticket { entry, resent, _flight })
                    }
                    // Somebody gave our place away because we took so long: the signature must not leave.
                    Applied::Stale | Applied::Impossible(_) => {
                        if let Some(payer) = self.payer(&planned.offer) {
                            payer.discard(&signed.payment);
                        }
                        Err(BuyError::busy())
                    }
                }
            }
            Err(error) => {
                self.release(entry).await?;
                Err(error)
            }
        }
    }

    /// The signed payment, in memory only.
    async fn signed(
        &self,
        wish: Wish<'_>,
        purchase: &Purchase,
        offer: &Offer,
    ) -> Result<SignedPayment, BuyError> {
        let payer = self.payer(offer).ok_or_else(|| BuyError::NoOffer(offer.scheme.clone()))?;
        let now = self.buyer.clock.now();
        let prescribed = self.buyer.dialects.prescribe(wish.dialect, wish.challenge, offer);
        let mut window_s_max = self.buyer.policy.window_s_max;
        if let Some(expires_at) = prescribed.expires_at {
            if expires_at <= now {
                return Err(BuyError::fault("the challenge has expired: repeat the command"));
            }
            window_s_max = window_s_max.min(expires_at.since(now));
        }
        let nonce = prescribed.nonce.map_or_else(random, Ok)?;
        let pay = PayRequest { dialect: wish.dialect, offer, now, window_s_max, nonce };
        let payment = payer.pay(pay, self.buyer.signer.as_ref()).await?;
        let signed = self.sendable(wish, payer.as_ref(), payment.clone(), offer, now);
        match &signed {
            Ok(signed) => {
                let (amount, network) = (&offer.amount, &offer.network);
                tracing::info!(payment = %signed.id, host = purchase.host, %amount, %network, "signed");
            }
            Err(_) => payer.discard(&payment),
        }
        signed
    }

    /// What was made, with all that the journal has to know of it, if it can be sent.
    fn sendable(
        &self,
        wish: Wish<'_>,
        payer: &dyn Payer,
        payment: Payment,
        offer: &Offer,
        now: Timestamp,
    ) -> Result<SignedPayment, BuyError> {
        let window_s_max = self.buyer.policy.window_s_max;
        let payment = self.buyer.dialects.accept(payment, wish.challenge, offer);
        let (key, valid_until) = payer
            .key(&payment, offer)
            .map_err(|reason| BuyError::fault(format!("the payment came out wrong: {reason}")))?;
        // A transaction can be mined at any time; a seller takes it for so long, and it is not sent later.
        let valid_until = match payer.is_paid_before() {
            true => valid_until.min(now.plus(offer.timeout_s)),
            false => valid_until,
        };
        if !payer.is_paid_before() && valid_until > self.buyer.clock.now().plus(window_s_max) {
            return Err(BuyError::fault(format!(
                "the payment would be good for longer than the {window_s_max} s of the policy"
            )));
        }
        // What cannot be sent must not be kept as if it had been.
        self.buyer.dialects.write_payment(&payment, &mut wish.request.headers().clone())?;
        let order_at = match self.buyer.dialects.write_order(&payment).transpose()? {
            Some(_) => Some(self.order_at(wish)?),
            None => None,
        };
        Ok(SignedPayment { id: key.id(), payment, offer: offer.clone(), valid_until, order_at })
    }

    /// Where a pass for this wish is sold: always at the origin that was asked (threat row T13).
    fn order_at(&self, wish: Wish<'_>) -> Result<String, BuyError> {
        let url = wish.request.url();
        let at = wish.challenge.pass_at.as_deref().and_then(|path| url.join(path).ok());
        let at = at.filter(|at| same_origin(url, at)).map(String::from);
        at.ok_or_else(|| BuyError::fault(format!("{} does not say where its tokens are sold", host(url))))
    }

    /// Gives back what was planned and never signed; if it was signed meanwhile, that.
    pub(super) async fn release(&self, entry: Entry<Purchase>) -> Result<Option<Entry<Purchase>>, BuyError> {
        let key = entry.record.request.clone();
        let refuse = PurchaseEvent::Refuse(Reason::Released);
        match self.journal.apply(entry, refuse, self.buyer.clock.now()).await? {
            Applied::Done(_) | Applied::Impossible(_) => Ok(None),
            Applied::Stale => {
                let entry = self.journal.load(&key).await?;
                Ok(entry.filter(|entry| entry.record.outstanding().is_some()))
            }
        }
    }

    /// Gives back the budget of whoever planned and crashed before signing.
    async fn sweep(&self, view: &View) -> Result<bool, BuyError> {
        let mut swept = false;
        for entry in view.open.iter().filter(|entry| past::is_abandoned(&entry.record, view.now)) {
            if let Some(_flight) = self.flights.begin(&entry.record.request) {
                swept |= self.release(entry.clone()).await?.is_none();
            }
        }
        Ok(swept)
    }

    fn ask_view(&self, wish: Wish<'_>, planned: &PlannedOffer, why: &str) -> AskView {
        AskView {
            host: host(wish.request.url()),
            offer: planned.offer.clone(),
            token: planned.token,
            usd_micros: planned.usd_micros.unwrap_or_default(),
            window_s: planned.offer.timeout_s.min(self.buyer.policy.window_s_max),
            why: why.to_owned(),
        }
    }

    fn refuse_published_key(&self, network: &Network) -> Result<(), BuyError> {
        let account = self.buyer.signer.account();
        let published = account.parse().is_ok_and(is_published);
        if published && !(self.buyer.options.published_keys && network.is_testnet()) {
            return Err(BuyError::fault(format!(
                "everybody has the key of {account}: make your own with `groat wallet new`"
            )));
        }
        Ok(())
    }
}

fn purchase(
    wish: Wish<'_>,
    planned: &PlannedOffer,
    allowed_by: String,
    planned_at: Timestamp,
    nonce: [u8; 32],
) -> Purchase {
    let offer = &planned.offer;
    Purchase {
        request: past::key(planned_at, wish.fingerprint, wish.asked, &nonce),
        title: format!("{} {}", wish.request.method(), wish.request.url()),
        has_fields: !wish.request.headers().is_empty(),
        host: host(wish.request.url()),
        network: offer.network.clone(),
        asset: offer.asset.clone(),
        pay_to: offer.pay_to.clone(),
        amount: offer.amount,
        usd_micros: planned.usd_micros,
        allowed_by,
        planned_at,
        state: PurchaseState::Planned,
    }
}

fn random() -> Result<[u8; 32], BuyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| BuyError::fault("the machine gives no randomness"))?;
    Ok(bytes)
}
