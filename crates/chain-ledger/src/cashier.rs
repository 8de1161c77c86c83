//! Taking a debit: checked as far as that needs no book, then looked up, then one commit.

use async_trait::async_trait;
use groat_core::books::{Aggregate, Posting, Settled};
use groat_core::ports::{Cashier, Seen};
use groat_core::verified::{Claim, Funds};
use groat_core::{
    Amount, Failure, Network, Offer, Payment, PaymentKey, Reason, Refusal, Timestamp, Verified,
};

use crate::{BalanceLedger, Debit, Holder, LedgerError};

/// A signed debit that fits its offer.
struct Checked {
    debit: Debit,
    key: PaymentKey,
    amount: Amount,
}

impl BalanceLedger {
    /// Everything but time and funds: shape, currency, audience, signature. No book is asked for what is not signed.
    fn check(&self, payment: &Payment, offer: &Offer) -> Result<Checked, Failure> {
        let debit = Debit::read(&payment.proof)?;
        let payer = debit.holder.to_string();
        let refuse = |reason: Reason, message: &str| {
            let message = Some(message.to_owned());
            Err(Refusal { payer: Some(payer.clone()), message, ..reason.into() }.into())
        };
        if debit.network.as_ref().is_some_and(|network| network != offer.network.as_str()) {
            return refuse(Reason::NetworkMismatch, "the debit is of another ledger");
        }
        let currency = self.ledger.currency(&debit.currency).filter(|known| known.symbol == offer.asset);
        let Some(currency) = currency else {
            return refuse(Reason::AssetNotAllowed, "the debit is in another currency");
        };
        if debit.audience != self.audience {
            return refuse(Reason::ResourceMismatch, "the debit is made out to another payment service");
        }
        // A whole number with digits behind a dot: what a person reads is what is taken.
        let is_plain = debit.amount.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let amount = Amount::parse_decimal(&debit.amount, currency.decimals).filter(|_| is_plain);
        let Some(amount) = amount else {
            return refuse(Reason::AmountMismatch, "the amount is a decimal number such as 0.50");
        };
        if !debit.is_signed() {
            return refuse(Reason::InvalidSignature, "the signature is not the account's");
        }
        let key = debit.key(&offer.network);
        Ok(Checked { debit, key, amount })
    }

    fn claim(&self, checked: &Checked, offer: &Offer, funds: Option<Funds>) -> Claim {
        Claim {
            key: checked.key,
            network: offer.network.clone(),
            asset: checked.debit.currency.clone(),
            payer: checked.debit.holder.to_string(),
            pay_to: offer.pay_to.clone(),
            amount: checked.amount,
            valid_from: Timestamp(0),
            valid_until: checked.debit.deadline,
            alone: false,
            funds,
        }
    }
}

/// Where a debit lies.
fn settled(posting: &Posting) -> Settled {
    Settled {
        transaction: format!("{}/{}", posting.network, posting.key()),
        block: 0,
        block_hash: String::new(),
        by_other: false,
    }
}

#[async_trait]
impl Cashier for BalanceLedger {
    async fn ready(&self) -> Vec<Network> {
        vec![self.ledger.network().clone()]
    }

    async fn verify(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Claim, Failure> {
        let checked = self.check(payment, offer)?;
        let payer = checked.debit.holder.to_string();
        if now >= checked.debit.deadline {
            return Err(Failure::from(Reason::Expired).by(&payer));
        }
        // Who is paid must be somebody else: an account is not written twice in one commit.
        let is_payable = Holder::parse(&offer.pay_to).is_ok_and(|payee| payee != checked.debit.holder);
        if !is_payable {
            return Err(Failure::from(Reason::PayToNotAllowed).by(&payer));
        }
        let balance = self.ledger.account(&checked.debit.currency, &payer).await?.balance();
        if balance < checked.amount {
            return Err(Failure::from(Reason::InsufficientBalance).by(&payer));
        }
        Ok(self.claim(&checked, offer, Some(Funds { amount: balance, block: 0 })))
    }

    async fn taken(&self, payment: &Payment, offer: &Offer) -> Result<Option<Seen>, Failure> {
        let debit = Debit::read(&payment.proof)?;
        let id = debit.key(&offer.network).id();
        let Some(posting) = self.ledger.debit_of(id).await? else { return Ok(None) };
        // The book answers to whoever has signed it, and for what was taken.
        let checked = self.check(payment, offer)?;
        let claim = Claim {
            amount: posting.amount,
            asset: posting.currency.clone(),
            pay_to: posting.credit.clone(),
            ..self.claim(&checked, offer, None)
        };
        Ok(Some(Seen { settled: settled(&posting), claim }))
    }

    async fn take(&self, verified: &Verified, now: Timestamp) -> Result<Seen, Failure> {
        let claim = verified.claim().clone();
        let id = claim.key.id();
        // On the account that can be spent, however the offer spells it.
        let pay_to =
            Holder::parse(&verified.offer().pay_to).map_err(|_| Reason::PayToNotAllowed)?.to_string();
        let between = (claim.payer.as_str(), pay_to.as_str());
        let posted = self.ledger.take(id, between, &claim.asset, claim.amount, now).await;
        let posting = posted.map_err(|error| match error {
            LedgerError::Overdrawn => Failure::from(Reason::InsufficientBalance),
            LedgerError::Conflict => Reason::NonceAlreadyUsed.into(),
            LedgerError::Fault(fault) => fault.into(),
            LedgerError::NothingToRefund | LedgerError::Wrong(_) => Reason::InvalidPayload.into(),
        })?;
        Ok(Seen { settled: settled(&posting), claim })
    }
}
