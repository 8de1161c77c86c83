//! The paid part of a request, from the hold to the answer: one step per state of the sale.
//!
//! It runs in a task of its own, so a client that leaves cancels nothing. It goes on from whatever state it finds,
//! so a crash between two steps is mended by the buyer's resend (kill points KP0–KP12).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use groat_core::books::{Deal, Owed, Sale, SaleEvent, SaleState};
use groat_core::ports::Mechanism;
use groat_core::{Failure, Fault, Offer, PassGrant, Payment, PaymentId, Reason, Receipt, Refusal, Timestamp};
use groat_failpoints::reach;
use groat_wire::pass::PASS_HEADER;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::sync::oneshot;

use super::admit::{busy, follow};
use super::desk::Desk;
use super::flights::{Prints, Seat, Ticket};
use super::handler::{self, Collected, Trouble};
use super::money::{self, Known, Settlement, Till};
use super::sales::Held;
use super::{Inner, Reply, passes, presence, relay, reply, strip_response};
use crate::paid::Paid;
use crate::route::Settle;

/// One paid request, complete.
pub(crate) struct Order {
    pub(crate) desk: Arc<Desk>,
    pub(crate) payment: Payment,
    pub(crate) offer: Offer,
    pub(crate) id: PaymentId,
    pub(crate) valid_until: Timestamp,
    pub(crate) prints: Prints,
    /// The request with payments and tricks taken off, and its body.
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    /// Whether something else is at work on an earlier payment that its proof stands for.
    pub(crate) is_contested: bool,
    /// Whether the answer is a pass, and nothing runs.
    pub(crate) is_for_pass: bool,
}

impl Order {
    /// What is bought.
    fn deal(&self) -> Box<Deal> {
        Box::new(Deal {
            route: format!("{} {}", self.parts.method, self.parts.uri.path()),
            pay_to: self.offer.pay_to.clone(),
            amount: self.offer.amount,
            confirmations: self.desk.route.confirmations,
            pass: self.grant().map(Box::new),
        })
    }

    /// The pass that the route gives for it.
    fn grant(&self) -> Option<PassGrant> {
        let terms = self.desk.route.pass.as_ref()?;
        let resource_url = &self.desk.challenge.resource.url;
        Some(PassGrant {
            network: self.offer.network.clone(),
            asset: self.offer.asset.clone(),
            scope: passes::scope_of(terms, &self.parts.method, resource_url).into_owned(),
            ttl_s: terms.ttl_s,
            uses: terms.uses,
        })
    }

    pub(crate) fn mechanism(&self) -> Option<&dyn Mechanism> {
        self.desk.route.shop.mechanism(&self.offer)
    }

    /// Whether a run that was cut off may be repeated: the method is safe, nothing stands behind it, or the route says so.
    fn may_run_again(&self) -> bool {
        self.is_for_pass || self.desk.route.is_repeatable || self.parts.method.is_safe()
    }

    pub(crate) fn till(&self) -> Till<'_> {
        let Self { id, valid_until, payment, offer, .. } = self;
        let (shop, confirmations) = (&self.desk.route.shop, self.desk.route.confirmations);
        Till { shop, id: *id, valid_until: *valid_until, payment, offer, confirmations }
    }

    /// Goes on to the next payment that the same proof stands for; `false` when there is none.
    pub(crate) fn advance(&mut self) -> bool {
        let next = self.mechanism().and_then(|mechanism| {
            let payment = mechanism.next(&self.payment)?;
            let (key, valid_until) = mechanism.key(&payment, &self.offer).ok()?;
            Some((payment, key.id(), valid_until))
        });
        let Some((payment, id, valid_until)) = next else { return false };
        (self.payment, self.id, self.valid_until) = (payment, id, valid_until);
        true
    }
}

/// Works one order off.
pub(crate) struct Work {
    order: Order,
    inner: Inner,
    /// The client that came first; a stream goes to it directly.
    live: Option<oneshot::Sender<Response<Body>>>,
    payer: Option<String>,
    /// Whether the sale was found unfinished in the book.
    resumed: bool,
    /// Whether the money moved before we heard of it: then it comes first, and cannot be given back.
    paid_before: bool,
    /// The place of a payment beyond the one that the request came in with.
    further: Option<Ticket>,
    /// Whether something else is at work on a payment of the same proof, which may yet be given back.
    is_contested: bool,
}

/// The next state, or the answer that ends the work.
type Step = Result<Held, Reply>;

impl Work {
    pub(crate) fn new(order: Order, inner: Inner, live: oneshot::Sender<Response<Body>>) -> Self {
        let paid_before = order.mechanism().is_some_and(|mechanism| mechanism.is_paid_before());
        let is_contested = order.is_contested;
        let (payer, further) = (None, None);
        Self { order, inner, live: Some(live), payer, resumed: false, paid_before, further, is_contested }
    }

    /// Does all there is to do and says the answer.
    pub(crate) async fn run(&mut self) -> Reply {
        let mut step = self.begin().await;
        loop {
            match step {
                Ok(held) => step = self.step(held).await,
                Err(reply) => return reply,
            }
        }
    }

    /// Gives the answer to the client that came first, unless it got a stream, and to whoever follows.
    pub(crate) fn deliver(&mut self, reply: &Arc<Reply>) {
        if let Some(ticket) = self.further.take() {
            ticket.land(Arc::clone(reply));
        }
        if let Some(live) = self.live.take() {
            // A client that has left comes back for it.
            let _ = live.send(reply.response());
        }
    }

    /// What is said when the work itself has a bug: nobody knows how far it came.
    pub(crate) fn lost(&self) -> Reply {
        self.order.desk.pending(None)
    }

    /// Asks the book before the chain: on chain a payment that was taken looks used. What is not in the book is written
    /// before anything happens for it; a payment that is no good is not worth a line.
    async fn begin(&mut self) -> Step {
        if self.paid_before {
            return self.begin_paid().await;
        }
        if let Some(held) = self.find().await? {
            return self.adopt(held).await;
        }
        if self.money_first() {
            return self.hold(false).await;
        }
        match self.till().verify().await {
            Ok(claim) => self.payer = Some(claim.payer),
            Err(failure) => {
                // Another instance may have sold it meanwhile, and then it looks used.
                if let Some(held) = self.find().await? {
                    return self.adopt(held).await;
                }
                if is_under_way(&failure) {
                    // For this request and for no other.
                    self.hold(false).await?;
                }
                return Err(self.no_good(&failure));
            }
        }
        reach("KP2");
        let held = self.hold(true).await?;
        self.serve(held).await
    }

    /// A payment that was made before: the first that its proof stands for and that has bought nothing yet. When all are
    /// used up, whoever repeats a request gets the answer that it has paid for.
    async fn begin_paid(&mut self) -> Step {
        let (mut kept, mut refused) = (None, None);
        let failure = loop {
            match self.find().await? {
                Some(held) if self.is_for_us(held.sale()) || self.is_left_over(held.sale()).await => {
                    match self.fits(held.sale()).await {
                        Ok(()) => return self.adopt(held).await,
                        Err(Failure::Refused(refusal)) => refused = refused.or(Some(refusal)),
                        Err(fault) => break fault,
                    }
                }
                // A run was cut off: it may have come to something.
                Some(held) if has_begun(held.sale()) && self.is_free(held.sale()).await => {
                    refused = Some(Reason::PaymentAlreadyUsed.into());
                }
                Some(held)
                    if !matches!(held.sale().state, SaleState::Done { .. } | SaleState::Withheld { .. }) =>
                {
                    self.is_contested = true;
                }
                Some(held) => {
                    refused = Some(Reason::PaymentAlreadyUsed.into());
                    kept = kept.or(self.is_kept(held.sale()).then_some(held));
                }
                None => match self.till().verify().await {
                    Ok(claim) => {
                        self.order.valid_until = claim.valid_until;
                        self.payer = Some(claim.payer);
                        return self.hold(false).await;
                    }
                    Err(Failure::Refused(refusal)) if is_of_one(&refusal.reason) => {
                        refused = refused.or(Some(refusal));
                    }
                    Err(failure) => break failure,
                },
            }
            if !self.advance().await? {
                break Reason::TransferEventMismatch.into();
            }
        };
        match (kept, failure, refused) {
            (Some(held), ..) => self.adopt(held).await,
            (None, Failure::Refused(_), _) if self.is_contested => Err(self.order.desk.in_progress()),
            (None, Failure::Refused(_), Some(refusal)) => Err(self.order.desk.refused(&refusal)),
            (None, failure, _) => Err(self.no_good(&failure)),
        }
    }

    /// Whether a sale has the answer to this very request.
    fn is_kept(&self, sale: &Sale) -> bool {
        matches!(sale.state, SaleState::Done { .. }) && self.is_same(sale)
    }

    /// Goes on to the next payment of the same proof that nobody else is at work on; `false` when there is none. Without
    /// its flight a copy of this request would find the sale in the book and take it for a crash.
    async fn advance(&mut self) -> Result<bool, Reply> {
        while self.order.advance() {
            let shop = &self.order.desk.route.shop;
            match shop.flights.board(self.order.id, &self.order.prints) {
                Seat::Lead(ticket) => {
                    self.further = Some(ticket);
                    return Ok(true);
                }
                // Whoever leads it goes up from here, as we do, so nobody waits in a circle.
                Seat::Follow(reply) => {
                    let reply = follow(&self.order.desk, reply).await?;
                    return Err(Reply::clone(&reply));
                }
                Seat::Taken => self.is_contested = true,
                Seat::Full => return Err(busy()),
            }
        }
        Ok(false)
    }

    /// Whether a payment that was given back is good for this request: it was looked at for another, which may have asked
    /// for less, or shown that it is the payer's.
    async fn fits(&self, sale: &Sale) -> Result<(), Failure> {
        if self.is_same(sale) {
            return Ok(());
        }
        match sale.state {
            SaleState::Paid { .. } => self.till().settle_again().await,
            // Held for something else, perhaps of another price, and perhaps taken for it.
            SaleState::Released | SaleState::Held { started: false } => match self.till().verify().await {
                Err(Failure::Refused(refusal)) if refusal.reason == Reason::NonceAlreadyUsed => {
                    self.till().settle_again().await
                }
                verified => verified.map(|_| ()),
            },
            _ => Ok(()),
        }
    }

    /// Whether a sale is one that this request may go on with.
    fn is_for_us(&self, sale: &Sale) -> bool {
        match sale.state {
            SaleState::Released | SaleState::Paid { started: false, .. } => true,
            SaleState::Done { .. } | SaleState::Withheld { .. } => false,
            _ => self.is_same(sale),
        }
    }

    /// Whether it was left by somebody who is gone, and may be done anew or for something else.
    async fn is_left_over(&self, sale: &Sale) -> bool {
        let may_begin = !has_begun(sale) || self.order.parts.method.is_safe();
        is_repeatable(sale) && may_begin && self.is_free(sale).await
    }

    async fn is_free(&self, sale: &Sale) -> bool {
        presence::is_free(&self.order.desk.route.shop, sale).await.unwrap_or_default()
    }

    fn is_same(&self, sale: &Sale) -> bool {
        sale.payment == self.order.prints.payment && sale.request == self.order.prints.request
    }

    /// Whether the money comes before the handler.
    fn money_first(&self) -> bool {
        self.paid_before || self.order.desk.route.settle.first(&self.order.parts.method)
    }

    async fn find(&self) -> Result<Option<Held>, Reply> {
        self.sales().load(&self.order.id).await.map_err(|fault| self.order.desk.fault(&fault))
    }

    /// A new line in the book; when `started`, the handler is entered next.
    async fn hold(&mut self, started: bool) -> Step {
        let now = self.order.desk.route.shop.now();
        let deal = self.order.deal();
        let sale = Sale {
            id: self.order.id,
            payment: self.order.prints.payment.clone(),
            request: self.order.prints.request.clone(),
            route: deal.route,
            held_at: now,
            holder: self.order.desk.route.shop.name(),
            pay_to: deal.pay_to,
            amount: deal.amount,
            confirmations: deal.confirmations,
            valid_until: self.order.valid_until,
            keep_until: money::keep_until(&self.order.desk.route.shop, self.order.valid_until),
            paid_at: None,
            owed: self.owed(),
            pass: deal.pass,
            state: SaleState::Held { started },
        };
        let created = self.sales().create(sale).await;
        match created.map_err(|fault| self.order.desk.fault(&fault))? {
            Some(held) => {
                reach("KP1");
                Ok(held)
            }
            // Another instance was faster.
            None => Err(self.order.desk.in_progress()),
        }
    }

    async fn adopt(&mut self, held: Held) -> Step {
        let sale = held.sale();
        // A proof alone does not always say it.
        self.order.valid_until = self.order.valid_until.min(sale.valid_until);
        let same = self.is_same(sale);
        let desk = &self.order.desk;
        match &sale.state {
            SaleState::Released => Ok(held),
            // Nothing has come of it yet, and it may be for this as well as for something else.
            SaleState::Paid { .. } | SaleState::Held { started: false } if self.paid_before && !same => {
                let Prints { payment, request } = self.order.prints.clone();
                let holder = desk.route.shop.name();
                self.apply(held, SaleEvent::Hold { payment, request, holder, deal: self.order.deal() }).await
            }
            SaleState::Withheld { .. } => Ok(held),
            SaleState::Done { .. } if same => Ok(held),
            SaleState::Done { .. } => Err(desk.refused(&Reason::PaymentAlreadyUsed.into())),
            // Open, and perhaps paid: not for another request, and not a reason to sign again.
            _ if !same => Err(desk.in_progress()),
            _ => self.take_over(held).await,
        }
    }

    /// Goes on with what was left unfinished, unless somebody else may be at work on it.
    async fn take_over(&mut self, held: Held) -> Step {
        match presence::is_free(&self.order.desk.route.shop, held.sale()).await {
            Ok(true) => self.resumed = true,
            Ok(false) => return Err(self.order.desk.in_progress()),
            Err(_) => return Err(self.order.desk.pending(None)),
        }
        let holder = self.order.desk.route.shop.name();
        if held.sale().holder == holder {
            return Ok(held);
        }
        // From here on whatever the other still writes finds another version.
        let adopted = self.sales().apply(held, SaleEvent::Adopt { holder }, self.order.desk.route.shop.now());
        match adopted.await {
            Ok(Some(held)) => Ok(held),
            Ok(None) => self.overtaken().await,
            Err(_) => Err(self.order.desk.pending(None)),
        }
    }

    async fn step(&mut self, held: Held) -> Step {
        let safe = self.order.may_run_again();
        match &held.sale().state {
            SaleState::Released => {
                let Prints { payment, request } = self.order.prints.clone();
                let holder = self.order.desk.route.shop.name();
                self.apply(held, SaleEvent::Hold { payment, request, holder, deal: self.order.deal() }).await
            }
            SaleState::Held { started: true } if !safe => Err(self.abandon(held).await),
            SaleState::Held { started } => {
                let started = *started;
                if self.money_first() && !started {
                    self.pay_first(held).await
                } else {
                    self.serve_first(held, started).await
                }
            }
            SaleState::Served { .. } => {
                self.hand_out(&held).await;
                self.take_money(held).await
            }
            SaleState::Paid { receipt, started: false } => {
                let receipt = receipt.clone();
                let held = self.apply_paid(held, SaleEvent::Start, &receipt).await?;
                if held.has_started() { self.serve_paid(held, receipt).await } else { Ok(held) }
            }
            SaleState::Paid { receipt, started: true } if safe => {
                let receipt = receipt.clone();
                self.serve_paid(held, receipt).await
            }
            SaleState::Paid { receipt, .. } => Err(self.order.desk.refund_due(receipt)),
            SaleState::Done { answer, receipt } => {
                reach("KP11");
                let mut reply = self.order.desk.done(answer, receipt);
                self.give_pass(&mut reply.headers, held.sale(), receipt);
                Err(reply)
            }
            SaleState::Withheld { reason } => Err(self.order.desk.failed(&reason.clone().into())),
        }
    }

    /// What is said of a payment that cannot be verified.
    fn no_good(&self, failure: &Failure) -> Reply {
        match failure {
            Failure::Refused(refusal) if refusal.reason == Reason::SettlementPending => {
                self.order.desk.pending(None)
            }
            Failure::Refused(refusal) => self.order.desk.refused(refusal),
            Failure::Fault(fault) => self.order.desk.fault(fault),
        }
    }

    /// Takes up a sale whose handler runs before the money moves.
    async fn serve_first(&mut self, held: Held, started: bool) -> Step {
        let known = if self.resumed { self.till().known().await } else { Known::Still };
        if matches!(known, Known::Settled(_) | Known::Moving(_)) {
            return self.pay_first(held).await;
        }
        match self.till().verify().await {
            Ok(claim) => self.payer = Some(claim.payer),
            // To a facilitator without memory a payment that was taken looks used: settling tells.
            Err(Failure::Refused(_)) if known == Known::Unknown => return self.pay_first(held).await,
            Err(failure) => {
                let may_move = is_under_way(&failure) || self.resumed && matches!(failure, Failure::Fault(_));
                let reply = self.no_good(&failure);
                return Err(if may_move { reply } else { self.release(held, reply).await });
            }
        }
        let held = if started { held } else { self.apply(held, SaleEvent::Start).await? };
        if !held.has_started() {
            return Ok(held);
        }
        self.serve(held).await
    }

    /// Runs the handler and keeps its answer. The money comes after.
    async fn serve(&mut self, held: Held) -> Step {
        reach("KP4");
        let (parts, body) = match self.handle(None).await {
            Ok(response) => response.into_parts(),
            Err(trouble) => return Err(self.release(held, trouble.reply()).await),
        };
        let limits = self.order.desk.route.shop.limits.clone();
        let limit = Duration::from_secs(limits.handler_timeout_s);
        if !parts.status.is_success() {
            let reply = handler::free(parts, body, limits.free_size_bytes_max, limit).await;
            return Err(self.release(held, reply).await);
        }
        let collected = if handler::is_stream(&parts.headers) {
            Ok(Collected::Larger(Bytes::new(), body))
        } else {
            handler::collect(body, limits.answer_size_bytes_max, limit).await
        };
        match collected {
            Ok(Collected::Whole(bytes)) => {
                reach("KP10");
                let fields = reply::kept_fields(&parts.headers, &self.order.parts.method);
                let answer = reply::answer(parts.status, &fields, Some(&bytes));
                self.apply(held, SaleEvent::Serve(answer)).await
            }
            // Too much to hold back (threat row G13): the money comes now, and then everything flows.
            Ok(Collected::Larger(prefix, rest)) => {
                let held = self.pay_first(held).await?;
                let SaleState::Paid { receipt, .. } = held.sale().state.clone() else {
                    return Err(self.lost());
                };
                self.stream(held, parts, prefix, rest, receipt).await
            }
            Err(trouble) => Err(self.release(held, trouble.reply()).await),
        }
    }

    /// The money before the answer.
    async fn pay_first(&mut self, held: Held) -> Step {
        match self.till().settle(self.resumed).await {
            Settlement::Settled(receipt) => {
                let paid = self.apply_paid(held, SaleEvent::Pay(receipt.clone()), &receipt).await;
                reach("KP9");
                paid
            }
            Settlement::Refused(refusal) => self.refuse(held, &refusal).await,
            Settlement::Pending(transaction) => Err(self.order.desk.pending(transaction)),
        }
    }

    /// What must be known to settle without the buyer, on a route that hands out before the money is in.
    fn owed(&self) -> Option<Box<Owed>> {
        let Order { desk, payment, offer, .. } = &self.order;
        // A pass is good for more than its price, so it is not lent.
        let is_lending = desk.route.settle == Settle::Async && !self.paid_before && !self.order.is_for_pass;
        let owed = || Owed { payment: payment.clone(), offer: offer.clone(), payer: self.payer.clone() };
        is_lending.then(|| Box::new(owed()))
    }

    /// Gives the answer out before the money is in, to a payer who may owe that much.
    async fn hand_out(&mut self, held: &Held) {
        let (sale, route) = (held.sale(), &self.order.desk.route);
        let (SaleState::Served { answer }, Some(owed)) = (&sale.state, &sale.owed) else { return };
        let Some(reply) = self.order.desk.on_credit(answer, &sale.id) else { return };
        if let Err(fault) = route.shop.credit.learn(&route.shop.sales, &route.shop.flights).await {
            tracing::warn!(%fault, "nobody is lent to: what is owed already cannot be looked up");
            return;
        }
        let is_lent =
            route.unsettled_max(&owed.offer).is_some_and(|max| route.shop.credit.lend(sale.id, owed, max));
        if let Some(live) = self.live.take_if(|_| is_lent) {
            let _ = live.send(reply.response());
        }
    }

    /// The money for an answer that lies ready.
    async fn take_money(&mut self, held: Held) -> Step {
        match self.till().settle(self.resumed).await {
            Settlement::Settled(receipt) => {
                self.order.desk.route.shop.credit.paid(&self.order.id);
                self.apply_paid(held, SaleEvent::Pay(receipt.clone()), &receipt).await
            }
            Settlement::Refused(refusal) => self.refuse(held, &refusal).await,
            Settlement::Pending(transaction) => Err(self.order.desk.pending(transaction)),
        }
    }

    /// The money did not move and will not.
    async fn refuse(&self, held: Held, refusal: &Refusal) -> Step {
        self.order.desk.route.shop.credit.lost(&self.order.id);
        self.apply(held, SaleEvent::Refuse(refusal.reason.clone())).await?;
        Err(self.order.desk.failed(refusal))
    }

    /// The handler of a request whose money has moved; its answer counts, whatever it is.
    async fn serve_paid(&mut self, held: Held, receipt: Receipt) -> Step {
        let (response, is_over) = match self.handle(Some(receipt.clone())).await {
            Ok(response) => (response, true),
            // It may have done its work all the same.
            Err(trouble) => (trouble.reply().response(), self.order.may_run_again()),
        };
        let (parts, body) = response.into_parts();
        if self.paid_before && is_over && !parts.status.is_success() {
            return self.give_back(held, parts, body, &receipt).await;
        }
        self.stream(held, parts, Bytes::new(), body, receipt).await
    }

    /// Nothing came of a run whose money cannot go back: the payment is as good as before, and the answer is free.
    async fn give_back(
        &self,
        held: Held,
        parts: http::response::Parts,
        body: Body,
        receipt: &Receipt,
    ) -> Step {
        let limits = &self.order.desk.route.shop.limits;
        let limit = Duration::from_secs(limits.handler_timeout_s);
        let reply = handler::free(parts, body, limits.free_size_bytes_max, limit).await;
        self.apply_paid(held, SaleEvent::Return, receipt).await?;
        Err(reply)
    }

    /// Lets an answer flow to the client while a copy is kept. The client sees its end after the book has it.
    async fn stream(
        &mut self,
        held: Held,
        parts: http::response::Parts,
        prefix: Bytes,
        rest: Body,
        receipt: Receipt,
    ) -> Step {
        let limits = &self.order.desk.route.shop.limits;
        let (size_bytes_max, drain) =
            (limits.answer_size_bytes_max, Duration::from_secs(limits.handler_timeout_s));
        let fields = reply::kept_fields(&parts.headers, &self.order.parts.method);
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let (mut pump, body) = relay::relay(length);
        if let Some(live) = self.live.take() {
            let mut response = Response::new(body);
            *response.status_mut() = parts.status;
            response.headers_mut().clone_from(&fields);
            if let Some(length) = parts.headers.get(CONTENT_LENGTH) {
                response.headers_mut().insert(CONTENT_LENGTH, length.clone());
            }
            self.order.desk.decorate(response.headers_mut(), &receipt);
            self.give_pass(response.headers_mut(), held.sale(), &receipt);
            let _ = live.send(response);
        }
        let copy = pump.run(prefix, rest, size_bytes_max, drain).await;
        reach("KP10");
        let answer = reply::answer(parts.status, &fields, copy.as_deref());
        let next = self.apply_paid(held, SaleEvent::Serve(answer.clone()), &receipt).await;
        // What the book does not have must not look whole: the client sends the payment again and gets what it has.
        match &next {
            Ok(held) if matches!(&held.sale().state, SaleState::Done { answer: kept, .. } if *kept == answer) =>
            {
                reach("KP12");
                pump.finish().await;
            }
            _ => pump.fail().await,
        }
        next
    }

    /// A run with side effects was cut off before anything was charged (kill point KP4): it is not repeated.
    async fn abandon(&mut self, held: Held) -> Reply {
        match self.till().known().await {
            Known::Settled(receipt) => {
                let applied = self.apply_paid(held, SaleEvent::Pay(receipt.clone()), &receipt).await;
                applied.map_or_else(|reply| reply, |_| self.order.desk.refund_due(&receipt))
            }
            Known::Moving(transaction) => self.order.desk.pending(transaction),
            Known::Unknown => self.order.desk.pending(None),
            // A call to settle may still be on its way.
            Known::Still if !self.till().is_dead() => self.order.desk.pending(None),
            Known::Still | Known::Failed(_) => {
                tracing::warn!(payment = %self.order.id, "a run was cut off by a crash; nothing was charged");
                match self.refuse(held, &Reason::Released.into()).await {
                    Ok(_) => self.lost(),
                    Err(reply) => reply,
                }
            }
        }
    }

    /// Adds the pass that the route gives for a payment.
    fn give_pass(&self, fields: &mut HeaderMap, sale: &Sale, receipt: &Receipt) {
        // A sale of before sales said so.
        let Some(grant) = sale.pass.as_deref().cloned().or_else(|| self.order.grant()) else { return };
        let shop = &self.order.desk.route.shop;
        let token = shop.passes.give(&grant, sale, receipt, shop.now());
        if let Some(value) = token.and_then(|token| HeaderValue::try_from(token).ok()) {
            fields.insert(PASS_HEADER, value);
        }
    }

    async fn handle(&mut self, receipt: Option<Receipt>) -> Result<Response<Body>, Trouble> {
        let order = &self.order;
        let mut parts = order.parts.clone();
        parts.extensions.insert(Paid {
            payment_id: order.id,
            payer: receipt.as_ref().and_then(|receipt| receipt.payer.clone()).or_else(|| self.payer.clone()),
            amount: order.offer.amount,
            asset: order.offer.asset.clone(),
            network: order.offer.network.clone(),
            receipt,
            by_pass: false,
            by_access: false,
        });
        let request = Request::from_parts(parts, Body::from(order.body.clone()));
        let limit = Duration::from_secs(order.desk.route.shop.limits.handler_timeout_s);
        let mut response = handler::run(self.inner.clone(), request, limit).await?;
        strip_response(response.headers_mut());
        Ok(response)
    }

    /// Gives the payment back and passes the answer on. When the book cannot be written the hold simply stays: the
    /// resend takes it up again.
    async fn release(&self, held: Held, reply: Reply) -> Reply {
        match self.sales().apply(held, SaleEvent::Release, self.order.desk.route.shop.now()).await {
            Ok(Some(_)) => reply,
            Ok(None) => {
                tracing::warn!(payment = %self.order.id, "another instance works on this payment");
                reply
            }
            Err(fault) => {
                tracing::error!(%fault, payment = %self.order.id, "a hold could not be given back");
                reply
            }
        }
    }

    /// Writes what is about to happen or has happened; where that fails nothing was taken.
    async fn apply(&self, held: Held, event: SaleEvent) -> Step {
        let written = self.sales().apply(held, event, self.order.desk.route.shop.now()).await;
        match written {
            Ok(Some(next)) => Ok(next),
            Ok(None) => self.overtaken().await,
            Err(fault) => Err(self.order.desk.fault(&fault)),
        }
    }

    /// The same after the money has moved: what is not written then is unknown, and never "pay again".
    async fn apply_paid(&self, held: Held, event: SaleEvent, receipt: &Receipt) -> Step {
        let written = self.sales().apply(held, event, self.order.desk.route.shop.now()).await;
        match written {
            Ok(Some(next)) => Ok(next),
            Ok(None) => self.overtaken().await,
            Err(fault) => {
                tracing::error!(%fault, payment = %self.order.id, "paid, and the book cannot be written");
                Err(self.order.desk.pending(receipt.transaction.clone()))
            }
        }
    }

    /// Another instance changed the sale. What it finished is good for us too.
    async fn overtaken(&self) -> Step {
        match self.sales().load(&self.order.id).await {
            Ok(Some(held))
                if matches!(held.sale().state, SaleState::Done { .. } | SaleState::Withheld { .. }) =>
            {
                Ok(held)
            }
            Ok(_) => Err(self.order.desk.in_progress()),
            Err(_) => Err(self.order.desk.pending(None)),
        }
    }

    fn sales(&self) -> &super::Sales {
        &self.order.desk.route.shop.sales
    }

    fn till(&self) -> Till<'_> {
        self.order.till()
    }
}

/// Whether the money may be on its way already.
fn is_under_way(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(refusal) => refusal.reason == Reason::SettlementPending,
        Failure::Fault(fault) => matches!(fault, Fault::Pending { .. }),
    }
}

/// Whether a refusal is of one payment, so that another in the same transaction may still be good.
fn is_of_one(reason: &Reason) -> bool {
    use Reason::{AmountMismatch, InvalidSignature, NonceAlreadyUsed, RecipientMismatch};
    matches!(reason, RecipientMismatch | AmountMismatch | NonceAlreadyUsed | InvalidSignature)
}

/// Whether nothing is lost when what was left is done anew, or for something else: it never began, or changes nothing.
fn is_repeatable(sale: &Sale) -> bool {
    match sale.state {
        SaleState::Held { started: false } => true,
        SaleState::Paid { started: true, .. } => {
            ["GET ", "HEAD "].iter().any(|safe| sale.route.starts_with(safe))
        }
        _ => false,
    }
}

fn has_begun(sale: &Sale) -> bool {
    matches!(sale.state, SaleState::Paid { started: true, .. })
}
