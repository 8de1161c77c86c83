//! What a gate asks a facilitator, and how far it believes the answer.

use std::time::Duration;

use groat_core::books::{Sale, SettlementState};
use groat_core::payment::ReceiptOutcome;
use groat_core::{
    Amount, Claim, Confirmations, Failure, Fault, Offer, Payment, PaymentId, Reason, Receipt, Refusal,
    Timestamp, Verified,
};
use tokio::time::{Instant, sleep, timeout};

use crate::config::late;
use crate::pay::Shop;

/// How far the clock of a chain may be behind ours, generously.
const CLOCKS_APART_S: u64 = 60;

/// How a settlement ended, as far as is known.
pub(crate) enum Settlement {
    /// The money has moved.
    Settled(Receipt),
    /// It certainly has not.
    Refused(Refusal),
    /// Nobody knows.
    Pending(Option<String>),
}

/// What is known of the money before anything is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has moved.
    Settled(Receipt),
    /// It may be on its way.
    Moving(Option<String>),
    /// It has not moved.
    Still,
    /// It was tried, and it has not moved.
    Failed(Reason),
    /// The facilitator cannot say.
    Unknown,
}

/// One payment and who to ask about it.
pub(crate) struct Till<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) id: PaymentId,
    pub(crate) valid_until: Timestamp,
    pub(crate) payment: &'a Payment,
    pub(crate) offer: &'a Offer,
    pub(crate) confirmations: Confirmations,
}

/// What is to be paid, and how sure of it the seller wants to be.
pub(crate) struct Due<'a> {
    id: PaymentId,
    amount: Amount,
    pay_to: &'a str,
    confirmations: Confirmations,
}

impl<'a> Due<'a> {
    pub(crate) fn of(sale: &'a Sale) -> Self {
        let Sale { id, amount, pay_to, confirmations, .. } = sale;
        Self { id: *id, amount: *amount, pay_to, confirmations: *confirmations }
    }
}

impl Till<'_> {
    /// Whether the payment would settle now. The claim is compared with the offer here as well: a facilitator that
    /// says yes to something else is not believed (threat row G05).
    pub(crate) async fn verify(&self) -> Result<Claim, Failure> {
        // What was paid by a transaction may still be on its way into a block.
        let is_paid_before = self.shop.mechanism(self.offer).is_some_and(|one| one.is_paid_before());
        let limits = &self.shop.limits;
        let seconds = if is_paid_before { limits.settle_timeout_s } else { limits.verify_timeout_s };
        let asked = self.shop.facilitator.verify(self.payment, self.offer);
        let claim = match timeout(Duration::from_secs(seconds), asked).await {
            Ok(answer) => answer?,
            Err(_) => return Err(late("facilitator", seconds).into()),
        };
        if claim.key.id() != self.id {
            return Err(Fault::garbled("facilitator", "it verified another payment").into());
        }
        let same_account = |one: &str, other: &str| {
            self.shop.mechanism(self.offer).is_some_and(|mechanism| mechanism.same_account(one, other))
        };
        match Verified::compare(claim, self.offer, same_account) {
            Ok(verified) => Ok(verified.into_parts().0),
            Err(reason) => Err(Fault::garbled("facilitator", format_args!("its claim: {reason}")).into()),
        }
    }

    /// Moves the money, and waits until it lies as deep as the route wants. `asked_before` as in [`Till::move_money`].
    pub(crate) async fn settle(&self, asked_before: bool) -> Settlement {
        let deadline = Instant::now() + Duration::from_secs(self.shop.limits.settle_timeout_s);
        match self.move_money(asked_before).await {
            Settlement::Settled(receipt) if !self.confirmations.is_mined() => {
                self.confirm(receipt, deadline).await
            }
            settlement => settlement,
        }
    }

    /// Whether money that moved for something else, which came to nothing, is good for this offer too. A refusal is
    /// believed.
    pub(crate) async fn settle_again(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(self.shop.limits.settle_timeout_s);
        let receipt = self.settle_once().await?;
        if self.confirmations.is_mined() {
            return Ok(());
        }
        match self.confirm(receipt, deadline).await {
            Settlement::Settled(_) => Ok(()),
            Settlement::Refused(refusal) => Err(refusal.into()),
            Settlement::Pending(transaction) => Err(Fault::Pending { transaction }.into()),
        }
    }

    /// Looks until the payment lies deep enough. What does not until the deadline is pending: the resend goes on.
    async fn confirm(&self, receipt: Receipt, deadline: Instant) -> Settlement {
        let pause = Duration::from_millis(self.shop.limits.settle_again_after_ms);
        let mut transaction = receipt.transaction.clone();
        loop {
            let mut is_told = true;
            match self.known().await {
                // After a reorganisation it may be in another transaction than the first receipt says.
                Known::Settled(Receipt { transaction, .. }) => {
                    return Settlement::Settled(Receipt { transaction, ..receipt });
                }
                Known::Moving(told) => transaction = told.or(transaction),
                Known::Failed(reason) => return Settlement::Refused(reason.into()),
                Known::Still => return Settlement::Pending(transaction),
                // A node or a facilitator that does not answer now may do so in a moment.
                Known::Unknown => is_told = false,
            }
            if Instant::now() + pause > deadline {
                if !is_told {
                    tracing::error!(
                        payment = %self.id,
                        "the facilitator does not tell how deep a payment lies, so nothing is served for it: use a \
                         groat facilitator that reaches its node, or set `confirmations = 1` for this route"
                    );
                }
                return Settlement::Pending(transaction);
            }
            sleep(pause).await;
        }
    }

    /// Gets the money into a block. `asked_before` says that an earlier call may have ended without an answer: then a refusal
    /// alone proves nothing, because to a facilitator without memory a payment that was taken looks used.
    async fn move_money(&self, mut asked_before: bool) -> Settlement {
        let mut transaction = None;
        for attempt in 0..2 {
            if attempt > 0 {
                sleep(Duration::from_millis(self.shop.limits.settle_again_after_ms)).await;
            }
            match self.settle_once().await {
                Ok(receipt) => return Settlement::Settled(receipt),
                Err(Failure::Refused(refusal)) if asked_before => {
                    return self.doubt(refusal, transaction).await;
                }
                Err(Failure::Refused(refusal)) => return Settlement::Refused(refusal),
                Err(Failure::Fault(Fault::Pending { transaction: told })) => {
                    transaction = told.or(transaction);
                    asked_before = true;
                }
                // The call may have arrived: this is as unknown as a pending one.
                Err(Failure::Fault(fault)) => {
                    tracing::warn!(%fault, payment = %self.id, "the settlement is unknown");
                    return Settlement::Pending(transaction);
                }
            }
        }
        Settlement::Pending(transaction)
    }

    async fn settle_once(&self) -> Result<Receipt, Failure> {
        let limit = Duration::from_secs(self.shop.limits.settle_timeout_s);
        let asked = self.shop.facilitator.settle(self.payment, self.offer);
        let Ok(answer) = timeout(limit, asked).await else {
            return Err(Fault::Pending { transaction: None }.into());
        };
        let receipt = match answer {
            Err(Failure::Refused(refusal)) if refusal.reason == Reason::SettlementPending => {
                return Err(Fault::Pending { transaction: None }.into());
            }
            other => other?,
        };
        match &receipt.outcome {
            ReceiptOutcome::Failed(reason) => Err(reason.clone().into()),
            ReceiptOutcome::Pending => Err(Fault::Pending { transaction: receipt.transaction }.into()),
            ReceiptOutcome::Settled if !self.fits(&receipt) => {
                tracing::error!(payment = %self.id, "the facilitator's receipt is for another payment");
                Err(Fault::Pending { transaction: receipt.transaction }.into())
            }
            ReceiptOutcome::Settled => Ok(Receipt { settled_at: Some(self.shop.now()), ..receipt }),
        }
    }

    /// Whether a receipt can be for this payment (threat row G06).
    fn fits(&self, receipt: &Receipt) -> bool {
        receipt.network == self.offer.network
            && receipt.amount.is_none_or(|amount| amount == self.offer.amount)
    }

    async fn doubt(&self, refusal: Refusal, transaction: Option<String>) -> Settlement {
        match self.known().await {
            Known::Settled(receipt) => Settlement::Settled(receipt),
            Known::Failed(_) => Settlement::Refused(refusal),
            Known::Still if self.is_dead() => Settlement::Refused(refusal),
            // A call from before a crash may still be on its way.
            Known::Still => Settlement::Pending(transaction),
            Known::Moving(told) => Settlement::Pending(told.or(transaction)),
            Known::Unknown => Settlement::Pending(transaction),
        }
    }

    /// Whether what has not moved never will.
    pub(crate) fn is_dead(&self) -> bool {
        is_dead(self.shop, self.valid_until)
    }

    /// What the facilitator's book says.
    pub(crate) async fn known(&self) -> Known {
        let Self { id, offer, confirmations, .. } = self;
        let (amount, pay_to) = (offer.amount, &offer.pay_to);
        known(self.shop, Due { id: *id, amount, pay_to, confirmations: *confirmations }).await
    }
}

/// Whether no chain takes a payment any more that is good until then.
pub(crate) fn is_dead(shop: &Shop, valid_until: Timestamp) -> bool {
    shop.now() > valid_until.plus(CLOCKS_APART_S)
}

/// What the facilitator's book says of a payment.
///
/// What it pays is not part of its id: a payer can sign one nonce for two payees, and show us the other one (threat row
/// G06).
pub(crate) async fn known(shop: &Shop, due: Due<'_>) -> Known {
    let Due { id, amount, pay_to, confirmations } = due;
    let limit = Duration::from_secs(shop.limits.verify_timeout_s);
    let status = match timeout(limit, shop.facilitator.status(&id)).await {
        Ok(Ok(Some(status))) => status,
        Ok(Ok(None)) => return Known::Still,
        Ok(Err(_)) | Err(_) => return Known::Unknown,
    };
    let same_payee = shop
        .mechanisms
        .iter()
        .any(|mechanism| mechanism.speaks(&status.network) && mechanism.same_account(&status.pay_to, pay_to));
    let ours = same_payee && status.amount == amount;
    let is_sure = confirmations.is_mined() || status.depth.is_some_and(|depth| confirmations.is_met(&depth));
    match status.state {
        // The nonce is spent, on something else.
        SettlementState::Settled(_) if !ours => Known::Failed(Reason::NonceAlreadyUsed),
        // That may still fail, and then ours may be taken.
        SettlementState::Submitted { .. } if !ours => Known::Unknown,
        SettlementState::Failed { .. } if !ours => Known::Still,
        SettlementState::Settled(_) if !is_sure && status.depth.is_none() => Known::Unknown,
        // A reorganisation may still take it back.
        SettlementState::Settled(settled) if !is_sure => Known::Moving(Some(settled.transaction)),
        SettlementState::Settled(settled) => Known::Settled(Receipt {
            outcome: ReceiptOutcome::Settled,
            network: status.network,
            transaction: Some(settled.transaction),
            payer: Some(status.payer),
            amount: None,
            settled_at: Some(shop.now()),
        }),
        SettlementState::Submitted { transaction, .. } => Known::Moving(Some(transaction)),
        SettlementState::Failed { reason, .. } => Known::Failed(reason),
        SettlementState::Released => Known::Still,
    }
}

/// The end of a sale's retention: after the authorization is dead on chain, plus the time that answers are kept.
pub(crate) fn keep_until(shop: &Shop, valid_until: Timestamp) -> Timestamp {
    // A payment may claim to be good forever; the book need not believe it.
    let horizon = shop.now().plus(366 * 86_400);
    Timestamp(valid_until.0.min(horizon.0)).plus(shop.limits.keep_answer_s)
}
