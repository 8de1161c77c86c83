//! What a payment in the book is worth to whoever asks.

use groat_core::books::{Settlement, SettlementState};
use groat_core::payment::ReceiptOutcome;
use groat_core::ports::Mechanism;
use groat_core::{Amount, Claim, Failure, Offer, Receipt, Refusal, Verified};

/// The answer of a settlement that is over; `None` while it is not, or when it may be taken up again.
pub(super) fn ended(record: &Settlement) -> Option<Result<Receipt, Failure>> {
    match &record.state {
        SettlementState::Settled(settled) => Some(Ok(Receipt {
            outcome: ReceiptOutcome::Settled,
            network: record.network.clone(),
            transaction: Some(settled.transaction.clone()),
            payer: Some(record.payer.clone()),
            amount: None,
            settled_at: None,
        })),
        SettlementState::Failed { reason, transaction } => {
            let (payer, transaction) = (Some(record.payer.clone()), transaction.clone());
            Some(Err(Refusal { payer, transaction, ..reason.clone().into() }.into()))
        }
        SettlementState::Submitted { .. } | SettlementState::Released => None,
    }
}

/// A payment of one sum to one payee is no payment of another. Network and asset are the same already: they are part
/// of the key by which the payment was found.
pub(super) fn same_terms(
    amount: Amount,
    pay_to: &str,
    offer: &Offer,
    mechanism: &(impl Mechanism + ?Sized),
) -> bool {
    amount == offer.amount && mechanism.same_account(pay_to, &offer.pay_to)
}

/// A claim that fits its offer; whoever has claimed something else is named.
pub(super) fn fitting(
    claim: Claim,
    offer: &Offer,
    mechanism: &(impl Mechanism + ?Sized),
) -> Result<Verified, Failure> {
    let payer = claim.payer.clone();
    let same = |one: &str, other: &str| mechanism.same_account(one, other);
    Verified::compare(claim, offer, same).map_err(|reason| Failure::from(reason).by(&payer))
}
